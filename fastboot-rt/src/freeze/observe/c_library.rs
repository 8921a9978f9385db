//! C library: what glibc keeps for the program in data of its own: the locale, and the functions that are called at exit.
//!
//! Asking it would take functions that no program has otherwise. So its data is read:
//!
//! ```text
//! locale   thirteen pointers, one for each category, all to the name "C" when the process begins
//! at exit  entries of four words: a kind from 2 to 4, an address of code, scrambled, and two arguments
//! ```
//!
//! Whatever does not look like this, as with another C library, is not noticed.

use super::maps::{Area, Copy, copy, is_code, memory, with_bss, words};
use crate::os::{headers, threads};
use std::fs::File;
use std::os::unix::fs::FileExt;

/// How many categories a locale has.
const CATEGORIES: usize = 13;
/// The kinds of functions for the exit: those of `on_exit`, of `atexit`, and of `__cxa_atexit`.
const AT_EXIT: std::ops::RangeInclusive<u64> = 2..=4;

/// What there is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct CLibrary {
    /// Address of the names of the locale's categories.
    names: Option<u64>,
    /// Names in use, each once.
    pub(super) locale: Option<String>,
    /// How many functions are called at exit.
    pub(super) at_exit: usize,
}

impl CLibrary {
    /// Looks, and for the names of the locale where they were before.
    pub(super) fn now(areas: &[Area], before: Option<&Self>) -> Self {
        let Some(memory) = memory() else { return Self::default() };
        let data = data(areas, &memory);
        let names = match before {
            Some(before) => before.names,
            None => data.iter().find_map(|copy| find_names(copy, |address| string(&memory, address))),
        };
        Self {
            names,
            locale: names.and_then(|names| locale(&memory, names)),
            at_exit: data.iter().map(|(_, bytes)| count_at_exit(bytes, areas, threads::pointer_guard())).sum(),
        }
    }
}

/// The C library's writable data: that of its file, or, in a static executable, all there is.
fn data(areas: &[Area], memory: &File) -> Vec<Copy> {
    let is_it = |area: &&Area| {
        let file = area.name.rsplit('/').next().unwrap_or_default();
        file.starts_with("libc.so") || file.starts_with("libc-")
    };
    if areas.iter().any(|area| is_it(&area)) {
        let own = areas.iter().enumerate().filter(|(_, area)| area.writable && is_it(area));
        let ranges = own.flat_map(|(index, _)| with_bss(areas, index));
        return ranges.filter_map(|range| copy(memory, range)).collect();
    }
    let segments = headers::writable_segments(None).map(|range| range.start as u64..range.end as u64);
    segments.filter_map(|range| copy(memory, &range)).collect()
}

/// Where the names of a locale's categories are, when all of them are `C`.
fn find_names((address, bytes): &Copy, string: impl Fn(u64) -> Option<String>) -> Option<u64> {
    let mut equal = (0, 0);
    for (index, word) in words(bytes).enumerate() {
        equal = if equal.0 == word { (word, equal.1 + 1) } else { (word, 1) };
        if word != 0 && equal.1 == CATEGORIES && string(word).as_deref() == Some("C") {
            return Some(address + 8 * (index + 1 - CATEGORIES) as u64);
        }
    }
    None
}

fn locale(memory: &File, names: u64) -> Option<String> {
    let (_, names) = copy(memory, &(names..names + 8 * CATEGORIES as u64))?;
    let mut all: Vec<String> = words(&names).filter_map(|name| string(memory, name)).collect();
    all.dedup();
    Some(all.join(", "))
}

/// A short string of C.
fn string(memory: &File, address: u64) -> Option<String> {
    let mut bytes = [0; 32];
    let read = memory.read_at(&mut bytes, address).ok()?;
    let text = bytes[..read].split(|byte| *byte == 0).next()?;
    String::from_utf8(text.to_vec()).ok()
}

/// How many entries for the exit there are. glibc scrambles addresses with a number of the process: `PTR_MANGLE`.
fn count_at_exit(bytes: &[u8], areas: &[Area], guard: u64) -> usize {
    let (kinds, addresses) = (words(bytes), words(bytes).skip(1));
    let plain = |word: u64| word.rotate_right(17) ^ guard;
    kinds.zip(addresses).filter(|(kind, word)| AT_EXIT.contains(kind) && is_code(areas, plain(*word))).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::freeze::observe::maps::areas;

    #[test]
    fn names_of_the_locale_are_found_where_all_are_the_same() {
        let bytes = |words: &[u64]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
        let string = |address| (address == 0x40).then(|| "C".to_owned());
        let found = |words: &[u64]| find_names(&(0x1000, bytes(words)), string);
        assert_eq!(found(&[&[1, 2][..], &[0x40; 13], &[3]].concat()), Some(0x1010));
        assert_eq!(found(&[&[1, 2][..], &[0x41; 13], &[3]].concat()), None, "another string");
        assert_eq!(found(&[0x40; 12]), None);
    }

    #[test]
    fn a_function_for_the_exit_is_counted() {
        extern "C" fn nothing() {}
        let before = CLibrary::now(&areas(), None);
        // SAFETY: a function that does nothing, and stays.
        #[expect(unsafe_code, reason = "it is what is to be noticed")]
        let added = unsafe { libc::atexit(nothing) };
        assert_eq!(added, 0);
        let now = CLibrary::now(&areas(), Some(&before));
        assert!(now.at_exit > before.at_exit && before.at_exit > 0, "{before:?} {now:?}");
        assert_eq!((before.locale.as_deref(), now.locale), (Some("C"), before.locale.clone()));
    }
}
