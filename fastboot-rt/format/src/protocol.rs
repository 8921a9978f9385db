//! What passes between the tool and a freeze run: a folder with a few files in it.
//!
//! ```text
//! request   tool → runtime   what to do, lines of text
//! plan      tool → runtime   for a place run: where each allocation belongs
//! status    runtime → tool   one page, mapped shared: the root being evaluated, bytes captured so far
//! capture   runtime → tool   records: roots, memory, how it ended; a FIFO where the file system has such files
//! ```
//!
//! Like [`crate::image`], this module does no I/O and has no `unsafe`. The tool makes images out of captures; the
//! runtime only captures.

pub mod verdict;

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use core::ops::Range;

/// Name of the environment variable that holds the path of the folder and puts the runtime into freeze mode.
pub const FREEZE_VARIABLE: &str = "FASTBOOT_FREEZE";
/// Name of the environment variable that holds the path of a report and puts the runtime into check mode.
pub const CHECK_VARIABLE: &str = "FASTBOOT_CHECK";
/// Name of the environment variable that holds the path of a report: which pages of the image are mapped when the program
/// begins, and when it exits.
pub const TRAIN_VARIABLE: &str = "FASTBOOT_TRAIN";
/// Name of the variable with which glibc is tuned.
pub const TUNABLES_VARIABLE: &str = "GLIBC_TUNABLES";
/// Makes glibc keep all blocks of its heap in one place, none of them in a cache, so that the runtime can tell which are
/// in use.
pub const MALLOC_TUNABLES: &str = "glibc.malloc.tcache_count=0:glibc.malloc.mxfast=0:glibc.malloc.arena_max=1:\
                                   glibc.malloc.mmap_threshold=33554432";
/// Name of the request file in the folder.
pub const REQUEST_FILE: &str = "request";
/// Name of the plan in the folder.
pub const PLAN_FILE: &str = "plan";
/// Name of the status file in the folder.
pub const STATUS_FILE: &str = "status";
/// Name of the capture file in the folder.
pub const CAPTURE_FILE: &str = "capture";

/// Eight bytes that a value is given which is rarely needed: what a loaded `Defer` holds begins with them, behind the
/// counts of its `Arc`. A plan places such blocks, and what only they lead to, behind all others. Chosen at random.
pub const COLD_MARK: [u8; 8] = [0x93, 0xc1, 0x0e, 0xb7, 0xd2, 0x6a, 0xf8, 0x1d];

/// The version of this crate. The tool and the runtime of a program must have the same.
pub const RUNTIME_VERSION: &str = env!("CARGO_PKG_VERSION");

/// Exit status of a freeze run whose executable the kernel loaded where the request does not want it: the next one will be
/// loaded elsewhere.
pub const AGAIN: i32 = 75;

/// First line of a request, so that a tool and a runtime of different versions notice each other.
pub const REQUEST_TITLE: &str = concat!("fastboot-freeze ", env!("CARGO_PKG_VERSION"));

/// How a freeze run allocates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Mode {
    /// Everything in one arena at the home address.
    Verbatim = 0,
    /// Everything in the scratch heap, each allocation numbered: what a plan is made of.
    Plan = 1,
    /// According to the plan.
    Place = 2,
}

impl Mode {
    const ALL: [(Self, &'static str); 3] = [(Self::Verbatim, "verbatim"), (Self::Plan, "plan"), (Self::Place, "place")];

    /// The mode with this number.
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().map(|(mode, _)| mode).find(|mode| *mode as u32 == number)
    }

    /// Its name, as in a request.
    pub fn name(self) -> &'static str {
        Self::ALL.into_iter().find(|(mode, _)| *mode == self).map_or("", |(_, name)| name)
    }
}

