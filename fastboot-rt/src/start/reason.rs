//! Reason: why a source has no image for this program, in words.

use core::fmt;
use fastboot_format::features::Mask;
use fastboot_format::image::{Answer, FLAG_RELOCATABLE, FormatError, Header};

/// Why a source was not used.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub(crate) enum Reason {
    /// `FASTBOOT=off`.
    Off,
    /// Nobody says where the program headers are.
    NoProgramHeaders,
    /// The section has no segment of its own.
    NoSegment,
    /// The executable does not end with a footer.
    NoFooter,
    /// It did, but does not any more.
    FooterLost,
    /// The bytes are no image for this program.
    Format(FormatError),
    /// The program does not know its own identity, so no file can be known to belong to it.
    NotStamped,
    /// The cache has no snapshot.
    NotCached,
    /// Nobody says where the cache is.
    NoHome,
    /// The image of another binary.
    Identity { expected: [u8; 32], found: [u8; 32] },
    /// The executable was loaded elsewhere than the image relies on.
    ExecutableBase { expected: u64, found: u64 },
    /// The file cannot be used: what was asked for, and the `errno`.
    File { call: &'static str, errno: i32 },
    /// Somebody else may have written the file.
    Untrusted(&'static str),
    /// The system refuses to map the image.
    Map { length: u64, errno: i32 },
    /// Something is at the home address, or the system refuses it, and the image cannot be used anywhere else, or nowhere
    /// else either.
    Home { home: u64, errno: i32, relocatable: bool },
    /// The system refuses to make the image writable, or read-only.
    Protect { errno: i32 },
    /// The processor lacks features the values were built with.
    Cpu { missing: Mask },
    /// The processor lacks something that no feature is a name for.
    Answer(Answer),
    /// A symbol of a shared library that the values need was not found here.
    Unbound { place: u64 },
    /// The roots in the image are not the roots in the program.
    Roots { expected: usize, found: u32 },
    /// A root's type has another name, size or alignment.
    Root { name: &'static str },
}

impl Reason {
    /// Whether a program that freezes itself would have a good snapshot in its cache instead.
    pub(crate) fn is_mended_by_freezing(&self) -> bool {
        matches!(
            self,
            Self::NotCached
                | Self::Format(_)
                | Self::Identity { .. }
                | Self::Cpu { .. }
                | Self::Answer(_)
                | Self::Roots { .. }
                | Self::Root { .. }
        )
    }

    /// What an error of the system means for a file that this was asked of.
    #[inline]
    pub(crate) fn cannot(call: &'static str) -> impl Fn(i32) -> Self + Copy {
        move |errno| Self::File { call, errno }
    }

    /// None of the places of an image is to be had; `errno` is why home is not.
    pub(crate) fn home(header: &Header, errno: i32) -> Self {
        Self::Home { home: header.home, errno, relocatable: header.flags & FLAG_RELOCATABLE != 0 }
    }

    /// Whether there is simply nothing there.
    pub(super) fn is_absence(&self) -> bool {
        matches!(self, Self::NoSegment | Self::NoFooter | Self::NotStamped | Self::Format(FormatError::Cold))
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Off => f.write_str("FASTBOOT=off"),
            Self::NoProgramHeaders => f.write_str("nobody says where the program headers are"),
            Self::NoSegment => f.write_str("the fastboot section has no segment; build with `cargo fastboot build`"),
            Self::NoFooter => f.write_str("the executable has no footer"),
            Self::FooterLost => f.write_str(
                "it was cut off, as `strip` and `objcopy` do (strip first, then embed), or the program was started by naming the loader",
            ),
            Self::NotStamped => f.write_str("the program was not stamped; build with `cargo fastboot build`"),
            Self::Format(FormatError::Cold) => f.write_str("no image embedded; build with `cargo fastboot build`"),
            Self::Format(error) => write!(f, "{error}"),
            Self::NotCached => f.write_str("no snapshot yet"),
            Self::NoHome => f.write_str("neither XDG_CACHE_HOME nor HOME says where it is"),
            Self::Identity { expected, found } => write!(
                f,
                "it is the image of another binary: it belongs to SHA-256 {}, this program is {}",
                Hex(&found),
                Hex(&expected)
            ),
            Self::ExecutableBase { expected, found } => {
                write!(f, "the executable was loaded at {found:#x}, the image is for {expected:#x}")
            }
            Self::File { call, errno } => write!(f, "cannot {call}: {}", Errno(errno)),
            Self::Untrusted(why) => f.write_str(why),
            Self::Map { length, errno } => write!(f, "cannot map {length} bytes: {}", Errno(errno)),
            Self::Home { home, errno, relocatable } => {
                let elsewhere = if relocatable { "nor its other places" } else { "and the image cannot be relocated" };
                write!(f, "home address {home:#x} not available ({}), {elsewhere}", Errno(errno))
            }
            Self::Protect { errno } => write!(f, "cannot change its protection: {}", Errno(errno)),
            Self::Cpu { missing } => {
                f.write_str("the processor lacks")?;
                for name in fastboot_format::features::names(missing) {
                    write!(f, " {name}")?;
                }
                f.write_str(", which the values depend on")
            }
            Self::Answer(missing) => write!(f, "the processor lacks {missing}, which the values may depend on"),
            Self::Unbound { place } => {
                write!(f, "the symbol at {place:#x}, which the values need, is in none of the shared libraries here")
            }
            Self::Roots { expected, found } => write!(f, "image has {found} roots, the program {expected}"),
            Self::Root { name } => write!(f, "root `{name}` has another type in the image"),
        }
    }
}

/// An `errno`, in words as far as they are to be expected here.
pub(crate) struct Errno(pub(crate) i32);

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            libc::EEXIST => "something is mapped there",
            libc::ENOENT => "no such file or folder",
            libc::ENOTDIR => "not a folder",
            libc::ENOMEM => "not enough memory or address space",
            libc::EPERM | libc::ENOSYS => "system call refused",
            libc::EACCES => "permission denied",
            libc::EISDIR => "it is a folder",
            libc::EROFS => "read-only file system",
            libc::ENOSPC | libc::EDQUOT => "no space left",
            libc::ENAMETOOLONG => "its path is too long",
            errno => return write!(f, "errno {errno}"),
        })
    }
}

/// A hash, as 64 hexadecimal digits.
struct Hex<'a>(&'a [u8; 32]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
