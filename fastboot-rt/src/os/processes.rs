//! Processes: starting them, ending this one, and what the kernel knows of it.

use super::environment::environment;
use super::files::Descriptor;
use super::kernel::{self, errno, raw_syscall};
use core::ffi::CStr;
use core::ptr;
use libc::c_int;

/// Ends the process at once, without running anything more of the program.
pub(crate) fn exit(code: c_int) -> ! {
    loop {
        // SAFETY: it may be called at any time, and does not return.
        unsafe { kernel::exit_group(code) };
    }
}

/// What happens on a signal: 0 for what happens by default, 1 for nothing, else the address of a handler.
pub(crate) fn handler(signal: c_int) -> usize {
    // SAFETY: all zero is a valid `sigaction`.
    let mut action: libc::sigaction = unsafe { core::mem::zeroed() };
    // SAFETY: with a null pointer for the new action nothing is changed (sigaction(2)); `action` is writable, and stays as
    // it is if there is no such signal.
    unsafe { libc::sigaction(signal, ptr::null(), &raw mut action) };
    action.sa_sigaction
}

/// Has a write to a pipe that nobody reads fail instead of end the process, as the standard library has it before `main`.
pub(crate) fn ignore_broken_pipes() {
    // SAFETY: `SIG_IGN` is no function that could run, so nothing is asked of one.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
}

/// How many bytes of address space the process may have.
pub(crate) fn address_space() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: `limit` is writable; if the call fails it stays as it is.
    unsafe { libc::getrlimit(libc::RLIMIT_AS, &raw mut limit) };
    limit.rlim_cur
}

/// Whether processes whose parents end may become children of this one: it would have to wait for them.
pub(crate) fn adopts_orphans() -> bool {
    let mut reaper: c_int = 0;
    // SAFETY: `getpid` may be called at any time; `reaper` is writable.
    unsafe { libc::getpid() == 1 || (libc::prctl(libc::PR_GET_CHILD_SUBREAPER, &raw mut reaper) == 0 && reaper != 0) }
}

/// Starts this executable anew as nobody's child, with `stdin` as its standard input. Only before there is a second thread,
/// or as long as the others do not matter: between this and `execve` nothing but system calls is made.
///
/// # Safety
/// `arguments` and `environment` are arrays of pointers to C strings that end with a null pointer.
///
/// # Errors
/// The `errno`; none if it is `execve` that fails.
pub(crate) unsafe fn start_detached(
    arguments: *const *const libc::c_char,
    environment: *const *const libc::c_char,
    stdin: &Descriptor,
) -> Result<(), i32> {
    // clone(2) without flags for memory or stack is fork(2). The child in between has no signal for its end, so that nobody
    // hears of it: no handler, no `SIGCHLD` that stays pending because it is blocked, and no `wait` without `__WALL`. Tracers
    // are not to follow it, because they would take it for a thread.
    // SAFETY: the child is a copy of this process. It and its own child make system calls, and end in `execve` or `_exit`;
    // the pointers are valid by the caller's promise, in the copies too.
    unsafe {
        let child = raw_syscall(libc::SYS_clone, [libc::CLONE_UNTRACED.into(), 0, 0, 0, 0, 0]);
        if child == 0 {
            let grandchild = raw_syscall(libc::SYS_clone, [libc::SIGCHLD.into(), 0, 0, 0, 0, 0]);
            if grandchild == 0 {
                // dup2(2): equal numbers change nothing, hence the third call.
                libc::dup2(stdin.0, libc::STDIN_FILENO);
                libc::fcntl(libc::STDIN_FILENO, libc::F_SETFD, 0);
                libc::execve(c"/proc/self/exe".as_ptr(), arguments, environment);
                libc::_exit(127);
            }
            libc::_exit(if grandchild < 0 { errno() } else { 0 });
        }
        if child < 0 {
            return Err(errno());
        }
        let mut status = 0;
        while libc::waitpid(child as libc::pid_t, &raw mut status, libc::__WALL) < 0 && errno() == libc::EINTR {}
        if status == 0 { Ok(()) } else { Err(libc::WEXITSTATUS(status)) }
    }
}

