//! Capture: what a freeze run says, read record by record while it is being written. Large pieces of memory are put into a
//! file until an image is made of them.

use crate::runs::memory::{ImageData, Memory, with_capacity};
use anyhow::{Context, Result, bail, ensure};
use fastboot_format::features::Mask;
use fastboot_format::image::write::DATA_OFFSET;
use fastboot_format::protocol::{BLOCK_LEN, HELD, InputKind, Leftover, Payload, RECORD_HEADER_LEN, Tag};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Seek};
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A capture, understood.
#[derive(Debug)]
pub(crate) struct Capture {
    /// Where the freeze run's executable was, and on what processor it ran.
    pub(crate) process: Process,
    /// In the order of the registry.
    pub(crate) roots: Vec<Root>,
    /// How much memory was captured, in bytes, and that memory until it is taken out.
    memory_len: u64,
    memory: Option<Held<ImageData>>,
    /// Writable segments of the executable before the roots were evaluated, and after.
    pub(crate) statics: Vec<Statics>,
    /// In the order of [`Block::thread`].
    pub(crate) threads: Vec<Thread>,
    /// Live blocks of the scratch heap, by ascending address.
    pub(crate) blocks: Vec<Block>,
    block_bytes: Option<Held<Memory>>,
    /// How many bytes they are.
    held: u64,
    /// For each block, where in `trace_words` its trace begins, or 0. Empty if nothing was traced.
    pub(crate) traces: Vec<u32>,
    /// As [`Tag::TraceWords`] has them.
    pub(crate) trace_words: Vec<u32>,
    /// What roots left open in the system: root, kind, description.
    pub(crate) left_behind: Vec<(String, Leftover, String)>,
    /// Addresses of statics that the runtime changed itself, by allocating.
    pub(crate) own_changes: Vec<Range<u64>>,
    /// Blocks of C's heap that roots left in use.
    pub(crate) c_blocks: Vec<CBlock>,
    /// The freeze thread's thread-locals.
    pub(crate) thread_locals: ThreadLocals,
    /// What the roots' expressions read.
    pub(crate) inputs: Vec<Input>,
    /// Files that they opened to write to.
    pub(crate) outputs: Vec<OsString>,
    /// What was mapped at the end of the run.
    pub(crate) maps: Vec<Mapping>,
    /// How the plan fitted, and what came to lie in the image.
    pub(crate) counts: Counts,
    /// Where threads left the plan.
    pub(crate) strayed: Vec<Strayed>,
}

/// The first allocation of a thread that did not fit its plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Strayed {
    /// The root that was being evaluated.
    pub(crate) root: String,
    /// Which of the thread's allocations it was.
    pub(crate) index: u64,
    /// What it asked for, in bytes.
    pub(crate) size: u64,
}

impl std::fmt::Display for Strayed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { root, index, size } = self;
        write!(f, "root `{root}`, whose allocation number {} ({size} bytes) was another one before", index + 1)
    }
}

/// What a run counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Threads that left the plan.
    pub(crate) strayed: u64,
    /// Objects that are where the plan wants them.
    pub(crate) placed: u64,
    /// Allocations that had no place, or lost it because their thread left the plan.
    pub(crate) overflowed: u64,
    /// Objects in the image that were not freed.
    pub(crate) objects: u64,
    /// Their bytes.
    pub(crate) live: u64,
    /// The largest alignment in bytes of what may be in the image.
    pub(crate) largest_alignment: u64,
}

/// A writable segment of the executable, as it was loaded: its statics.
#[derive(Debug)]
pub(crate) struct Statics {
    pub(crate) address: u64,
    pub(crate) before: Vec<u8>,
    pub(crate) after: Vec<u8>,
}

/// The freeze thread's copy of the executable's thread-locals.
#[derive(Debug, Default)]
pub(crate) struct ThreadLocals {
    pub(crate) address: u64,
    pub(crate) before: Vec<u8>,
    pub(crate) after: Vec<u8>,
}

/// A block of C's heap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CBlock {
    /// What was evaluated when it came to be; nothing if it was there before.
    pub(crate) root: String,
    pub(crate) address: u64,
    /// In bytes.
    pub(crate) size: u64,
}

/// A thread of a plan run.
#[derive(Debug)]
pub(crate) struct Thread {
    pub(crate) key: u64,
    /// Its `pthread_t`; 0 for the first.
    pub(crate) handle: u64,
    /// What each of its allocations asked for.
    pub(crate) fingerprints: Vec<u32>,
}

