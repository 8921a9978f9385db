//! C library: what glibc keeps for the program in data of its own: the locale, the functions that are called at exit and at a
//! fork, and the keys for data of threads.
//!
//! Asking it would take functions that no program has otherwise. So its data is read:
//!
//! ```text
//! locale   thirteen pointers, one for each category, all to the name "C" when the process begins
//! at exit  entries of four words: a kind from 2 to 4, an address of code, scrambled, and two arguments
//! at fork  how many there are, the number 48, the address of what follows: as many entries of five words
//! keys     1024 entries of two words: a count that is odd when the key is in use, and the address of its destructor
//! ```
//!
//! Whatever does not look like this, as with another C library, is not noticed.

use super::maps::{Area, Copy, copy, is_code, memory, with_bss, words};
use crate::os::{headers, threads};
use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::FileExt;

/// How many categories a locale has.
const CATEGORIES: usize = 13;
/// The kinds of functions for the exit: those of `on_exit`, of `atexit`, and of `__cxa_atexit`.
const AT_EXIT: std::ops::RangeInclusive<u64> = 2..=4;

/// How many entries for forks glibc has a place for without allocating.
const FORK_ENTRIES: u64 = 48;
/// How many keys there can be: `PTHREAD_KEYS_MAX`.
const KEYS: u64 = 1024;

/// What there is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct CLibrary {
    /// Address of the names of the locale's categories.
    names: Option<u64>,
    /// Names in use, each once.
    pub(super) locale: Option<String>,
    /// How many functions are called at exit.
    pub(super) at_exit: usize,
    /// How many entries there are for forks, of up to three functions each.
    pub(super) at_fork: u64,
    /// Address of the keys.
    keys_at: Option<u64>,
    /// The keys in use: number, count and destructor of each.
    pub(super) keys: BTreeSet<Key>,
}

/// A key for data of threads: its number, a count that rises when it is created or deleted, and its destructor.
pub(super) type Key = [u64; 3];

impl CLibrary {
    /// Looks, and for the names of the locale where they were before.
    pub(super) fn now(areas: &[Area], before: Option<&Self>) -> Self {
        // A process that is not dumpable may not look at itself.
        let Some(memory) = memory() else { return before.cloned().unwrap_or_default() };
        let data = data(areas, &memory);
        let names = match before {
            Some(before) => before.names,
            None => data.iter().find_map(|copy| find_names(copy, |address| string(&memory, address))),
        };
        let keys_at = match before {
            Some(before) => before.keys_at,
            None => {
                threads::with_key(|key, destructor| find_keys(&self::data(areas, &memory), key, destructor)).flatten()
            }
        };
        Self {
            keys_at,
            keys: keys_at.map(|keys| keys_in_use(&memory, keys)).unwrap_or_default(),
            at_fork: data.iter().find_map(count_at_fork).unwrap_or(0),
            names,
            locale: names.and_then(|names| locale(&memory, names)),
            at_exit: data.iter().map(|(_, bytes)| count_at_exit(bytes, areas, threads::pointer_guard())).sum(),
        }
    }

    /// The keys that were created since. Not those of Rust's standard library, which each process creates when it starts its first
    /// thread: it keeps them in statics of two words, the number and the destructor.
    pub(super) fn new_keys(&self, before: &Self) -> Vec<u64> {
        let new = self.keys.difference(&before.keys).map(|[number, _, destructor]| [*number, *destructor]);
        let mut statics = None;
        let mut is_of_rust = |key: [u64; 2]| {
            let statics: &Vec<Copy> = statics.get_or_insert_with(|| {
                let segments = headers::writable_segments(None).map(|range| range.start as u64..range.end as u64);
                memory().map_or_else(Vec::new, |memory| segments.filter_map(|range| copy(&memory, &range)).collect())
            });
            key[1] != 0
                && statics
                    .iter()
                    .any(|(_, bytes)| words(bytes).zip(words(bytes).skip(1)).any(|pair| pair == key.into()))
        };
        new.filter(|key| !is_of_rust(*key)).map(|[number, _]| number).collect()
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

/// How many entries for forks there are: glibc's `fork_handlers`, before they are too many for the place behind their number.
fn count_at_fork((address, bytes): &Copy) -> Option<u64> {
    let all: Vec<u64> = words(bytes).collect();
    let found = all.windows(3).enumerate().find(|(index, head)| {
        (1..=FORK_ENTRIES).contains(&head[0]) && head[1] == FORK_ENTRIES && head[2] == address + 8 * (*index as u64 + 3)
    });
    found.map(|(_, head)| head[0])
}

/// Where the keys are, if this one is in use: glibc's `__pthread_keys`.
fn find_keys(data: &[Copy], key: u64, destructor: u64) -> Option<u64> {
    data.iter().find_map(|(address, bytes)| {
        let mut pairs = words(bytes).zip(words(bytes).skip(1));
        let index = pairs.position(|(count, function)| count % 2 == 1 && function == destructor)?;
        (address + 8 * index as u64).checked_sub(16 * key)
    })
}

fn keys_in_use(memory: &File, keys: u64) -> BTreeSet<Key> {
    let Some((_, bytes)) = copy(memory, &(keys..keys + 16 * KEYS)) else { return BTreeSet::new() };
    let all: Vec<u64> = words(&bytes).collect();
    let entries = (0..).zip(all.chunks_exact(2)).map(|(number, entry)| [number, entry[0], entry[1]]);
    entries.filter(|[_, count, _]| count % 2 == 1).collect()
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

    #[test]
    fn functions_for_a_fork_are_counted() {
        let bytes = |words: &[u64]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
        assert_eq!(count_at_fork(&(0x1000, bytes(&[7, 2, 48, 0x1020, 0x55]))), Some(2));
        assert_eq!(count_at_fork(&(0x1000, bytes(&[7, 2, 48, 0x1028, 0x55]))), None, "another address");
        assert_eq!(count_at_fork(&(0x1000, bytes(&[7, 49, 48, 0x1020, 0x55]))), None, "more than there can be");
        let before = CLibrary::now(&areas(), None);
        // SAFETY: no function at all.
        #[expect(unsafe_code, reason = "it is what is to be noticed")]
        let added = unsafe { libc::pthread_atfork(None, None, None) };
        assert_eq!(added, 0);
        assert_eq!(CLibrary::now(&areas(), Some(&before)).at_fork, before.at_fork + 1);
    }

    #[test]
    fn keys_that_are_in_use_are_told_but_not_those_of_rust() {
        let before = CLibrary::now(&areas(), None);
        assert!(before.keys_at.is_some());
        let new = || CLibrary::now(&areas(), Some(&before)).new_keys(&before);
        threads::with_key(|key, _| assert!(new().contains(&key), "{:?} without {key}", new())).unwrap();
        // As the standard library keeps its own.
        static LAZY: [std::sync::atomic::AtomicU64; 2] = [const { std::sync::atomic::AtomicU64::new(0) }; 2];
        threads::with_key(|key, destructor| {
            LAZY[0].store(key, std::sync::atomic::Ordering::Relaxed);
            LAZY[1].store(destructor, std::sync::atomic::Ordering::Relaxed);
            assert!(!new().contains(&key));
        });
    }
}
