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

use crate::config::CacheDir;
use crate::os::files::Descriptor;
use crate::os::{environment, files, time};
use crate::start::path::Path;
use crate::start::relocate::Stored;
use crate::start::snapshot;
use crate::start::thaw::Reason;
use core::ffi::CStr;
use core::fmt;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

/// How many bytes of the identity are in the names of files. All of it is in the snapshot.
const NAMED: usize = 16;
/// Name of the lock file.
pub(crate) const LOCK: &CStr = c"lock";
/// How the text of a failure begins if the freeze did not end by itself.
const UNFINISHED: &[u8] = b"did not end";
/// How long a failure counts, in seconds. One that did not end may have been ended by whatever ends processes; but it may
/// also be the reason why it was.
const COUNTS_FOR: i64 = 24 * 3600;
const UNFINISHED_COUNTS_FOR: i64 = 3600;
/// How many snapshots are kept in a folder.
const MOST: usize = 5;
/// How long one is kept that nobody uses.
const OLDEST: Duration = Duration::from_secs(30 * 24 * 3600);
/// How many bytes of a failure's text are shown.
const TEXT_LEN: usize = 400;

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
    /// Those of this process, before `main`.
    pub(crate) fn of_start() -> Self {
        let variable = |name| environment::variable(name).map(CStr::to_bytes);
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

    /// Opens the folder, and makes it if it is not there.
    pub(crate) fn open(&self, home: &Home<'_>) -> Result<Descriptor, Reason> {
        let mut path = Path::new();
        self.folder(home, &mut path)?;
        let open = |path: &CStr| Descriptor::open(None, path, libc::O_RDONLY | libc::O_DIRECTORY);
        let folder = match open(path.as_c_str()?) {
            Err(libc::ENOENT) => {
                make_folders(path.as_bytes())?;
                open(path.as_c_str()?)
            }
            opened => opened,
        };
        let folder = folder.map_err(|errno| Reason::File { call: "open the folder of the cache", errno })?;
        let status =
            folder.status().map_err(|errno| Reason::File { call: "look at the folder of the cache", errno })?;
        if status.st_uid != environment::effective_user() {
            return Err(Reason::Untrusted("the folder of the cache belongs to another user"));
        }
        Ok(folder)
    }
}

/// Makes the folders on the way to `path`, as far as they are missing.
fn make_folders(path: &[u8]) -> Result<(), Reason> {
    let mut made = Path::new();
    for part in path.split_inclusive(|byte| *byte == b'/') {
        made.push(part)?;
        let folder = made.as_c_str()?;
        let told = |errno| Reason::File { call: "make the folder of the cache", errno };
        if let Ok(there) = Descriptor::open(None, folder, libc::O_PATH | libc::O_DIRECTORY) {
            // What root makes in a user's home, the user can never write to.
            let owner = there.status().map_err(told)?.st_uid;
            if environment::effective_user() == 0 && owner != 0 {
                return Err(Reason::Untrusted("root makes no cache in the folder of another user"));
            }
        } else {
            files::make_folder(folder).map_err(told)?;
        }
    }
    Ok(())
}

/// Locks a folder for the one who freezes; `None` if another process has it locked and is not to be waited for.
pub(crate) fn lock(folder: &Descriptor, wait: bool) -> Result<Option<Descriptor>, Reason> {
    let told = |errno| Reason::File { call: "lock the folder of the cache", errno };
    let lock = Descriptor::make(folder, LOCK).map_err(told)?;
    Ok(if lock.lock(wait).map_err(told)? { Some(lock) } else { None })
}

/// Why there is no snapshot, if that was found out not long ago.
pub(crate) struct Failure {
    /// Seconds since then.
    age: i64,
    text: [u8; TEXT_LEN],
    length: usize,
}

impl Failure {
    /// Reads what a freeze left.
    pub(crate) fn read(folder: &Descriptor, name: &CStr) -> Option<Self> {
        let file = Descriptor::open(Some(folder), name, libc::O_RDONLY | libc::O_NOFOLLOW | libc::O_NONBLOCK).ok()?;
        let written = file.status().ok()?.st_mtime;
        let mut failure = Self { age: time::seconds_now() - written, text: [0; TEXT_LEN], length: 0 };
        failure.length = file.read_at(&mut failure.text, 0).ok()?;
        let counts_for = if failure.is_unfinished() { UNFINISHED_COUNTS_FOR } else { COUNTS_FOR };
        // One from the future was written by a clock that was wrong.
        (0..counts_for).contains(&failure.age).then_some(failure)
    }

    fn bytes(&self) -> &[u8] {
        self.text.get(..self.length).unwrap_or(&self.text)
    }

    /// What it says: the rest of a sentence that begins with "the attempt".
    pub(crate) fn text(&self) -> &str {
        // The last character may have been cut.
        let line = self.bytes().utf8_chunks().next().map_or("", |chunk| chunk.valid());
        line.trim_ascii_end()
    }

    fn is_unfinished(&self) -> bool {
        self.bytes().starts_with(UNFINISHED)
    }
}

/// Removes what freezes left that were killed. The caller has the folder locked.
pub(crate) fn remove_leftovers(folder: &std::path::Path) {
    for path in files(folder).filter(|path| has_extension(path, File::Temporary)) {
        let _ = fs::remove_file(path);
    }
}

/// Removes the snapshots of other binaries that nobody used for long, and the oldest if there are too many; and failures
/// that do not count any more. The caller has the folder locked. Whoever has one of them mapped keeps it.
pub(crate) fn remove_stale(folder: &std::path::Path, own: &std::path::Path) {
    let now = SystemTime::now();
    let age = |path: &PathBuf| {
        let status = fs::metadata(path).ok()?;
        let used = status.modified().ok()?.max(status.accessed().ok()?);
        Some(now.duration_since(used).unwrap_or_default())
    };
    let aged = |file| files(folder).filter(move |path| has_extension(path, file));
    let mut snapshots: Vec<_> =
        aged(File::Snapshot).filter(|path| path != own).filter_map(|path| Some((age(&path)?, path))).collect();
    snapshots.sort();
    let old = snapshots.iter().enumerate().filter(|(index, (age, _))| *index + 1 >= MOST || *age > OLDEST);
    let failures = aged(File::Failure).filter(|path| age(path).is_some_and(|age| age > OLDEST));
    for path in old.map(|(_, (_, path))| path.clone()).chain(failures) {
        let _ = fs::remove_file(path);
    }
}

/// The files in a folder whose names are those of a binary's.
fn files(folder: &std::path::Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let is_named = |name: &OsStr| {
        let stem = name.as_bytes().get(..2 * NAMED);
        stem.is_some_and(|stem| stem.iter().all(u8::is_ascii_hexdigit))
    };
    entries.filter(move |entry| is_named(&entry.file_name())).map(|entry| entry.path())
}

fn has_extension(path: &std::path::Path, file: File) -> bool {
    path.as_os_str().as_bytes().ends_with(file.suffix().as_bytes())
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the attempt {} min ago {}", self.age / 60, self.text())
    }
}
