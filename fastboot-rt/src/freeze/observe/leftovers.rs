//! Leftovers: what a root's expression left open in the system, and an image cannot hold.
//!
//! What the process has open is compared before and after each root. What this module allocates is exempt from the
//! freeze, so nothing of it is in an image.

use fastboot_format::protocol::Leftover;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

/// What a process has open, each thing as a line of text.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Open {
    /// File descriptors: number and what it is.
    descriptors: BTreeSet<String>,
    /// Mapped files: path and address. Not the libraries, which have executable parts, and not their debug information, which
    /// the standard library maps and keeps when it prints a backtrace.
    mappings: BTreeSet<String>,
    /// Threads: number and name. A thread may change its name, and is the same one then.
    threads: BTreeMap<u32, String>,
    /// Child processes.
    children: BTreeSet<String>,
}

impl Open {
    /// Looks at the process. What cannot be read is taken for empty.
    pub(crate) fn now() -> Self {
        Self {
            descriptors: descriptors(),
            mappings: mappings(&fs::read_to_string("/proc/self/maps").unwrap_or_default()),
            threads: threads(),
            children: children(),
        }
    }

    /// Looks at the process, and if there are threads that were not there before, again for a while: a thread that was
    /// joined may need a moment to be gone.
    pub(crate) fn settled(before: &Self) -> Self {
        let mut now = Self::now();
        for _ in 0..20 {
            if now.threads.keys().all(|thread| before.threads.contains_key(thread)) {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(2));
            now = Self::now();
        }
        now
    }

    /// What is there now and was not there before: kind and description.
    pub(crate) fn since(&self, before: &Self) -> Vec<(Leftover, String)> {
        let all = [
            (Leftover::Descriptor, &self.descriptors, &before.descriptors),
            (Leftover::Mapping, &self.mappings, &before.mappings),
            (Leftover::Child, &self.children, &before.children),
        ];
        let new = all.into_iter();
        let new = new.flat_map(|(kind, now, before)| now.difference(before).map(move |what| (kind, what.clone())));
        let threads = self.threads.iter().filter(|(thread, _)| !before.threads.contains_key(thread));
        new.chain(threads.map(|(thread, name)| (Leftover::Thread, format!("{thread} `{name}`")))).collect()
    }
}

fn descriptors() -> BTreeSet<String> {
    let Ok(entries) = fs::read_dir("/proc/self/fd") else { return BTreeSet::new() };
    let named = entries.flatten().filter_map(|entry| {
        let target = fs::read_link(entry.path()).ok()?;
        // The folder that is being read is open too.
        (!target.starts_with("/proc/"))
            .then(|| format!("{} ({})", entry.file_name().to_string_lossy(), target.display()))
    });
    named.collect()
}

fn mappings(maps: &str) -> BTreeSet<String> {
    let lines: Vec<(&str, &str, &str)> = maps
        .lines()
        .filter_map(|line| {
            let mut fields = line.splitn(6, ' ');
            let (range, permissions) = (fields.next()?, fields.next()?);
            let name = fields.nth(3)?.trim_start();
            name.starts_with('/').then_some((range, permissions, name))
        })
        .collect();
    let executable: BTreeSet<&str> =
        lines.iter().filter(|(_, permissions, _)| permissions.contains('x')).map(|(.., name)| *name).collect();
    let is_debug_information = |name: &str| name.starts_with("/usr/lib/debug/") || name.contains("/.build-id/");
    let data = lines.iter().filter(|(.., name)| !executable.contains(name) && !is_debug_information(name));
    data.map(|(range, _, name)| format!("{name} at 0x{}", range.split('-').next().unwrap_or_default())).collect()
}

fn threads() -> BTreeMap<u32, String> {
    let Ok(entries) = fs::read_dir("/proc/self/task") else { return BTreeMap::new() };
    let named = entries.flatten().filter_map(|entry| {
        let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        Some((entry.file_name().to_str()?.parse().ok()?, name.trim_end().to_owned()))
    });
    named.collect()
}

fn children() -> BTreeSet<String> {
    let Ok(entries) = fs::read_dir("/proc/self/task") else { return BTreeSet::new() };
    let lists = entries.flatten().filter_map(|entry| fs::read_to_string(entry.path().join("children")).ok());
    lists.flat_map(|list| list.split_ascii_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_stays_open_is_seen() {
        let before = Open::now();
        let file = fs::File::open("/etc/passwd").unwrap();
        let left = Open::now().since(&before);
        assert!(
            left.iter().any(|(kind, what)| *kind == Leftover::Descriptor && what.contains("/etc/passwd")),
            "{left:?}"
        );
        drop(file);
    }

    #[test]
    fn a_thread_is_told_by_its_number_and_shown_by_its_name() {
        let open = |threads: &[(u32, &str)]| Open {
            threads: threads.iter().map(|(number, name)| (*number, (*name).to_owned())).collect(),
            ..Open::default()
        };
        let before = open(&[(1, "program")]);
        assert_eq!(open(&[(1, "renamed")]).since(&before), []);
        let left = open(&[(1, "renamed"), (2, "worker")]).since(&before);
        assert_eq!(left, [(Leftover::Thread, "2 `worker`".to_owned())]);
    }

    #[test]
    fn mapped_files_are_told_from_libraries() {
        let maps = "\
7f00-7f10 r--p 00000000 fe:00 123                        /usr/lib/libc.so.6
7f10-7f20 r-xp 00001000 fe:00 123                        /usr/lib/libc.so.6
7f30-7f40 r--s 00000000 fe:00 77                         /home/a user/words.txt
7f40-7f50 r--p 00000000 fe:00 78                         /usr/lib/debug/.build-id/93/ac61.debug
7f50-7f60 rw-p 00000000 00:00 0                          [heap]
";
        assert_eq!(mappings(maps).into_iter().collect::<Vec<_>>(), ["/home/a user/words.txt at 0x7f30"]);
    }
}
