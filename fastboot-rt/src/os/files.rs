//! Files: descriptors, folders, links, pipes.

use super::kernel::{self, errno};
use core::ffi::CStr;
use libc::{c_int, c_long};

/// An open file, closed when it is dropped. Not `std`'s, because before `main` nothing may allocate.
pub(crate) struct Descriptor(pub(super) c_int);

impl Drop for Descriptor {
    fn drop(&mut self) {
        // SAFETY: the number is this value's alone.
        unsafe { libc::close(self.0) };
    }
}

impl Descriptor {
    /// Opens `path`, relative to `folder` or else to the working directory, and not for child processes.
    ///
    /// # Errors
    /// The `errno`.
    pub(crate) fn open(folder: Option<&Self>, path: &CStr, flags: c_int) -> Result<Self, i32> {
        let folder = folder.map_or(libc::AT_FDCWD, |folder| folder.0);
        // SAFETY: `path` is a C string.
        let number = unsafe { kernel::openat(folder, path.as_ptr(), flags | libc::O_CLOEXEC, 0) };
        if number < 0 { Err(errno()) } else { Ok(Self(number)) }
    }

    /// Opens the file `name` in `folder` for reading and writing, and makes it if it is not there: for this user alone, and
    /// not for child processes. A symbolic link is an error.
    ///
    /// # Errors
    /// The `errno`.
    pub(crate) fn make(folder: &Self, name: &CStr) -> Result<Self, i32> {
        let flags = libc::O_RDWR | libc::O_CREAT | libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NOCTTY;
        let mode: libc::c_uint = 0o600;
        // SAFETY: `name` is a C string, and `O_CREAT` has the mode it asks for.
        let number = unsafe { kernel::openat(folder.0, name.as_ptr(), flags, mode) };
        if number < 0 { Err(errno()) } else { Ok(Self(number)) }
    }

    /// Locks the file for as long as this descriptor, or a copy of it in any process, is open; waits for others if asked
    /// to. `false` if another process has it locked.
    ///
    /// # Errors
    /// The `errno`.
    pub(crate) fn lock(&self, wait: bool) -> Result<bool, i32> {
        lock_descriptor(self.0, wait)
    }

    /// Makes `text` all that the file holds.
    ///
    /// # Errors
    /// The `errno`.
    pub(crate) fn replace_with(&self, text: &[u8]) -> Result<(), i32> {
        // SAFETY: `text` is readable and as long as said; no memory is involved otherwise.
        let written = unsafe {
            if libc::ftruncate(self.0, 0) != 0 {
                return Err(errno());
            }
            libc::pwrite(self.0, text.as_ptr().cast(), text.len(), 0)
        };
        match usize::try_from(written) {
            Ok(length) if length == text.len() => Ok(()),
            Ok(_) => Err(libc::ENOSPC),
            Err(_) => Err(errno()),
        }
    }

    /// Removes the file `name` from this folder, if it is there.
    pub(crate) fn remove(&self, name: &CStr) {
        // SAFETY: `name` is a C string.
        unsafe { libc::unlinkat(self.0, name.as_ptr(), 0) };
    }

    /// The same, as `std` has it.
    pub(crate) fn into_owned(self) -> std::os::fd::OwnedFd {
        use std::os::fd::FromRawFd;
        let number = core::mem::ManuallyDrop::new(self).0;
        // SAFETY: the number was this value's alone, and is not closed by it any more.
        unsafe { std::os::fd::OwnedFd::from_raw_fd(number) }
    }

    /// What the file is.
    ///
    /// # Errors
    /// The `errno`.
    pub(crate) fn status(&self) -> Result<libc::stat, i32> {
        let mut status = core::mem::MaybeUninit::<libc::stat>::uninit();
        // SAFETY: `status` is writable.
        let result = unsafe { kernel::fstat(self.0, status.as_mut_ptr()) };
        // SAFETY: filled in by a call that succeeded.
        if result == 0 { Ok(unsafe { status.assume_init() }) } else { Err(errno()) }
    }

    /// What the file at `path`, relative to this folder, is.
    ///
    /// # Errors
    /// The `errno`.
    pub(crate) fn status_at(&self, path: &CStr) -> Result<libc::stat, i32> {
        let mut status = core::mem::MaybeUninit::<libc::stat>::uninit();
        // SAFETY: `path` is a C string, `status` is writable.
        let result = unsafe { libc::fstatat(self.0, path.as_ptr(), status.as_mut_ptr(), 0) };
        // SAFETY: filled in by a call that succeeded.
        if result == 0 { Ok(unsafe { status.assume_init() }) } else { Err(errno()) }
    }

    /// Whether fs-verity protects the file.
    pub(crate) fn has_verity(&self) -> bool {
        let mut status = core::mem::MaybeUninit::<libc::statx>::zeroed();
        // SAFETY: an empty C string, which AT_EMPTY_PATH makes stand for the descriptor; `status` is writable.
        let result = unsafe { libc::statx(self.0, c"".as_ptr(), libc::AT_EMPTY_PATH, 0, status.as_mut_ptr()) };
        // SAFETY: all its bytes were zero, which is a valid `statx`.
        let status = unsafe { status.assume_init() };
        // statx(2): "Not all attributes may be supported by a filesystem", which the mask tells.
        let verity = libc::STATX_ATTR_VERITY as u64;
        result == 0 && status.stx_attributes & status.stx_attributes_mask & verity != 0
    }

