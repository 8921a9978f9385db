//! Libraries: whether data of the shared libraries changed. The finished program has them as the dynamic linker loads them.
//!
//! Not looked at: the C library and what belongs to it, whose data changes all the time and of which nothing but what
//! [`super::c_library`] tells is the program's business; allocators; and what a sanitizer brings.

use super::maps::{Area, Copy, copy, is_code, memory, with_bss, words};
use std::collections::BTreeMap;

/// How the names of those begin that are not looked at.
const IGNORED: &[&str] = &[
    "libc.so",
    "libc-",
    "ld-",
    "libm.so",
    "libm-",
    "libmvec",
    "libpthread",
    "libdl",
    "librt",
    "libutil",
    "libgcc_s",
    "libresolv",
    "libnss_",
    "libanl",
    "libjemalloc",
    "libmimalloc",
    "libtcmalloc",
    "libsnmalloc",
    "libasan",
    "libtsan",
    "liblsan",
    "libubsan",
    "vgpreload",
];
/// How much data of one library is looked at, in bytes.
const MOST: u64 = 16 << 20;

/// Data of libraries, by the path of each.
pub(super) type Libraries = BTreeMap<String, Vec<Copy>>;

/// Copies it.
pub(super) fn now(areas: &[Area], executable: &str) -> Libraries {
    let mut libraries = Libraries::new();
    let Some(memory) = memory() else { return libraries };
    let is_library = |name: &str| {
        let file = name.rsplit('/').next().unwrap_or_default();
        let ignored = IGNORED.iter().any(|ignored| file.starts_with(ignored));
        !ignored && name != executable && areas.iter().any(|area| area.executable && area.name == name)
    };
    for (index, area) in areas.iter().enumerate() {
        if !(area.name.starts_with('/') && area.writable && is_library(&area.name)) {
            continue;
        }
        let copies = libraries.entry(area.name.clone()).or_default();
        let pieces = with_bss(areas, index).filter(|range| range.end - range.start <= MOST);
        copies.extend(pieces.filter_map(|range| copy(&memory, range)));
    }
    libraries
}

/// The libraries that are other now than they were before.
pub(super) fn since<'a>(now: &'a Libraries, before: &Libraries, areas: &[Area]) -> impl Iterator<Item = &'a str> {
    now.iter().filter_map(|(name, copies)| {
        let changed = match before.get(name) {
            None => true,
            Some(before) => {
                let pairs = copies.iter().zip(before);
                pairs.into_iter().any(|((_, now), (_, before))| differs(now, before, areas))
            }
        };
        changed.then_some(name.as_str())
    })
}

/// Whether anything but addresses of functions changed, which the dynamic linker looks up when one is called first.
fn differs(now: &[u8], before: &[u8], areas: &[Area]) -> bool {
    let resolved = |(before, now)| is_code(areas, before) && is_code(areas, now);
    now != before && words(before).zip(words(now)).any(|(before, now)| before != now && !resolved((before, now)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_dynamic_linker_fills_in_is_no_change() {
        let code = Area {
            range: 0x1000..0x2000,
            readable: true,
            writable: false,
            executable: true,
            name: "/lib/x.so".to_owned(),
        };
        let word = |word: u64| word.to_le_bytes();
        assert!(!differs(&word(0x1800), &word(0x1010), std::slice::from_ref(&code)));
        assert!(differs(&word(0x2800), &word(0x1010), std::slice::from_ref(&code)));
        assert!(differs(&word(1), &word(0), &[code]));
    }

    #[test]
    fn only_libraries_that_are_no_part_of_the_c_library_count() {
        let own = [7u8; 64];
        let here = own.as_ptr().addr() as u64;
        let area = |name: &str, writable| Area {
            range: here..here + 64,
            readable: true,
            writable,
            executable: !writable,
            name: name.to_owned(),
        };
        let areas: Vec<Area> = ["/lib/libc.so.6", "/lib/libz.so.1", "/bin/program"]
            .into_iter()
            .flat_map(|name| [area(name, false), area(name, true)])
            .chain([area("/data", true)])
            .collect();
        let found = now(&areas, "/bin/program");
        assert_eq!(found.keys().collect::<Vec<_>>(), ["/lib/libz.so.1"]);
        assert_eq!(since(&found, &Libraries::new(), &areas).collect::<Vec<_>>(), ["/lib/libz.so.1"]);
        assert_eq!(since(&found, &found, &areas).count(), 0);
    }
}
