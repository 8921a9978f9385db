//! Threads: starting them on stacks of the runtime's, calling with nothing in their registers, waiting and waking.

use super::assembly::assembly_function;
use super::kernel::{self, raw_syscall};
use super::memory::{make_writable, reserve};
use core::ops::Range;
use core::ptr;
use core::sync::atomic::AtomicU32;
use fastboot_format::image::PAGE;
use fastboot_format::protocol::STACK_LEN;
use libc::{c_long, c_void};
use std::io;

/// Lets another thread run.
pub(crate) fn yield_now() {
    if cfg!(miri) {
        return std::thread::yield_now();
    }
    // SAFETY: may be called at any time.
    unsafe { kernel::sched_yield() };
}

/// The attributes for a new thread, but with a stack at the end of `place`, of the size they ask for. `None` if they have
/// a stack already, or want a larger one.
///
/// # Safety
/// `attributes` is null or what `pthread_attr_init` made; `place` was reserved with [`reserve`], is page-aligned, and is
/// used for nothing else.
pub(crate) unsafe fn attributes_with_stack(
    attributes: *const libc::pthread_attr_t,
    place: Range<usize>,
) -> Option<libc::pthread_attr_t> {
    let mut own = core::mem::MaybeUninit::<libc::pthread_attr_t>::uninit();
    // SAFETY: `own` is written to before it is read: by `pthread_attr_init`, or with a copy of what that made. The copy is
    // only read by `pthread_create`, while the original is there, and never destroyed. The stack is the caller's promise.
    unsafe {
        if attributes.is_null() {
            libc::pthread_attr_init(own.as_mut_ptr());
        } else {
            own.write(attributes.read());
        }
        // Without a stack, glibc says that it ends at address 0; others return an error.
        let (mut start, mut length, mut wanted) = (ptr::null_mut(), 0, 0);
        let has_stack = libc::pthread_attr_getstack(own.as_ptr(), &mut start, &mut length) == 0
            && start.addr().wrapping_add(length) != 0;
        if has_stack || libc::pthread_attr_getstacksize(own.as_ptr(), &mut wanted) != 0 {
            return None;
        }
        let length = wanted.next_multiple_of(PAGE);
        if length > place.len() {
            return None;
        }
        let start = place.end - length;
        make_writable(start, length).ok()?; // part of `place`, which was reserved
        let result = libc::pthread_attr_setstack(own.as_mut_ptr(), ptr::with_exposed_provenance_mut(start), length);
        (result == 0).then(|| own.assume_init())
    }
}

unsafe extern "C-unwind" {
    /// Calls `body` with zeros in all registers that a function must leave as they are, and so writes to its frame. The frame of
    /// this function is described for the unwinder, so that backtraces do not end here.
    ///
    /// # Safety
    /// `body` may be called with `argument`.
    #[link_name = "fastboot_call_with_cleared_registers"]
    pub(crate) fn call_with_cleared_registers(body: extern "C-unwind" fn(*mut c_void), argument: *mut c_void);
}

// The registers that the calling convention preserves are put on the stack and taken from it again: six, and one word more,
// so that it is aligned when `body` is called.
assembly_function!("fastboot_call_with_cleared_registers" in ".text.fastboot_call_with_cleared_registers", [
    ".cfi_startproc",
    "push rbp",
    ".cfi_def_cfa_offset 16",
    ".cfi_offset rbp, -16",
    "push rbx",
    ".cfi_def_cfa_offset 24",
    ".cfi_offset rbx, -24",
    "push r12",
    ".cfi_def_cfa_offset 32",
    ".cfi_offset r12, -32",
    "push r13",
    ".cfi_def_cfa_offset 40",
    ".cfi_offset r13, -40",
    "push r14",
    ".cfi_def_cfa_offset 48",
    ".cfi_offset r14, -48",
    "push r15",
    ".cfi_def_cfa_offset 56",
    ".cfi_offset r15, -56",
    "sub rsp, 8",
    ".cfi_def_cfa_offset 64",
    "mov rax, rdi",
    "mov rdi, rsi",
    "xor ebx, ebx",
    "xor ebp, ebp",
    "xor r12d, r12d",
    "xor r13d, r13d",
    "xor r14d, r14d",
    "xor r15d, r15d",
    "call rax",
    "add rsp, 8",
    ".cfi_def_cfa_offset 56",
    "pop r15",
    ".cfi_def_cfa_offset 48",
    "pop r14",
    ".cfi_def_cfa_offset 40",
    "pop r13",
    ".cfi_def_cfa_offset 32",
    "pop r12",
    ".cfi_def_cfa_offset 24",
    "pop rbx",
    ".cfi_def_cfa_offset 16",
    "pop rbp",
    ".cfi_def_cfa_offset 8",
    "ret",
    ".cfi_endproc",
]);