/// What the tool asks of a freeze run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// How it allocates.
    pub mode: Mode,
    /// First address of the scratch heap.
    pub scratch: u64,
    /// Highest address of the freeze thread's stack.
    pub stack: u64,
    /// Where the arena begins.
    pub home: u64,
    /// Bytes the arena may hold before allocations in it fail.
    pub limit: u64,
    /// Whether the kernel is to randomise addresses: if it is otherwise, the run changes that and executes itself again.
    /// `None`: as it is.
    pub randomize: Option<bool>,
    /// A load bias that the executable's must be well apart from, see [`is_well_apart`]; a run whose is not ends with
    /// [`AGAIN`].
    pub apart: Option<u64>,
    /// Whether a plan run is to record who made each allocation.
    pub trace: bool,
    /// Whether a plan run is to write down what every block holds, and not only those that may hold addresses: when a program
    /// keeps addresses in another form.
    pub hold_all: bool,
    /// What random bytes follow from while roots are evaluated; `None` for real ones.
    pub seed: Option<u64>,
    /// Processor features that may be seen, as [`crate::features`] numbers them; all of them for no mask at all.
    pub cpu: u64,
}

impl Default for Request {
    /// A verbatim run at the default addresses, with real random bytes and no memory.
    fn default() -> Self {
        Self {
            mode: Mode::Verbatim,
            scratch: SCRATCH[0],
            stack: STACK_TOP[0],
            home: crate::image::DEFAULT_HOME,
            limit: 0,
            randomize: None,
            apart: None,
            trace: false,
            hold_all: false,
            seed: None,
            cpu: u64::MAX,
        }
    }
}

/// First addresses that the scratch heap may have: two, because the proof wants another one.
pub const SCRATCH: [u64; 2] = [0x5530_0000_0000, 0x5540_0000_0000];
/// Length in bytes of the scratch heap's address space.
pub const SCRATCH_LEN: u64 = 0x10_0000_0000;
/// Highest addresses that the freeze thread's stack may have: two, for the same reason, and well apart.
pub const STACK_TOP: [u64; 2] = [0x5555_5000_0000, 0x5552_f5c3_b000];
/// Length in bytes of that stack. Only pages that are touched cost memory.
pub const STACK_LEN: u64 = 1 << 30;
/// How many of the threads that expressions start have a stack below it, at addresses that do not depend on chance.
pub const THREAD_STACKS: usize = 512;
/// Length in bytes of the address space for each of those.
pub const THREAD_STACK_LEN: u64 = 16 << 20;
/// Length in bytes of the address space below these, for what the runtime itself has to remember: its addresses remain in
/// unused parts of objects as those of stack frames do.
pub const NOTES_LEN: u64 = 32 << 20;
/// Length in bytes of all that address space.
pub const STACKS_LEN: u64 = STACK_LEN + THREAD_STACKS as u64 * THREAD_STACK_LEN + NOTES_LEN;
/// How far the home address is moved for the proof; also the most that an image can have. Its bytes differ from zero
/// where a multiple of [`HOME_ALIGN`](crate::image::HOME_ALIGN) can, see [`is_well_apart`].
pub const HOME_SHIFT: u64 = 0x17_b5a0_0000;

/// What [`TUNABLES_VARIABLE`] must be in a freeze run: the user's tunables, if any, and ours behind them.
pub fn tunables(users: Option<&str>) -> String {
    users.map_or_else(|| MALLOC_TUNABLES.to_owned(), |users| format!("{users}:{MALLOC_TUNABLES}"))
}

/// How many bytes of memory are available, by what `/proc/meminfo` and the control group's `memory.max` say; `None` when
/// neither says anything.
pub fn available_memory(meminfo: &str, group: &str) -> Option<u64> {
    let kilobytes = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:")?.trim().strip_suffix(" kB"));
    let machine = kilobytes.and_then(|digits| digits.trim().parse::<u64>().ok());
    [machine.map(|kilobytes| kilobytes.saturating_mul(1024)), group.trim().parse().ok()].into_iter().flatten().min()
}

