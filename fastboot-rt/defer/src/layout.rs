//! The bytes of a deferred file: the one definition that writing, reading and inspecting share.
//!
//! ```text
//! saved at once                          written by a Writer
//! ┌──────────────────────────────┐ 0     ┌──────────────────────────────┐ 0
//! │ file header, 64 bytes        │       │ file header, 64 bytes        │
//! ├──────────────────────────────┤ 64    ├──────────────────────────────┤ 64
//! │ root block: all strict data  │       │ bodies                       │
//! ├──────────────────────────────┤       │   block, its subtree,        │
//! │ bodies                       │       │   block, its subtree, ...    │
//! │   block, its subtree,        │       ├──────────────────────────────┤
//! │   block, its subtree, ...    │       │ root block: all strict data  │
//! └──────────────────────────────┘       └──────────────────────────────┘
//! ```
//!
//! A *subtree* is a block followed by the subtrees of the parts it refers to, in the order of the structure. A
//! reference is (start, extent): where the subtree starts, and how many bytes the block and everything below it take.
//! Invariants that the reader enforces for every reference it meets:
//!
//! - it lies wholly inside the extent of the block that holds it, behind that block (for the root: inside the bodies);
//!   so no chain of references comes back to a block, whatever the bytes say;
//! - all extents named by one block add up to no more than that block's own room; so visiting everything that can be
//!   reached visits no more bytes than the file has, whatever the bytes say.

use crate::error::{Error, ErrorKind, Result};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The first bytes of every deferred file.
pub const MAGIC: [u8; 8] = *b"fbdefer\x1a";
pub(crate) const FORMAT: u32 = 1;
pub(crate) const FILE_HEADER: usize = 64;
pub(crate) const BLOCK_HEADER: usize = 32;
/// First byte of every block.
const BLOCK_MARK: u8 = 0xfb;
const FLAG_CHECKSUMS: u32 = 1;

/// Elements that take no bytes (such as `()`), allowed in one block: without a limit a lying length would loop forever.
pub(crate) const EMPTY_ELEMENTS: u64 = 1 << 20;
/// A compressed block may stand for at most this many times its size; what packs better is stored as it is.
pub(crate) const MAX_RATIO: u64 = 1024;

/// The position from which the root's checksum is seeded; no body starts there.
pub(crate) const ROOT_POSITION: u64 = u64::MAX;

/// The first 64 bytes of a file.
///
/// | offset | size | what |
/// |---|---|---|
/// | 0 | 8 | magic |
/// | 8 | 4 | format |
/// | 12 | 4 | flags: 1 = checksums |
/// | 16 | 8 | the user's version |
/// | 24 | 8 | length of the file |
/// | 32 | 8 | offset of the root block |
/// | 40 | 8 | offset of the bodies |
/// | 48 | 8 | length of the bodies |
/// | 56 | 8 | checksum of the 56 bytes before |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileHeader {
    pub(crate) checksums: bool,
    pub(crate) version: u64,
    pub(crate) file_len: u64,
    pub(crate) root: u64,
    pub(crate) bodies: u64,
    pub(crate) bodies_len: u64,
}

