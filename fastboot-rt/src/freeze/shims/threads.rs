//! Threads: `pthread_create` of a freeze run, which gives each new thread its name and its place.

use super::super::identity::{self, StartRoutine, Thread};
use crate::os::symbols::weak_symbol;
use crate::os::threads;
use core::ffi::{c_int, c_void};
use core::ptr;

type PthreadCreate =
    unsafe extern "C-unwind" fn(*mut libc::pthread_t, *const libc::pthread_attr_t, StartRoutine, *mut c_void) -> c_int;

/// In place of `pthread_create(3)`, in binaries linked with `--wrap=pthread_create`: gives the new thread its name.
///
/// # Safety
/// As the function it stands for.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".text.fastboot")]
unsafe extern "C-unwind" fn __wrap_pthread_create(
    thread: *mut libc::pthread_t,
    attributes: *const libc::pthread_attr_t,
    start: StartRoutine,
    argument: *mut c_void,
) -> c_int {
    let real = weak_symbol!("__real_pthread_create");
    if real == 0 {
        return libc::ENOSYS;
    }
    // SAFETY: with --wrap=pthread_create the linker resolves this name to the C library's function, of this type.
    let real = unsafe { core::mem::transmute::<usize, PthreadCreate>(real) };
    let Some(child) = identity::new_child() else {
        // SAFETY: the caller's promise, passed on.
        return unsafe { real(thread, attributes, start, argument) };
    };
    // SAFETY: `child` was made just now and is known to nobody else; the rest is the caller's promise. `run` gets the
    // argument it expects. The stack is reserved for the thread in this place, of which there is only one.
    unsafe {
        (*child).start = Some(start);
        (*child).argument = argument;
        let own = (*child).stack().and_then(|stack| threads::attributes_with_stack(attributes, stack));
        let attributes = own.as_ref().map_or(attributes, ptr::from_ref);
        let result = real(thread, attributes, run, child.cast());
        if result == 0 {
            (*child).set_handle(*thread);
        }
        result
    }
}

extern "C-unwind" fn run(thread: *mut c_void) -> *mut c_void {
    let thread = thread.cast::<Thread>().cast_const();
    identity::become_thread(thread);
    // SAFETY: `__wrap_pthread_create` passed a thread that is never freed and whose `start` is set.
    let (start, argument) = unsafe { ((*thread).start, (*thread).argument) };
    start.map_or(ptr::null_mut(), |start| start(argument))
}

/// Keeps the function above in the program, under fat LTO too, where only what is used survives.
#[used]
static KEEP: PthreadCreate = __wrap_pthread_create;