const _: () = assert!(HOME_SHIFT.is_multiple_of(crate::image::HOME_ALIGN));
const _: () = assert!(crate::image::DEFAULT_HOME + 2 * HOME_SHIFT <= SCRATCH[0]);
const _: () = assert!(SCRATCH[1] + SCRATCH_LEN <= STACK_TOP[1] - STACKS_LEN);
const _: () = assert!(STACK_TOP[1] <= STACK_TOP[0] - STACKS_LEN);

/// Whether executables at this distance from each other can be told apart by every byte of their addresses that can
/// differ: if one byte of a pointer was overwritten, it did not move as its neighbours did, and that must be visible.
pub fn is_well_apart(distance: u64) -> bool {
    let [_, pages, rest @ ..] = distance.to_le_bytes();
    let [first, second, third, ..] = rest;
    // The lowest twelve bits are those of a page and never differ; the highest 16 belong to no address.
    !matches!(pages >> 4, 0 | 0xf) && [first, second, third].into_iter().all(|byte| !matches!(byte, 0 | 0xff))
}

/// Names of the values of [`Request::randomize`].
const RANDOMIZE: [(&str, Option<bool>); 3] = [("yes", Some(true)), ("no", Some(false)), ("keep", None)];

impl Request {
    /// The request as text.
    pub fn encode(&self) -> String {
        format!(
            "{REQUEST_TITLE}\nmode {}\nscratch {:#x}\nstack {:#x}\nhome {:#x}\nlimit {}\nrandomize {}\napart {}\ntrace {}\nhold-all {}\n\
             random {}\ncpu {:#x}\n",
            self.mode.name(),
            self.scratch,
            self.stack,
            self.home,
            self.limit,
            RANDOMIZE.into_iter().find(|(_, value)| *value == self.randomize).map_or("", |(name, _)| name),
            self.apart.map_or_else(|| "no".to_owned(), |bias| format!("{bias:#x}")),
            if self.trace { "yes" } else { "no" },
            if self.hold_all { "yes" } else { "no" },
            self.seed.map_or_else(|| "real".to_owned(), |seed| format!("{seed:#x}")),
            self.cpu
        )
    }

    /// Reads a request; the error names the line.
    ///
    /// # Errors
    /// A title of another version, a missing or an unknown line.
    pub fn decode(text: &str) -> Result<Self, String> {
        let mut lines = text.lines();
        if lines.next() != Some(REQUEST_TITLE) {
            return Err(format!(
                "the freeze request is not `{REQUEST_TITLE}`: cargo-fastboot and fastboot-rt are of different versions; \
                 this program has fastboot-rt {RUNTIME_VERSION}"
            ));
        }
        let mut request = Self::default();
        let hexadecimal = |text: &str| text.strip_prefix("0x").and_then(|digits| u64::from_str_radix(digits, 16).ok());
        for line in lines {
            let known = match line.split_once(' ') {
                Some(("mode", value)) => {
                    let mode = Mode::ALL.into_iter().find(|(_, name)| *name == value);
                    mode.map(|(mode, _)| request.mode = mode)
                }
                Some(("scratch", value)) => hexadecimal(value).map(|scratch| request.scratch = scratch),
                Some(("stack", value)) => hexadecimal(value).map(|stack| request.stack = stack),
                Some(("home", value)) => hexadecimal(value).map(|home| request.home = home),
                Some(("apart", "no")) | Some(("random", "real")) => Some(()),
                Some(("apart", value)) => hexadecimal(value).map(|bias| request.apart = Some(bias)),
                Some(("random", value)) => hexadecimal(value).map(|seed| request.seed = Some(seed)),
                Some(("cpu", value)) => hexadecimal(value).map(|cpu| request.cpu = cpu),
                Some(("limit", value)) => value.parse().ok().map(|limit| request.limit = limit),
                Some(("randomize", value)) => {
                    let known = RANDOMIZE.into_iter().find(|(name, _)| *name == value);
                    known.map(|(_, randomize)| request.randomize = randomize)
                }
                Some(("trace", value @ ("yes" | "no"))) => {
                    request.trace = value == "yes";
                    Some(())
                }
                Some(("hold-all", value @ ("yes" | "no"))) => {
                    request.hold_all = value == "yes";
                    Some(())
                }
                _ => None,
            };
            if known.is_none() {
                return Err(format!("freeze request line not understood: `{line}`"));
            }
        }
        Ok(request)
    }
}

