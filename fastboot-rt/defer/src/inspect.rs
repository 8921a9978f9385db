//! What a file is made of, for people and for `cargo fastboot inspect`. No types are needed.

use crate::compress;
use crate::error::{Error, ErrorKind, Result};
use crate::layout::{BLOCK_HEADER, BlockHeader, BlockKind, Compression, FORMAT, ROOT_POSITION};
use crate::open::{Origin, check_stored};
use crate::source::{ReadCount, Source};
use std::fs::File;
use std::path::Path;

/// What [`inspect`] finds.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Summary {
    /// The version of the format.
    pub format: u32,
    /// The user's version.
    pub version: u64,
    /// Whether blocks carry checksums.
    pub checksums: bool,
    /// Length of the file, bytes.
    pub file_len: u64,
    /// Stored length of the strict data, bytes, with the header of its block.
    pub strict_len: u64,
    /// Stored length of the deferred bodies, bytes, with the headers of their blocks, without gaps.
    pub deferred_len: u64,
    /// Length of the gaps, bytes, with their headers.
    pub gap_len: u64,
    /// All blocks in the order of the file, the root's included.
    pub blocks: Vec<BlockSummary>,
}

impl Summary {
    /// The strict data's share of the stored data, 0 to 1.
    #[must_use]
    pub fn strict_share(&self) -> f64 {
        self.strict_len as f64 / (self.strict_len + self.deferred_len) as f64
    }

    /// The length of all contents before compression, bytes, without gaps.
    #[must_use]
    pub fn raw_len(&self) -> u64 {
        self.blocks.iter().filter(|b| b.kind != BlockKind::Gap).map(|b| b.raw).sum()
    }
}

/// One block of a [`Summary`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BlockSummary {
    /// Its number, modulo 2^32: the root is 0.
    pub number: u32,
    /// What it is for.
    pub kind: BlockKind,
    /// Where its header starts, bytes from the start of the file.
    pub offset: u64,
    /// Length of the contents as stored, bytes, without the header of 32 bytes.
    pub stored: u64,
    /// Length of the contents after decompression, bytes.
    pub raw: u64,
    /// How the contents are stored.
    pub compression: Compression,
}

/// What [`verify`] finds.
#[derive(Debug)]
#[non_exhaustive]
pub struct Verification {
    /// The blocks, up to where the file could be followed.
    pub summary: Summary,
    /// Every damage, in the order of the file; empty if the file is whole.
    pub damage: Vec<Error>,
}

/// Lists the blocks of a file. Reads their headers only.
///
/// # Errors
/// If the file cannot be read, is no deferred file, or its blocks do not follow each other as they should.
pub fn inspect(path: impl AsRef<Path>) -> Result<Summary> {
    let scan = scan(path.as_ref(), false)?;
    match scan.damage.into_iter().next() {
        Some(damage) => Err(damage),
        None => Ok(scan.summary),
    }
}

/// Reads all of a file, and compares every checksum and the length of everything that is compressed.
///
/// Without checksums in the file only the headers and compressed blocks can be wrong. Whether the contents are values
/// of a certain type only that type can tell: load it.
///
/// # Errors
/// If the file cannot be read or has no good header. Damage of blocks is no error here, it is what is returned.
pub fn verify(path: impl AsRef<Path>) -> Result<Verification> {
    scan(path.as_ref(), true)
}

fn scan(path: &Path, contents: bool) -> Result<Verification> {
    let open = || Origin::open(Source::file(File::open(path)?), Some(path.to_path_buf()), 0, ReadCount::default());
    let origin = open().map_err(|e: Error| e.in_file(Some(path)))?;
    let file = origin.header;
    let mut out = Verification {
        summary: Summary {
            format: FORMAT,
            version: file.version,
            checksums: file.checksums,
            file_len: file.file_len,
            strict_len: file.root_len(),
            deferred_len: 0,
            gap_len: 0,
            blocks: Vec::new(),
        },
        damage: Vec::new(),
    };
    let root = (file.root, file.root + file.root_len(), true);
    let bodies = (file.bodies, file.bodies + file.bodies_len, false);
    let order = if file.root < file.bodies { [root, bodies] } else { [bodies, root] };
    for (start, end, is_root) in order {
        let mut at = start;
        let mut number = u32::from(!is_root);
        while at < end {
            let (block, result) = one(&origin, at, end, number, is_root, contents);
            if let Err(e) = result {
                out.damage.push(e.in_block(at).in_file(Some(path)));
            }
            // Without a believable length the next block cannot be found.
            let Some(block) = block else { break };
            let len = BLOCK_HEADER as u64 + block.stored;
            match block.kind {
                BlockKind::Root => {}
                BlockKind::Part => out.summary.deferred_len += len,
                BlockKind::Gap => out.summary.gap_len += len,
            }
            out.summary.blocks.push(block);
            at += len;
            number = number.wrapping_add(1);
        }
    }
    Ok(out)
}

/// The block at `at`, as far as it can be believed, and what is wrong with it.
fn one(
    origin: &Origin,
    at: u64,
    end: u64,
    number: u32,
    is_root: bool,
    contents: bool,
) -> (Option<BlockSummary>, Result<()>) {
    let header = match origin
        .read(at, (end - at).min(BLOCK_HEADER as u64))
        .and_then(|bytes| BlockHeader::decode(&bytes, end - at))
    {
        Ok(header) => header,
        Err(e) => return (None, Err(e)),
    };
    let BlockHeader { kind, compression, stored, raw, .. } = header;
    let block = BlockSummary { number: header.number, kind, offset: at, stored, raw, compression };
    let check = || {
        if header.number != number || (kind == BlockKind::Root) != is_root {
            return Err(Error::damaged(format!(
                "block {number} should be here, there is {:?} block {}",
                kind, header.number
            )));
        }
        if is_root && BLOCK_HEADER as u64 + stored != end - at {
            return Err(Error::damaged("the root block does not fill its place"));
        }
        if !contents || kind == BlockKind::Gap {
            return Ok(());
        }
        let position = if is_root { ROOT_POSITION } else { at - origin.header.bodies };
        let bytes = origin.read(at + BLOCK_HEADER as u64, stored)?;
        check_stored(&origin.header, &header, position, &bytes)?;
        if compression == Compression::Zstd {
            match compress::unpack(&bytes, raw) {
                // Built without zstd; the checksum has vouched for the bytes.
                Err(e) if matches!(e.kind(), ErrorKind::NoZstd) && origin.header.checksums => {}
                other => drop(other?),
            }
        }
        Ok(())
    };
    let result = check().map_err(|e| e.numbered(header.number));
    (Some(block), result)
}