/// Waits until somebody wakes those who wait for this word, or for a while, if it has this value.
pub(crate) fn wait(word: &AtomicU32, value: u32) {
    let a_while = libc::timespec { tv_sec: 0, tv_nsec: 10_000_000 };
    let operation = c_long::from(libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG);
    let arguments =
        [word.as_ptr().addr() as c_long, operation, value.into(), (&raw const a_while).addr() as c_long, 0, 0];
    // SAFETY: the word and the time are valid during the call, and it writes to neither.
    unsafe { raw_syscall(libc::SYS_futex, arguments) };
}

/// Wakes one of those who wait for this word.
pub(crate) fn wake(word: &AtomicU32) {
    let operation = c_long::from(libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG);
    // SAFETY: the call only looks who waits at this address.
    unsafe { raw_syscall(libc::SYS_futex, [word.as_ptr().addr() as c_long, operation, 1, 0, 0, 0]) };
}

/// The kernel's number of this thread.
pub(crate) fn thread_id() -> i32 {
    // SAFETY: may be called at any time.
    (unsafe { raw_syscall(libc::SYS_gettid, [0; 6]) }) as i32
}

/// Whether there is such a thread in this process.
pub(crate) fn is_there(thread: i32) -> bool {
    let process = c_long::from(std::process::id() as i32);
    // SAFETY: without a signal, it is only looked whether one could be sent.
    unsafe { raw_syscall(libc::SYS_tgkill, [process, thread.into(), 0, 0, 0, 0]) == 0 }
}

/// What `pthread_create(3)` takes.
type StartRoutine = extern "C" fn(*mut c_void) -> *mut c_void;

/// Runs `body` on a thread of its own whose stack is `stack`, does something else meanwhile, and waits for it.
///
/// # Errors
/// The error of `pthread_create`.
///
/// # Safety
/// `stack` is mapped, readable, writable, page-aligned, at least `PTHREAD_STACK_MIN` bytes, and used for nothing else.
pub(crate) unsafe fn run_on_stack(
    stack: Range<usize>,
    body: extern "C-unwind" fn(*mut c_void) -> *mut c_void,
    meanwhile: impl FnOnce(),
) -> Result<(), i32> {
    let mut attributes = core::mem::MaybeUninit::<libc::pthread_attr_t>::uninit();
    let mut thread = core::mem::MaybeUninit::<libc::pthread_t>::uninit();
    // SAFETY: `attributes` is initialised by `pthread_attr_init` before it is used, `thread` by `pthread_create` before
    // it is read; the stack is the caller's promise; `body` takes the null it is given. Both types of it are the same to the
    // processor.
    unsafe {
        libc::pthread_attr_init(attributes.as_mut_ptr());
        let result = libc::pthread_attr_setstack(
            attributes.as_mut_ptr(),
            ptr::with_exposed_provenance_mut(stack.start),
            stack.end - stack.start,
        );
        if result != 0 {
            return Err(result);
        }
        // The declaration does not say that the thread may be ended by unwinding it, as `pthread_exit` does.
        let body = core::mem::transmute::<extern "C-unwind" fn(*mut c_void) -> *mut c_void, StartRoutine>(body);
        let result = libc::pthread_create(thread.as_mut_ptr(), attributes.as_ptr(), body, ptr::null_mut());
        if result != 0 {
            return Err(result);
        }
        meanwhile();
        libc::pthread_join(thread.assume_init(), ptr::null_mut());
    }
    Ok(())
}