/// Size in bytes of the status file.
pub const STATUS_LEN: usize = 4096;
/// Offset of the `u64` number of bytes captured so far.
pub const STATUS_BYTES: usize = 0;
/// Offset of the `u32` number of roots evaluated so far.
pub const STATUS_DONE: usize = 8;
/// Offset of the `u32` number of roots in all.
pub const STATUS_TOTAL: usize = 12;
/// Offset of the `u32` [`Phase`].
pub const STATUS_PHASE: usize = 16;
/// Offset of the `u32` length of the name of the root being evaluated; the name follows.
pub const STATUS_NAME: usize = 20;

/// How far a freeze run has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Phase {
    /// The process has not reached freeze mode.
    Starting = 0,
    /// A root is being evaluated: the one named in the status.
    Evaluating = 1,
    /// All roots are there; the capture is being written.
    Writing = 2,
    /// The capture is complete.
    Done = 3,
}

/// A status page, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Bytes captured so far.
    pub bytes: u64,
    /// Roots evaluated.
    pub done: u32,
    /// Roots in all.
    pub total: u32,
    /// How far the run has come.
    pub phase: Phase,
    /// Name of the root being evaluated; empty between roots.
    pub root: String,
}

impl Status {
    /// Reads a status page.
    pub fn decode(page: &[u8; STATUS_LEN]) -> Self {
        let u32_at = |at: usize| page[at..].first_chunk().map_or(0, |b| u32::from_le_bytes(*b));
        let length = u32_at(STATUS_NAME) as usize;
        let name = page[STATUS_NAME + 4..].get(..length).unwrap_or(&[]);
        Self {
            bytes: page[STATUS_BYTES..].first_chunk().map_or(0, |b| u64::from_le_bytes(*b)),
            done: u32_at(STATUS_DONE),
            total: u32_at(STATUS_TOTAL),
            phase: match u32_at(STATUS_PHASE) {
                1 => Phase::Evaluating,
                2 => Phase::Writing,
                3 => Phase::Done,
                _ => Phase::Starting,
            },
            root: String::from_utf8_lossy(name).into_owned(),
        }
    }
}

/// Size in bytes of what stands before each record in the capture: `u32` tag, `u32` zero, `u64` payload length in
/// bytes. Payloads are padded with zeros to a multiple of eight.
pub const RECORD_HEADER_LEN: usize = 16;

