//! Statics: which of the executable's memory changed while the roots were evaluated, and what of that an image refers to.
//!
//! For the tool, and for programs that freeze themselves. No I/O and no `unsafe`.

use crate::image::chunks;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::ops::Range;

/// How much is compared at a time, in bytes.
const WORD: u64 = 8;
/// Pages that did not change are passed over.
const PAGE: u64 = 4096;

/// One writable range of the executable, before and after the evaluation of the roots.
#[derive(Clone, Copy, Debug)]
pub struct Dump<'a> {
    /// Address as in the ELF file, that is, with the load bias subtracted.
    pub address: u64,
    /// Its bytes before.
    pub before: &'a [u8],
    /// Its bytes after, as many.
    pub after: &'a [u8],
}

impl<'a> Dump<'a> {
    /// Its addresses.
    pub fn range(&self) -> Range<u64> {
        self.address..self.address.saturating_add(self.before.len() as u64)
    }

    /// Bytes of a range, before and after; `None` if it does not lie inside.
    pub fn bytes(&self, range: &Range<u64>) -> Option<(&'a [u8], &'a [u8])> {
        let start = usize::try_from(range.start.checked_sub(self.address)?).ok()?;
        let end = usize::try_from(range.end.checked_sub(self.address)?).ok()?;
        Some((self.before.get(start..end)?, self.after.get(start..end)?))
    }

    fn differs(&self, range: &Range<u64>) -> bool {
        self.bytes(range).is_some_and(|(before, after)| before != after)
    }

    /// The words that changed, as far as they lie in the range, neighbours joined.
    pub fn changed(&self, range: Range<u64>) -> Vec<Range<u64>> {
        let mut changed: Vec<Range<u64>> = Vec::new();
        for page in steps(range, PAGE).filter(|page| self.differs(page)) {
            for word in steps(page, WORD).filter(|word| self.differs(word)) {
                match changed.last_mut() {
                    Some(last) if last.end == word.start => last.end = word.end,
                    _ => changed.push(word),
                }
            }
        }
        changed
    }
}

/// Cuts a range at the multiples of `step`.
fn steps(range: Range<u64>, step: u64) -> impl Iterator<Item = Range<u64>> {
    let mut at = range.start;
    core::iter::from_fn(move || {
        let start = at;
        at = (start / step + 1).saturating_mul(step).min(range.end);
        (start < at).then_some(start..at)
    })
}

/// The words of some bytes at multiples of eight, each with its offset.
pub fn words(bytes: &[u8]) -> impl Iterator<Item = (u64, u64)> {
    chunks(bytes).enumerate().map(|(index, word)| (index as u64 * WORD, u64::from_le_bytes(*word)))
}

/// Whether some bytes are one word, the address of code.
pub fn is_code(bytes: &[u8], code: &[Range<u64>]) -> bool {
    let word = bytes.try_into().map(u64::from_le_bytes);
    word.is_ok_and(|word| code.iter().any(|code| code.contains(&word)))
}

/// A static that words have addresses of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Which one.
    pub index: usize,
    /// Offset of one of the words.
    pub offset: u64,
    /// Whether they seem to be numbers and no addresses. References to one static hit it at one or two addresses; numbers
    /// that run through the addresses of the executable hit it at many, or hit what lies next to it too.
    pub by_numbers: bool,
}

/// Which of the statics are referred to by words of an image, each given with its offset. `statics` are addresses, ascending,
/// that do not overlap.
pub fn references(statics: &[Range<u64>], words: impl IntoIterator<Item = (u64, u64)>) -> Vec<Reference> {
    let (Some(first), Some(last)) = (statics.first(), statics.last()) else { return Vec::new() };
    let span = first.start.saturating_sub(WORD)..last.end.saturating_add(WORD);
    let mut hits: BTreeMap<usize, BTreeMap<u64, u64>> = BTreeMap::new();
    for (offset, address) in words.into_iter().filter(|(_, word)| span.contains(word)) {
        let after = statics.partition_point(|one| one.start <= address + WORD);
        // The static itself, or the word before it or behind it.
        for (index, one) in statics.iter().enumerate().take(after).skip(after.saturating_sub(2)) {
            if (one.start.saturating_sub(WORD)..one.end.saturating_add(WORD)).contains(&address) {
                hits.entry(index).or_default().entry(address).or_insert(offset);
            }
        }
    }
    let reference = |(index, addresses): (usize, BTreeMap<u64, u64>)| {
        let beside = addresses.keys().any(|address| !statics[index].contains(address));
        let offset = addresses.values().next().copied().unwrap_or(0);
        Reference { index, offset, by_numbers: addresses.len() > 2 || beside }
    };
    hits.into_iter().map(reference).collect()
}

#[cfg(test)]
#[expect(clippy::single_range_in_vec_init, reason = "lists of ranges, some of them with one")]
mod tests {
    use super::*;

    #[test]
    fn what_changed_is_found_in_words_and_joined() {
        let before = vec![0u8; 10_000];
        let mut after = before.clone();
        for at in [17, 30, 8000] {
            after[at] = 1;
        }
        let dump = Dump { address: 0x1000, before: &before, after: &after };
        assert_eq!(dump.changed(dump.range()), [0x1010..0x1020, 0x1000 + 8000..0x1000 + 8008]);
        assert_eq!(dump.changed(0x1011..0x1012), [0x1011..0x1012]);
        assert_eq!(dump.bytes(&(0xfff..0x1010)), None);
    }

    #[test]
    fn references_are_told_from_numbers() {
        let statics = [0x1000..0x1010, 0x2000..0x2040];
        let found = |words: &[u64]| {
            let all = references(&statics, words.iter().enumerate().map(|(index, word)| (index as u64, *word)));
            all.into_iter().map(|one| (one.index, one.offset, one.by_numbers)).collect::<Vec<_>>()
        };
        assert_eq!(found(&[7, 0x1008, 0x1008, 0x3000]), [(0, 1, false)]);
        assert_eq!(found(&[0x2000, 0x2008]), [(1, 0, false)]);
        assert_eq!(found(&[0x2000, 0x2008, 0x2010]), [(1, 0, true)]);
        assert_eq!(found(&[0x2000, 0x2040]), [(1, 0, true)]);
        assert_eq!(found(&[0xfff]), [(0, 0, true)]);
        assert_eq!(found(&[0x1500]), []);
    }
}
