//! Entries: what the tables hold: roots, carried statics, statics, strings.

use super::bytes::{Reader, Writer, chunks};
use super::error::FormatError;
use super::header::Header;
use super::layout::{CARRIED_LEN, ROOT_LEN, STATIC_LEN};

/// One frozen value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Root {
    /// Address of the value; inside the image data unless `size` is 0.
    pub value: u64,
    /// Size in bytes of the value itself (not of what it owns).
    pub size: u64,
    /// Alignment in bytes of the value.
    pub align: u64,
    /// [`digest`](crate::image::digest) of the type's name.
    pub type_digest: u64,
    /// Offset of the root's name in the string table; its type's name is the string that follows.
    pub name: u64,
}

impl Root {
    /// The root directory entry, encoded.
    pub fn encode(&self) -> [u8; ROOT_LEN] {
        Writer::<ROOT_LEN>::new()
            .put(&self.value.to_le_bytes())
            .put(&self.size.to_le_bytes())
            .put(&self.align.to_le_bytes())
            .put(&self.type_digest.to_le_bytes())
            .put(&self.name.to_le_bytes())
            .finish()
    }

    #[inline(always)]
    pub(super) fn decode(bytes: &[u8; ROOT_LEN], header: &Header) -> Result<Self, FormatError> {
        let mut r = Reader { rest: bytes };
        let (Some(value), Some(size), Some(align), Some(type_digest), Some(name)) =
            (r.u64(), r.u64(), r.u64(), r.u64(), r.u64())
        else {
            return Err(FormatError::Truncated { expected: ROOT_LEN as u64, found: bytes.len() as u64 });
        };
        if !align.is_power_of_two() {
            return Err(FormatError::Field { field: "root alignment", found: align });
        }
        let data = header.data_range();
        let inside = value >= data.start && value.checked_add(size).is_some_and(|end| end <= data.end);
        if value == 0 || value % align != 0 || (size != 0 && !inside) {
            return Err(FormatError::Field { field: "root address", found: value });
        }
        Ok(Self { value, size, align, type_digest, name })
    }
}

/// Bytes of a static that are restored at start, before any code of the program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carried {
    /// Where they belong: an address as in the ELF file, that is, without the load bias.
    pub address: u64,
    /// How many there are.
    pub length: u64,
    /// Where they are: offset in the image, inside the image data.
    pub offset: u64,
}

impl Carried {
    /// The entry, encoded.
    pub fn encode(&self) -> [u8; CARRIED_LEN] {
        Writer::<CARRIED_LEN>::new()
            .put(&self.address.to_le_bytes())
            .put(&self.length.to_le_bytes())
            .put(&self.offset.to_le_bytes())
            .finish()
    }
}

/// The entries of the table of carried statics, each checked to take its bytes from the image data and to put them at
/// addresses that do not overflow.
#[inline]
pub fn carried<'a>(
    table: &'a [u8],
    header: &'a Header,
) -> impl Iterator<Item = Result<Carried, FormatError>> + use<'a> {
    chunks::<CARRIED_LEN>(table).map(|entry| {
        let mut r = Reader { rest: entry };
        let (Some(address), Some(length), Some(offset)) = (r.u64(), r.u64(), r.u64()) else {
            return Err(FormatError::Truncated { expected: CARRIED_LEN as u64, found: entry.len() as u64 });
        };
        let data = header.data_offset..header.data_offset.saturating_add(header.data_length);
        let inside = offset >= data.start && offset.checked_add(length).is_some_and(|end| end <= data.end);
        if !inside || address.checked_add(length).is_none() {
            return Err(FormatError::Field { field: "carried static", found: address });
        }
        Ok(Carried { address, length, offset })
    })
}

/// Whether a static is carried if it changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Rule {
    /// It is.
    Carry = 0,
    /// It is, unless it held the address of code before and holds one now: then it caches which function suits the
    /// processor.
    CarryUnlessCode = 1,
    /// It is not. An image that refers to it cannot be used.
    Skip = 2,
}

impl Rule {
    pub(super) fn from_number(number: u32) -> Option<Self> {
        [Self::Carry, Self::CarryUnlessCode, Self::Skip].into_iter().find(|rule| *rule as u32 == number)
    }
}

/// A static of the executable, or a part of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Static {
    /// Its address as in the ELF file, that is, without the load bias.
    pub address: u64,
    /// Its length in bytes.
    pub length: u32,
    /// What becomes of it.
    pub rule: Rule,
}

impl Static {
    /// The entry, encoded.
    pub fn encode(&self) -> [u8; STATIC_LEN] {
        Writer::<STATIC_LEN>::new()
            .put(&self.address.to_le_bytes())
            .put(&self.length.to_le_bytes())
            .put(&(self.rule as u32).to_le_bytes())
            .finish()
    }

    /// Its addresses. Decoding proved that the sum does not overflow.
    pub fn range(&self) -> core::ops::Range<u64> {
        self.address..self.address.wrapping_add(self.length.into())
    }
}

/// The entries of the table of statics, each checked to begin where the one before ends, or later.
pub fn statics(table: &[u8]) -> impl Iterator<Item = Result<Static, FormatError>> {
    let mut end = 0;
    chunks::<STATIC_LEN>(table).map(move |entry| {
        let mut r = Reader { rest: entry };
        let (Some(address), Some(length), Some(rule)) = (r.u64(), r.u32(), r.u32()) else {
            return Err(FormatError::Truncated { expected: STATIC_LEN as u64, found: entry.len() as u64 });
        };
        let next = address.checked_add(length.into()).filter(|_| address >= end);
        let (Some(next), Some(rule)) = (next, Rule::from_number(rule)) else {
            return Err(FormatError::Field { field: "static", found: address });
        };
        end = next;
        Ok(Static { address, length, rule })
    })
}

/// The string at `offset` in the string table, and the offset of the next one; `None` when there is none.
pub fn string_at(strings: &[u8], offset: u64) -> Option<(&str, u64)> {
    let rest = strings.get(usize::try_from(offset).ok()?..)?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let length = u32::from_le_bytes(*length) as usize;
    let text = core::str::from_utf8(rest.get(..length)?).ok()?;
    Some((text, offset + 4 + length as u64))
}
