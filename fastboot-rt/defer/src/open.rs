//! Opening a file, and reading one checked block of it.

use crate::compress;
use crate::error::{Error, ErrorKind, Result};
use crate::layout::{BLOCK_HEADER, BlockHeader, BlockKind, Compression, FILE_HEADER, FileHeader, ROOT_POSITION};
use crate::shapes::Shapes;
use crate::source::{ReadCount, Source};
use std::borrow::Cow;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// How deep values may nest inside one block, unless told otherwise.
pub(crate) const DEPTH: u32 = 128;

/// This much of a block is read at first, header included; most small parts need no second read.
const FIRST_READ: u64 = 256;

/// One open file, shared by everything that was loaded from it.
pub(crate) struct Origin {
    source: Source,
    name: Option<PathBuf>,
    pub(crate) header: FileHeader,
    pub(crate) depth: u32,
    count: ReadCount,
    /// While a save is read back: what lies before this offset has been read back already.
    read_back_to: u64,
    /// Once it is set, what types want to be told is noted there.
    pub(crate) shapes: OnceLock<Shapes>,
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.name.as_deref().unwrap_or(Path::new("memory")))
    }
}

/// A block that was read and checked.
pub(crate) struct Block<'a> {
    pub(crate) offset: u64,
    pub(crate) number: u32,
    pub(crate) contents: Cow<'a, [u8]>,
    /// References count from here, bytes from the start of the file.
    pub(crate) base: u64,
    /// What they refer to ends here at the latest.
    pub(crate) limit: u64,
}

impl Origin {
    pub(crate) fn open(source: Source, name: Option<PathBuf>, depth: u32, count: ReadCount) -> Result<Self> {
        let len = source.len()?;
        let n = len.min(FILE_HEADER as u64) as usize;
        let mut first = [0; FILE_HEADER];
        source.read_exact_at(0, &mut first[..n])?;
        count.add_read(n);
        let header = FileHeader::decode(&first[..n], len)?;
        Ok(Origin { source, name, header, depth, count, read_back_to: 0, shapes: OnceLock::new() })
    }

    /// To read back a file that was just written, and may have been read back up to an offset.
    pub(crate) fn to_read_back(source: Source, depth: u32, read_back_to: u64) -> Result<Arc<Self>> {
        let origin = Origin::open(source, None, depth, ReadCount::default())?;
        Ok(Arc::new(Origin { read_back_to, ..origin }))
    }

    /// To read back one subtree, whose bytes start where bodies do.
    pub(crate) fn of_subtree(bytes: Vec<u8>, depth: u32, checksums: bool) -> Arc<Self> {
        let header = FileHeader::root_last(checksums, 0, 0, (bytes.len() - FILE_HEADER) as u64);
        let (source, count) = (Source::Owned(bytes), ReadCount::default());
        Arc::new(Origin { source, name: None, header, depth, count, read_back_to: 0, shapes: OnceLock::new() })
    }

    /// The bytes again, if they are in memory and nothing refers to them any more.
    pub(crate) fn into_bytes(self: Arc<Self>) -> Option<Vec<u8>> {
        match Arc::try_unwrap(self) {
            Ok(Origin { source: Source::Owned(bytes), .. }) => Some(bytes),
            Ok(_) => None,
            Err(shared) => shared.source.memory().map(<[u8]>::to_vec),
        }
    }

    /// Stands for a file that a `Writer` is writing.
    pub(crate) fn unfinished(writer: u64) -> Self {
        let header = FileHeader::root_last(true, 0, BLOCK_HEADER as u64, 0);
        Origin {
            source: Source::Unfinished(writer),
            name: None,
            header,
            depth: DEPTH,
            count: ReadCount::default(),
            read_back_to: 0,
            shapes: OnceLock::new(),
        }
    }

    /// Whether a part that starts there is still being written, or need not be read back.
    pub(crate) fn is_written(&self, start: u64) -> bool {
        self.writer().is_some() || start < self.read_back_to
    }

    /// The number of the writer, if this file is still being written.
    pub(crate) fn writer(&self) -> Option<u64> {
        match self.source {
            Source::Unfinished(writer) => Some(writer),
            _ => None,
        }
    }

    pub(crate) fn name(&self) -> Option<&Path> {
        self.name.as_deref()
    }

