//! What the binaries have in common.

/// The umask of this process.
#[must_use]
pub fn umask() -> u32 {
    // SAFETY: changes an attribute of the process, and changes it back.
    unsafe {
        let mask = libc::umask(0);
        libc::umask(mask);
        mask
    }
}

/// How many columns the terminal has that standard output is; 80 if it is none.
#[must_use]
pub fn columns() -> u16 {
    // SAFETY: all zero is a valid `winsize`.
    let mut size: libc::winsize = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes a `winsize` to the address of one.
    match unsafe { libc::ioctl(1, libc::TIOCGWINSZ, &raw mut size) } {
        0 => size.ws_col,
        _ => 80,
    }
}

/// The hour that it is, counted from 1970 on, as each function of the C library has it.
#[must_use]
pub fn hours() -> [i64; 2] {
    let mut precise = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let mut older = libc::timeval { tv_sec: 0, tv_usec: 0 };
    // SAFETY: the kernel writes to what is there for it; a null pointer for the zone is fine.
    unsafe {
        libc::clock_gettime(libc::CLOCK_REALTIME, &raw mut precise);
        libc::gettimeofday(&raw mut older, std::ptr::null_mut());
    }
    [precise.tv_sec, older.tv_sec].map(|seconds| seconds / 3600)
}

/// The numbers of user and group, those that it began with and those that count.
#[must_use]
pub fn user() -> [u32; 4] {
    // SAFETY: these take nothing, and change nothing.
    unsafe { [libc::getuid(), libc::geteuid(), libc::getgid(), libc::getegid()] }
}