/// Executes this executable anew in this process, in the same environment. Returns if that fails.
///
/// # Safety
/// Called before `main`, and no constructor has left a thread that changes the environment.
pub(crate) unsafe fn execute_itself(arguments: &[&CStr]) {
    let arguments: Vec<_> = arguments.iter().map(|argument| argument.as_ptr()).chain([ptr::null()]).collect();
    // SAFETY: the caller's promise.
    let environment: Vec<_> = unsafe { environment() }.chain([ptr::null()]).collect();
    // SAFETY: a path and arrays of C strings that end with a null pointer, all alive. On success nothing of this process
    // remains.
    unsafe { kernel::execve(c"/proc/self/exe".as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
}

/// Makes this process one that nobody notices: a session of its own, no open files but standard input and `keep`, `/dev/null`
/// for output, and the least of all priorities. It is ended after `seconds`.
pub(crate) fn go_into_background(seconds: libc::c_uint, keep: &Descriptor) {
    const IOPRIO_WHO_PROCESS: libc::c_long = 1;
    /// `IOPRIO_CLASS_IDLE << IOPRIO_CLASS_SHIFT`.
    const IDLE: libc::c_long = 3 << 13;
    let null = Descriptor::open(None, c"/dev/null", libc::O_RDWR);
    // SAFETY: attributes and descriptors of this process, in which only the runtime has run so far. What fails is left as it
    // is: all of this is courtesy.
    unsafe {
        libc::setsid();
        libc::setpriority(libc::PRIO_PROCESS, 0, 19);
        raw_syscall(libc::SYS_ioprio_set, [IOPRIO_WHO_PROCESS, 0, IDLE, 0, 0, 0]);
        libc::alarm(seconds);
        if let Ok(null) = &null {
            libc::dup2(null.0, libc::STDOUT_FILENO);
            libc::dup2(null.0, libc::STDERR_FILENO);
        }
        drop(null);
        let keep = keep.0;
        for range in [(3, keep - 1), (keep + 1, c_int::MAX)].into_iter().filter(|(first, last)| first <= last) {
            if raw_syscall(libc::SYS_close_range, [range.0.into(), range.1.into(), 0, 0, 0, 0]) != 0 {
                // Before Linux 5.9.
                for number in range.0..=range.1.min(1023) {
                    libc::close(number);
                }
            }
        }
        libc::prctl(libc::PR_SET_NAME, c"fastboot-freeze".as_ptr());
    }
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
}

/// Has a function called when the program returns from `main` or calls `exit`, after all that register later.
pub(crate) fn at_exit(function: extern "C" fn()) {
    // SAFETY: the function is of this program, which is not unloaded before it exits.
    unsafe { libc::atexit(function) };
}

/// Turns address randomisation on or off for this process's next `execve`; `false` when it is so already or cannot be
/// changed.
pub(crate) fn set_randomization(on: bool) -> bool {
    const ASK: libc::c_ulong = 0xffff_ffff;
    // SAFETY: `personality` changes how later mappings are placed, nothing that is there.
    unsafe {
        let now = kernel::personality(ASK);
        let wanted = if on { now & !libc::ADDR_NO_RANDOMIZE } else { now | libc::ADDR_NO_RANDOMIZE };
        now != -1
            && now != wanted
            && kernel::personality(wanted as libc::c_ulong) != -1
            && kernel::personality(ASK) == wanted
    }
}

/// Files that this process makes from now on have none of these permissions.
pub(crate) fn set_umask(mask: u32) {
    // SAFETY: sets an attribute of this process.
    unsafe { kernel::umask(mask) };
}

/// This thread, and those that it starts, run on one processor less, if they may use more than one.
pub(crate) fn leave_a_processor() {
    // SAFETY: all zero is a valid set: an empty one.
    let mut set: libc::cpu_set_t = unsafe { core::mem::zeroed() };
    // SAFETY: the kernel writes to `set` and no further than its size says.
    if unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut set) } != 0 {
        return;
    }
    // SAFETY: both functions look at bits of the set that they are given, which has as many.
    let last = (0..libc::CPU_SETSIZE as usize).rfind(|processor| unsafe { libc::CPU_ISSET(*processor, &set) });
    // SAFETY: as above.
    if let Some(last) = last.filter(|_| unsafe { libc::CPU_COUNT(&set) } > 1) {
        // SAFETY: `last` is in the set; then the kernel reads it.
        unsafe {
            libc::CPU_CLR(last, &mut set);
            kernel::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set);
        }
    }
}

/// Has the kernel kill this process when its parent dies: a freeze run nobody waits for is of no use.
pub(crate) fn die_with_parent() {
    // SAFETY: sets an attribute of this process.
    unsafe { kernel::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong) };
}
