//! Blocks on their way to the file: contents become blocks, blocks become subtrees, subtrees go to the bodies.
//!
//! The structure is walked once, and each part is serialised where it is met. A part's block takes its place in the
//! queue when the part is entered and is filled when it is left, so that the queue is in the order of the structure.
//! References are relative to the end of the block that holds them; a finished subtree can therefore be put anywhere.

use crate::compress;
use crate::error::{Error, Result};
use crate::layout::{BLOCK_HEADER, BlockHeader, BlockKind, Compression, EMPTY_ELEMENTS, FILE_HEADER, ROOT_POSITION};
use crate::varint::{put_varint, varint};
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};

/// A finished subtree as the bodies of a file of its own, with room for a header before them.
pub(crate) fn standalone(subtree: &[Sealed], checksums: bool) -> io::Result<Vec<u8>> {
    let mut bodies = Bodies::in_memory(checksums);
    for block in subtree {
        bodies.put_block(block)?;
    }
    let mut bytes = vec![0; FILE_HEADER];
    bodies.copy_to(&mut bytes)?;
    Ok(bytes)
}

/// What of `SaveOptions` concerns blocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// A chunk of a list is closed when its strict data has this many bytes.
    pub(crate) block_size: usize,
    pub(crate) level: Option<i32>,
    pub(crate) checksums: bool,
    /// How deep values may nest inside one block.
    pub(crate) depth: u32,
    /// How deep parts may nest in parts.
    pub(crate) part_depth: usize,
}

/// A chunk is also closed when the parts below it have this many times the block size, to bound memory.
const BELOW_CHUNK: u64 = 64;

/// A block without number and checksum: those depend on its place.
#[derive(Default)]
pub(crate) struct Sealed {
    compression: Option<Compression>,
    raw: u64,
    stored: Vec<u8>,
}

impl Sealed {
    fn len(&self) -> u64 {
        BLOCK_HEADER as u64 + self.stored.len() as u64
    }

    /// Header and contents, as they stand in the file.
    fn finish(&self, kind: BlockKind, number: u32, position: u64, checksums: bool) -> [u8; BLOCK_HEADER] {
        let mut header = BlockHeader {
            kind,
            compression: self.compression.unwrap_or(Compression::None),
            number,
            stored: self.stored.len() as u64,
            raw: self.raw,
            checksum: 0,
        };
        if checksums {
            header.checksum = header.checksum_of(position, &self.stored);
        }
        header.encode()
    }
}

/// Where subtrees go.
pub(crate) struct Bodies {
    out: Out,
    /// Bytes so far.
    len: u64,
    blocks: u64,
    checksums: bool,
}

enum Out {
    Memory(Vec<u8>),
    /// In memory until there are too many, then in a scratch file made by the function.
    Spool {
        memory: Vec<u8>,
        limit: usize,
        make: fn(&std::path::Path) -> io::Result<File>,
        beside: std::path::PathBuf,
    },
    File(BufWriter<File>),
}

impl Bodies {
    pub(crate) fn in_memory(checksums: bool) -> Self {
        Bodies { out: Out::Memory(Vec::new()), len: 0, blocks: 0, checksums }
    }

    pub(crate) fn spool(
        checksums: bool,
        limit: usize,
        beside: &std::path::Path,
        make: fn(&std::path::Path) -> io::Result<File>,
    ) -> Self {
        let out = Out::Spool { memory: Vec::new(), limit, make, beside: beside.to_path_buf() };
        Bodies { out, len: 0, blocks: 0, checksums }
    }

    /// Appends to a file, which stands where the bodies start.
    pub(crate) fn in_file(checksums: bool, file: File) -> Self {
        Bodies { out: Out::File(BufWriter::with_capacity(1 << 18, file)), len: 0, blocks: 0, checksums }
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.out {
            Out::Memory(memory) => memory.extend_from_slice(bytes),
            Out::Spool { memory, limit, make, beside } => {
                if memory.len() + bytes.len() > *limit {
                    let mut file = BufWriter::with_capacity(1 << 18, make(beside)?);
                    file.write_all(memory)?;
                    file.write_all(bytes)?;
                    self.out = Out::File(file);
                } else {
                    memory.extend_from_slice(bytes);
                }
            }
            Out::File(file) => file.write_all(bytes)?,
        }
        self.len += bytes.len() as u64;
        Ok(())
    }

    fn put_block(&mut self, block: &Sealed) -> io::Result<()> {
        self.blocks += 1;
        let header = block.finish(BlockKind::Part, self.blocks as u32, self.len, self.checksums);
        self.put(&header)?;
        self.put(&block.stored)
    }