fn get_u32(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

fn get_u64(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

impl FileHeader {
    /// The header of a file whose root comes first.
    pub(crate) fn root_first(checksums: bool, version: u64, root_len: u64, bodies_len: u64) -> Self {
        let bodies = FILE_HEADER as u64 + root_len;
        FileHeader { checksums, version, file_len: bodies + bodies_len, root: FILE_HEADER as u64, bodies, bodies_len }
    }

    /// The header of a file whose root comes last.
    pub(crate) fn root_last(checksums: bool, version: u64, root_len: u64, bodies_len: u64) -> Self {
        let bodies = FILE_HEADER as u64;
        let root = bodies + bodies_len;
        FileHeader { checksums, version, file_len: root + root_len, root, bodies, bodies_len }
    }

    /// Bytes that the root block takes, its own header included.
    pub(crate) fn root_len(&self) -> u64 {
        self.file_len - FILE_HEADER as u64 - self.bodies_len
    }

    pub(crate) fn encode(&self) -> [u8; FILE_HEADER] {
        let mut out = [0; FILE_HEADER];
        out[0..8].copy_from_slice(&MAGIC);
        out[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        out[12..16].copy_from_slice(&(if self.checksums { FLAG_CHECKSUMS } else { 0 }).to_le_bytes());
        for (i, word) in [self.version, self.file_len, self.root, self.bodies, self.bodies_len].into_iter().enumerate()
        {
            out[16 + 8 * i..24 + 8 * i].copy_from_slice(&word.to_le_bytes());
        }
        let sum = xxh3_64_with_seed(&out[..56], 0);
        out[56..64].copy_from_slice(&sum.to_le_bytes());
        out
    }

    /// Reads the header of a file that really has `found_len` bytes.
    pub(crate) fn decode(bytes: &[u8], found_len: u64) -> Result<Self> {
        let mut found = [0; 8];
        let n = bytes.len().min(8);
        found[..n].copy_from_slice(&bytes[..n]);
        if found != MAGIC {
            return Err(Error::new(ErrorKind::NotDeferred { found }));
        }
        if bytes.len() < FILE_HEADER {
            return Err(Error::new(ErrorKind::Length { expected: FILE_HEADER as u64, found: found_len }));
        }
        let format = get_u32(bytes, 8);
        if format != FORMAT {
            return Err(Error::new(ErrorKind::Format { expected: FORMAT, found: format }));
        }
        let (expected, sum) = (get_u64(bytes, 56), xxh3_64_with_seed(&bytes[..56], 0));
        if expected != sum {
            return Err(Error::new(ErrorKind::Checksum { expected, found: sum }).in_block(0));
        }
        let flags = get_u32(bytes, 12);
        let header = FileHeader {
            checksums: flags & FLAG_CHECKSUMS != 0,
            version: get_u64(bytes, 16),
            file_len: get_u64(bytes, 24),
            root: get_u64(bytes, 32),
            bodies: get_u64(bytes, 40),
            bodies_len: get_u64(bytes, 48),
        };
        if flags & !FLAG_CHECKSUMS != 0 {
            return Err(Error::damaged(format!("unknown flags {flags:#x} in the header")));
        }
        if header.file_len != found_len {
            return Err(Error::new(ErrorKind::Length { expected: header.file_len, found: found_len }));
        }
        // Exactly two arrangements exist; with them every later sum stays within file_len.
        let room = header.file_len.checked_sub((FILE_HEADER + BLOCK_HEADER) as u64);
        let fits = room.is_some_and(|room| header.bodies_len <= room);
        let first = FILE_HEADER as u64;
        let good = fits
            && ((header.root == first && header.bodies == header.file_len - header.bodies_len)
                || (header.bodies == first && header.root == first + header.bodies_len));
        if !good {
            return Err(Error::damaged("the header places root and bodies where they cannot be"));
        }
        Ok(header)
    }
}

/// What a block is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BlockKind {
    /// The strict data of the file.
    Root,
    /// The body of one deferred part.
    Part,
    /// Nothing: bytes left free by [`Writer::leave_gap`](crate::Writer::leave_gap). Its contents are not checked.
    Gap,
}

/// How the contents of a block are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compression {
    /// As they are.
    None,
    /// As one Zstandard frame.
    Zstd,
}

impl BlockKind {
    /// Its name, in small letters.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            BlockKind::Root => "root",
            BlockKind::Part => "part",
            BlockKind::Gap => "gap",
        }
    }
}

impl Compression {
    /// Its name, in small letters.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Compression::None => "none",
            Compression::Zstd => "zstd",
        }
    }
}

