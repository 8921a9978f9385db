//! Records: a capture is read record by record, while the run writes it.

use crate::runs::capture::{
    Allocator, Block, Capture, Counts, Failure, ForeignBlock, Held, Input, Mapping, NOT_HELD, Own, Process, Root,
    StaticSegment, Strayed, Thread, ThreadLocalBlock,
};
use crate::runs::memory::{ImageData, Memory, with_capacity};
use anyhow::{Context, Result, bail, ensure};
use fastboot_format::features::Mask;
use fastboot_format::image::Answer;
use fastboot_format::protocol::{BLOCK_LEN, HELD, InputKind, Leftover, Payload, RECORD_HEADER_LEN, Tag};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The least that the slot of a block has in the scratch heap, in bytes.
const LEAST_SLOT: u64 = 48;

impl Capture {
    /// Reads a capture up to its end: a complete one, or the reason why it is not complete. Pieces of more than `most` bytes
    /// are put into files in `folder`.
    pub(crate) fn read(from: &mut impl Read, most: u64, folder: &Path) -> Result<Result<Self, Failure>> {
        let mut capture = Self::default();
        let mut failure = Failure::Unfinished;
        match capture.read_records(from, most, folder, &mut failure) {
            Ok(()) => Ok(Ok(capture)),
            Err(error) => match error.downcast_ref::<io::Error>().map(io::Error::kind) {
                Some(io::ErrorKind::UnexpectedEof) => Ok(Err(failure)),
                _ => Err(error),
            },
        }
    }

    fn read_records(&mut self, from: &mut impl Read, most: u64, folder: &Path, failure: &mut Failure) -> Result<()> {
        let mut bytes = Vec::new();
        loop {
            let mut head = [0u8; RECORD_HEADER_LEN];
            from.read_exact(&mut head)?;
            let mut fields = Payload::new(&head);
            let tag = fields.number().and_then(|tag| u32::try_from(tag).ok()).and_then(Tag::from_number);
            let (Some(tag), Some(length)) = (tag, fields.number()) else {
                bail!(
                    "the capture has a record of an unknown kind: cargo-fastboot and fastboot-rt are of different versions"
                )
            };
            match tag {
                Tag::End => return Ok(()),
                Tag::Memory => self.read_memory(from, length, most, folder)?,
                Tag::BlockBytes => self.read_block_bytes(from, length, most, folder)?,
                _ => {
                    read_into(from, &mut bytes, length)?;
                    if self.take(tag, &bytes, failure).is_none() {
                        bail!("a record of the capture is shorter than its fields");
                    }
                }
            }
            let padding = length.next_multiple_of(8) - length;
            from.read_exact(&mut [0; 8][..padding as usize])?;
        }
    }

    /// Reads the memory of a placed or verbatim image.
    fn read_memory(&mut self, from: &mut impl Read, length: u64, most: u64, folder: &Path) -> Result<()> {
        let mut address = [0; 8];
        from.read_exact(&mut address)?;
        let length = length.checked_sub(8).context("the capture's memory has no address")?;
        ensure!(u64::from_le_bytes(address) == self.data_address(), "the capture holds memory outside of the image");
        self.memory_len = length;
        self.memory = Some(if length > most {
            Held::Filed(filed(from, length, None, folder)?)
        } else {
            let mut data = ImageData::new(length)?;
            from.read_exact(&mut data)?;
            Held::Here(data)
        });
        Ok(())
    }

    /// Reads what some more blocks hold.
    fn read_block_bytes(&mut self, from: &mut impl Read, length: u64, most: u64, folder: &Path) -> Result<()> {
        self.block_bytes = Some(match self.block_bytes.take() {
            None if self.process.blocks > most => Held::Filed(filed(from, length, None, folder)?),
            Some(Held::Filed(file)) => Held::Filed(filed(from, length, Some(file), folder)?),
            before => {
                let mut memory = match before {
                    Some(Held::Here(memory)) => memory,
                    _ => Memory::with_room(0, self.process.blocks)?,
                };
                let start = memory.len();
                memory.grow(start as u64 + length)?;
                from.read_exact(&mut memory[start..])?;
                Held::Here(memory)
            }
        });
        Ok(())
    }