/// What a record of the capture holds. Strings are a `u32` length and as many bytes of UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Tag {
    /// `u64` load bias of the executable, its `u64` end, `u64` processor features, `u64` home address, `u64`
    /// number of expressions that were warmed, `u64` first address of the freeze thread's thread-locals, which end where
    /// its stack ends, `u64` most bytes of memory that the process ever had at once, `u64` 1 if
    /// it waited for child processes, else 0, `u64` bytes that the live blocks of the scratch heap do not exceed.
    Process = 1,
    /// `u64` value address, `u64` size, `u64` alignment, `u64` first address of the root's static, `u64` its end, `u64`
    /// nanoseconds it took, name, type name.
    Root = 2,
    /// `u64` address, then the bytes that stood there.
    Memory = 3,
    /// The root being evaluated, the message, where: the last panic. Fatal unless [`Tag::End`] follows.
    Panic = 4,
    /// The root being evaluated, `u64` bytes asked for, `u64` limit: the arena was full.
    OutOfMemory = 5,
    /// Nothing: the capture is complete.
    End = 6,
    /// A sentence: why the run could not begin.
    Refused = 7,
    /// `u64` key of a thread, `u64` its `pthread_t` or 0, then a `u32` fingerprint for each of its allocations. In the order of thread numbers.
    Thread = 8,
    /// Live blocks of the scratch heap, 40 bytes each: `u64` address, size, alignment, thread number and perhaps [`HELD`],
    /// allocation number. Any number of records; all blocks come in the order of their addresses.
    Blocks = 9,
    /// Plan run: what those blocks of the record before hold that are [`HELD`], one behind the other, each padded to eight
    /// bytes.
    BlockBytes = 10,
    /// `u64` address of a writable segment of the executable; what it held before the roots were evaluated.
    Before = 11,
    /// The same for after.
    After = 12,
    /// `u64` threads that left the plan, `u64` objects placed as planned, `u64` allocations that overflowed; `u64` objects
    /// in the image that were not freed, `u64` their bytes, `u64` largest alignment of what may be in the image.
    Counts = 13,
    /// Something a root left open: the root, `u64` [`Leftover`], what it is.
    LeftBehind = 15,
    /// `u64` address of the freeze thread's copy of the executable's thread-locals, `u64` length in bytes; what they held
    /// before the roots were evaluated, and after.
    ThreadLocals = 16,
    /// A block of C's heap that came to be while a root was evaluated, and was in use at the end: the root, `u64` address,
    /// `u64` size in bytes.
    CBlock = 17,
    /// Plan run with traces: for each block of the [`Tag::Blocks`] before a `u32`, where in [`Tag::TraceWords`] its trace
    /// begins, or 0.
    Traces = 19,
    /// Traces, as `u32` words: for each the number of its return addresses, and these, innermost first, as in the ELF
    /// file, that is, without the load bias.
    TraceWords = 20,
    /// The mappings of the process, as `/proc/self/maps` had them at the end: a string.
    Maps = 14,
    /// Something that the expressions read: the root, `u64` [`InputKind`], `u64` 1 if it was declared, else 0, its name: the
    /// absolute path of a file or folder, the name of a variable; a `u32` length and as many bytes.
    Input = 18,
    /// A file that the expressions opened to write to: the root, the file's absolute path.
    Output = 21,
}

/// A kind of thing that a root can leave open in the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Leftover {
    /// A file descriptor.
    Descriptor = 1,
    /// A mapped file.
    Mapping = 2,
    /// A thread.
    Thread = 3,
    /// Signal handlers.
    Handlers = 4,
    /// A child process.
    Child = 5,
}

impl Leftover {
    /// The kind with this number.
    pub fn from_number(number: u64) -> Option<Self> {
        const ALL: [Leftover; 5] =
            [Leftover::Descriptor, Leftover::Mapping, Leftover::Thread, Leftover::Handlers, Leftover::Child];
        ALL.into_iter().find(|kind| *kind as u64 == number)
    }

    /// What stands before its description in a sentence.
    pub fn name(self) -> &'static str {
        match self {
            Self::Descriptor => "the file descriptor",
            Self::Mapping => "the mapped file",
            Self::Thread => "the thread",
            Self::Handlers => "signal handlers, mask",
            Self::Child => "the child process",
        }
    }
}

/// What an input is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum InputKind {
    /// A file or a folder.
    File = 1,
    /// An environment variable.
    Variable = 2,
}

impl InputKind {
    /// The kind with this number.
    pub fn from_number(number: u64) -> Option<Self> {
        [Self::File, Self::Variable].into_iter().find(|kind| *kind as u64 == number)
    }
}

impl Tag {
    /// The tag with this number.
    pub fn from_number(number: u32) -> Option<Self> {
        const ALL: [Tag; 21] = [
            Tag::Process,
            Tag::Root,
            Tag::Memory,
            Tag::Panic,
            Tag::OutOfMemory,
            Tag::End,
            Tag::Refused,
            Tag::Thread,
            Tag::Blocks,
            Tag::BlockBytes,
            Tag::Before,
            Tag::After,
            Tag::Counts,
            Tag::Maps,
            Tag::LeftBehind,
            Tag::ThreadLocals,
            Tag::CBlock,
            Tag::Input,
            Tag::Traces,
            Tag::TraceWords,
            Tag::Output,
        ];
        ALL.into_iter().find(|tag| *tag as u32 == number)
    }
}

