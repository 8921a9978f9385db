//! Record: what a capture is made of.

use alloc::string::String;

/// Size in bytes of what stands before each record in the capture: `u32` tag, `u32` zero, `u64` payload length in
/// bytes. Payloads are padded with zeros to a multiple of eight.
pub const RECORD_HEADER_LEN: usize = 16;

/// What a record of the capture holds. Strings are a `u32` length and as many bytes of UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Tag {
    /// `u64` load bias of the executable, its `u64` end, two `u64` of processor features, `u64` home address, `u64`
    /// number of expressions that were warmed, `u64` first address of the freeze thread's thread-locals, which end where
    /// its stack ends, `u64` most bytes of memory that the process ever had at once, `u64` 1 if
    /// it waited for child processes, else 0, `u64` bytes that the live blocks of the scratch heap do not exceed; then what
    /// belongs to this process alone: its `u64` number, that of the freeze thread, and, in nanoseconds, `u64` what the real
    /// time was before anything was evaluated and afterwards, and the same of the monotonic clock.
    Process = 1,
    /// `u64` value address, `u64` size, `u64` alignment, `u64` first address of the root's static, `u64` its end, `u64`
    /// nanoseconds it took, `u64` where the image's memory ended when it was evaluated (0 in a plan run), name, type name.
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
    /// Live blocks of the scratch heap, 40 bytes each: `u64` address, size, alignment, thread number and perhaps [`HELD`](crate::protocol::HELD),
    /// allocation number. Any number of records; all blocks come in the order of their addresses.
    Blocks = 9,
    /// Plan run: what those blocks of the record before hold that are [`HELD`](crate::protocol::HELD), one behind the other, each padded to eight
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
    /// Memory that an expression mapped, without a file: the root, `u64` address, `u64` size in bytes.
    Mapped = 26,
    /// A range is about to be unmapped: `u64` address, `u64` size in bytes.
    Unmapped = 27,
    /// `u64` address at which the text of an environment variable begins; what it is, a string.
    Text = 29,
    /// `u64` address of the memory of the executable that the dynamic linker made read-only, then the bytes that stand there.
    Protected = 28,
    /// Plan run with traces: for each block of the [`Tag::Blocks`] before a `u32`, where in [`Tag::TraceWords`] its trace
    /// begins, or 0.
    Traces = 19,
    /// Traces, as `u32` words: for each the number of its return addresses, and these, innermost first, as distances from
    /// where the executable begins.
    TraceWords = 20,
    /// The mappings of the process, as `/proc/self/maps` had them at the end: a string.
    Maps = 14,
    /// Something that the expressions read: the root, `u64` [`InputKind`], `u64` 1 if it was declared, else 0, its name: the
    /// absolute path of a file or folder, the name of a variable; a `u32` length and as many bytes.
    Input = 18,
    /// A file that the expressions opened to write to: the root, the file's absolute path.
    Output = 21,
    /// Ranges of the executable's statics that the runtime changed itself, before the roots were evaluated: `u64` address,
    /// `u64` length in bytes of each. They are the allocator's.
    OwnChanges = 24,
    /// What the instruction `cpuid` was asked for in a run that does not see all features, and answered with bits of which
    /// nobody knows the meaning: `u64` address of the instruction, then, `u64` each, leaf, subleaf, and the bits in EAX, EBX, ECX and EDX.
    Asked = 25,
    /// A thread left its plan: the root that was being evaluated, `u64` key of the thread, `u64` which of its allocations did not
    /// fit, `u64` size and `u64` alignment that it asked for.
    Strayed = 22,
}

/// A kind of thing that a root can leave open in the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Leftover {
    /// A file descriptor.
    Descriptor = 1,
    /// A mapped file.
    Mapping = 2,
    /// A thread.
    Thread = 3,
    /// What happens on a signal.
    Handlers = 4,
    /// A child process.
    Child = 5,
    /// An environment variable.
    Variable = 6,
    /// The working directory.
    Folder = 7,
    /// The mask of permissions for new files.
    Umask = 8,
    /// A resource limit.
    Limit = 9,
    /// The locale of the C library.
    Locale = 10,
    /// Functions that are called when the process exits.
    AtExit = 11,
    /// Data of a shared library.
    Library = 12,
    /// Any other number or name that the kernel keeps of a process or a thread, such as the nice value.
    Attribute = 13,
    /// A timer of the process.
    Timer = 14,
    /// A key for data of threads.
    Key = 15,
    /// Functions that are called when the process forks.
    AtFork = 16,
}

impl Leftover {
    /// The kind with this number.
    pub fn from_number(number: u64) -> Option<Self> {
        const ALL: [Leftover; 16] = [
            Leftover::Descriptor,
            Leftover::Mapping,
            Leftover::Thread,
            Leftover::Handlers,
            Leftover::Child,
            Leftover::Variable,
            Leftover::Folder,
            Leftover::Umask,
            Leftover::Limit,
            Leftover::Locale,
            Leftover::AtExit,
            Leftover::Library,
            Leftover::Attribute,
            Leftover::Timer,
            Leftover::Key,
            Leftover::AtFork,
        ];
        ALL.into_iter().find(|kind| *kind as u64 == number)
    }

    /// What stands before its description in a sentence.
    pub fn name(self) -> &'static str {
        match self {
            Self::Descriptor => "the file descriptor",
            Self::Mapping => "the mapped file",
            Self::Thread => "the thread",
            Self::Handlers => "the handler of",
            Self::Child => "the child process",
            Self::Variable => "the environment variable",
            Self::Folder => "the working directory",
            Self::Umask => "the umask",
            Self::Limit => "the resource limit",
            Self::Locale => "the locale",
            Self::AtExit => "functions for the exit of the process (`atexit`),",
            Self::Library => "data of the shared library",
            Self::Attribute => "the",
            Self::Timer => "a POSIX timer",
            Self::Key => "a pthread key",
            Self::AtFork => "functions for a fork of the process (`pthread_atfork`),",
        }
    }

    /// Whether it is something that the expression changed in the process, rather than something that it left open.
    pub fn is_change(self) -> bool {
        !matches!(self, Self::Descriptor | Self::Mapping | Self::Thread | Self::Child)
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
        const ALL: [Tag; 28] = [
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
            Tag::OwnChanges,
            Tag::Strayed,
            Tag::Asked,
            Tag::Mapped,
            Tag::Unmapped,
            Tag::Protected,
            Tag::Text,
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

#[cfg(test)]
mod tests {
    use super::*;

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
