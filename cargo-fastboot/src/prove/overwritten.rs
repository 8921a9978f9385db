//! Overwritten: what is left of a pointer when some of its bytes were given another value.

use crate::prove::regions::WORD;
use crate::runs::forms::ADDRESS;

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

/// The highest byte of an address.
const HIGHEST: u64 = 0xff << 40;

/// Whether an address of this range has, in the bytes in which two words differ, what the first one has there; and in
/// its highest byte as well, if they differ in one alone. Of a number that differs by a byte of the distance that is hardly so.
pub(super) fn may_be_left_of(range: (u64, u64), [word, other]: [u64; 2]) -> bool {
    let (start, end) = range;
    let changed = ((not_zero(word ^ other) >> 7) * 0xff) & ADDRESS;
    let mask = if changed.count_ones() == 8 { changed | HIGHEST } else { changed };
    let word = word & mask;
    // The least such address: as `start` above some bit, one more at that bit, and below it as little as can be.
    let least = (0..u64::BITS - 16).map(|bit| {
        let above = !0 << bit << 1;
        let kept = start & above;
        let one = 1 << bit;
        let matches = (kept ^ word) & mask & above == 0 && start & one == 0 && (mask & one == 0 || word & one != 0);
        matches.then_some(kept | one | (word & (one - 1)))
    });
    let is_start = (start ^ word) & mask == 0;
    start < end && (is_start || least.flatten().any(|address| address <= end))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_an_address_has_bytes_of_one() {
        let range = (0x5500_0010_1000, 0x5518_0020_0000);
        let may = |word: u64, changed: u64| may_be_left_of(range, [word, word ^ changed]);
        // The fifth byte alone, with anything below, and above an address.
        assert!(may(0x5510_0000_0003, 1 << 32) && may(0x7700_5518_0000_0000, 1 << 32));
        assert!(!may(0x5519_0000_0003, 1 << 32) && !may(0x10_0000_0003, 1 << 32) && !may(0x12, 1));
        // Though others in between are gone.
        assert!(may(0x5577_0010_0003, 1 << 20) && !may(0x77_0010_0003, 1 << 20));
        // Two bytes that no address has at once.
        assert!(may(0x5518_0000_0000, 1 << 32 | 1 << 40) && !may(0x5418_0000_0000, 1 << 32 | 1 << 40));
        // All of it: the first and the last one, and those beside them.
        let all = 0x0101_0101_0101;
        assert!(may(range.0, all) && may(range.1, all) && !may(range.0 - 1, all) && !may(range.1 + 1, all));
        assert!(!may_be_left_of((5, 5), [5, 6]), "nothing lies there");
    }
}