/// Reads the payload of a record, field by field; `None` past the end.
#[derive(Clone, Copy, Debug)]
pub struct Payload<'a> {
    rest: &'a [u8],
}

impl<'a> Payload<'a> {
    /// Begins at the first field.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The next field, a number.
    pub fn number(&mut self) -> Option<u64> {
        let (first, rest) = self.rest.split_first_chunk::<8>()?;
        self.rest = rest;
        Some(u64::from_le_bytes(*first))
    }

    /// The next field, bytes behind their `u32` length.
    pub fn bytes(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.rest.split_first_chunk::<4>()?;
        let (bytes, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        self.rest = rest;
        Some(bytes)
    }

    /// The next field, a string; bytes that are not UTF-8 are replaced.
    pub fn string(&mut self) -> Option<String> {
        Some(String::from_utf8_lossy(self.bytes()?).into_owned())
    }
}

/// First eight bytes of a plan.
pub const PLAN_MAGIC: [u8; 8] = *b"fb-plan2";
/// Size in bytes of the header of a plan.
pub const PLAN_HEADER_LEN: usize = 40;
/// Size in bytes of what a plan says of a thread: `u64` key, `u64` number of its first entry, `u64` number of entries.
pub const PLAN_THREAD_LEN: usize = 24;
/// Size in bytes of what it says of an allocation: `u32` fingerprint, `u32` number of its placement plus one, or 0.
pub const PLAN_ENTRY_LEN: usize = 8;
/// Size in bytes of a placement: `u64` offset from the home address, `u64` reserved bytes. Offsets ascend.
pub const PLAN_PLACEMENT_LEN: usize = 16;
/// Size in bytes of what it says of a page, from the home address to where placements end: the `u32` number of placements
/// that begin before it. There is one more.
pub const PLAN_PAGE_LEN: usize = 4;
/// Size in bytes of what a capture says of a live block.
pub const BLOCK_LEN: usize = 40;
/// In the thread number of a block: the capture has what it holds.
pub const HELD: u64 = 1 << 32;

/// Whether what a block holds, aligned to `align` bytes, is worth a place in the capture of a plan run of an executable that
/// is not a PIE: whether an address in `scratch` may be in it, wherever it stands, or it is a body of a deferred field.
pub fn may_lead_somewhere(block: &[u8], align: usize, scratch: &Range<u64>) -> bool {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    let [first, last] = [scratch.start, scratch.end - 1].map(|address| (address >> 32) as u16);
    let ([low, top], [high, _]) = (first.to_le_bytes(), last.to_le_bytes());
    debug_assert!(first >> 8 == last >> 8, "the highest byte of all its addresses is the same");
    // Addresses have six bytes.
    let ends = |at: usize| at >= 5 && block[at] == top && (low..=high).contains(&block[at - 1]);
    // Not zero if a byte of the word is `top`.
    let has_top = |word: &[u8; 8]| {
        let other = u64::from_ne_bytes(*word) ^ (ONES * u64::from(top));
        other.wrapping_sub(ONES) & !other & ONES << 7
    };
    // Most have none, so four words are looked at together.
    let (groups, rest) = block.as_chunks::<32>();
    let mut within = groups.iter().enumerate().filter(|(_, group)| {
        let (words, _) = group.as_chunks::<8>();
        words.iter().fold(0, |all, word| all | has_top(word)) != 0
    });
    within.any(|(index, _)| (32 * index..32 * index + 32).any(ends))
        || (block.len() - rest.len()..block.len()).any(ends)
        || block.get(align.max(16)..).is_some_and(|value| value.starts_with(&COLD_MARK))
}

/// The header of a plan. Behind it come the threads, the entries, the placements and the pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlanHeader {
    /// Number of threads.
    pub threads: u64,
    /// Number of entries, of all threads.
    pub entries: u64,
    /// Number of placements.
    pub placements: u64,
    /// Offset from the home address where placements end and the overflow begins; a multiple of the page size.
    pub end: u64,
}