    /// Appends a subtree, which is used up; returns where it starts, counted from the start of the bodies.
    pub(crate) fn append(&mut self, subtree: &mut Vec<Sealed>) -> io::Result<u64> {
        let start = self.len;
        for block in subtree.drain(..) {
            self.put_block(&block)?;
        }
        Ok(start)
    }

    /// Leaves `len` bytes free, plus a header; the file system need not store them.
    pub(crate) fn gap(&mut self, len: u64) -> io::Result<()> {
        self.blocks += 1;
        let header = BlockHeader {
            kind: BlockKind::Gap,
            compression: Compression::None,
            number: self.blocks as u32,
            stored: len,
            raw: len,
            checksum: 0,
        };
        self.put(&header.encode())?;
        if let Out::File(file) = &mut self.out {
            file.flush()?;
            let by = i64::try_from(len).map_err(|_| io::ErrorKind::FileTooLarge)?;
            file.get_mut().seek(SeekFrom::Current(by))?;
            self.len += len;
            return Ok(());
        }
        io::copy(&mut io::repeat(0).take(len), &mut PutAll(self))?;
        Ok(())
    }

    /// Writes all of the bodies to `to`.
    pub(crate) fn copy_to(self, to: &mut impl Write) -> io::Result<()> {
        match self.out {
            Out::Memory(memory) | Out::Spool { memory, .. } => to.write_all(&memory),
            Out::File(file) => {
                let mut file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
                file.seek(SeekFrom::Start(0))?;
                io::copy(&mut file, to)?;
                Ok(())
            }
        }
    }

    /// The file that the bodies were written to, if `in_file` made this.
    pub(crate) fn into_file(self) -> io::Result<Option<File>> {
        match self.out {
            Out::File(file) => Ok(Some(file.into_inner().map_err(io::IntoInnerError::into_error)?)),
            _ => Ok(None),
        }
    }
}

struct PutAll<'a>(&'a mut Bodies);

impl Write for PutAll<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.put(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The block that is being filled.
#[derive(Default)]
struct Frame {
    slot: usize,
    contents: Vec<u8>,
    /// Bytes of the finished subtrees below this block.
    below: u64,
    /// Where the reference before ended: references are written as distances.
    referred: u64,
    empty_elements: u64,
}

/// Where a finished subtree lies, relative to the end of the block above it (for the root: to the start of the bodies).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reference {
    pub(crate) start: u64,
    pub(crate) extent: u64,
}

/// A chunk of a list: how many elements, and where.
pub(crate) type Chunk = (u64, Reference);

/// Makes the blocks of one root, or of one list that a `Writer` fills.
pub(crate) struct Collector {
    pub(crate) shape: Shape,
    bodies: Option<Bodies>,
    /// The number of the writer whose finished parts the root may refer to.
    pub(crate) writer: Option<u64>,
    queue: Vec<Sealed>,
    frame: Frame,
    above: Vec<Frame>,
    /// While keys are collected no part can start.
    in_key: bool,
}

impl Collector {
    /// Collects a root; everything below it goes to `bodies`.
    pub(crate) fn for_root(shape: Shape, bodies: Bodies) -> Self {
        let frame = Frame { below: bodies.len(), ..Frame::default() };
        Collector {
            shape,
            bodies: Some(bodies),
            writer: None,
            queue: Vec::new(),
            frame,
            above: Vec::new(),
            in_key: false,
        }
    }

    /// Collects one subtree at a time.
    pub(crate) fn for_subtree(shape: Shape) -> Self {
        let queue = vec![Sealed::default()];
        Collector {
            shape,
            bodies: None,
            writer: None,
            queue,
            frame: Frame::default(),
            above: Vec::new(),
            in_key: false,
        }
    }

    pub(crate) fn out(&mut self) -> &mut Vec<u8> {
        &mut self.frame.contents
    }

    /// True when what may refer to parts written earlier is being filled.
    pub(crate) fn at_root(&self) -> bool {
        self.bodies.is_some() && self.above.is_empty()
    }

    /// Tells that an element took `bytes` bytes.
    pub(crate) fn element(&mut self, bytes: usize) -> Result<()> {
        if bytes == 0 {
            self.frame.empty_elements += 1;
            if self.frame.empty_elements > EMPTY_ELEMENTS {
                return Err(Error::save(format!(
                    "more than {EMPTY_ELEMENTS} elements in one block take no bytes at all; store their number instead"
                )));
            }
        }
        Ok(())
    }

