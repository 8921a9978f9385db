//! Random numbers of a freeze run: the same in every run of one binary.
//!
//! A `HashMap` keeps the keys of its hash function, so with random keys no two freeze runs would come out alike, and
//! neither would two builds. `cargo fastboot` links with `--wrap=getrandom --wrap=syscall --wrap=dlsym`, which makes
//! every reference to these three (the ways in which the standard library and the crate `getrandom` ask for random
//! bytes) one to the functions here. Outside of a freeze run they pass the call on. In a binary that was linked without
//! those options nothing refers to them.

use super::super::{identity, random};
use crate::alloc::is_freezing;
use crate::os::assembly::assembly_function;
use crate::os::kernel;
use crate::os::symbols::weak_symbol;
use core::ffi::{CStr, c_char, c_long, c_uint, c_void};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// State of the generator of unknown threads (`freeze::identity`). Any state is a good one.
static STATE: AtomicU64 = AtomicU64::new(0);
/// Whether this is a freeze run.
static FREEZE_RUN: AtomicBool = AtomicBool::new(false);

/// From now on this is a freeze run. `seed`: what the random bytes of unknown threads follow from.
pub(crate) fn begin(seed: Option<u64>) {
    STATE.store(seed.unwrap_or(0), Ordering::Relaxed);
    FREEZE_RUN.store(true, Ordering::Relaxed);
}

/// Fills a buffer with the current thread's next numbers.
///
/// # Safety
/// `length` bytes are writable at `buffer`.
unsafe fn fill(buffer: *mut u8, length: usize) {
    // SAFETY: the caller's promise.
    unsafe { random::fill(identity::random_state().unwrap_or(&STATE), buffer, length) };
}

type GetRandom = unsafe extern "C-unwind" fn(*mut c_void, usize, c_uint) -> isize;
type DlSym = unsafe extern "C-unwind" fn(*mut c_void, *const c_char) -> *mut c_void;

/// In place of `getrandom(2)`.
///
/// # Safety
/// As the function it stands for.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".text.fastboot")]
unsafe extern "C-unwind" fn __wrap_getrandom(buffer: *mut c_void, length: usize, flags: c_uint) -> isize {
    if random::is_fixed() {
        // SAFETY: the caller's promise.
        unsafe { fill(buffer.cast(), length) };
        return length as isize;
    }
    let real = weak_symbol!("__real_getrandom");
    if real != 0 {
        // SAFETY: with --wrap=getrandom the linker resolves this name to the C library's `getrandom`, of this type.
        let real = unsafe { core::mem::transmute::<usize, GetRandom>(real) };
        // SAFETY: the caller's promise, passed on.
        return unsafe { real(buffer, length, flags) };
    }
    // SAFETY: the caller's promise, passed on to the kernel.
    unsafe {
        kernel::raw_syscall(libc::SYS_getrandom, [buffer.addr() as c_long, length as c_long, flags as c_long, 0, 0, 0])
            as isize
    }
}

/// In place of `syscall(2)`. Declared with six arguments: on x86-64 a variadic function gets integers where any other
/// does, and arguments that were not passed are read from registers and stack as whatever is there, which the kernel
/// ignores; the C library's own does the same.
///
/// # Safety
/// As the function it stands for.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".text.fastboot")]
unsafe extern "C-unwind" fn __wrap_syscall(
    number: c_long,
    a: c_long,
    b: c_long,
    c: c_long,
    d: c_long,
    e: c_long,
    f: c_long,
) -> c_long {
    if number == libc::SYS_getrandom && random::is_fixed() {
        // SAFETY: the caller passes a buffer and its length, as `getrandom(2)` asks for.
        unsafe { fill(core::ptr::with_exposed_provenance_mut(a as usize), b as usize) };
        return b;
    }
    // SAFETY: the caller's promise, passed on to the kernel.
    unsafe { kernel::raw_syscall(number, [a, b, c, d, e, f]) }
}

unsafe extern "C-unwind" {
    /// In place of `dlsym(3)`. Nothing but a jump: the runtime of a sanitizer asks for symbols before code that it
    /// instruments, such as Rust's, may run.
    ///
    /// # Safety
    /// As the function it stands for.
    fn __wrap_dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
}

// Both jumps leave arguments, stack and return address as they are, to functions of this very type: with --wrap=dlsym the
// linker resolves the second name to the C library's `dlsym`, or to nothing if that is not linked, which is told from it; and
// without the option nobody calls this. A byte of a static is read; flags are changed, and `rax`, which is for the result.
assembly_function!("__wrap_dlsym" in ".text.fastboot", [
    "cmp byte ptr [rip + {freeze_run}], 0",
    "jne {find}",
    ".weak __real_dlsym",
    "mov rax, qword ptr [rip + __real_dlsym@GOTPCREL]",
    "test rax, rax",
    "jz 2f",
    "jmp rax",
    // Null, that is, not found: nobody has it.
    "2:",
    "ret",
], freeze_run = sym FREEZE_RUN, find = sym find_in_freeze_run);

/// `dlsym` in a freeze run: whoever looks for `getrandom` finds ours.
///
/// # Safety
/// As `dlsym`.
unsafe extern "C-unwind" fn find_in_freeze_run(handle: *mut c_void, name: *const c_char) -> *mut c_void {
    // SAFETY: the caller passes a C string.
    if is_freezing() && unsafe { CStr::from_ptr(name) } == c"getrandom" {
        return __wrap_getrandom as *const () as *mut c_void;
    }
    let real = weak_symbol!("__real_dlsym");
    if real == 0 {
        return core::ptr::null_mut();
    }
    // SAFETY: with --wrap=dlsym the linker resolves this name to the C library's `dlsym`, of this type.
    let real = unsafe { core::mem::transmute::<usize, DlSym>(real) };
    // SAFETY: the caller's promise, passed on.
    unsafe { real(handle, name) }
}

/// Keeps the functions above in the program, under fat LTO too, where only what is used survives.
#[used]
static KEEP: (
    GetRandom,
    DlSym,
    unsafe extern "C-unwind" fn(c_long, c_long, c_long, c_long, c_long, c_long, c_long) -> c_long,
) = (__wrap_getrandom, __wrap_dlsym, __wrap_syscall);
