//! Inputs seen: which files and environment variables a freeze run reads, and which files it writes.
//!
//! These are the inputs of the image, declared ([`crate::input()`]) or not: while they stay as they are, there is nothing to
//! freeze anew. `cargo fastboot` links with `--wrap=open64` and the like, so that whenever code of the executable calls
//! one of these functions, be it the standard library, another crate or C code, the function of that name in
//! [`shims`](crate::freeze::shims) is called first. It notes the name and passes the call on. Not seen: what shared libraries open for themselves, system calls
//! made without the C library, child processes.
//!
//! Nothing here allocates, because allocations are numbered, and what is left on the stack is overwritten, because unused
//! parts of objects keep what stood there.

use super::super::tell;
use crate::alloc;
use crate::os::{files, memory};
use core::ffi::{CStr, c_char, c_int};
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use fastboot_format::image::digest;
use fastboot_format::protocol::InputKind;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The longest name that is noted, in bytes: `PATH_MAX`, and a byte before it.
const NAME_LEN: usize = 4097;
/// How many names can be told apart; further ones are noted whenever they are seen.
const SLOTS: usize = 1 << 20;
/// How many slots are tried for one name.
const TRIES: usize = 64;
/// The kind of a name: the number of an [`InputKind`], with this bit if it is declared,
const DECLARED: u8 = 0x80;
/// or this for what is written to.
const OUTPUT: u8 = 0x40;

/// Digests of the names that were noted: `SLOTS` words, zero where there is none. Null before [`begin`].
static SEEN: AtomicPtr<AtomicU64> = AtomicPtr::new(ptr::null_mut());

/// Makes room for names. Without it, each is noted as often as it is seen.
pub(crate) fn begin() {
    if let Ok(slots) = memory::map_anonymous(SLOTS * size_of::<AtomicU64>()) {
        SEEN.store(slots.cast(), Ordering::Release);
    }
}

/// Notes an input that the expression declares: a file or folder.
pub(crate) fn declare_file(path: &Path) {
    watch(|name| {
        if name.file(libc::AT_FDCWD, path.as_os_str().as_bytes()) {
            name.note(InputKind::File, true);
        }
    });
}

/// The same for an environment variable.
pub(crate) fn declare_variable(variable: &OsStr) {
    watch(|name| name.variable(variable.as_bytes(), true));
}

/// Calls `body` with an empty name, if this is a freeze run and not the runtime itself that reads.
pub(crate) fn watch(body: impl FnOnce(&mut Name)) {
    without_trace(|| body(&mut Name { bytes: [0; NAME_LEN], length: 1 }));
}

/// Calls `body`, if this is a freeze run and not the runtime itself that does something, and leaves nothing of it on the stack.
pub(crate) fn without_trace(body: impl FnOnce()) {
    #[inline(never)]
    fn on_a_frame_of_its_own(body: impl FnOnce()) {
        body();
    }
    /// Overwrites what the calls above left on the stack.
    #[inline(never)]
    fn scrub() {
        core::hint::black_box(&mut [0u8; 16 << 10]);
    }
    if alloc::is_freezing() && !alloc::is_exempt() && tell::is_owner() {
        on_a_frame_of_its_own(body);
        scrub();
    }
}

/// The name of an input, behind a byte for its kind.
pub(crate) struct Name {
    bytes: [u8; NAME_LEN],
    length: usize,
}

impl Name {
    /// Appends; `false` if it does not fit.
    fn push(&mut self, part: &[u8]) -> bool {
        let Some(to) = self.bytes.get_mut(self.length..self.length + part.len()) else { return false };
        to.copy_from_slice(part);
        self.length += part.len();
        true
    }

    /// Appends an absolute path; `directory` is a descriptor, or `AT_FDCWD`.
    fn file(&mut self, directory: c_int, path: &[u8]) -> bool {
        if path.is_empty() {
            return false;
        }
        if path[0] != b'/' {
            let rest = &mut self.bytes[self.length..];
            let folder = if directory == libc::AT_FDCWD {
                files::current_folder(rest)
            } else {
                files::opened_path(directory, rest)
            };
            let Some(length) = folder else { return false };
            self.length += length;
            if !self.push(b"/") {
                return false;
            }
        }
        self.push(path)
    }

    /// Whether the name is seen for the first time with this kind.
    fn is_new(&mut self, kind: u8) -> bool {
        self.bytes[0] = kind;
        let digest = digest(&self.bytes[..self.length]).max(1);
        let slots = SEEN.load(Ordering::Acquire);
        if slots.is_null() {
            return true;
        }
        for attempt in 0..TRIES {
            let index = (digest as usize).wrapping_add(attempt) % SLOTS;
            // SAFETY: `SLOTS` words are mapped there for the rest of the process, aligned to a page, and only ever
            // accessed atomically.
            let slot = unsafe { &*slots.add(index) };
            match slot.compare_exchange(0, digest, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(found) if found == digest => return false,
                Err(_) => {}
            }
        }
        true
    }

    /// Writes the name to the capture, once.
    fn note(&mut self, kind: InputKind, declared: bool) {
        if self.is_new(kind as u8 | if declared { DECLARED } else { 0 }) {
            tell::write_input(kind, declared, &self.bytes[1..self.length]);
        }
    }

