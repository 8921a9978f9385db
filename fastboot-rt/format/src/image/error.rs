//! Error: why bytes are no image.

use core::fmt;

/// Why bytes are not an image this program can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FormatError {
    /// Fewer bytes than the structure needs.
    Truncated {
        /// Bytes needed.
        expected: u64,
        /// Bytes there.
        found: u64,
    },
    /// The first eight bytes are not [`MAGIC`](crate::image::MAGIC).
    Magic,
    /// Nothing has been embedded yet: the binary is cold.
    Cold,
    /// Made by another version of fastboot.
    Version {
        /// [`VERSION`](crate::image::VERSION).
        expected: u16,
        /// The version in the header.
        found: u16,
    },
    /// Made for another processor architecture.
    Machine {
        /// [`MACHINE`](crate::image::MACHINE).
        expected: u16,
        /// The `e_machine` in the header.
        found: u16,
    },
    /// Made for another page size.
    PageSize {
        /// [`PAGE`](crate::image::PAGE).
        expected: u32,
        /// The page size in the header, in bytes.
        found: u32,
    },
    /// The mark that is written last is missing.
    Incomplete,
    /// The bytes do not have the digest that was stored with them.
    Digest {
        /// What is damaged.
        part: &'static str,
        /// The digest stored.
        expected: u64,
        /// The digest of the bytes.
        found: u64,
    },
    /// A value that no writer produces.
    Field {
        /// Name of the field.
        field: &'static str,
        /// Its value.
        found: u64,
    },
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Truncated { expected, found } => write!(f, "image truncated: {found} bytes of {expected}"),
            Self::Magic => write!(f, "not a fastboot image (wrong magic)"),
            Self::Cold => write!(f, "no image embedded"),
            Self::Version { expected, found } => {
                write!(f, "image format version {found}, this program reads version {expected}")
            }
            Self::Machine { expected, found } => {
                write!(f, "image for ELF machine {found}, this program runs on machine {expected}")
            }
            Self::PageSize { expected, found } => write!(f, "image for {found}-byte pages, expected {expected}"),
            Self::Incomplete => write!(f, "image incomplete: its writer did not finish"),
            Self::Digest { part, expected, found } => {
                write!(f, "image damaged: {part} has digest {found:016x}, expected {expected:016x}")
            }
            Self::Field { field, found } => write!(f, "image damaged: {field} is {found:#x}"),
        }
    }
}

impl core::error::Error for FormatError {}
