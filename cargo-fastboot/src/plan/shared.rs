//! Shared: objects that the image and a static which does not travel both lead to. The finished program would have two of each:
//! the image's, and the one that it makes anew.
//!
//! ```text
//! static OWNER (skipped) ──────▶ Arc, 2 strong ◀────── root LIST
//! ```
//!
//! What a static leads to is found by exact addresses in aligned words: of the beginning of an object, of what lies behind the
//! two counts of an `Arc`, or of the control bytes of a hash table, which lie behind its entries. Unused parts of objects hold exact addresses too, left by others. So where other objects lie in
//! between, the object has to look like an `Arc` that somebody else holds, too.

use super::mark::{Heap, Marked};
use std::collections::HashSet;

/// How far into an object its value begins if it is an `Arc`: behind two counts.
const BEHIND_COUNTS: u64 = 16;
/// How many control bytes a hash table of `hashbrown`, which is that of the standard library, has beyond one for each entry:
/// it reads as many at once.
const GROUP: usize = 16;
/// The control byte of a place that has no entry, and of one that had; those of entries are below 128.
const EMPTY: u8 = 0xff;
const DELETED: u8 = 0x80;
/// Counts of an `Arc` are not higher.
const HIGHEST_COUNT: u64 = 1 << 31;

/// An object that is shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shared {
    /// Which of the statics leads to it.
    pub(crate) holder: usize,
    /// The object.
    pub(crate) block: u32,
    /// From which seed marking met it.
    pub(crate) seed: u32,
}

/// The first shared object of each static, whose changed words are given. `counts` says which seeds of marking count.
pub(crate) fn find(
    heap: &Heap<'_>,
    marked: &Marked,
    counts: impl Fn(u32) -> bool,
    statics: &[Vec<u64>],
) -> Vec<Shared> {
    let kept = |block: u32| marked.seeds[block as usize].filter(|seed| counts(*seed));
    let of_static = |(holder, words): (usize, &Vec<u64>)| {
        let shared = |block, seed| Shared { holder, block, seed };
        let direct: Vec<u32> = words.iter().filter_map(|word| object_at(heap, *word)).collect();
        if let Some((block, seed)) = direct.iter().find_map(|block| Some((*block, kept(*block)?))) {
            return Some(shared(block, seed));
        }
        let mut met: HashSet<u32> = direct.iter().copied().collect();
        let mut rest = direct;
        while let Some(block) = rest.pop() {
            for child in words_of(heap.contents(block)).filter_map(|word| object_at(heap, word)) {
                match kept(child) {
                    Some(seed) if is_held_twice(heap.contents(child)) => return Some(shared(child, seed)),
                    Some(_) => {}
                    None if met.insert(child) => rest.push(child),
                    None => {}
                }
            }
        }
        None
    };
    statics.iter().enumerate().filter_map(of_static).collect()
}

/// The object that this is exactly the address of.
fn object_at(heap: &Heap<'_>, word: u64) -> Option<u32> {
    let block = heap.block_at(word)?;
    let within = word.checked_sub(heap.address(block))?;
    let is_counted = || within == BEHIND_COUNTS && is_counted(heap.contents(block), 1);
    (within == 0 || is_counted() || is_table(heap.contents(block), within)).then_some(block)
}

/// Whether a hash table's control bytes begin there: as many as it has places, a power of two, and then the first ones again.
///
/// ```text
/// | entry 3 | entry 2 | entry 1 | entry 0 | 0 1 2 3 | empty .. | 0 1 2 3 |
///                                         ▲
/// ```
fn is_table(bytes: &[u8], within: u64) -> bool {
    let control =
        usize::try_from(within).ok().filter(|within| within.is_multiple_of(GROUP)).and_then(|at| bytes.get(at..));
    let Some(control) = control else { return false };
    let Some(places) = control.len().checked_sub(GROUP).filter(|places| places.is_power_of_two()) else { return false };
    let first = places.min(GROUP);
    let (between, again) = (&control[first..GROUP.max(places)], &control[control.len() - first..]);
    control[..first] == *again
        && (places >= GROUP || between.iter().all(|byte| *byte == EMPTY))
        && control.iter().all(|byte| *byte < DELETED || [EMPTY, DELETED].contains(byte))
}

