//! State of the process.

extern "C" fn at_exit() {
    // Not nothing, or the compiler would leave it out.
    std::hint::black_box(());
}

extern "C" fn at_exit_with_status(_: libc::c_int, _: *mut libc::c_void) {
    std::hint::black_box(());
}

extern "C" fn after_fork() {
    std::hint::black_box(());
}

/// `MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED`.
const REGISTER_PRIVATE_EXPEDITED: libc::c_int = 1 << 4;

static LOCKED: [u8; 4096] = [1; 4096];

extern "C" fn on_signal(_: libc::c_int) {}

unsafe extern "C" {
    fn on_exit(function: extern "C" fn(libc::c_int, *mut libc::c_void), argument: *mut libc::c_void) -> libc::c_int;
}

/// Changes something. It may have been changed already: in `main` the answer is that it is.
pub(crate) fn change(what: &str) {
    match what {
        // SAFETY: nobody else is there who reads or writes the environment.
        "variable" => unsafe { std::env::set_var("RIGHT_OR_REFUSED", "set") },
        // SAFETY: as above.
        "variable-removed" => unsafe { std::env::remove_var("CASE_TO_REMOVE") },
        // SAFETY: as above; names and values end with zero.
        "variable-of-c" => _ = unsafe { libc::setenv(c"RIGHT_OR_REFUSED".as_ptr(), c"C".as_ptr(), 1) },
        "folder" => std::env::set_current_dir("/").unwrap(),
        "folder-again" => std::env::set_current_dir("/proc").unwrap(),
        // SAFETY: it changes a number of the process.
        "umask" => _ = unsafe { libc::umask(0o77) },
        // SAFETY: as above.
        "umask-wide" => _ = unsafe { libc::umask(0) },
        // SAFETY: a name that ends with zero; nobody else is there.
        "locale" => _ = unsafe { libc::setlocale(libc::LC_ALL, c"C.UTF-8".as_ptr()) },
        // SAFETY: as above.
        "locale-of-numbers" => _ = unsafe { libc::setlocale(libc::LC_NUMERIC, c"C.UTF-8".as_ptr()) },
        // SAFETY: the handler does nothing.
        "signal" => _ = unsafe { libc::signal(libc::SIGUSR1, on_signal as *const () as libc::sighandler_t) },
        // SAFETY: it is ignored from then on.
        "signal-ignored" => _ = unsafe { libc::signal(libc::SIGUSR2, libc::SIG_IGN) },
        "signal-hook" => _ = signal_hook::flag::register(libc::SIGWINCH, std::sync::Arc::default()),
        "control-c" => _ = ctrlc::set_handler(|| {}),
        // SAFETY: the function does nothing, and stays.
        "at-exit" => _ = unsafe { libc::atexit(at_exit) },
        // SAFETY: as above.
        "on-exit" => _ = unsafe { on_exit(at_exit_with_status, std::ptr::null_mut()) },
        // SAFETY: the function does nothing, and stays.
        "at-fork" => _ = unsafe { libc::pthread_atfork(None, None, Some(after_fork)) },
        // SAFETY: they change numbers of the process, or of this thread.
        "nice" => _ = unsafe { libc::nice(3) },
        // SAFETY: as above.
        "dumpable" => _ = unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) },
        // SAFETY: as above.
        "no-new-privileges" => _ = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) },
        // SAFETY: as above.
        "timer-slack" => _ = unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 77_000, 0, 0, 0) },
        // SAFETY: as above.
        "subreaper" => _ = unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) },
        // SAFETY: a name that ends with zero.
        "name" => _ = unsafe { libc::prctl(libc::PR_SET_NAME, c"loader".as_ptr()) },
        // SAFETY: registers the process for barriers.
        "membarrier" => _ = unsafe { libc::syscall(libc::SYS_membarrier, REGISTER_PRIVATE_EXPEDITED, 0) },
        // SAFETY: the timer rings after a day, at which it ends a process that is no more.
        "alarm" => _ = unsafe { libc::alarm(86_400) },
        // SAFETY: locks one page of the program.
        "lock-of-memory" => _ = unsafe { libc::mlock((&raw const LOCKED).cast(), 1) },
        "blocked-signal" => block(libc::SIGUSR2),
        "timer" => timer(),
        "key" => key(),
        // The first one has the standard library create a key.
        "thread" => std::thread::spawn(|| ()).join().unwrap(),
        "limit" => limit(libc::RLIMIT_CORE),
        "limit-of-files" => limit(libc::RLIMIT_NOFILE),
        _ => {}
    }
}

fn block(signal: libc::c_int) {
    // SAFETY: all zero is a set of signals, which the calls write to or read.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, signal);
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
    }
}

/// A timer that tells nobody, and is not set.
fn timer() {
    // SAFETY: all zero is a valid `sigevent`; the calls read and write what they are given.
    unsafe {
        let mut event: libc::sigevent = std::mem::zeroed();
        event.sigev_notify = libc::SIGEV_NONE;
        let mut timer: libc::timer_t = std::ptr::null_mut();
        assert_eq!(libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, &raw mut timer), 0);
    }
}

/// A key without a destructor.
fn key() {
    let mut key = 0;
    // SAFETY: the call writes the key.
    assert_eq!(unsafe { libc::pthread_key_create(&raw mut key, None) }, 0);
}

/// Makes the limit lower by one, or 512 if there is none.
fn limit(resource: libc::__rlimit_resource_t) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls read or write the struct.
    unsafe {
        libc::getrlimit(resource, &raw mut limit);
        limit.rlim_cur = if limit.rlim_cur == libc::RLIM_INFINITY { 512 } else { limit.rlim_cur.saturating_sub(1) };
        limit.rlim_max = limit.rlim_cur;
        libc::setrlimit(resource, &raw const limit);
    }
}

pub(crate) fn answer() {
    println!("{:?}", std::env::var_os("RIGHT_OR_REFUSED"));
}