    /// Takes what a record says; nothing if it is shorter than its fields.
    fn take(&mut self, tag: Tag, bytes: &[u8], failure: &mut Failure) -> Option<()> {
        let mut fields = Payload::new(bytes);
        match tag {
            Tag::Process => self.process = Process::decode(&mut fields)?,
            Tag::Root => self.roots.push(Root::decode(&mut fields)?),
            Tag::Before => self.statics.push(StaticSegment {
                address: fields.number()?,
                before: bytes.get(8..)?.to_vec(),
                after: Vec::new(),
            }),
            Tag::After => self.take_after(fields.number()?, bytes.get(8..)?)?,
            Tag::Protected => self.protected = (fields.number()?, bytes.get(8..)?.to_vec()),
            Tag::Text => self.texts.push((fields.number()?, fields.string()?)),
            Tag::Thread => {
                let (key, handle) = (fields.number()?, fields.number()?);
                self.threads.push(Thread { key, handle, fingerprints: words(bytes.get(16..)?) });
            }
            Tag::Blocks => self.take_blocks_of(bytes)?,
            Tag::Traces => self.traces.extend(words(bytes)),
            Tag::TraceWords => self.trace_words = words(bytes),
            Tag::Maps => self.maps = fields.string()?.lines().filter_map(Mapping::parse).collect(),
            Tag::LeftBehind => {
                let (root, kind) = (fields.string()?, Leftover::from_number(fields.number()?)?);
                self.left_behind.push((root, kind, fields.string()?));
            }
            Tag::ThreadLocals => self.thread_locals = ThreadLocalBlock::decode(bytes)?,
            Tag::OwnChanges => self.take_own_changes(bytes)?,
            Tag::CBlock => self.foreign_blocks.push(ForeignBlock::decode(Allocator::Malloc, &mut fields)?),
            Tag::Mapped => self.foreign_blocks.push(ForeignBlock::decode(Allocator::Mmap, &mut fields)?),
            Tag::Unmapped => self.take_unmapped(fields.number()?, fields.number()?),
            Tag::Counts => self.counts = Counts::decode(&mut fields)?,
            Tag::Input => self.inputs.push(Input::decode(&mut fields)?),
            Tag::Output => {
                fields.string()?;
                self.outputs.push(OsStr::from_bytes(fields.bytes()?).to_owned());
            }
            Tag::Asked => self.take_asked(&mut fields)?,
            Tag::Strayed => self.strayed.push(Strayed::decode(&mut fields)?),
            Tag::Panic | Tag::OutOfMemory | Tag::Refused => *failure = Failure::decode(tag, &mut fields)?,
            Tag::Memory | Tag::BlockBytes | Tag::End => {}
        }
        Some(())
    }

    /// What a segment holds after the roots were evaluated; what it held before is known.
    fn take_after(&mut self, address: u64, bytes: &[u8]) -> Option<()> {
        let same = |s: &&mut StaticSegment| s.address == address && s.before.len() == bytes.len();
        self.statics.iter_mut().find(same)?.after = bytes.to_vec();
        Some(())
    }

    fn take_blocks_of(&mut self, bytes: &[u8]) -> Option<()> {
        if self.blocks.is_empty() {
            // More than there are: what is not used costs nothing.
            self.blocks = with_capacity(usize::try_from(self.process.blocks / LEAST_SLOT).ok()?);
        }
        for block in bytes.as_chunks::<BLOCK_LEN>().0 {
            let mut fields = Payload::new(block);
            let (address, size, align) = (fields.number()?, fields.number()?, fields.number()?);
            let (thread, index) = (fields.number()?, fields.number()?);
            let mut contents = NOT_HELD;
            if thread & HELD != 0 {
                contents = self.held;
                self.held = self.held.checked_add(size.checked_next_multiple_of(8)?)?;
            }
            let align = u32::try_from(align).ok()?;
            self.blocks.push(Block { address, size, index, contents, align, thread: thread as u32 });
        }
        Some(())
    }

    fn take_asked(&mut self, fields: &mut Payload<'_>) -> Option<()> {
        let site = fields.number()?;
        let mut part = || u32::try_from(fields.number()?).ok();
        let (leaf, subleaf) = (part()?, part()?);
        self.asked.push((site, Answer { leaf, subleaf, bits: [part()?, part()?, part()?, part()?] }));
        Some(())
    }

    /// Memory that was mapped may have been unmapped since, in part.
    fn take_unmapped(&mut self, address: u64, size: u64) {
        let range = address..address.saturating_add(size);
        let blocks = std::mem::take(&mut self.foreign_blocks).into_iter();
        self.foreign_blocks = blocks.flat_map(|block| block.without(&range)).collect();
    }

    fn take_own_changes(&mut self, bytes: &[u8]) -> Option<()> {
        for range in bytes.as_chunks::<16>().0 {
            let mut fields = Payload::new(range);
            let (start, length) = (fields.number()?, fields.number()?);
            self.own_changes.push(start..start.checked_add(length)?);
        }
        Some(())
    }
}

