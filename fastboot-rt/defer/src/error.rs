//! What can go wrong, where it went wrong, and what to do about it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// The result of everything in [`defer`](super).
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of deferred loading or saving.
///
/// Its text names the file, the block and the offset as far as they are known, and ends with a remedy.
pub struct Error(Box<Parts>);

struct Parts {
    kind: ErrorKind,
    file: Option<PathBuf>,
    block: Option<u64>,
    number: Option<u32>,
    at: Option<u64>,
    /// The type and the field that it was about.
    within: Option<(&'static str, &'static str)>,
}

/// The kinds of [`Error`].
#[derive(Debug)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The operating system refused to read or write.
    Io(io::Error),
    /// The file does not begin like a deferred file. Carries its first bytes.
    NotDeferred {
        /// The first bytes of the file, zeros where it is shorter.
        found: [u8; 8],
    },
    /// The file was written by a format version that this library does not know.
    Format {
        /// The format version this library reads.
        expected: u32,
        /// The format version in the file.
        found: u32,
    },
    /// The user's own version (see [`LoadOptions::version`](crate::LoadOptions::version)) is another one.
    Version {
        /// The version this program wants.
        expected: u64,
        /// The version the file was written with.
        found: u64,
    },
    /// The file has another length than its header says.
    Length {
        /// Bytes, as the header says.
        expected: u64,
        /// Bytes, as they are.
        found: u64,
    },
    /// The checksum of the file's header or of a block does not match.
    Checksum {
        /// The checksum in the file.
        expected: u64,
        /// The checksum of what was read.
        found: u64,
    },
    /// A rule of the format is broken.
    Damaged(String),
    /// The bytes of a block are no value of the wanted type.
    Decode(String),
    /// The value cannot be saved.
    Save(String),
    /// There is no element with this index.
    OutOfRange {
        /// The index asked for.
        index: u64,
        /// How many elements there are.
        len: u64,
    },
    /// The block is compressed, and this program was built without the feature `zstd`.
    NoZstd,
    /// More memory is needed than this process can get.
    Memory {
        /// Bytes asked for.
        bytes: u64,
    },
    /// A part in memory cannot be moved out, because clones of it are still there.
    Shared,
    /// A part was touched that belongs to a file that is still being written.
    Unfinished,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind) -> Self {
        Error(Box::new(Parts { kind, file: None, block: None, number: None, at: None, within: None }))
    }

    pub(crate) fn damaged(what: impl Into<String>) -> Self {
        Error::new(ErrorKind::Damaged(what.into()))
    }

    pub(crate) fn save(what: impl Into<String>) -> Self {
        Error::new(ErrorKind::Save(what.into()))
    }

    /// Adds the file's name, unless there is one.
    pub(crate) fn in_file(mut self, file: Option<&Path>) -> Self {
        if self.0.file.is_none() {
            self.0.file = file.map(Path::to_path_buf);
        }
        self
    }

    /// Adds the offset of the block, unless there is one.
    pub(crate) fn in_block(mut self, offset: u64) -> Self {
        self.0.block.get_or_insert(offset);
        self
    }

    /// Adds the number of the block, unless there is one.
    pub(crate) fn numbered(mut self, number: u32) -> Self {
        self.0.number.get_or_insert(number);
        self
    }

    /// Adds the offset inside the block's (uncompressed) contents.
    pub(crate) fn at(mut self, at: u64) -> Self {
        self.0.at.get_or_insert(at);
        self
    }

    /// Adds the type and its field, unless there is one: the innermost counts.
    pub(crate) fn within(mut self, of: &'static str, field: &'static str) -> Self {
        self.0.within.get_or_insert((of, field));
        self
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> &ErrorKind {
        &self.0.kind
    }

    /// The file, if it has a name.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.0.file.as_deref()
    }

    /// The offset in the file at which the block in question starts, in bytes.
    #[must_use]
    pub fn block(&self) -> Option<u64> {
        self.0.block
    }

    /// The number of that block as written in it, counted modulo 2^32 from the start of the file.
    #[must_use]
    pub fn block_number(&self) -> Option<u32> {
        self.0.number
    }

    /// The offset inside the block's contents, after decompression, in bytes.
    #[must_use]
    pub fn offset_in_block(&self) -> Option<u64> {
        self.0.at
    }
}

impl From<io::Error> for Error {
    fn from(e: io::Error) -> Self {
        Error::new(ErrorKind::Io(e))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.0.file {
            write!(f, "{}: ", file.display())?;
        }
        match (self.0.number, self.0.block) {
            (Some(n), Some(offset)) => write!(f, "block {n} at offset {offset}: ")?,
            (None, Some(offset)) => write!(f, "block at offset {offset}: ")?,
            _ => {}
        }
        if let Some(at) = self.0.at {
            write!(f, "byte {at} of its contents: ")?;
        }
        if let Some((of, field)) = self.0.within {
            write!(f, "field `{field}` of `{of}`: ")?;
        }
        self.0.kind.fmt(f)
    }
}

/// What the text of [`ErrorKind::Decode`] ends with.
pub(crate) const DECODE_REMEDY: &str =
    "; the file is damaged or holds a value of another type (give each type its own version, see LoadOptions::version)";
/// What the text of [`ErrorKind::Save`] begins with.
pub(crate) const SAVE_PREFIX: &str = "this value cannot be saved: ";
const DAMAGED: &str = "the file is damaged, write it again or fetch a good copy";

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ErrorKind::Io(e) => {
                write!(f, "{e}; check the path, the permissions and the free space")
            }
            ErrorKind::NotDeferred { found } if *found == [0; 8] => {
                write!(f, "this file was never finished (its header is empty); write it again")
            }
            ErrorKind::NotDeferred { found } => write!(
                f,
                "this is not a deferred file, it begins with {:?}; give a file written by defer::save or defer::Writer",
                String::from_utf8_lossy(found)
            ),
            ErrorKind::Format { expected, found } => write!(
                f,
                "the file has format {found}, this program reads format {expected}; use the same fastboot-defer for both, or write the file again"
            ),
            ErrorKind::Version { expected, found } => write!(
                f,
                "written with version {found}, this program wants {expected}; write the file again with this program"
            ),
            ErrorKind::Length { expected, found } => {
                write!(
                    f,
                    "the file should have {expected} bytes and has {found}; it was cut off or added to, fetch a good copy"
                )
            }
            ErrorKind::Checksum { expected, found } => {
                write!(f, "the checksum should be {expected:016x} and is {found:016x}; {DAMAGED}")
            }
            ErrorKind::Damaged(what) => write!(f, "{what}; {DAMAGED}"),
            ErrorKind::Decode(what) => write!(f, "{what}{DECODE_REMEDY}"),
            ErrorKind::Save(what) => write!(f, "{SAVE_PREFIX}{what}"),
            ErrorKind::OutOfRange { index, len } => {
                write!(f, "there is no element {index}, there are {len}; compare with len() first")
            }
            ErrorKind::NoZstd => {
                write!(
                    f,
                    "the block is compressed; build with the feature `zstd` of fastboot-defer (or of fastboot-rt) to read it"
                )
            }
            ErrorKind::Memory { bytes } => {
                write!(f, "{bytes} bytes of memory are not to be had; use smaller parts")
            }
            ErrorKind::Shared => write!(
                f,
                "the value is still shared with clones of this part; drop them first, or clone the value itself"
            ),
            ErrorKind::Unfinished => {
                write!(f, "this part lies in a file that is still being written; finish the Writer and load the file")
            }
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({self})")
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0.kind {
            ErrorKind::Io(e) => Some(e),
            _ => None,
        }
    }
}