/// A live block of the scratch heap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) address: u64,
    /// At the end of the run, in bytes.
    pub(crate) size: u64,
    /// Which of its thread's allocations it was.
    pub(crate) index: u64,
    /// Where in the blocks' bytes what it holds begins, or [`NOT_HELD`]: then it leads nowhere.
    pub(crate) contents: u64,
    pub(crate) align: u32,
    /// Index of the thread that allocated it.
    pub(crate) thread: u32,
}

/// [`Block::contents`] of a block of which nothing was captured.
pub(crate) const NOT_HELD: u64 = u64::MAX;

impl Block {
    /// What it holds, `bytes` being those of all blocks; nothing if that leads nowhere.
    pub(crate) fn contents<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        contents(self.contents, self.size, bytes)
    }
}

/// So many of all blocks' bytes, from `start` on; none if that is [`NOT_HELD`].
pub(crate) fn contents(start: u64, size: u64, bytes: &[u8]) -> &[u8] {
    let start = usize::try_from(start).unwrap_or(usize::MAX);
    bytes.get(start..).and_then(|bytes| bytes.get(..size as usize)).unwrap_or_default()
}

/// Something that was read while roots were evaluated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Input {
    /// The root that was being evaluated.
    pub(crate) root: String,
    pub(crate) kind: InputKind,
    /// Whether the expression said so itself.
    pub(crate) declared: bool,
    /// An absolute path, or the name of a variable.
    pub(crate) name: OsString,
}

/// A line of `/proc/PID/maps`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mapping {
    pub(crate) range: Range<u64>,
    pub(crate) executable: bool,
    /// Offset in the file.
    pub(crate) offset: u64,
    /// Path of the file, `[heap]` and the like, or nothing.
    pub(crate) name: String,
}

impl Mapping {
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.splitn(6, ' ');
        let (start, end) = fields.next()?.split_once('-')?;
        let (permissions, offset) = (fields.next()?, fields.next()?);
        let name = fields.nth(2).map_or("", |rest| rest.trim_start());
        let number = |text| u64::from_str_radix(text, 16).ok();
        Some(Self {
            range: number(start)?..number(end)?,
            executable: permissions.contains('x'),
            offset: number(offset)?,
            name: name.to_owned(),
        })
    }
}

/// The process of a freeze run.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Process {
    /// Load bias of the executable.
    pub(crate) exe_base: u64,
    /// First address behind it.
    pub(crate) exe_end: u64,
    /// Processor features that could be seen, as [`fastboot_format::features`] numbers them.
    pub(crate) cpu: Mask,
    /// The home address.
    pub(crate) home: u64,
    /// How many expressions were warmed.
    pub(crate) warmed: u64,
    /// First address of the freeze thread's thread-locals, which end where its stack ends.
    pub(crate) thread_locals: u64,
    /// Most bytes of memory that it ever had at once.
    pub(crate) peak: u64,
    /// Whether it waited for child processes.
    pub(crate) had_children: bool,
    /// Bytes that the live blocks of the scratch heap do not exceed.
    pub(crate) blocks: u64,
    /// What no other process has.
    pub(crate) own: Own,
}

/// What belongs to one process alone.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Own {
    /// Its number.
    pub(crate) id: u64,
    /// The number of its freeze thread.
    pub(crate) thread: u64,
    /// The real time while the roots were evaluated, in nanoseconds since 1970: the first moment and the last.
    pub(crate) real: [u64; 2],
    /// The same on the monotonic clock.
    pub(crate) monotonic: [u64; 2],
}

/// A root, as it came out of the run.
#[derive(Clone, Debug)]
pub(crate) struct Root {
    pub(crate) value: u64,
    pub(crate) size: u64,
    pub(crate) align: u64,
    /// The addresses of the static that was declared.
    pub(crate) place: Range<u64>,
    pub(crate) nanoseconds: u64,
    /// Where the memory of the image ended when it was evaluated; 0 in a plan run.
    pub(crate) end: u64,
    pub(crate) name: String,
    pub(crate) type_name: String,
}

/// A piece of memory that was captured.
#[derive(Debug)]
enum Held<M> {
    Here(M),
    /// In a file of its own, which has no name.
    Filed(File),
}

/// The least that the slot of a block has in the scratch heap, in bytes.
const LEAST_SLOT: u64 = 48;

/// How a freeze run came to an end, when it did not come to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It could not begin.
    Refused { reason: String },
    /// The last panic.
    Panic { root: String, message: String, location: String },
    /// The arena was full.
    OutOfMemory { root: String, asked: u64, limit: u64 },
    /// It ended without a word.
    Unfinished,
}

