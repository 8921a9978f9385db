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