/// Runs `body` on a thread of its own, with a stack of 1 GiB that ends at `top`, so that its addresses do not depend on
/// chance; does something else meanwhile, and waits for it.
///
/// # Errors
/// A sentence.
pub(crate) fn on_large_stack(
    top: usize,
    body: extern "C-unwind" fn(*mut c_void) -> *mut c_void,
    meanwhile: impl FnOnce(),
) -> Result<(), String> {
    let stack = top - STACK_LEN as usize..top;
    // One more page below it that stays without access: running over the end is a fault, not corruption.
    let reserved = reserve(stack.start - PAGE, STACK_LEN as usize + PAGE);
    reserved
        // SAFETY: reserved just now.
        .and_then(|()| unsafe { make_writable(stack.start, STACK_LEN as usize) })
        .map_err(|errno| format!("cannot map a stack of 1 GiB: {}", io::Error::from_raw_os_error(errno)))?;
    // SAFETY: the range was reserved and made writable above, for this alone.
    unsafe { run_on_stack(stack, body, meanwhile) }
        .map_err(|errno| format!("cannot start a thread: {}", io::Error::from_raw_os_error(errno)))
}

/// The number with which glibc scrambles addresses of functions that it keeps, the same for all threads of a process.
pub(crate) fn pointer_guard() -> u64 {
    let guard: u64;
    // SAFETY: reads one word of this thread's control block, which `fs` is the address of. That of glibc has the number
    // there (`tcbhead_t`), that of musl something else, and both are longer. No flags, no stack.
    unsafe {
        core::arch::asm!("mov {}, qword ptr fs:[0x30]", out(reg) guard, options(nostack, preserves_flags, readonly))
    };
    guard
}

/// Has a key for data of threads while `look` runs, which is given its number and the address of its destructor. `None` if
/// there is no key left.
pub(crate) fn with_key<R>(look: impl FnOnce(u64, u64) -> R) -> Option<R> {
    /// Never called: no thread has data for this key. It returns another thing than any other function, so that a linker which
    /// folds equal ones leaves it alone.
    extern "C" fn destroy(data: *mut c_void) {
        core::hint::black_box(("a key that is only looked at", data));
    }
    let mut key = 0;
    let destroy: unsafe extern "C" fn(*mut c_void) = destroy;
    // SAFETY: `key` is writable, and the function stays.
    if unsafe { libc::pthread_key_create(&raw mut key, Some(destroy)) } != 0 {
        return None;
    }
    let result = look(key.into(), destroy as usize as u64);
    // SAFETY: it was created above, and no one else knows it.
    unsafe { libc::pthread_key_delete(key) };
    Some(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[inline(never)]
    fn caller_of_the_assembly(text: &mut String) {
        extern "C-unwind" fn body(text: *mut c_void) {
            // SAFETY: the address of the caller's text, which nobody uses meanwhile.
            let text = unsafe { &mut *text.cast::<String>() };
            *text = std::backtrace::Backtrace::force_capture().to_string();
        }
        // SAFETY: `body` takes the address of a text.
        unsafe { call_with_cleared_registers(body, ptr::from_mut(text).cast()) };
    }

    #[test]
    fn a_backtrace_goes_on_behind_cleared_registers() {
        let mut text = String::new();
        caller_of_the_assembly(&mut text);
        assert!(text.contains("caller_of_the_assembly") && text.contains("a_backtrace_goes_on"), "{text}");
    }

    #[test]
    fn a_panic_passes_cleared_registers() {
        extern "C-unwind" fn body(_: *mut c_void) {
            std::panic::resume_unwind(Box::new(7u32));
        }
        // SAFETY: `body` takes anything.
        let caught = std::panic::catch_unwind(|| unsafe { call_with_cleared_registers(body, ptr::null_mut()) });
        assert_eq!(caught.unwrap_err().downcast_ref(), Some(&7u32));
    }
}