impl Capture {
    /// Reads a capture up to its end: a complete one, or the reason why it is not complete. Pieces of more than `most` bytes
    /// are put into files in `folder`.
    pub(crate) fn read(from: &mut impl Read, most: u64, folder: &Path) -> Result<Result<Self, Failure>> {
        let mut capture = Self {
            process: Process::default(),
            roots: Vec::new(),
            memory_len: 0,
            memory: None,
            statics: Vec::new(),
            threads: Vec::new(),
            blocks: Vec::new(),
            block_bytes: None,
            held: 0,
            traces: Vec::new(),
            trace_words: Vec::new(),
            left_behind: Vec::new(),
            own_changes: Vec::new(),
            c_blocks: Vec::new(),
            thread_locals: ThreadLocals::default(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            maps: Vec::new(),
            counts: Counts::default(),
            strayed: Vec::new(),
        };
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

    fn take(&mut self, tag: Tag, bytes: &[u8], failure: &mut Failure) -> Option<()> {
        let mut fields = Payload::new(bytes);
        match tag {
            Tag::Process => {
                self.process = Process {
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
                };
            }
            Tag::Root => self.roots.push(Root {
                value: fields.number()?,
                size: fields.number()?,
                align: fields.number()?,
                place: fields.number()?..fields.number()?,
                nanoseconds: fields.number()?,
                end: fields.number()?,
                name: fields.string()?,
                type_name: fields.string()?,
            }),
            Tag::Before | Tag::After => {
                let address = fields.number()?;
                let bytes = bytes.get(8..)?.to_vec();
                if tag == Tag::Before {
                    self.statics.push(Statics { address, before: bytes, after: Vec::new() });
                } else {
                    let length = bytes.len();
                    let same = |s: &&mut Statics| s.address == address && s.before.len() == length;
                    self.statics.iter_mut().find(same)?.after = bytes;
                }
            }
            Tag::Thread => {
                let (key, handle) = (fields.number()?, fields.number()?);
                self.threads.push(Thread { key, handle, fingerprints: words(bytes.get(16..)?) });
            }
            Tag::Blocks => {
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
            }
            Tag::Traces => self.traces.extend(words(bytes)),
            Tag::TraceWords => self.trace_words = words(bytes),
            Tag::Maps => self.maps = fields.string()?.lines().filter_map(Mapping::parse).collect(),
            Tag::LeftBehind => {
                let (root, kind) = (fields.string()?, Leftover::from_number(fields.number()?)?);
                self.left_behind.push((root, kind, fields.string()?));
            }
            Tag::ThreadLocals => {
                let (address, length) = (fields.number()?, usize::try_from(fields.number()?).ok()?);
                let (before, after) = bytes.get(16..)?.split_at_checked(length)?;
                self.thread_locals =
                    ThreadLocals { address, before: before.to_vec(), after: after.get(..length)?.to_vec() };
            }
            Tag::CBlock => {
                self.c_blocks.push(CBlock {
                    root: fields.string()?,
                    address: fields.number()?,
                    size: fields.number()?,
                });
            }
            Tag::OwnChanges => {
                for range in bytes.as_chunks::<16>().0 {
                    let mut fields = Payload::new(range);
                    let (start, length) = (fields.number()?, fields.number()?);
                    self.own_changes.push(start..start.checked_add(length)?);
                }
            }
            Tag::Counts => {
                self.counts = Counts {
                    strayed: fields.number()?,
                    placed: fields.number()?,
                    overflowed: fields.number()?,
                    objects: fields.number()?,
                    live: fields.number()?,
                    largest_alignment: fields.number()?,
                };
            }
            Tag::Input => self.inputs.push(Input {
                root: fields.string()?,
                kind: InputKind::from_number(fields.number()?)?,
                declared: fields.number()? != 0,
                name: OsStr::from_bytes(fields.bytes()?).to_owned(),
            }),
            Tag::Output => {
                fields.string()?;
                self.outputs.push(OsStr::from_bytes(fields.bytes()?).to_owned());
            }
            Tag::Strayed => {
                let root = fields.string()?;
                let (_thread, index) = (fields.number()?, fields.number()?);
                self.strayed.push(Strayed { root, index, size: fields.number()? });
            }
            Tag::Panic => {
                *failure =
                    Failure::Panic { root: fields.string()?, message: fields.string()?, location: fields.string()? };
            }
            Tag::OutOfMemory => {
                *failure =
                    Failure::OutOfMemory { root: fields.string()?, asked: fields.number()?, limit: fields.number()? };
            }
            Tag::Refused => *failure = Failure::Refused { reason: fields.string()? },
            Tag::Memory | Tag::BlockBytes | Tag::End => {}
        }
        Some(())
    }

    /// Whether roots are declared in this crate: its code is the user's, more likely than not.
    pub(crate) fn declares_roots(&self, crate_name: Option<&str>) -> bool {
        self.roots.iter().any(|root| root.name.split("::").next() == crate_name)
    }

    /// What statics at these addresses, as in the file, held before the roots were evaluated, and after.
    pub(crate) fn static_bytes(&self, range: Range<u64>) -> Option<(&[u8], &[u8])> {
        self.statics.iter().find_map(|dump| {
            let start = (range.start + self.process.exe_base).checked_sub(dump.address)?;
            let bytes = usize::try_from(start).ok()?..usize::try_from(start + (range.end - range.start)).ok()?;
            Some((dump.before.get(bytes.clone())?, dump.after.get(bytes)?))
        })
    }

    /// The word at an address in a writable segment of the executable, as the run left it.
    pub(crate) fn static_word(&self, address: u64) -> Option<u64> {
        let word = self.statics.iter().find_map(|dump| {
            let start = usize::try_from(address.checked_sub(dump.address)?).ok()?;
            dump.after.get(start..)?.first_chunk()
        });
        Some(u64::from_le_bytes(*word?))
    }

    /// The root that was being evaluated when what lies at an offset in the image data was allocated, unless the plan says where
    /// that belongs.
    pub(crate) fn allocated_for(&self, offset: u64) -> Option<&str> {
        let address = self.data_address() + offset;
        let root = self.roots.iter().find(|root| address < root.end).filter(|_| offset < self.memory_len)?;
        Some(&root.name)
    }

    /// What the blocks hold: one behind the other, each padded to eight bytes. Unless it is in a file, it is taken out until it
    /// is put back.
    pub(crate) fn take_blocks(&mut self) -> Result<Memory> {
        match self.block_bytes.take() {
            None => Memory::new(0),
            Some(Held::Here(memory)) => Ok(memory),
            Some(Held::Filed(mut file)) => {
                let mut memory = Memory::new(file.stream_position()?)?;
                read_back(&mut file, &mut memory)?;
                self.block_bytes = Some(Held::Filed(file));
                Ok(memory)
            }
        }
    }

    /// Puts back what [`Capture::take_blocks`] gave.
    pub(crate) fn put_back_blocks(&mut self, bytes: Memory) {
        self.block_bytes.get_or_insert(Held::Here(bytes));
    }

    /// The keys of the threads, by their numbers.
    pub(crate) fn thread_keys(&self) -> Vec<u64> {
        self.threads.iter().map(|thread| thread.key).collect()
    }

    /// Address of what will be the image data: the captured memory begins there.
    pub(crate) fn data_address(&self) -> u64 {
        self.process.home + DATA_OFFSET
    }

    /// Length in bytes of the captured memory.
    pub(crate) fn memory_len(&self) -> u64 {
        self.memory_len
    }

    /// Takes the captured memory out: it becomes image data.
    pub(crate) fn take_memory(&mut self) -> Result<ImageData> {
        match self.memory.take() {
            Some(Held::Here(data)) => Ok(data),
            Some(Held::Filed(mut file)) => {
                let mut data = ImageData::new(self.memory_len)?;
                read_back(&mut file, &mut data)?;
                Ok(data)
            }
            None => bail!("the capture has no memory"),
        }
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
    let told = || format!("cannot write into {}", folder.display());
    let mut file = file.map_or_else(|| tempfile::tempfile_in(folder), Ok).with_context(told)?;
    let copied = io::copy(&mut from.by_ref().take(length), &mut file).with_context(told)?;
    if copied != length {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    Ok(file)
}

/// Reads a file from its beginning.
fn read_back(file: &mut File, to: &mut [u8]) -> Result<()> {
    file.rewind().and_then(|()| file.read_exact(to)).context("cannot read what was captured")
}

fn words(bytes: &[u8]) -> Vec<u32> {
    bytes.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
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
        let told = |stream: &[u8]| read(stream, 1 << 20).unwrap_err().to_string();
        let process = record(Tag::Process, &words(&[0, 0, 0, 0, HOME, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]));
        for payload in [words(&[HOME, 1]), b"short".to_vec()] {
            let memory = record(Tag::Memory, &payload);
            assert!(!told(&[&process[..], &memory, &memory].concat()).is_empty());
        }
        assert!(told(&words(&[u64::from(AGAIN as u32) << 8, 0])).contains("unknown kind"));
        assert!(told(&record(Tag::Process, &[1; 8])).contains("shorter"));
    }
}
