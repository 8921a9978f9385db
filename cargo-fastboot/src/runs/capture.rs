//! Capture: what a freeze run says, understood. Large pieces of memory are in a file until an image is made of them.

use crate::runs::memory::{ImageData, Memory};
use anyhow::{Context, Result, bail};
use fastboot_format::features::Mask;
use fastboot_format::image::Answer;
use fastboot_format::image::write::DATA_OFFSET;
use fastboot_format::protocol::{InputKind, Leftover};
use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Seek};
use std::ops::Range;

/// A capture, understood.
#[derive(Debug, Default)]
pub(crate) struct Capture {
    /// Where the freeze run's executable was, and on what processor it ran.
    pub(crate) process: Process,
    /// In the order of the registry.
    pub(crate) roots: Vec<Root>,
    /// How much memory was captured, in bytes, and that memory until it is taken out.
    pub(super) memory_len: u64,
    pub(super) memory: Option<Held<ImageData>>,
    /// Writable segments of the executable before the roots were evaluated, and after.
    pub(crate) statics: Vec<StaticSegment>,
    /// What the dynamic linker made read-only of the executable: its address, and the bytes.
    pub(crate) protected: (u64, Vec<u8>),
    /// Where the texts of its environment variables begin, and what they are texts of.
    pub(crate) texts: Vec<(u64, String)>,
    /// In the order of [`Block::thread`].
    pub(crate) threads: Vec<Thread>,
    /// Live blocks of the scratch heap, by ascending address.
    pub(crate) blocks: Vec<Block>,
    pub(super) block_bytes: Option<Held<Memory>>,
    /// How many bytes they are.
    pub(super) held: u64,
    /// For each block, where in `trace_words` its trace begins, or 0. Empty if nothing was traced.
    pub(crate) traces: Vec<u32>,
    /// As [`Tag::TraceWords`](fastboot_format::protocol::Tag::TraceWords) has them.
    pub(crate) trace_words: Vec<u32>,
    /// What roots left open in the system: root, kind, description.
    pub(crate) left_behind: Vec<(String, Leftover, String)>,
    /// Addresses of statics that the runtime changed itself, by allocating.
    pub(crate) own_changes: Vec<Range<u64>>,
    /// Where `cpuid` was asked for what holds bits that nobody knows, addresses, and those bits.
    pub(crate) asked: Vec<(u64, Answer)>,
    /// Blocks of C's heap that roots left in use, and memory that they mapped and left mapped.
    pub(crate) foreign_blocks: Vec<ForeignBlock>,
    /// The freeze thread's thread-locals.
    pub(crate) thread_locals: ThreadLocalBlock,
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
pub(crate) struct StaticSegment {
    pub(crate) address: u64,
    pub(crate) before: Vec<u8>,
    pub(crate) after: Vec<u8>,
}

/// The freeze thread's copy of the executable's thread-locals.
#[derive(Debug, Default)]
pub(crate) struct ThreadLocalBlock {
    pub(crate) address: u64,
    pub(crate) before: Vec<u8>,
    pub(crate) after: Vec<u8>,
}

/// Who gave a block of memory that is not in the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Allocator {
    /// C's heap.
    Malloc,
    /// The kernel, asked by code of the executable.
    Mmap,
}

/// A block of memory that is not in the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ForeignBlock {
    pub(crate) allocator: Allocator,
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
    pub(super) fn parse(line: &str) -> Option<Self> {
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
pub(super) enum Held<M> {
    Here(M),
    /// In a file of its own, which has no name.
    Filed(File),
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
    /// Whether as much was allocated in another run, and as much of it as planned: then words at the same place can be compared.
    pub(crate) fn is_laid_out_as(&self, other: &Self) -> bool {
        let [own, other] = [self, other].map(|run| {
            let counts = run.counts;
            (run.memory_len(), counts.strayed, counts.placed, counts.overflowed)
        });
        own == other
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

    /// The word at an address in memory of the executable that was writable once: in a writable segment, or in what the dynamic
    /// linker made read-only.
    pub(crate) fn loaded_word(&self, address: u64) -> Option<u64> {
        let (start, bytes) = &self.protected;
        let protected = || {
            let word = bytes.get(usize::try_from(address.checked_sub(*start)?).ok()?..)?.first_chunk()?;
            Some(u64::from_le_bytes(*word))
        };
        self.static_word(address).or_else(protected)
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

/// Reads a file from its beginning.
fn read_back(file: &mut File, to: &mut [u8]) -> Result<()> {
    file.rewind().and_then(|()| file.read_exact(to)).context("cannot read what was captured")
}
