//! Threads: starting them on stacks of the runtime's, calling with nothing in their registers, waiting and waking.

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
        make_writable(start, length).ok()?;
        let result = libc::pthread_attr_setstack(own.as_mut_ptr(), ptr::with_exposed_provenance_mut(start), length);
        (result == 0).then(|| own.assume_init())
    }
}

/// Calls `body` with zeros in all registers that a function must leave as they are, and so writes to its frame.
///
/// # Safety
/// `body` may be called with `argument`, and does not unwind.
pub(crate) unsafe fn call_with_cleared_registers(body: extern "C" fn(*mut c_void), argument: *mut c_void) {
    // SAFETY: the registers that the calling convention preserves are declared as overwritten, or, where the compiler does
    // not let them be, put on the stack and taken from it again: two words, so that it stays aligned. `body` overwrites no
    // others than its convention allows. What it does is the caller's promise.
    unsafe {
        core::arch::asm!(
            "push rbx",
            "push rbp",
            "xor ebx, ebx",
            "xor ebp, ebp",
            "xor r12d, r12d",
            "xor r13d, r13d",
            "xor r14d, r14d",
            "xor r15d, r15d",
            "call rax",
            "pop rbp",
            "pop rbx",
            inout("rax") body => _, inout("rdi") argument => _,
            out("r12") _, out("r13") _, out("r14") _, out("r15") _,
            clobber_abi("C"),
        );
    }
}

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
    let process = c_long::from(std::process::id().cast_signed());
    // SAFETY: without a signal, it is only looked whether one could be sent.
    unsafe { raw_syscall(libc::SYS_tgkill, [process, thread.into(), 0, 0, 0, 0]) == 0 }
}

/// Runs `body` on a thread of its own whose stack is `stack`, does something else meanwhile, and waits for it.
///
/// # Errors
/// The error of `pthread_create`.
///
/// # Safety
/// `stack` is mapped, readable, writable, page-aligned, at least `PTHREAD_STACK_MIN` bytes, and used for nothing else.
pub(crate) unsafe fn run_on_stack(
    stack: Range<usize>,
    body: extern "C" fn(*mut c_void) -> *mut c_void,
    meanwhile: impl FnOnce(),
) -> Result<(), i32> {
    let mut attributes = core::mem::MaybeUninit::<libc::pthread_attr_t>::uninit();
    let mut thread = core::mem::MaybeUninit::<libc::pthread_t>::uninit();
    // SAFETY: `attributes` is initialised by `pthread_attr_init` before it is used, `thread` by `pthread_create` before
    // it is read; the stack is the caller's promise; `body` takes the null it is given.
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
    body: extern "C" fn(*mut c_void) -> *mut c_void,
    meanwhile: impl FnOnce(),
) -> Result<(), String> {
    let stack = top - STACK_LEN as usize..top;
    // One more page below it that stays without access: running over the end is a fault, not corruption.
    let reserved = reserve(stack.start - PAGE, STACK_LEN as usize + PAGE);
    reserved
        .and_then(|()| make_writable(stack.start, STACK_LEN as usize))
        .map_err(|errno| format!("cannot map a stack of 1 GiB: {}", io::Error::from_raw_os_error(errno)))?;
    // SAFETY: the range was reserved and made writable above, for this alone.
    unsafe { run_on_stack(stack, body, meanwhile) }
        .map_err(|errno| format!("cannot start a thread: {}", io::Error::from_raw_os_error(errno)))
}