    /// Reads `len` bytes at `offset`.
    pub(crate) fn read(&self, offset: u64, len: u64) -> Result<Cow<'_, [u8]>> {
        let memory = || Error::new(ErrorKind::Memory { bytes: len });
        let len = usize::try_from(len).map_err(|_| memory())?;
        let bytes = self.source.read(offset, len).map_err(|e| match e.kind() {
            io::ErrorKind::OutOfMemory => memory(),
            io::ErrorKind::UnexpectedEof => {
                let found = self.source.len().unwrap_or(0);
                Error::new(ErrorKind::Length { expected: self.header.file_len, found })
            }
            _ => e.into(),
        })?;
        self.count.add_read(bytes.len());
        Ok(bytes)
    }

    pub(crate) fn root_block(&self) -> Result<Block<'_>> {
        let (start, extent) = (self.header.root, self.header.root_len());
        let read = || {
            let (header, contents) = self.stored(start, extent, BlockKind::Root)?;
            if header.stored + BLOCK_HEADER as u64 != extent {
                return Err(Error::damaged("the root block does not fill its place").numbered(header.number));
            }
            let contents = self.check(&header, ROOT_POSITION, contents)?;
            let limit = self.header.bodies + self.header.bodies_len;
            Ok(Block { offset: start, number: header.number, contents, base: self.header.bodies, limit })
        };
        read().map_err(|e: Error| e.in_block(start).in_file(self.name()))
    }

    /// The block of a part, checked.
    pub(crate) fn part_block(&self, start: u64, extent: u64) -> Result<Block<'_>> {
        if self.writer().is_some() {
            return Err(Error::new(ErrorKind::Unfinished));
        }
        let read = || {
            let (header, contents) = self.stored(start, extent, BlockKind::Part)?;
            let contents = self.check(&header, start - self.header.bodies, contents)?;
            let base = start + BLOCK_HEADER as u64 + header.stored;
            Ok(Block { offset: start, number: header.number, contents, base, limit: start + extent })
        };
        read().map_err(|e: Error| e.in_block(start).in_file(self.name()))
    }

    /// Header and stored contents of a block.
    fn stored(&self, start: u64, extent: u64, kind: BlockKind) -> Result<(BlockHeader, Cow<'_, [u8]>)> {
        let first = self.read(start, extent.min(FIRST_READ))?;
        let header = BlockHeader::decode(&first, extent)?;
        if header.kind != kind {
            return Err(Error::damaged(format!("a {kind:?} block should be here, there is a {:?} block", header.kind)));
        }
        let have = first.len() as u64 - BLOCK_HEADER as u64;
        if header.stored <= have {
            let end = BLOCK_HEADER + header.stored as usize;
            let contents = match first {
                Cow::Borrowed(bytes) => Cow::Borrowed(&bytes[BLOCK_HEADER..end]),
                Cow::Owned(mut bytes) => {
                    bytes.truncate(end);
                    bytes.drain(..BLOCK_HEADER);
                    Cow::Owned(bytes)
                }
            };
            return Ok((header, contents));
        }
        // Read all of the contents in one go; what was read of them before is too little to be worth keeping.
        Ok((header, self.read(start + BLOCK_HEADER as u64, header.stored)?))
    }

    /// Compares the checksum and decompresses.
    fn check<'a>(&self, header: &BlockHeader, position: u64, stored: Cow<'a, [u8]>) -> Result<Cow<'a, [u8]>> {
        check_stored(&self.header, header, position, &stored).map_err(|e| e.numbered(header.number))?;
        self.count.add_block();
        match header.compression {
            Compression::None => Ok(stored),
            Compression::Zstd => {
                let raw = compress::unpack(&stored, header.raw).map_err(|e| e.numbered(header.number))?;
                Ok(raw.into())
            }
        }
    }
}

/// Compares the checksum of a block, if the file has checksums.
pub(crate) fn check_stored(file: &FileHeader, header: &BlockHeader, position: u64, stored: &[u8]) -> Result<()> {
    if file.checksums {
        let found = header.checksum_of(position, stored);
        if found != header.checksum {
            return Err(Error::new(ErrorKind::Checksum { expected: header.checksum, found }));
        }
    }
    Ok(())
}
