//! Capture: what a freeze run left behind, read record by record. The captured memory stays in the file until an image
//! is made of it.

use anyhow::{Context, Result, bail};
use fastboot_rt::capture::{BLOCK_LEN, InputKind, Leftover, Payload, RECORD_HEADER_LEN, Tag};
use fastboot_rt::format::write::DATA_OFFSET;
use memmap2::MmapMut;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// A capture file, understood.
#[derive(Debug)]
pub(crate) struct Capture {
    file: File,
    /// Where the freeze run's executable was, and on what processor it ran.
    pub(crate) process: Process,
    /// In the order of the registry.
    pub(crate) roots: Vec<Root>,
    memory: Vec<Memory>,
    /// Writable segments of the executable before the roots were evaluated, and after.
    pub(crate) statics: Vec<Statics>,
    /// In the order of [`Block::thread`].
    pub(crate) threads: Vec<Thread>,
    /// Live blocks of the scratch heap, by ascending address.
    pub(crate) blocks: Vec<Block>,
    block_bytes: Option<Memory>,
    /// For each block, where in `trace_words` its trace begins, or 0. Empty if nothing was traced.
    pub(crate) traces: Vec<u32>,
    /// As [`Tag::TraceWords`] has them.
    pub(crate) trace_words: Vec<u32>,
    /// What roots left open in the system: root, kind, description.
    pub(crate) left_behind: Vec<(String, Leftover, String)>,
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
    /// What was evaluated when it came to be.
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
    pub(crate) align: u64,
    /// Index of the thread that allocated it.
    pub(crate) thread: u64,
    /// Which of that thread's allocations it was.
    pub(crate) index: u64,
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
    /// Processor features, as [`fastboot_rt::cpu`] numbers them.
    pub(crate) cpu: u64,
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
    pub(crate) name: String,
    pub(crate) type_name: String,
}

