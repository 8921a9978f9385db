//! Block: what a capture says of live memory, and which of it the tool has to see.

use crate::image::chunks;
use core::ops::Range;

/// Eight bytes that a value is given which is rarely needed: what a loaded `Defer` holds begins with them, behind the
/// counts of its `Arc`. A plan places such blocks, and what only they lead to, behind all others. Chosen at random.
pub const DEFERRED_MARK: [u8; 8] = [0x93, 0xc1, 0x0e, 0xb7, 0xd2, 0x6a, 0xf8, 0x1d];

/// Size in bytes of what a capture says of a live block.
pub const BLOCK_LEN: usize = 40;
/// In the thread number of a block: the capture has what it holds.
pub const HELD: u64 = 1 << 32;

/// Whether what a block holds, aligned to `align` bytes, is worth a place in the capture of a plan run of an executable that
/// is not a PIE: whether an address in `scratch` may be in it, wherever it stands, or it is a body of a deferred field.
pub fn may_lead_somewhere(block: &[u8], align: usize, scratch: &Range<u64>) -> bool {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    let [first, last] = [scratch.start, scratch.end - 1].map(|address| (address >> 32) as u16);
    let ([low, top], [high, _]) = (first.to_le_bytes(), last.to_le_bytes());
    debug_assert!(first >> 8 == last >> 8, "the highest byte of all its addresses is the same");
    // Addresses have six bytes.
    let ends = |at: usize| at >= 5 && block[at] == top && (low..=high).contains(&block[at - 1]);
    // Not zero if a byte of the word is `top`.
    let has_top = |word: &[u8; 8]| {
        let other = u64::from_ne_bytes(*word) ^ (ONES * u64::from(top));
        other.wrapping_sub(ONES) & !other & ONES << 7
    };
    // Most have none, so four words are looked at together.
    let rest = block.chunks_exact(32).remainder();
    let mut within = chunks::<32>(block)
        .enumerate()
        .filter(|(_, group)| chunks(*group).fold(0, |all, word| all | has_top(word)) != 0);
    within.any(|(index, _)| (32 * index..32 * index + 32).any(ends))
        || (block.len() - rest.len()..block.len()).any(ends)
        || block.get(align.max(16)..).is_some_and(|value| value.starts_with(&DEFERRED_MARK))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::addresses::{SCRATCH, SCRATCH_LEN};

    #[test]
    fn what_may_lead_somewhere_is_captured() {
        let scratch = SCRATCH[0]..SCRATCH[0] + SCRATCH_LEN;
        let leads = |block: &[u8]| may_lead_somewhere(block, 8, &scratch);
        let inside = scratch.start + 0x1234_5678;
        for shift in 0..10 {
            for address in [scratch.start, inside, scratch.end - 1] {
                let block = [&vec![0x55; shift][..], &address.to_le_bytes()[..6]].concat();
                assert!(leads(&block), "{address:#x} at {shift}");
                assert!(!leads(&block[..block.len() - 1]), "five bytes of {address:#x} at {shift}");
            }
        }
        assert!(!leads(&(scratch.start - 1).to_le_bytes()) && !leads(&scratch.end.to_le_bytes()) && !leads(&[]));
        assert!(!leads("a text with a U in it, and UUU".as_bytes()) && leads(b"UUUUUUUUU 1234:U"));
        assert!(leads(&[&[0; 16][..], &DEFERRED_MARK].concat()) && !leads(&[&[0; 17][..], &DEFERRED_MARK].concat()));
    }
}