impl PlanHeader {
    /// The header as bytes.
    pub fn encode(&self) -> [u8; PLAN_HEADER_LEN] {
        let mut bytes = [0; PLAN_HEADER_LEN];
        let (head, words) = bytes.split_at_mut(8);
        head.copy_from_slice(&PLAN_MAGIC);
        for (to, word) in words.chunks_mut(8).zip([self.threads, self.entries, self.placements, self.end]) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// Reads a header; `None` when it is not one.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fields = Payload::new(bytes.strip_prefix(&PLAN_MAGIC)?);
        Some(Self {
            threads: fields.number()?,
            entries: fields.number()?,
            placements: fields.number()?,
            end: fields.number()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_lead_somewhere_is_captured() {
        let scratch = SCRATCH[0]..SCRATCH[0] + SCRATCH_LEN;
        let leads = |block: &[u8]| may_lead_somewhere(block, 8, &scratch);
        let inside = scratch.start + 0x1234_5678;
        for shift in 0..10 {
            for address in [scratch.start, inside, scratch.end - 1] {
                let block = [&vec![0x55; shift][..], &address.to_le_bytes()[..6]].concat();
                assert!(leads(&block), "{address:#x} at {shift}");
                assert!(!leads(&block[..block.len() - 1]), "five bytes of {address:#x} at {shift}");
            }
        }
        assert!(!leads(&(scratch.start - 1).to_le_bytes()) && !leads(&scratch.end.to_le_bytes()) && !leads(&[]));
        assert!(!leads("a text with a U in it, and UUU".as_bytes()) && leads(b"UUUUUUUUU 1234:U"));
        assert!(leads(&[&[0; 16][..], &COLD_MARK].concat()) && !leads(&[&[0; 17][..], &COLD_MARK].concat()));
    }

    #[test]
    fn what_is_moved_is_well_apart() {
        assert!(is_well_apart(HOME_SHIFT | 0x1000));
        assert!(is_well_apart(STACK_TOP[0] - STACK_TOP[1]));
    }

    #[test]
    fn the_least_memory_that_anyone_has_is_what_there_is() {
        let meminfo = "MemTotal:       16 kB\nMemAvailable:    8 kB\nBuffers:         1 kB\n";
        assert_eq!(available_memory(meminfo, "max\n"), Some(8192));
        assert_eq!(available_memory(meminfo, "4096\n"), Some(4096));
        assert_eq!(available_memory("", "4096\n"), Some(4096));
        assert_eq!(available_memory("", ""), None);
    }

    #[test]
    fn a_request_survives_the_journey() {
        for randomize in [Some(true), Some(false), None] {
            let request = Request {
                mode: Mode::Place,
                limit: 1 << 30,
                randomize,
                apart: Some(9),
                trace: true,
                hold_all: true,
                seed: Some(7),
                cpu: 9,
                ..Request::default()
            };
            assert_eq!(Request::decode(&request.encode()), Ok(request));
        }
    }

    #[test]
    fn a_request_of_another_version_is_refused() {
        assert!(Request::decode("fastboot-freeze 99\n").unwrap_err().contains("different versions"));
        assert!(Request::decode(&format!("{REQUEST_TITLE}\nhome twelve\n")).unwrap_err().contains("home twelve"));
    }

    #[test]
    fn a_payload_ends_where_it_ends() {
        let bytes = [1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, b'o', b'k'];
        let mut payload = Payload::new(&bytes);
        assert_eq!(payload.number(), Some(1));
        assert_eq!(payload.string().as_deref(), Some("ok"));
        assert_eq!(payload.number(), None);
        assert_eq!(Payload::new(&[255, 255, 255, 255, 0]).string(), None);
    }
}
