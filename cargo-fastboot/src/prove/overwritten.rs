//! Overwritten: what is left of a pointer when some of its bytes were given another value.

use crate::prove::regions::WORD;

/// Whether a word of the two runs is what is left of a pointer into a region that moved by `slide`, of which some bytes were
/// overwritten: those are the same in both runs, and all others moved as the region did. A pointer moves as a whole.
pub(super) fn is_overwritten(a: u64, b: u64, slide: u64) -> bool {
    // As good as all words end here.
    if a == b || slide == 0 {
        return false;
    }
    // Of these bytes the highest bits.
    let changed = not_zero(a ^ b);
    // With or without a carry from below, these bytes of a pointer would have changed.
    let would_change = not_zero(slide) & not_zero(!slide);
    // Something of it is gone, and something moved: one more, by a carry alone, is what a counter is too.
    if would_change & changed == 0 || would_change & !changed == 0 {
        return false;
    }
    // The bits of the bytes that are not done, and of those that changed.
    let (mut rest, all) = (u64::MAX, (changed >> 7) * 0xff);
    while rest & all != 0 {
        // The next bytes that changed, side by side.
        let start = (rest & all).trailing_zeros();
        let mask = u64::MAX >> (64 - (all >> start).trailing_ones());
        let part = |word: u64| (word >> start) & mask;
        let moved = part(b).wrapping_sub(part(a)) & mask;
        // The carry from below may be gone with the bytes it came from.
        if ![part(slide), part(slide).wrapping_add(1) & mask].contains(&moved) {
            return false;
        }
        rest &= !(mask << start);
    }
    true
}

/// The highest bits of the bytes of a word that are not zero.
fn not_zero(word: u64) -> u64 {
    const LOW: u64 = u64::from_ne_bytes([0x7f; WORD]);
    (((word & LOW) + LOW) | word) & !LOW
}

/// Whether the upper half of a word moved by `slide`, and so far that this is no accident.
pub(super) fn upper_half_moved(a: u64, b: u64, slide: u64) -> bool {
    let upper = |word: u64| (word >> 32) as u32;
    let moved = upper(b).wrapping_sub(upper(a));
    // There may have been a carry from the lower half, or none from what it was overwritten with.
    let expected = [upper(slide), upper(slide).wrapping_add(1)];
    expected.contains(&moved) && expected.iter().all(|distance| !matches!(*distance, 0 | 1 | u32::MAX))
}