/// The 32 bytes before the contents of every block.
///
/// | offset | size | what |
/// |---|---|---|
/// | 0 | 1 | 0xfb |
/// | 1 | 1 | kind: 0 root, 1 part, 2 gap |
/// | 2 | 1 | compression: 0 none, 1 zstd |
/// | 3 | 1 | 0 |
/// | 4 | 4 | number, modulo 2^32: the root is 0, bodies count from 1 in the order of the file |
/// | 8 | 8 | stored length, without this header |
/// | 16 | 8 | length after decompression |
/// | 24 | 8 | checksum, 0 without checksums or in a gap |
///
/// The checksum is XXH3-64 of the contents as stored, seeded with the XXH3-64 of the header's first 24 bytes, seeded with
/// the block's offset from the start of the bodies: a good block in a wrong place is recognised, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockHeader {
    pub(crate) kind: BlockKind,
    pub(crate) compression: Compression,
    pub(crate) number: u32,
    pub(crate) stored: u64,
    pub(crate) raw: u64,
    pub(crate) checksum: u64,
}

impl BlockHeader {
    pub(crate) fn encode(&self) -> [u8; BLOCK_HEADER] {
        let mut out = [0; BLOCK_HEADER];
        out[0] = BLOCK_MARK;
        out[1] = match self.kind {
            BlockKind::Root => 0,
            BlockKind::Part => 1,
            BlockKind::Gap => 2,
        };
        out[2] = match self.compression {
            Compression::None => 0,
            Compression::Zstd => 1,
        };
        out[4..8].copy_from_slice(&self.number.to_le_bytes());
        out[8..16].copy_from_slice(&self.stored.to_le_bytes());
        out[16..24].copy_from_slice(&self.raw.to_le_bytes());
        out[24..32].copy_from_slice(&self.checksum.to_le_bytes());
        out
    }

    /// Reads the header of a block that has `extent` bytes of room, its header included.
    pub(crate) fn decode(bytes: &[u8], extent: u64) -> Result<Self> {
        if bytes.len() < BLOCK_HEADER || extent < BLOCK_HEADER as u64 {
            return Err(Error::damaged("there is no room for a block here"));
        }
        let kind = match bytes[1] {
            0 => BlockKind::Root,
            1 => BlockKind::Part,
            2 => BlockKind::Gap,
            _ => return Err(Error::damaged("no block starts here")),
        };
        let compression = match bytes[2] {
            0 => Compression::None,
            1 => Compression::Zstd,
            n => return Err(Error::damaged(format!("compression {n} is unknown"))),
        };
        if bytes[0] != BLOCK_MARK || bytes[3] != 0 {
            return Err(Error::damaged("no block starts here"));
        }
        let header = BlockHeader {
            kind,
            compression,
            number: get_u32(bytes, 4),
            stored: get_u64(bytes, 8),
            raw: get_u64(bytes, 16),
            checksum: get_u64(bytes, 24),
        };
        let room = extent - BLOCK_HEADER as u64;
        if header.stored > room {
            return Err(Error::damaged(format!(
                "the block says it has {} bytes, there is room for {room}",
                header.stored
            )));
        }
        let honest = match compression {
            Compression::None => header.raw == header.stored,
            Compression::Zstd => header.raw / MAX_RATIO <= header.stored,
        };
        if !honest {
            return Err(Error::damaged(format!(
                "{} stored bytes cannot stand for {} bytes",
                header.stored, header.raw
            )));
        }
        Ok(header)
    }

    /// The checksum of this block with these stored contents, `position` bytes after the start of the bodies.
    pub(crate) fn checksum_of(&self, position: u64, stored: &[u8]) -> u64 {
        let seed = xxh3_64_with_seed(&self.encode()[..24], position);
        xxh3_64_with_seed(stored, seed)
    }
}

const _: () = {
    // The tables above, checked: five words follow the four small fields, then the checksum.
    assert!(16 + 5 * 8 + 8 == FILE_HEADER);
    assert!(4 + 4 + 3 * 8 == BLOCK_HEADER);
};
