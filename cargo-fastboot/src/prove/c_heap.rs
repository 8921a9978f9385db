//! C's heap: words that are addresses in it, or in memory that an expression mapped, also where two runs cannot be compared word
//! by word.
//!
//! Each run tells by itself which blocks of C's heap came to be and are still in use, and what is mapped. A carried static that holds the address
//! of one is no accident. Nor is an object that does, unless it holds numbers that run through these addresses; but as long as
//! the two runs agree about the objects, their comparison says it better.

use crate::runs::capture::ForeignBlock;
use crate::runs::memory::word_at;

const WORD: usize = 8;

/// Image data: objects, and behind them carried statics.
#[derive(Clone, Copy)]
pub(super) struct Data<'a> {
    pub(super) bytes: &'a [u8],
    /// How many bytes are objects.
    pub(super) objects: usize,
}

impl Data<'_> {
    /// Where the carried statics begin.
    fn statics(self) -> usize {
        self.objects.next_multiple_of(WORD).min(self.bytes.len())
    }

    fn word(self, at: usize) -> Option<u64> {
        word_at(self.bytes, at as u64)
    }
}

/// The data of the second run with its carried statics where the first run has them, behind as many bytes of objects. What of
/// these it does not have is as in the first run, so that it is compared with nothing.
pub(super) fn aligned(first: Data<'_>, second: Data<'_>) -> Vec<u8> {
    let mut data = first.bytes[..first.statics()].to_vec();
    let common = data.len().min(second.statics());
    data[..common].copy_from_slice(&second.bytes[..common]);
    data.extend_from_slice(&second.bytes[second.statics()..]);
    data
}

/// The words that are addresses of blocks that came to be while a root was evaluated, each with its offset and the block: those
/// of carried statics; and those of objects, if `objects` says so.
pub(super) fn addresses<'a>(
    data: Data<'_>,
    blocks: &'a [ForeignBlock],
    objects: bool,
) -> Vec<(usize, &'a ForeignBlock)> {
    let mut sorted: Vec<&ForeignBlock> = blocks.iter().filter(|block| !block.root.is_empty()).collect();
    sorted.sort_unstable_by_key(|block| block.address);
    let (Some(lowest), Some(highest)) = (sorted.first(), sorted.last()) else { return Vec::new() };
    let span = lowest.address..=highest.address;
    let begin = if objects { 0 } else { data.statics() };
    let words = (begin..data.bytes.len()).step_by(WORD).filter_map(|at| Some((at, data.word(at)?)));
    let found = words.filter(|(_, word)| span.contains(word)).filter_map(|(at, word)| {
        let index = sorted.binary_search_by_key(&word, |block| block.address).ok()?;
        (!is_one_of_many_numbers(data, at, word)).then_some((at, sorted[index]))
    });
    found.collect()
}

/// Whether a word stands between two that are as much less and more: numbers that run.
fn is_one_of_many_numbers(data: Data<'_>, at: usize, word: u64) -> bool {
    let before = at.checked_sub(WORD).and_then(|at| data.word(at));
    let (Some(before), Some(after)) = (before, data.word(at + WORD)) else { return false };
    let step = word.wrapping_sub(before);
    step != 0 && after.wrapping_sub(word) == step
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runs::capture::Allocator;

    fn bytes(words: &[u64]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    #[test]
    fn statics_are_compared_with_statics() {
        let (first, second) = (bytes(&[1, 2, 3, 100, 101]), bytes(&[9, 8, 200, 201]));
        let first = Data { bytes: &first, objects: 20 };
        assert_eq!(aligned(first, Data { bytes: &second, objects: 16 }), bytes(&[9, 8, 3, 200, 201]));
        let longer = bytes(&[9, 8, 7, 6, 200, 201]);
        assert_eq!(aligned(first, Data { bytes: &longer, objects: 32 }), bytes(&[9, 8, 7, 200, 201]));
    }

    #[test]
    fn addresses_of_blocks_are_told_from_numbers_that_run() {
        let block = |root: &str, address| ForeignBlock {
            allocator: Allocator::Malloc,
            root: root.to_owned(),
            address,
            size: 64,
        };
        let blocks = [block("a::ROOT", 0x5010), block("", 0x5030), block("a::ROOT", 0x5050)];
        let data = bytes(&[0x5010, 7, 0x500f, 0x5010, 0x5011, 0x5030, 0x5050]);
        let found = |objects| {
            let found = addresses(Data { bytes: &data, objects: 40 }, &blocks, objects);
            found.into_iter().map(|(at, block)| (at, block.address)).collect::<Vec<_>>()
        };
        assert_eq!(found(true), [(0, 0x5010), (48, 0x5050)]);
        assert_eq!(found(false), [(48, 0x5050)]);
    }
}
