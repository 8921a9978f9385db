//! Block contents to stored bytes and back. Without the feature `zstd` there is only "as they are".

use crate::error::Result;
use crate::layout::Compression;
#[cfg(feature = "zstd")]
use crate::layout::MAX_RATIO;
use std::borrow::Cow;

/// Contents shorter than this are never compressed, bytes.
#[cfg(feature = "zstd")]
const WORTH_IT: usize = 64;

/// Compresses if that was asked for (`level`) and is worth it.
#[cfg(feature = "zstd")]
pub(crate) fn pack(raw: &[u8], level: Option<i32>) -> Result<(Compression, Cow<'_, [u8]>)> {
    if let Some(level) = level.filter(|_| raw.len() >= WORTH_IT) {
        let packed = zstd::bulk::compress(raw, level)?;
        if packed.len() < raw.len() && (raw.len() as u64) / MAX_RATIO <= packed.len() as u64 {
            return Ok((Compression::Zstd, packed.into()));
        }
    }
    Ok((Compression::None, raw.into()))
}

/// Compresses nothing: the feature `zstd` is off.
#[cfg(not(feature = "zstd"))]
pub(crate) fn pack(raw: &[u8], _level: Option<i32>) -> Result<(Compression, Cow<'_, [u8]>)> {
    Ok((Compression::None, raw.into()))
}

/// The contents of a compressed block, which must have exactly `raw` bytes.
#[cfg(feature = "zstd")]
pub(crate) fn unpack(stored: &[u8], raw: u64) -> Result<Vec<u8>> {
    use crate::error::{Error, ErrorKind};
    let memory = || Error::new(ErrorKind::Memory { bytes: raw });
    let len = usize::try_from(raw).map_err(|_| memory())?;
    let mut out = Vec::new();
    out.try_reserve_exact(len).map_err(|_| memory())?;
    let n = zstd::bulk::Decompressor::new()?
        .decompress_to_buffer(stored, &mut out)
        .map_err(|e| Error::damaged(format!("the block does not decompress ({e})")))?;
    if n != len {
        return Err(Error::damaged(format!("the block decompresses to {n} bytes instead of {raw}")));
    }
    Ok(out)
}

/// Refuses: the feature `zstd` is off.
#[cfg(not(feature = "zstd"))]
pub(crate) fn unpack(_stored: &[u8], _raw: u64) -> Result<Vec<u8>> {
    Err(crate::error::Error::new(crate::error::ErrorKind::NoZstd))
}
