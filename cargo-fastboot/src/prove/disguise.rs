//! Disguises: words that are addresses in another form, found by the comparison of two runs.
//!
//! `semver` keeps a long pre-release as the address of its text rotated to the right by one bit, and other crates shift
//! addresses to make room for tags. Such a word differs between two runs by the distance of the region that the address lies
//! in, shifted in the same way. That is how it is told from a clock:
//!
//! ```text
//!              run 2                  run 3
//! the word     0xaa98_0000_0230       0xaaa0_0000_0230        differ by 0x8_0000_0000
//! rotated      0x5530_0000_0460       0x5540_0000_0460        differ by 0x10_0000_0000: so far is one scratch heap
//! back by 1                                                   from the other
//! ```
//! What is shifted or rotated can be followed: an address comes of the word alone. What is XORed with something cannot.

use crate::prove::regions::{REGIONS, Region, Run, WORD};
use crate::runs::forms::{ADDRESS, Form};
use std::fmt;

/// How an address is disguised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Disguise {
    /// It can be followed.
    Moved(Form),
    /// It was XORed with something that is the same in both runs, or with another address.
    Xored,
    /// It was taken from something.
    Negative,
    /// It is kept as its distance from an object of the image.
    Distance,
}

impl fmt::Display for Disguise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Moved(form) => form.fmt(f),
            Self::Xored => f.write_str("XORed with something"),
            Self::Negative => f.write_str("negated"),
            Self::Distance => f.write_str("as its distance from another one"),
        }
    }
}

/// A word that is an address in another form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Disguised {
    /// Offset of the word in the image data.
    pub(crate) offset: u64,
    /// What it was in the two runs.
    pub(crate) values: [u64; 2],
    /// What the address lies in.
    pub(crate) region: Region,
    pub(crate) disguise: Disguise,
}

impl Disguised {
    /// The addresses that it may stand for; `address` is where the image data lies.
    pub(crate) fn addresses(&self, address: u64) -> Option<[u64; 2]> {
        let [word, _] = self.values;
        match self.disguise {
            Disguise::Moved(form) => Some(form.addresses(word)),
            Disguise::Negative => Some([word.wrapping_neg(), !word].map(|word| word & ADDRESS)),
            // As a rule from the word itself.
            Disguise::Distance => Some([word.wrapping_add(address + self.offset) & ADDRESS; 2]),
            Disguise::Xored => None,
        }
    }
}

/// The address in another form that a word is which differs in two runs, if it is one.
pub(super) fn disguised(at: usize, first: Run<'_>, second: Run<'_>, distances: &[u64; 5]) -> Option<Disguised> {
    // An address and the one at a distance from it differ in the lowest bit of the distance, and in none below.
    let lowest = distances.iter().filter(|distance| **distance != 0).fold(0, |set, it| set | 1 << it.trailing_zeros());
    let found = |start: usize| {
        let (a, b) = first.word(start).zip(second.word(start))?;
        let aligned = start == at;
        let hidden = || aligned.then(|| hidden(a, b, first, distances)).flatten();
        let (region, disguise) = moved(a, b, first, distances, lowest, aligned).or_else(hidden)?;
        Some(Disguised { offset: start as u64, values: [a, b], region, disguise })
    };
    // Packed structs hold words that are not aligned.
    let others = (at.saturating_sub(WORD - 1)..at + WORD).filter(|start| *start != at);
    found(at).or_else(|| others.filter_map(found).next())
}

/// `lowest`: the lowest bits of the distances. `aligned`: whether the word is. Elsewhere a shift by whole bytes is what a part of a neighbour is too.
fn moved(
    a: u64,
    b: u64,
    first: Run<'_>,
    distances: &[u64; 5],
    lowest: u64,
    aligned: bool,
) -> Option<(Region, Disguise)> {
    let differ = |form: &Form| a != b && lowest >> form.undo(a ^ b).trailing_zeros() & 1 != 0;
    Form::all().filter(|form| differ(form) && (aligned || form.bits() < 8)).find_map(|form| {
        let distance = form.undo(b).wrapping_sub(form.undo(a));
        let region = REGIONS.into_iter().find(|region| {
            distance != 0
                && distance == distances[*region as usize]
                && form.addresses(a).iter().any(|address| first.contains(*region, *address))
        })?;
        Some((region, Disguise::Moved(form)))
    })
}