    /// The same for the name of a file that is written to.
    fn note_output(&mut self) {
        if self.is_new(OUTPUT) {
            tell::write_output(&self.bytes[1..self.length]);
        }
    }

    /// The same for an environment variable of this name.
    pub(crate) fn variable(&mut self, variable: &[u8], declared: bool) {
        if self.push(variable) {
            self.note(InputKind::Variable, declared);
        }
    }
}

/// A file is about to be opened, or a folder.
///
/// # Safety
/// `path` is null or a C string.
pub(crate) unsafe fn opening(directory: c_int, path: *const c_char, access: Access) {
    if path.is_null() {
        return;
    }
    watch(|name| {
        // SAFETY: not null, hence a C string, as the caller promises.
        let path = unsafe { CStr::from_ptr(path) };
        if !name.file(directory, path.to_bytes()) {
            return;
        }
        match access {
            Access::Reads | Access::Changes => name.note(InputKind::File, false),
            // What it reads later is what it wrote itself.
            Access::Makes => _ = name.is_new(InputKind::File as u8),
            Access::Appends | Access::Looks => {}
        }
        if matches!(access, Access::Changes | Access::Makes | Access::Appends) {
            name.note_output();
        }
    });
}

/// What a file is opened for.
#[derive(Clone, Copy)]
pub(crate) enum Access {
    /// To read what it holds.
    Reads,
    /// To read what it holds and to write to it.
    Changes,
    /// To write it anew.
    Makes,
    /// To write to it, without reading it.
    Appends,
    /// For its name alone.
    Looks,
}

impl Access {
    /// As the flags of `open(2)` say.
    pub(crate) fn from_flags(flags: c_int) -> Self {
        let writes = flags & libc::O_ACCMODE != libc::O_RDONLY;
        let makes = flags & libc::O_TRUNC != 0
            || flags & (libc::O_CREAT | libc::O_EXCL) == libc::O_CREAT | libc::O_EXCL
            || flags & libc::O_TMPFILE == libc::O_TMPFILE;
        match flags & libc::O_ACCMODE {
            _ if flags & libc::O_PATH != 0 => Self::Looks,
            _ if writes && makes => Self::Makes,
            libc::O_WRONLY => Self::Appends,
            libc::O_RDONLY => Self::Reads,
            _ => Self::Changes,
        }
    }

    /// As the mode of `fopen(3)` says.
    pub(crate) fn from_mode(mode: &CStr) -> Self {
        match mode.to_bytes().first() {
            Some(b'w') => Self::Makes,
            Some(b'a') => Self::Appends,
            _ if mode.to_bytes().contains(&b'+') => Self::Changes,
            _ => Self::Reads,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_anew_is_not_read() {
        let flags = |flags| Access::from_flags(flags);
        assert!(matches!(flags(libc::O_RDONLY | libc::O_CLOEXEC), Access::Reads));
        assert!(matches!(flags(libc::O_RDONLY | libc::O_DIRECTORY), Access::Reads));
        assert!(matches!(flags(libc::O_RDWR | libc::O_CREAT), Access::Changes));
        assert!(matches!(flags(libc::O_RDWR | libc::O_TMPFILE), Access::Makes));
        assert!(matches!(flags(libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC), Access::Makes));
        assert!(matches!(flags(libc::O_RDWR | libc::O_CREAT | libc::O_EXCL), Access::Makes));
        assert!(matches!(flags(libc::O_WRONLY | libc::O_APPEND), Access::Appends));
        assert!(matches!(flags(libc::O_PATH), Access::Looks));
        assert!(matches!(Access::from_mode(c"r"), Access::Reads));
        assert!(matches!(Access::from_mode(c"r+"), Access::Changes));
        assert!(matches!(Access::from_mode(c"wb"), Access::Makes));
        assert!(matches!(Access::from_mode(c"a"), Access::Appends));
    }

    #[test]
    fn names_are_absolute_and_end_where_they_must() {
        let of = |directory, path: &[u8]| {
            let mut name = Name { bytes: [0; NAME_LEN], length: 1 };
            name.file(directory, path).then(|| name.bytes[1..name.length].to_vec())
        };
        assert_eq!(of(libc::AT_FDCWD, b"/a/b").unwrap(), b"/a/b");
        let current = std::env::current_dir().unwrap();
        assert_eq!(of(libc::AT_FDCWD, b"words").unwrap(), current.join("words").as_os_str().as_bytes());
        let folder = std::fs::File::open("/proc").unwrap();
        assert_eq!(of(std::os::fd::AsRawFd::as_raw_fd(&folder), b"self").unwrap(), b"/proc/self");
        assert_eq!(of(-1, b"self"), None);
        assert_eq!(of(libc::AT_FDCWD, b""), None);
        assert_eq!(of(libc::AT_FDCWD, &[b'x'; NAME_LEN]), None);
        assert_eq!(of(libc::AT_FDCWD, &[&b"/"[..], &[b'x'; NAME_LEN - 1]].concat()), None);
    }

    #[test]
    fn a_name_is_new_once_for_each_kind() {
        begin();
        let mut name = Name { bytes: [0; NAME_LEN], length: 1 };
        assert!(name.push(b"/a name that no other test uses"));
        let file = InputKind::File as u8;
        for kind in [file, file | DECLARED, InputKind::Variable as u8, OUTPUT] {
            assert!(name.is_new(kind));
            assert!(!name.is_new(kind));
        }
    }
}