impl Process {
    fn decode(fields: &mut Payload<'_>) -> Option<Self> {
        Some(Self {
            exe_base: fields.number()?,
            exe_end: fields.number()?,
            cpu: Mask::from(fields.number()?) | Mask::from(fields.number()?) << 64,
            home: fields.number()?,
            warmed: fields.number()?,
            thread_locals: fields.number()?,
            peak: fields.number()?,
            had_children: fields.number()? != 0,
            blocks: fields.number()?,
            own: Own {
                id: fields.number()?,
                thread: fields.number()?,
                real: [fields.number()?, fields.number()?],
                monotonic: [fields.number()?, fields.number()?],
            },
        })
    }
}

impl Root {
    fn decode(fields: &mut Payload<'_>) -> Option<Self> {
        Some(Self {
            value: fields.number()?,
            size: fields.number()?,
            align: fields.number()?,
            place: fields.number()?..fields.number()?,
            nanoseconds: fields.number()?,
            end: fields.number()?,
            name: fields.string()?,
            type_name: fields.string()?,
        })
    }
}

impl ThreadLocalBlock {
    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fields = Payload::new(bytes);
        let (address, length) = (fields.number()?, usize::try_from(fields.number()?).ok()?);
        let (before, after) = bytes.get(16..)?.split_at_checked(length)?;
        Some(Self { address, before: before.to_vec(), after: after.get(..length)?.to_vec() })
    }
}

impl ForeignBlock {
    fn decode(allocator: Allocator, fields: &mut Payload<'_>) -> Option<Self> {
        Some(Self { allocator, root: fields.string()?, address: fields.number()?, size: fields.number()? })
    }

    /// What is left of it, at most two pieces, if this range is not its own any more.
    fn without(self, range: &Range<u64>) -> impl Iterator<Item = Self> {
        let own = self.address..self.address.saturating_add(self.size);
        let pieces = [own.start..own.end.min(range.start), own.start.max(range.end)..own.end];
        let pieces = pieces.into_iter().filter(|piece| piece.start < piece.end);
        pieces.map(move |piece| Self { address: piece.start, size: piece.end - piece.start, ..self.clone() })
    }
}

impl Counts {
    fn decode(fields: &mut Payload<'_>) -> Option<Self> {
        Some(Self {
            strayed: fields.number()?,
            placed: fields.number()?,
            overflowed: fields.number()?,
            objects: fields.number()?,
            live: fields.number()?,
            largest_alignment: fields.number()?,
        })
    }
}

impl Input {
    fn decode(fields: &mut Payload<'_>) -> Option<Self> {
        Some(Self {
            root: fields.string()?,
            kind: InputKind::from_number(fields.number()?)?,
            declared: fields.number()? != 0,
            name: OsStr::from_bytes(fields.bytes()?).to_owned(),
        })
    }
}

impl Strayed {
    fn decode(fields: &mut Payload<'_>) -> Option<Self> {
        let root = fields.string()?;
        let (_thread, index) = (fields.number()?, fields.number()?);
        Some(Self { root, index, size: fields.number()? })
    }
}

impl Failure {
    fn decode(tag: Tag, fields: &mut Payload<'_>) -> Option<Self> {
        Some(match tag {
            Tag::Panic => Self::Panic { root: fields.string()?, message: fields.string()?, location: fields.string()? },
            Tag::OutOfMemory => {
                Self::OutOfMemory { root: fields.string()?, asked: fields.number()?, limit: fields.number()? }
            }
            _ => Self::Refused { reason: fields.string()? },
        })
    }
}