/// The regions that objects lie in.
const HEAPS: [Region; 2] = [Region::Scratch, Region::Image];

fn hidden(a: u64, b: u64, first: Run<'_>, distances: &[u64; 5]) -> Option<(Region, Disguise)> {
    let distance = |region: Region| distances[region as usize];
    let difference = b.wrapping_sub(a);
    let inside = |region: Region, word: u64| first.contains(region, word & ADDRESS);
    let negative = |region: &Region| {
        difference == distance(*region).wrapping_neg() && (inside(*region, a.wrapping_neg()) || inside(*region, !a))
    };
    if let Some(region) = HEAPS.into_iter().find(negative) {
        return Some((region, Disguise::Negative));
    }
    let apart = distance(Region::Scratch).wrapping_sub(distance(Region::Image));
    if difference == apart || difference == apart.wrapping_neg() {
        return Some((Region::Scratch, Disguise::Distance));
    }
    let xor = |bits: u64, region: Region| {
        let (start, end) = first.regions[region as usize];
        could_be_xor(bits, distance(region), start, end)
    };
    let bits = a ^ b;
    if let Some(region) = HEAPS.into_iter().find(|region| xor(bits, *region)) {
        return Some((region, Disguise::Xored));
    }
    // Of an object in the image with one that is not, as in a list whose elements hold the XOR of both neighbours. All
    // addresses of the scratch heap differ in the same bits.
    let (start, _) = first.regions[Region::Scratch as usize];
    let scratch = start ^ start.wrapping_add(distance(Region::Scratch));
    xor(bits ^ scratch, Region::Image).then_some((Region::Scratch, Disguise::Xored))
}

/// Whether `bits` can be what an address from `start` to `end` differs in from the one at this distance.
fn could_be_xor(bits: u64, distance: u64, start: u64, end: u64) -> bool {
    if distance == 0 || bits == 0 {
        return false;
    }
    // Where a bit of the sum is not the sum of the two bits, there was a carry from below.
    let carries = bits ^ distance;
    // Each carry but the first, into the lowest bit, comes of the bit below.
    if carries & 1 != 0 {
        return false;
    }
    let next = carries >> 1;
    // Where distance and carry are equal, they decide about the next carry; elsewhere the address does.
    let decided = !(distance ^ carries) & (u64::MAX >> 1);
    if (next ^ distance) & decided != 0 {
        return false;
    }
    // Of the address these bits are known. The highest carry is lost.
    let (known, value) = (!decided & (u64::MAX >> 1), next);
    // All addresses of the region have their upper bits in common.
    let common = (start ^ end).checked_ilog2().map_or(u64::MAX, |highest| !(u64::MAX >> (63 - highest)));
    (value ^ start) & known & common == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use fastboot_format::protocol::{HOME_SHIFT, SCRATCH};

    #[test]
    fn xored_addresses_are_told_by_the_bits_that_differ() {
        let end = 0x5500_0000_1000 + (3 << 30);
        let image = |bits| could_be_xor(bits, HOME_SHIFT, 0x5500_0000_1000, end);
        let mut random = 1u64;
        for _ in 0..2000 {
            random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            let address = 0x5500_0000_1000 + (random >> 20) % (3 << 30);
            let bits = address ^ (address + HOME_SHIFT);
            assert!(image(bits), "{address:#x}");
            for other in [bits ^ 1, bits ^ 1 << 63, bits ^ 1 << 12, bits << 1, random] {
                assert!(!image(other), "{address:#x}: {other:#x}");
            }
        }
        for address in [SCRATCH[0], SCRATCH[0] + 0xf_ffff_ffff] {
            let bits = address ^ (address + SCRATCH[1] - SCRATCH[0]);
            assert!(could_be_xor(bits, SCRATCH[1] - SCRATCH[0], SCRATCH[0], SCRATCH[1] - 1), "{address:#x}");
        }
        assert!(!could_be_xor(0, HOME_SHIFT, 0, 1) && !could_be_xor(5, 0, 0, 1));
    }
}
