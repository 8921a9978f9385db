//! Kernel: system calls that are made without the C library.
//!
//! A function that is imported from a shared library is looked up by the dynamic linker at every start, called or not. What
//! only a freeze needs is not to cost a start anything, so these are not imported. They are called as the C library's
//! functions are, and return what those return.

use core::ffi::{c_char, c_int, c_long, c_uint, c_ulong, c_void};

/// A system call, made as the C library's `syscall` makes it: -1 and `errno` on an error.
///
/// # Safety
/// What the system call asks for.
#[unsafe(link_section = ".text.fastboot")]
pub(crate) unsafe fn raw_syscall(number: c_long, arguments: [c_long; 6]) -> c_long {
    let [a, b, c, d, e, f] = arguments;
    let result: c_long;
    // SAFETY: the kernel's calling convention for x86-64: number in rax, arguments in these registers, rcx and r11
    // overwritten, the result in rax. What the call itself does is the caller's promise.
    unsafe {
        core::arch::asm!(
            "syscall",
            inlateout("rax") number => result,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e, in("r9") f,
            lateout("rcx") _, lateout("r11") _,
            options(nostack)
        );
    }
    if (-4095..0).contains(&result) {
        // SAFETY: the C library returns the address of this thread's `errno`, always valid.
        unsafe { *libc::__errno_location() = -result as c_int };
        return -1;
    }
    result
}

/// What the last call that failed left in `errno`.
pub(crate) fn errno() -> i32 {
    // SAFETY: the C library returns the address of this thread's `errno`, always valid.
    unsafe { *libc::__errno_location() }
}

/// Defines functions with the names and the types that the C library has for them.
macro_rules! system_calls {
    ($($number:ident: $name:ident($($argument:ident: $of:ty),*) -> $result:ty;)+) => {
        $(
            /// # Safety
            /// What the system call of this name asks for.
            #[inline]
            pub(crate) unsafe fn $name($($argument: $of),*) -> $result {
                let mut arguments = [0; 6];
                // Numbers are extended as their types say, of which the kernel reads as much as there was.
                let given: &[c_long] = &[$($argument as c_long),*];
                arguments[..given.len()].copy_from_slice(given);
                // SAFETY: the caller's promise.
                (unsafe { raw_syscall(libc::$number, arguments) }) as $result
            }
        )+
    };
}

system_calls! {
    SYS_brk: brk(address: usize) -> usize;
    SYS_execve: execve(path: *const c_char, arguments: *const *const c_char, environment: *const *const c_char) -> c_int;
    SYS_exit_group: exit_group(code: c_int) -> c_int;
    SYS_flock: flock(file: c_int, operation: c_int) -> c_int;
    SYS_fstat: fstat(file: c_int, status: *mut libc::stat) -> c_int;
    SYS_madvise: madvise(address: *mut c_void, length: usize, advice: c_int) -> c_int;
    SYS_mmap: mmap(
        address: *mut c_void, length: usize, access: c_int, flags: c_int, file: c_int, offset: libc::off_t
    ) -> *mut c_void;
    SYS_mprotect: mprotect(address: *mut c_void, length: usize, access: c_int) -> c_int;
    SYS_mremap: mremap(old: *mut c_void, length: usize, new_length: usize, flags: c_int, new: *mut c_void) -> *mut c_void;
    SYS_munmap: munmap(address: *mut c_void, length: usize) -> c_int;
    SYS_openat: openat(folder: c_int, path: *const c_char, flags: c_int, mode: c_uint) -> c_int;
    SYS_personality: personality(persona: c_ulong) -> c_int;
    SYS_prctl: prctl(option: c_int, argument: c_ulong) -> c_int;
    SYS_pread64: pread(file: c_int, to: *mut c_void, length: usize, offset: libc::off_t) -> isize;
    SYS_sched_setaffinity: sched_setaffinity(thread: c_int, length: usize, set: *const libc::cpu_set_t) -> c_int;
    SYS_sched_yield: sched_yield() -> c_int;
    SYS_umask: umask(mask: c_uint) -> c_int;
}
