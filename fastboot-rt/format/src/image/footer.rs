//! Footer: the last bytes of an executable that has its image appended.

use super::bytes::{Reader, Writer, digest};
use super::error::FormatError;
use super::layout::{FOOTER_LEN, PAGE};

/// First eight bytes of a footer.
pub const FOOTER_MAGIC: [u8; 8] = *b"fbfooter";

/// The last [`FOOTER_LEN`] bytes of an executable that has its image appended. The image lies right before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footer {
    /// Offset in the file of the image; a multiple of [`PAGE`].
    pub offset: u64,
    /// Length in bytes of the image.
    pub length: u64,
}

impl Footer {
    /// The footer, encoded, digest included.
    pub fn encode(&self) -> [u8; FOOTER_LEN] {
        let mut bytes = Writer::<FOOTER_LEN>::new()
            .put(&FOOTER_MAGIC)
            .put(&self.offset.to_le_bytes())
            .put(&self.length.to_le_bytes())
            .put(&[0; 8])
            .finish();
        let sum = digest(&bytes[..FOOTER_LEN - 8]);
        bytes[FOOTER_LEN - 8..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// Decodes the last bytes of a file of `file_length` bytes; `None` when they are no footer.
    ///
    /// # Errors
    /// [`FormatError::Digest`], and [`FormatError::Field`] for an image that does not lie right before its footer.
    #[inline]
    pub fn decode(bytes: &[u8; FOOTER_LEN], file_length: u64) -> Result<Option<Self>, FormatError> {
        let mut r = Reader { rest: bytes };
        let (Some(magic), Some(offset), Some(length), Some(expected)) = (r.array::<8>(), r.u64(), r.u64(), r.u64())
        else {
            return Ok(None);
        };
        if magic != FOOTER_MAGIC {
            return Ok(None);
        }
        let found = digest(&bytes[..FOOTER_LEN - 8]);
        if found != expected {
            return Err(FormatError::Digest { part: "footer", expected, found });
        }
        let end = offset.checked_add(length).and_then(|end| end.checked_add(FOOTER_LEN as u64));
        if offset % PAGE as u64 != 0 || length < PAGE as u64 || end != Some(file_length) {
            return Err(FormatError::Field { field: "footer offset", found: offset });
        }
        Ok(Some(Self { offset, length }))
    }
}
