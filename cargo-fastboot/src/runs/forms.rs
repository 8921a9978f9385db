//! Forms: how a program may keep an address, other than as itself, so that the address comes of the word alone.
//!
//! `semver` keeps a long pre-release as the address of its text, rotated to the right by one bit; others shift addresses to
//! make room for tags. What is shifted or rotated by so many bits can be followed.

use std::fmt;

/// The bits of a word that an address has: above them may be a tag, which moves with the address.
pub(crate) const ADDRESS: u64 = (1 << 48) - 1;
/// By how many bits an address may be shifted or rotated.
const MOST_BITS: u32 = 16;

/// A form of an address that an address comes of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Form {
    /// Shifted or rotated to the right by so many bits. Anything may stand in the highest ones.
    Right(u32),
    /// Shifted or rotated to the left by so many bits. Anything may stand in the lowest ones.
    Left(u32),
}

impl Form {
    /// Every form that is looked for.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        (1..=MOST_BITS).flat_map(|bits| [Self::Right(bits), Self::Left(bits)])
    }

    /// By how many bits.
    pub(crate) fn bits(self) -> u32 {
        match self {
            Self::Right(bits) | Self::Left(bits) => bits,
        }
    }

    /// The word before it was rotated.
    pub(crate) fn undo(self, word: u64) -> u64 {
        match self {
            Self::Right(bits) => word.rotate_left(bits),
            Self::Left(bits) => word.rotate_right(bits),
        }
    }

    /// The address that a word stands for, and the same without the bits that a shift loses: whether it was shifted or
    /// rotated, its highest bits do not say.
    pub(crate) fn addresses(self, word: u64) -> [u64; 2] {
        let address = self.undo(word) & ADDRESS;
        match self {
            Self::Right(bits) => [address, address >> bits << bits],
            Self::Left(_) => [address; 2],
        }
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = self.bits();
        let side = if matches!(self, Self::Right(_)) { "right" } else { "left" };
        write!(f, "shifted or rotated to the {side} by {bits} bit{}", if bits == 1 { "" } else { "s" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_back() {
        let address: u64 = 0x5530_1234_5678;
        for bits in 1..=MOST_BITS {
            let low = (1 << bits) - 1;
            assert_eq!(Form::Right(bits).addresses(address.rotate_right(bits))[0], address);
            assert_eq!(Form::Left(bits).addresses(address.rotate_left(bits))[0], address);
            for tag in [0, 1, low] {
                let right = Form::Right(bits).addresses((address >> bits) | tag << (64 - bits));
                assert_eq!(right[1], address & !low, "{bits} {tag:#x}");
                assert_eq!(Form::Left(bits).addresses((address << bits) | tag)[0], address, "{bits} {tag:#x}");
            }
        }
    }
}
