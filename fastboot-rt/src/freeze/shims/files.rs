//! Files: functions of the C library that open files and read variables, which a freeze run takes note of.

use super::super::observe::inputs_seen::{Access, opening, watch};
use crate::os::symbols::weak_symbol;
use core::ffi::{CStr, c_char, c_int, c_void};
use core::ptr;

/// Defines a function that stands in place of one of the C library's, does something before it, and passes the call on.
/// In a binary that was linked without `--wrap` there is nothing to pass it on to, and nobody who calls.
macro_rules! stand_in {
    (
        $name:ident, $real:literal: $type:ty, ($($argument:ident: $of:ty),+) -> $result:ty,
        before $before:expr, else $nothing:expr
    ) => {
        /// # Safety
        /// As the function it stands for.
        #[unsafe(no_mangle)]
        #[unsafe(link_section = ".text.fastboot")]
        unsafe extern "C-unwind" fn $name($($argument: $of),+) -> $result {
            // SAFETY: the caller's promise: the pointers are what the function it called takes.
            unsafe { $before };
            let real = weak_symbol!($real);
            if real == 0 {
                return $nothing;
            }
            // SAFETY: with --wrap the linker resolves this name to the C library's function, of this type.
            let real = unsafe { core::mem::transmute::<usize, $type>(real) };
            // SAFETY: the caller's promise, passed on.
            unsafe { real($($argument),+) }
        }

        // In the program under fat LTO too, where only what is used survives.
        const _: () = {
            #[used]
            static KEEP: unsafe extern "C-unwind" fn($($of),+) -> $result = $name;
        };
    };
}

type Open = unsafe extern "C-unwind" fn(*const c_char, c_int, ...) -> c_int;
type OpenAt = unsafe extern "C-unwind" fn(c_int, *const c_char, c_int, ...) -> c_int;
type FOpen = unsafe extern "C-unwind" fn(*const c_char, *const c_char) -> *mut c_void;
type OpenDir = unsafe extern "C-unwind" fn(*const c_char) -> *mut c_void;
type GetEnv = unsafe extern "C-unwind" fn(*const c_char) -> *mut c_char;

// `open` and its like are variadic; on x86-64 a variadic function gets integers where any other does, and a mode that was
// not passed is read from its register as whatever is there, which the function ignores if the flags do not ask for it.
stand_in!(__wrap_open, "__real_open": Open, (path: *const c_char, flags: c_int, mode: libc::mode_t) -> c_int,
    before opening(libc::AT_FDCWD, path, Access::from_flags(flags)), else -1);
stand_in!(__wrap_open64, "__real_open64": Open, (path: *const c_char, flags: c_int, mode: libc::mode_t) -> c_int,
    before opening(libc::AT_FDCWD, path, Access::from_flags(flags)), else -1);
stand_in!(__wrap_openat, "__real_openat": OpenAt,
    (directory: c_int, path: *const c_char, flags: c_int, mode: libc::mode_t) -> c_int,
    before opening(directory, path, Access::from_flags(flags)), else -1);
stand_in!(__wrap_openat64, "__real_openat64": OpenAt,
    (directory: c_int, path: *const c_char, flags: c_int, mode: libc::mode_t) -> c_int,
    before opening(directory, path, Access::from_flags(flags)), else -1);
stand_in!(__wrap_fopen, "__real_fopen": FOpen, (path: *const c_char, mode: *const c_char) -> *mut c_void,
    before opening(libc::AT_FDCWD, path, Access::from_mode(CStr::from_ptr(mode))), else ptr::null_mut());
stand_in!(__wrap_fopen64, "__real_fopen64": FOpen, (path: *const c_char, mode: *const c_char) -> *mut c_void,
    before opening(libc::AT_FDCWD, path, Access::from_mode(CStr::from_ptr(mode))), else ptr::null_mut());
stand_in!(__wrap_opendir, "__real_opendir": OpenDir, (path: *const c_char) -> *mut c_void,
    before opening(libc::AT_FDCWD, path, Access::Reads), else ptr::null_mut());
stand_in!(__wrap_getenv, "__real_getenv": GetEnv, (variable: *const c_char) -> *mut c_char,
    before watch(|name| name.variable(CStr::from_ptr(variable).to_bytes(), false)),
    else ptr::null_mut());
