//! Relocations: the words of an image that hold addresses, as distances from one to the next.

use super::error::FormatError;
use super::header::Header;

/// Encodes a relocation table: offsets in the image of eight-byte words, aligned or not, strictly ascending, none below
/// `data_offset`.
///
/// Each is stored as its distance from the one before, the first as its distance from `data_offset`: seven bits a byte,
/// the lowest first, the top bit set in all but the last byte. Pointers lie close together, so most take one byte.
pub fn encode_relocations(offsets: impl IntoIterator<Item = u64>, data_offset: u64, mut put: impl FnMut(u8)) {
    let mut before = data_offset;
    for offset in offsets {
        let mut distance = offset.wrapping_sub(before);
        while distance >= 0x80 {
            put(distance as u8 | 0x80);
            distance >>= 7;
        }
        put(distance as u8);
        before = offset;
    }
}

/// The words of a relocation table: offsets into the image, each checked to lie in the image data, strictly ascending.
/// Ends with the first error.
#[inline]
pub fn relocations<'a>(table: &'a [u8], header: &Header) -> Relocations<'a> {
    let data_end = header.data_offset.saturating_add(header.data_length);
    Relocations { rest: table, at: header.data_offset, data_end, first: true }
}

/// See [`relocations`].
#[derive(Clone, Debug)]
pub struct Relocations<'a> {
    rest: &'a [u8],
    /// The offset before.
    at: u64,
    data_end: u64,
    first: bool,
}

impl Relocations<'_> {
    /// The next distance; `None` when it does not end, or does not fit.
    #[inline]
    fn distance(&mut self) -> Option<u64> {
        let mut distance = 0u64;
        let mut shift = 0;
        loop {
            let (byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            let bits = u64::from(byte & 0x7f);
            if shift > 63 || bits << shift >> shift != bits {
                return None;
            }
            distance |= bits << shift;
            if byte & 0x80 == 0 {
                return Some(distance);
            }
            shift += 7;
        }
    }
}

impl Iterator for Relocations<'_> {
    type Item = Result<u64, FormatError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let first = core::mem::replace(&mut self.first, false);
        let next = self.distance().filter(|distance| first || *distance != 0);
        let next = next.and_then(|distance| self.at.checked_add(distance));
        let end = next.and_then(|next| next.checked_add(8));
        match next.filter(|_| end.is_some_and(|end| end <= self.data_end)) {
            Some(offset) => {
                self.at = offset;
                Some(Ok(offset))
            }
            None => {
                self.rest = &[];
                Some(Err(FormatError::Field { field: "relocation", found: self.at }))
            }
        }
    }
}