#[derive(Clone, Copy, Debug)]
struct Memory {
    address: u64,
    offset: u64,
    length: u64,
}

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
    /// Reads what is there: a complete capture, or the reason why it is not complete.
    pub(crate) fn read(path: &Path) -> Result<Result<Self, Failure>> {
        let told = || format!("cannot read the capture {}", path.display());
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Err(Failure::Unfinished)),
            Err(error) => return Err(error).with_context(told),
        };
        let length = file.metadata().with_context(told)?.len();
        let mut reader = BufReader::new(file.try_clone().with_context(told)?);
        let mut capture = Self {
            file,
            process: Process::default(),
            roots: Vec::new(),
            memory: Vec::new(),
            statics: Vec::new(),
            threads: Vec::new(),
            blocks: Vec::new(),
            block_bytes: None,
            traces: Vec::new(),
            trace_words: Vec::new(),
            left_behind: Vec::new(),
            c_blocks: Vec::new(),
            thread_locals: ThreadLocals::default(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            maps: Vec::new(),
            counts: Counts::default(),
        };
        let mut failure = Failure::Unfinished;
        let mut at = 0u64;
        while at + RECORD_HEADER_LEN as u64 <= length {
            let mut head = [0u8; RECORD_HEADER_LEN];
            reader.read_exact(&mut head).with_context(told)?;
            let mut fields = Payload::new(&head);
            let tag = fields.number().and_then(|tag| u32::try_from(tag).ok()).and_then(Tag::from_number);
            let (Some(tag), Some(payload)) = (tag, fields.number()) else {
                bail!(
                    "the capture has a record of an unknown kind: cargo-fastboot and fastboot-rt are of different versions"
                )
            };
            at += RECORD_HEADER_LEN as u64;
            let next = payload.checked_next_multiple_of(8).and_then(|padded| at.checked_add(padded));
            let Some(next) = next.filter(|next| *next <= length) else { break };
            let small = match tag {
                Tag::Memory => payload.min(8),
                Tag::BlockBytes => 0,
                _ => payload,
            };
            let mut bytes = vec![0; usize::try_from(small)?];
            reader.read_exact(&mut bytes).with_context(told)?;
            if capture.take(tag, &bytes, at, payload, &mut failure).is_none() {
                bail!("a record of the capture is shorter than its fields");
            }
            if tag == Tag::End {
                return Ok(Ok(capture));
            }
            at = next;
            reader.seek(SeekFrom::Start(at)).with_context(told)?;
        }
        Ok(Err(failure))
    }

    fn take(&mut self, tag: Tag, bytes: &[u8], at: u64, length: u64, failure: &mut Failure) -> Option<()> {
        let mut fields = Payload::new(bytes);
        match tag {
            Tag::Process => {
                self.process = Process {
                    exe_base: fields.number()?,
                    exe_end: fields.number()?,
                    cpu: fields.number()?,
                    home: fields.number()?,
                    warmed: fields.number()?,
                    thread_locals: fields.number()?,
                    peak: fields.number()?,
                    had_children: fields.number()? != 0,
                };
            }
            Tag::Root => self.roots.push(Root {
                value: fields.number()?,
                size: fields.number()?,
                align: fields.number()?,
                place: fields.number()?..fields.number()?,
                nanoseconds: fields.number()?,
                name: fields.string()?,
                type_name: fields.string()?,
            }),
            Tag::Memory => {
                let address = fields.number()?;
                self.memory.push(Memory { address, offset: at + 8, length: length - 8 });
            }
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
                self.blocks.reserve(bytes.len() / BLOCK_LEN);
                for block in bytes.as_chunks::<BLOCK_LEN>().0 {
                    let mut fields = Payload::new(block);
                    self.blocks.push(Block {
                        address: fields.number()?,
                        size: fields.number()?,
                        align: fields.number()?,
                        thread: fields.number()?,
                        index: fields.number()?,
                    });
                }
            }
            Tag::BlockBytes => self.block_bytes = Some(Memory { address: 0, offset: at, length }),
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
            Tag::Panic => {
                *failure =
                    Failure::Panic { root: fields.string()?, message: fields.string()?, location: fields.string()? };
            }
            Tag::OutOfMemory => {
                *failure =
                    Failure::OutOfMemory { root: fields.string()?, asked: fields.number()?, limit: fields.number()? };
            }
            Tag::Refused => *failure = Failure::Refused { reason: fields.string()? },
            Tag::End => {}
        }
        Some(())
    }

    /// Whether roots are declared in this crate: its code is the user's, more likely than not.
    pub(crate) fn declares_roots(&self, crate_name: Option<&str>) -> bool {
        self.roots.iter().any(|root| root.name.split("::").next() == crate_name)
    }

    /// What the blocks hold: one behind the other, each padded to eight bytes.
    pub(crate) fn read_blocks(&self) -> Result<MmapMut> {
        let Some(memory) = self.block_bytes else { bail!("the capture has no blocks") };
        let mut bytes = crate::image::anonymous(memory.length)?;
        self.file.read_exact_at(&mut bytes, memory.offset).context("cannot read the captured blocks")?;
        Ok(bytes)
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
        let start = self.data_address();
        self.memory.iter().map(|memory| memory.address + memory.length - start).max().unwrap_or(0)
    }

    /// Copies the captured memory into `to`.
    pub(crate) fn read_memory(&self, to: &mut [u8]) -> Result<()> {
        for memory in &self.memory {
            let from = usize::try_from(memory.address - self.data_address())?;
            let length = usize::try_from(memory.length)?;
            let Some(to) = to.get_mut(from..from + length) else {
                bail!("the capture holds memory outside of the image")
            };
            self.file.read_exact_at(to, memory.offset).context("cannot read the captured memory")?;
        }
        Ok(())
    }
}

fn words(bytes: &[u8]) -> Vec<u32> {
    bytes.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word)).collect()
}
