//! Cache: the folder in which programs keep the snapshots that they make of themselves.
//!
//! ```text
//! $XDG_CACHE_HOME/PROGRAM/   mode 0700
//!   lock                     locked by whoever freezes; for all binaries in the folder
//!   HASH.snap                the snapshot of the binary with this identity
//!   HASH.tmp                 one in the making: of the process that has the lock, or of one that was killed
//!   HASH.failed              why there is none, so that it is not tried again at every start
//! ```
//!
//! A snapshot gets its name when it is complete and on the disk, so there is none or a good one at any moment.

use super::path::Path;
use super::reason::Reason;
use super::relocate::Stored;
use super::snapshot;
use crate::config::CacheDir;
use crate::os::environment;
use core::ffi::CStr;

/// How many bytes of the identity are in the names of files. All of it is in the snapshot.
pub(crate) const NAMED: usize = 16;

/// Where the snapshot of one binary is kept.
#[derive(Clone, Copy)]
pub(crate) struct Cache {
    /// As in [`install!`](crate::install).
    pub(crate) dir: CacheDir,
    /// The program's name.
    pub(crate) program: &'static str,
    /// SHA-256 of what the binary loads.
    pub(crate) identity: [u8; 32],
}

/// A file of the binary's.
#[derive(Clone, Copy)]
pub(crate) enum File {
    /// The snapshot.
    Snapshot,
    /// One in the making.
    Temporary,
    /// Why there is none.
    Failure,
}

impl File {
    /// How its name ends.
    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Self::Snapshot => ".snap",
            Self::Temporary => ".tmp",
            Self::Failure => ".failed",
        }
    }
}

/// The variables that a folder may depend on.
pub(crate) struct Home<'a> {
    /// `XDG_CACHE_HOME`.
    pub(crate) cache: Option<&'a [u8]>,
    /// `HOME`.
    pub(crate) home: Option<&'a [u8]>,
}

impl Home<'static> {
    /// Those of this process.
    ///
    /// # Safety
    /// Called before `main`, and not used once something may change the environment.
    #[allow(unsafe_code)]
    pub(crate) unsafe fn of_start() -> Self {
        // SAFETY: the caller's promise.
        let variable = |name| unsafe { environment::variable(name) }.map(CStr::to_bytes);
        Self { cache: variable(c"XDG_CACHE_HOME"), home: variable(c"HOME") }
    }
}

impl Cache {
    /// The path of the folder, with a `/` at its end.
    pub(crate) fn folder(&self, home: &Home<'_>, to: &mut Path) -> Result<(), Reason> {
        match self.dir {
            CacheDir::User => {
                // XDG Base Directory Specification: "If an implementation encounters a relative path in any of these
                // variables it should consider the path invalid and ignore it."
                let absolute = |path: &&[u8]| path.starts_with(b"/");
                match (home.cache.filter(absolute), home.home.filter(absolute)) {
                    (Some(cache), _) => to.push(cache)?,
                    (None, Some(home)) => to.push(home).and_then(|()| to.push(b"/.cache"))?,
                    (None, None) => return Err(Reason::NoHome),
                }
                to.push(b"/").and_then(|()| to.push(self.program.as_bytes()))?;
            }
            CacheDir::Folder(folder) => {
                if !folder.starts_with('/') {
                    to.push_folder_of_executable()?;
                }
                to.push(folder.as_bytes())?;
            }
        }
        to.push(b"/")
    }

    /// The path of a file in it.
    pub(crate) fn path(&self, home: &Home<'_>, file: File, to: &mut Path) -> Result<(), Reason> {
        self.folder(home, to).and_then(|()| to.push(self.name(file).as_bytes()))
    }

    /// The name of a file in it.
    pub(crate) fn name(&self, file: File) -> Path {
        let mut name = Path::new();
        for byte in &self.identity[..NAMED] {
            let digit = |value: u8| b"0123456789abcdef"[usize::from(value & 15)];
            // A name is shorter than a path may be.
            let _ = name.push(&[digit(byte >> 4), digit(*byte)]);
        }
        let _ = name.push(file.suffix().as_bytes());
        name
    }

    /// The image in it, opened and found to be trustworthy.
    pub(crate) fn image(&self, home: &Home<'_>) -> Result<Stored, Reason> {
        let mut folder = Path::new();
        self.folder(home, &mut folder)?;
        match snapshot::image_in(folder.as_c_str()?, self.name(File::Snapshot).as_c_str()?) {
            Err(Reason::File { errno: libc::ENOENT, .. }) => Err(Reason::NotCached),
            found => found,
        }
    }
}
