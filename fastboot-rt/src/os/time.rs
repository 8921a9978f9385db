//! Time: the clocks.

use core::ptr;

/// Nanoseconds since some fixed moment.
#[inline]
pub(crate) fn now() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is writable; `CLOCK_MONOTONIC` always exists.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    (time.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(time.tv_nsec as u64)
}

/// Seconds since 1970.
pub(crate) fn seconds_now() -> i64 {
    // SAFETY: with a null pointer `time` only returns its value.
    unsafe { libc::time(ptr::null_mut()) }
}
