//! The folder of the cache: making it, locking it, and what is in it besides snapshots.

use crate::os::files::{self, Descriptor};
use crate::os::{environment, time};
use crate::start::cache::{Cache, File, Home, NAMED};
use crate::start::path::Path;
use crate::start::reason::Reason;
use core::ffi::CStr;
use core::fmt;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

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

/// Opens the folder, and makes it if it is not there.
pub(crate) fn open(cache: &Cache, home: &Home<'_>) -> Result<Descriptor, Reason> {
    let mut path = Path::new();
    cache.folder(home, &mut path)?;
    let open = |path: &CStr| Descriptor::open(None, path, libc::O_RDONLY | libc::O_DIRECTORY);
    let folder = match open(path.as_c_str()?) {
        Err(libc::ENOENT) => {
            make_folders(path.as_bytes())?;
            open(path.as_c_str()?)
        }
        opened => opened,
    };
    let folder = folder.map_err(Reason::cannot("open the folder of the cache"))?;
    let status = folder.status().map_err(Reason::cannot("look at the folder of the cache"))?;
    if status.st_uid != environment::effective_user() {
        return Err(Reason::Untrusted("the folder of the cache belongs to another user"));
    }
    Ok(folder)
}

/// Makes the folders on the way to `path`, as far as they are missing.
fn make_folders(path: &[u8]) -> Result<(), Reason> {
    let mut made = Path::new();
    for part in path.split_inclusive(|byte| *byte == b'/') {
        made.push(part)?;
        let folder = made.as_c_str()?;
        let cannot = Reason::cannot("make the folder of the cache");
        if let Ok(there) = Descriptor::open(None, folder, libc::O_PATH | libc::O_DIRECTORY) {
            // What root makes in a user's home, the user can never write to.
            let owner = there.status().map_err(cannot)?.st_uid;
            if environment::effective_user() == 0 && owner != 0 {
                return Err(Reason::Untrusted("root makes no cache in the folder of another user"));
            }
        } else {
            files::make_folder(folder).map_err(cannot)?;
        }
    }
    Ok(())
}

/// Locks a folder for the one who freezes; `None` if another process has it locked and is not to be waited for.
pub(crate) fn lock(folder: &Descriptor, wait: bool) -> Result<Option<Descriptor>, Reason> {
    let cannot = Reason::cannot("lock the folder of the cache");
    let lock = Descriptor::make(folder, LOCK).map_err(cannot)?;
    Ok(if lock.lock(wait).map_err(cannot)? { Some(lock) } else { None })
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
    for path in named_files(folder).filter(|path| has_extension(path, File::Temporary)) {
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
    let aged = |file| named_files(folder).filter(move |path| has_extension(path, file));
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
fn named_files(folder: &std::path::Path) -> impl Iterator<Item = PathBuf> {
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
