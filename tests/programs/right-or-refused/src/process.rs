//! State of the process.

extern "C" fn at_exit() {
    // Not nothing, or the compiler would leave it out.
    std::hint::black_box(());
}

extern "C" fn at_exit_with_status(_: libc::c_int, _: *mut libc::c_void) {
    std::hint::black_box(());
}

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
        "limit" => limit(libc::RLIMIT_CORE),
        "limit-of-files" => limit(libc::RLIMIT_NOFILE),
        _ => {}
    }
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