/// Reads a record's bytes.
fn read_into(from: &mut impl Read, bytes: &mut Vec<u8>, length: u64) -> Result<()> {
    bytes.clear();
    let read = from.by_ref().take(length).read_to_end(bytes)?;
    if read as u64 != length {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    Ok(())
}

/// Appends so many bytes to a file, or to a new one.
fn filed(from: &mut impl Read, length: u64, file: Option<File>, folder: &Path) -> Result<File> {
    let cannot_write = || format!("cannot write into {}", folder.display());
    let mut file = file.map_or_else(|| tempfile::tempfile_in(folder), Ok).with_context(cannot_write)?;
    let copied = io::copy(&mut from.by_ref().take(length), &mut file).with_context(cannot_write)?;
    if copied != length {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    Ok(file)
}

fn words(bytes: &[u8]) -> Vec<u32> {
    bytes.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use fastboot_format::image::write::DATA_OFFSET;
    use fastboot_format::protocol::AGAIN;

    const HOME: u64 = 0x5500_0000_0000;

    /// A record as a run writes it.
    fn record(tag: Tag, payload: &[u8]) -> Vec<u8> {
        let mut bytes = [u64::from(tag as u32), payload.len() as u64].map(u64::to_le_bytes).concat();
        bytes.extend_from_slice(payload);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    }

    fn words(words: &[u64]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    /// A run with 13 bytes of memory, and three blocks in two records; what the second one holds was not captured.
    fn stream() -> Vec<u8> {
        let process = words(&[0, 0x1000, 0, 0, HOME, 0, 0, 1 << 20, 0, 4096, 7, 8, 1, 2, 3, 4]);
        let first = words(&[0x5530_0000_0020, 5, 8, HELD, 0, 0x5530_0000_0050, 100, 16, 0, 1]);
        let second = words(&[0x5530_0000_0100, 9, 1, 3 | HELD, 7]);
        let memory = [&(HOME + DATA_OFFSET).to_le_bytes()[..], b"thirteen byte"].concat();
        [
            record(Tag::Process, &process),
            record(Tag::Blocks, &first),
            record(Tag::BlockBytes, b"hello\0\0\0"),
            record(Tag::Blocks, &second),
            record(Tag::BlockBytes, b"nine byte\0\0\0\0\0\0\0"),
            record(Tag::Memory, &memory),
            record(Tag::Output, &[&2u32.to_le_bytes()[..], b"ab", &4u32.to_le_bytes()[..], b"/a/b"].concat()),
            record(Tag::End, &[]),
        ]
        .concat()
    }

    fn read(mut stream: &[u8], most: u64) -> Result<Result<Capture, Failure>> {
        Capture::read(&mut stream, most, &std::env::temp_dir())
    }

    #[test]
    fn memory_and_blocks_are_the_same_whether_in_a_file_or_not() {
        for most in [0, 10, 1 << 20] {
            let mut capture = read(&stream(), most).unwrap().unwrap();
            assert_eq!(capture.memory_len(), 13);
            assert_eq!(&capture.take_memory().unwrap()[..], b"thirteen byte");
            assert_eq!(capture.outputs, ["/a/b"]);
            assert_eq!(matches!(capture.block_bytes, Some(Held::Filed(_))), most < 4096);
            let bytes = capture.take_blocks().unwrap();
            let held: Vec<_> = capture.blocks.iter().map(|block| block.contents(&bytes)).collect();
            assert_eq!(held, [&b"hello"[..], b"", b"nine byte"]);
            assert_eq!((capture.blocks[2].thread, capture.blocks[2].index), (3, 7));
            // Once more, if that is possible.
            assert_eq!(capture.take_blocks().unwrap().len(), if most < 4096 { bytes.len() } else { 0 });
            capture.put_back_blocks(bytes);
            assert_eq!(&capture.take_blocks().unwrap()[..], b"hello\0\0\0nine byte\0\0\0\0\0\0\0");
        }
    }

    #[test]
    fn what_is_cut_off_is_unfinished() {
        let whole = stream();
        for most in [0, 1 << 20] {
            for end in 0..whole.len() {
                assert_eq!(read(&whole[..end], most).unwrap().unwrap_err(), Failure::Unfinished, "{end} bytes");
            }
        }
        let refused = record(Tag::Refused, &[&3u32.to_le_bytes()[..], b"no!"].concat());
        let failure = read(&refused, 0).unwrap().unwrap_err();
        assert_eq!(failure, Failure::Refused { reason: "no!".to_owned() });
    }

    #[test]
    fn memory_elsewhere_and_unknown_records_are_errors() {
        let said = |stream: &[u8]| read(stream, 1 << 20).unwrap_err().to_string();
        let process = record(Tag::Process, &words(&[0, 0, 0, 0, HOME, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]));
        for payload in [words(&[HOME, 1]), b"short".to_vec()] {
            let memory = record(Tag::Memory, &payload);
            assert!(!said(&[&process[..], &memory, &memory].concat()).is_empty());
        }
        assert!(said(&words(&[u64::from(AGAIN as u32) << 8, 0])).contains("unknown kind"));
        assert!(said(&record(Tag::Process, &[1; 8])).contains("shorter"));
    }

    #[test]
    fn memory_that_was_unmapped_is_nobodys() {
        let mut capture = Capture::default();
        let mut take = |tag, payload: &[u8]| capture.take(tag, payload, &mut Failure::Unfinished).unwrap();
        for address in [0x1000, 0x9000] {
            take(Tag::Mapped, &[&1u32.to_le_bytes()[..], b"r", &words(&[address, 0x5000])].concat());
        }
        for range in [[0x2000, 0x1000], [0x5000, 0x5000], [0x7000, 0x100], [u64::MAX, 1]] {
            take(Tag::Unmapped, &words(&range));
        }
        let left: Vec<(u64, u64)> = capture.foreign_blocks.iter().map(|block| (block.address, block.size)).collect();
        assert_eq!(left, [(0x1000, 0x1000), (0x3000, 0x2000), (0xa000, 0x4000)]);
    }
}
