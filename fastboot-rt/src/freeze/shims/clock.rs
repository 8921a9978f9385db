//! Clock: the time of day, which is another one in a run that is to take place in another world.
//!
//! `cargo fastboot` links with `--wrap=clock_gettime --wrap=gettimeofday`, which makes every reference to these two one to the
//! functions here. Both ask the first one of the C library, so that a program which never heard of the other does not import
//! it either. (`time` is left alone: it is what a C program may call a variable of its own, and `--wrap` takes these too.)
//! Clocks that count from another moment than 1970 are left alone: what waits for some time waits as long as ever.

use crate::os::kernel;
use crate::os::symbols::weak_symbol;
use core::ffi::{c_int, c_long, c_void};
use core::sync::atomic::{AtomicI64, Ordering};

/// Seconds by which the time of day is another one. On a page that every start writes to.
#[unsafe(link_section = "fastboot_values")]
static SHIFT: AtomicI64 = AtomicI64::new(0);

/// From now on the time of day is this many seconds later.
pub(crate) fn shift(seconds: i64) {
    SHIFT.store(seconds, Ordering::Relaxed);
}

/// Whether a clock counts from 1970 on.
fn is_time_of_day(clock: libc::clockid_t) -> bool {
    matches!(clock, libc::CLOCK_REALTIME | libc::CLOCK_REALTIME_COARSE | libc::CLOCK_REALTIME_ALARM | libc::CLOCK_TAI)
}

type ClockGetTime = unsafe extern "C-unwind" fn(libc::clockid_t, *mut libc::timespec) -> c_int;

/// The C library's `clock_gettime`, or the kernel's.
///
/// # Safety
/// As `clock_gettime(2)`.
#[inline(always)]
unsafe fn real_clock(clock: libc::clockid_t, time: *mut libc::timespec) -> c_int {
    let real = weak_symbol!("__real_clock_gettime");
    if real == 0 {
        let arguments = [c_long::from(clock), time.expose_provenance() as c_long, 0, 0, 0, 0];
        // SAFETY: the caller's promise, passed on to the kernel.
        return (unsafe { kernel::raw_syscall(libc::SYS_clock_gettime, arguments) }) as c_int;
    }
    // SAFETY: with --wrap=clock_gettime the linker resolves this name to the C library's function, of this type.
    let real = unsafe { core::mem::transmute::<usize, ClockGetTime>(real) };
    // SAFETY: the caller's promise, passed on.
    unsafe { real(clock, time) }
}

/// In place of `clock_gettime(2)`.
///
/// # Safety
/// As the function it stands for.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".text.fastboot")]
unsafe extern "C-unwind" fn __wrap_clock_gettime(clock: libc::clockid_t, time: *mut libc::timespec) -> c_int {
    let shift = SHIFT.load(Ordering::Relaxed);
    if shift == 0 {
        // SAFETY: the caller's promise.
        return unsafe { real_clock(clock, time) };
    }
    // SAFETY: the caller's promise.
    unsafe { shifted(clock, time, shift) }
}

/// The same, some seconds later if it is a time of day.
///
/// # Safety
/// As `clock_gettime(2)`.
#[cold]
unsafe fn shifted(clock: libc::clockid_t, time: *mut libc::timespec, shift: i64) -> c_int {
    // SAFETY: the caller's promise.
    let result = unsafe { real_clock(clock, time) };
    if result == 0 && is_time_of_day(clock) {
        // SAFETY: the call wrote to it.
        unsafe { (*time).tv_sec += shift };
    }
    result
}

/// In place of `gettimeofday(2)`. Nobody has any use for the time zone; who asks for it gets what the kernel knows.
///
/// # Safety
/// As the function it stands for.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".text.fastboot")]
unsafe extern "C-unwind" fn __wrap_gettimeofday(time: *mut libc::timeval, zone: *mut c_void) -> c_int {
    if !zone.is_null() {
        let arguments = [0, zone.expose_provenance() as c_long, 0, 0, 0, 0];
        // SAFETY: the caller's promise, passed on to the kernel, without the time.
        let result = unsafe { kernel::raw_syscall(libc::SYS_gettimeofday, arguments) };
        if result != 0 {
            return result as c_int;
        }
    }
    if time.is_null() {
        return 0;
    }
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is writable.
    let result = unsafe { __wrap_clock_gettime(libc::CLOCK_REALTIME, &mut now) };
    if result == 0 {
        // SAFETY: not null, so it is writable, the caller promises.
        unsafe { time.write(libc::timeval { tv_sec: now.tv_sec, tv_usec: now.tv_nsec / 1000 }) };
    }
    result
}

/// Keeps the functions above in the program, under fat LTO too, where only what is used survives.
#[used]
static KEEP: (ClockGetTime, unsafe extern "C-unwind" fn(*mut libc::timeval, *mut c_void) -> c_int) =
    (__wrap_clock_gettime, __wrap_gettimeofday);

#[cfg(test)]
mod tests {
    use super::*;

    fn read(clock: libc::clockid_t) -> i64 {
        let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `now` is writable.
        assert_eq!(unsafe { __wrap_clock_gettime(clock, &mut now) }, 0);
        now.tv_sec
    }

    fn read_all() -> [i64; 2] {
        let mut now = libc::timeval { tv_sec: 0, tv_usec: 0 };
        // SAFETY: it is writable, and a zone is not asked for.
        assert_eq!(unsafe { __wrap_gettimeofday(&mut now, core::ptr::null_mut()) }, 0);
        assert!((0..1_000_000).contains(&now.tv_usec));
        [read(libc::CLOCK_REALTIME), now.tv_sec]
    }

    #[test]
    fn the_time_of_day_is_another_one_and_nothing_else() {
        let near = |one: i64, other: i64| (one - other).abs() < 60;
        // SAFETY: a null pointer is fine.
        let now = unsafe { libc::time(core::ptr::null_mut()) };
        let monotonic = read(libc::CLOCK_MONOTONIC);
        assert!(read_all().into_iter().all(|time| near(time, now)));
        for clock in [libc::CLOCK_REALTIME_COARSE, libc::CLOCK_TAI] {
            assert!(near(read(clock), now));
        }
        shift(-100_000);
        assert!(read_all().into_iter().all(|time| near(time, now - 100_000)));
        assert!(near(read(libc::CLOCK_MONOTONIC), monotonic));
        shift(0);
        // SAFETY: a null time is not written to; the other one is no clock.
        let results = unsafe {
            [
                __wrap_gettimeofday(core::ptr::null_mut(), core::ptr::null_mut()),
                __wrap_clock_gettime(-1, &mut core::mem::zeroed()),
            ]
        };
        assert_eq!(results, [0, -1]);
    }
}