    /// Reads from an offset on, and says how many bytes there were: fewer than asked for at the end of the file only.
    ///
    /// # Errors
    /// The `errno`.
    pub(crate) fn read_at(&self, to: &mut [u8], offset: u64) -> Result<usize, i32> {
        // SAFETY: `to` is writable and as long as said.
        let read = unsafe { kernel::pread(self.0, to.as_mut_ptr().cast(), to.len(), offset as libc::off_t) };
        usize::try_from(read).map_err(|_| errno())
    }
}

/// Locks a file for as long as it, or a copy of its descriptor in any process, is open, and waits for others to do so.
///
/// # Errors
/// What the kernel says.
// The standard library has it as `File::lock` from Rust 1.89 on.
pub(crate) fn lock(file: &std::fs::File) -> std::io::Result<()> {
    use std::os::fd::AsRawFd;
    lock_descriptor(file.as_raw_fd(), true).map(|_| ()).map_err(std::io::Error::from_raw_os_error)
}

fn lock_descriptor(descriptor: c_int, wait: bool) -> Result<bool, i32> {
    let how = libc::LOCK_EX | if wait { 0 } else { libc::LOCK_NB };
    loop {
        // SAFETY: a descriptor's number; no memory is involved.
        if unsafe { kernel::flock(descriptor, how) } == 0 {
            return Ok(true);
        }
        match errno() {
            libc::EINTR => {}
            libc::EWOULDBLOCK => return Ok(false),
            errno => return Err(errno),
        }
    }
}

/// Reads a symbolic link, and says how many bytes it has.
///
/// # Errors
/// The `errno`; `ENAMETOOLONG` when it does not fit.
pub(crate) fn read_link(path: &CStr, to: &mut [u8]) -> Result<usize, i32> {
    // SAFETY: `path` is a C string; `to` is writable and as long as said.
    let read = unsafe { libc::readlink(path.as_ptr(), to.as_mut_ptr().cast(), to.len()) };
    match usize::try_from(read) {
        // It may have been cut off.
        Ok(length) if length == to.len() => Err(libc::ENAMETOOLONG),
        Ok(length) => Ok(length),
        Err(_) => Err(errno()),
    }
}

/// Makes a folder for this user alone. One that is there already is no error.
///
/// # Errors
/// The `errno`.
pub(crate) fn make_folder(path: &CStr) -> Result<(), i32> {
    // SAFETY: `path` is a C string.
    let result = unsafe { libc::mkdir(path.as_ptr(), 0o700) };
    if result == 0 || errno() == libc::EEXIST { Ok(()) } else { Err(errno()) }
}

/// Takes the standard input as a file of its own, closed for child processes, and leaves `/dev/null` in its place.
pub(crate) fn take_stdin() -> Option<Descriptor> {
    // SAFETY: numbers of descriptors; nobody else uses standard input, because `main` does not run.
    let number = unsafe { libc::fcntl(libc::STDIN_FILENO, libc::F_DUPFD_CLOEXEC, 3) };
    if number < 0 {
        return None;
    }
    let null = Descriptor::open(None, c"/dev/null", libc::O_RDWR).ok()?;
    // SAFETY: as above.
    unsafe { libc::dup2(null.0, libc::STDIN_FILENO) };
    Some(Descriptor(number))
}

/// The current folder, written to the beginning of `to`: its length in bytes.
pub(crate) fn current_folder(to: &mut [u8]) -> Option<usize> {
    // SAFETY: `to` is writable, and its length is passed with it.
    let got = unsafe { libc::getcwd(to.as_mut_ptr().cast(), to.len()) };
    (!got.is_null()).then(|| to.iter().position(|byte| *byte == 0)).flatten()
}

/// The path of what a descriptor refers to, written to the beginning of `to`: its length in bytes.
pub(crate) fn opened_path(descriptor: c_int, to: &mut [u8]) -> Option<usize> {
    use std::io::Write;
    let mut link = [0u8; 32];
    // Short enough for the array, and zeros behind it.
    write!(&mut link[..], "/proc/self/fd/{descriptor}").ok()?;
    // SAFETY: `link` ends with a zero; `to` is writable, and its length is passed with it.
    let length = unsafe { libc::readlink(link.as_ptr().cast(), to.as_mut_ptr().cast(), to.len()) };
    usize::try_from(length).ok()
}

/// Puts the pages of these bytes into a pipe, without copying them; how many bytes it took. They must not change before
/// somebody has read them. Where it is no pipe, nothing happens.
pub(crate) fn give_pages(pipe: &std::fs::File, bytes: &[u8]) -> usize {
    use std::os::fd::AsRawFd;
    let mut given = 0;
    while given < bytes.len() {
        let rest = &bytes[given..];
        let part = libc::iovec { iov_base: rest.as_ptr().cast_mut().cast(), iov_len: rest.len() };
        let arguments = [c_long::from(pipe.as_raw_fd()), (&raw const part).addr() as c_long, 1, 0, 0, 0];
        // SAFETY: the kernel reads the bytes, which the caller has borrowed, and keeps their pages as long as it needs them.
        let result = unsafe { kernel::raw_syscall(libc::SYS_vmsplice, arguments) };
        if result <= 0 {
            break;
        }
        given += result as usize;
    }
    given
}
