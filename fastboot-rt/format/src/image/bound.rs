//! Bound: the words of an image that hold the address of something in a shared library.

use super::bytes::{Reader, Writer, chunks};
use super::error::FormatError;
use super::header::Header;
use super::layout::BOUND_LEN;

/// A word of the image that holds what the dynamic linker puts into a word of the executable when it binds a symbol: the address
/// of `strlen`, say, which is another one in each process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bound {
    /// Where it is: offset in the image, inside the image data. It need not be aligned.
    pub offset: u64,
    /// The word of the executable: an address as in the ELF file, that is, without the load bias.
    pub place: u64,
}

impl Bound {
    /// The entry, encoded.
    pub fn encode(&self) -> [u8; BOUND_LEN] {
        Writer::<BOUND_LEN>::new().put(&self.offset.to_le_bytes()).put(&self.place.to_le_bytes()).finish()
    }
}

/// The entries of the table of bound pointers, each checked to lie in the image data, and to read eight bytes whose addresses do
/// not overflow.
#[inline]
pub fn bound<'a>(table: &'a [u8], header: &'a Header) -> impl Iterator<Item = Result<Bound, FormatError>> + use<'a> {
    chunks::<BOUND_LEN>(table).map(|entry| {
        let mut r = Reader { rest: entry };
        let (Some(offset), Some(place)) = (r.u64(), r.u64()) else {
            return Err(FormatError::Truncated { expected: BOUND_LEN as u64, found: entry.len() as u64 });
        };
        let data_end = header.data_offset.saturating_add(header.data_length);
        let inside = offset >= header.data_offset && offset.checked_add(8).is_some_and(|end| end <= data_end);
        if !inside || place.checked_add(8).is_none() {
            return Err(FormatError::Field { field: "bound pointer", found: offset });
        }
        Ok(Bound { offset, place })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bound_pointers_lie_in_the_image_data() {
        let header = Header { data_offset: 4096, data_length: 100, ..Header::default() };
        let read = |offset, place| bound(&Bound { offset, place }.encode(), &header).next().unwrap().is_ok();
        assert!(read(4096, 0) && read(4188, u64::MAX - 8) && read(4097, 9));
        assert!(!read(4095, 0) && !read(4189, 0) && !read(u64::MAX, 0) && !read(4096, u64::MAX - 7));
    }
}