fn words_of(bytes: &[u8]) -> impl Iterator<Item = u64> {
    bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word))
}

/// Whether an object begins with the counts of an `Arc` that is held so often.
fn is_counted(bytes: &[u8], least: u64) -> bool {
    let mut words = words_of(bytes);
    let (strong, weak) = (words.next().unwrap_or(0), words.next().unwrap_or(0));
    (least..HIGHEST_COUNT).contains(&strong) && (1..HIGHEST_COUNT).contains(&weak)
}

fn is_held_twice(bytes: &[u8]) -> bool {
    is_counted(bytes, 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::mark::Seed;
    use crate::runs::capture::Block;

    const BASE: u64 = 0x5530_0000_0000;

    fn at(index: u64) -> u64 {
        BASE + index * 0x100
    }

    /// Objects of these words, the first of which is a root.
    fn found(objects: &[&[u64]], statics: &[&[u64]]) -> Vec<(usize, u32)> {
        let (mut blocks, mut bytes) = (Vec::new(), Vec::new());
        for (index, words) in (0..).zip(objects) {
            let contents = bytes.len() as u64;
            let size = words.len() as u64 * 8;
            blocks.push(Block { address: at(index), size, index, contents, align: 8, thread: 0 });
            bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        }
        let heap = Heap::new(&blocks, &bytes).unwrap();
        let marked = heap.mark(&[Seed::Address(at(0))]);
        let statics: Vec<Vec<u64>> = statics.iter().map(|words| words.to_vec()).collect();
        find(&heap, &marked, |_| true, &statics).into_iter().map(|one| (one.holder, one.block)).collect()
    }

    #[test]
    fn what_a_static_refers_to_itself_is_shared_whatever_it_is() {
        let objects: &[&[u64]] = &[&[at(1), at(2)], &[7], &[2, 1, 9], &[8]];
        assert_eq!(found(objects, &[&[at(1)], &[at(3)], &[5, at(2)]]), [(0, 1), (2, 2)]);
        assert_eq!(found(objects, &[&[at(2) + 16]]), [(0, 2)], "what `Arc::into_raw` gives");
        assert_eq!(found(objects, &[&[at(1) + 8], &[at(2) + 1]]), [], "no beginning");
    }

    #[test]
    fn behind_other_objects_only_what_is_held_twice_is_shared() {
        // The root leads to a plain object, to an `Arc` of its own, and to one that two hold.
        let objects: &[&[u64]] =
            &[&[at(1), at(2), at(3)], &[7], &[1, 1, 0], &[2, 1, 0], &[at(1), at(2)], &[at(4), at(3)]];
        assert_eq!(found(objects, &[&[at(4)], &[at(5)]]), [(1, 3)]);
    }

    #[test]
    fn entries_of_hash_tables_are_met() {
        const NONE: u64 = u64::MAX;
        // Eight places of one word, of which the first, which lies last, has an entry.
        let table = |first: u64, again: u64| [0, 0, 0, 0, 0, 0, 0, at(1), first, NONE, again];
        let one = NONE << 8 | 0x35;
        let found = |first: u64, again: u64| found(&[&[at(1)], &[2, 1, 9], &table(first, again)], &[&[at(2) + 64]]);
        assert_eq!(found(one, one), [(0, 1)]);
        assert_eq!(found(one, NONE), [], "other bytes at the end");
        assert_eq!(found(NONE << 8 | 0x95, NONE << 8 | 0x95), [], "bytes that no table has");
    }

    #[test]
    fn control_bytes_of_large_tables() {
        let mut bytes = vec![0; 32 * 8];
        bytes.extend([[0x11; 16], [EMPTY; 16], [0x11; 16]].as_flattened());
        assert!(is_table(&bytes, 256));
        assert!(!is_table(&bytes, 240) && !is_table(&bytes, 255) && !is_table(&bytes, 1 << 20));
        *bytes.last_mut().unwrap() = 0x12;
        assert!(!is_table(&bytes, 256));
    }

    #[test]
    fn circles_end() {
        let objects: &[&[u64]] = &[&[1], &[at(2)], &[at(1)]];
        assert_eq!(found(objects, &[&[at(1)]]), []);
    }
}