    pub(crate) fn begin_part(&mut self) -> Result<()> {
        if self.in_key {
            return Err(Error::save("a key of a DeferMap holds a deferred part; keys must be strict"));
        }
        if self.above.len() >= self.shape.part_depth {
            return Err(Error::save(format!(
                "parts nest more than {} deep; keep long chains in a DeferVec, or raise SaveOptions::part_depth and the stack",
                self.shape.part_depth
            )));
        }
        let slot = self.queue.len();
        self.queue.push(Sealed::default());
        self.above.push(std::mem::replace(&mut self.frame, Frame { slot, ..Frame::default() }));
        Ok(())
    }

    pub(crate) fn end_part(&mut self) -> Result<Reference> {
        let Some(above) = self.above.pop() else {
            return Err(Error::save(
                "a part ended that had not begun; this is a bug of fastboot-defer, please report it",
            ));
        };
        let done = std::mem::replace(&mut self.frame, above);
        let sealed = self.seal(&done.contents)?;
        let extent = sealed.len() + done.below;
        self.queue[done.slot] = sealed;
        let start = self.frame.below;
        self.frame.below += extent;
        if let (true, Some(bodies)) = (self.above.is_empty(), &mut self.bodies) {
            bodies.append(&mut self.queue)?;
        }
        Ok(Reference { start, extent })
    }

    /// Ends a part whose contents are `count` elements of a list: it reads as a `Vec` of them.
    pub(crate) fn end_chunk(&mut self, count: u64) -> Result<Reference> {
        let mut contents = varint(count);
        contents.append(&mut self.frame.contents);
        self.frame.contents = contents;
        self.end_part()
    }

    /// True when the part that is being filled should be closed, were it a chunk.
    pub(crate) fn chunk_is_full(&self) -> bool {
        self.frame.contents.len() >= self.shape.block_size
            || self.frame.below >= BELOW_CHUNK * self.shape.block_size as u64
    }

    /// Adds a part whose contents are given.
    pub(crate) fn whole_part(&mut self, contents: &[&[u8]]) -> Result<Reference> {
        self.begin_part()?;
        for bytes in contents {
            self.frame.contents.extend_from_slice(bytes);
        }
        self.end_part()
    }

    /// Exchanges the contents being filled for `other`: what is written until the next exchange is a key.
    pub(crate) fn exchange_for_key(&mut self, other: &mut Vec<u8>) {
        std::mem::swap(&mut self.frame.contents, other);
        self.in_key = !self.in_key;
    }

    pub(crate) fn write_varint(&mut self, n: u64) {
        put_varint(&mut self.frame.contents, n);
    }

    /// Writes a reference: the signed distance from where the last one ended (nearly always 0), and the extent.
    pub(crate) fn write_reference(&mut self, to: Reference) {
        let distance = to.start.wrapping_sub(self.frame.referred) as i64;
        self.write_varint(((distance << 1) ^ (distance >> 63)) as u64);
        self.write_varint(to.extent);
        self.frame.referred = to.start + to.extent;
    }

    pub(crate) fn write_chunks(&mut self, chunks: &[Chunk]) {
        self.write_varint(chunks.len() as u64);
        for &(count, to) in chunks {
            self.write_varint(count);
            self.write_reference(to);
        }
    }

    fn seal(&self, contents: &[u8]) -> Result<Sealed> {
        let (compression, stored) = compress::pack(contents, self.shape.level)?;
        Ok(Sealed { compression: Some(compression), raw: contents.len() as u64, stored: stored.into_owned() })
    }

    /// Takes the finished subtree of `for_subtree` and starts the next one.
    pub(crate) fn take_subtree(&mut self, mut contents: Vec<u8>) -> Result<(Vec<Sealed>, u64)> {
        contents.append(&mut self.frame.contents);
        let extent = self.frame.below;
        self.frame = Frame::default();
        self.queue[0] = self.seal(&contents)?;
        let extent = extent + self.queue[0].len();
        Ok((std::mem::replace(&mut self.queue, vec![Sealed::default()]), extent))
    }

    /// The root block as it stands in the file, and the bodies.
    pub(crate) fn finish_root(self) -> Result<(Vec<u8>, Option<Bodies>)> {
        let root = self.seal(&self.frame.contents)?;
        let mut bytes = root.finish(BlockKind::Root, 0, ROOT_POSITION, self.shape.checksums).to_vec();
        bytes.extend_from_slice(&root.stored);
        Ok((bytes, self.bodies))
    }
}
