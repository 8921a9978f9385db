//! State of the process, and hooks: each kind with a flag that says that it was changed, and without one.

use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

static DONE: AtomicBool = AtomicBool::new(false);
static ONCE: Once = Once::new();

struct Stderr;

impl log::Log for Stderr {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        eprintln!("{}", record.args());
    }

    fn flush(&self) {}
}

extern "C" fn at_exit() {
    // Not nothing, or the compiler would leave it out.
    DONE.store(true, Ordering::Relaxed);
}

extern "C" fn on_signal(_: libc::c_int) {}

/// Changes something. It may have been changed already: in `main` the answer is that it is.
fn change(what: &str) {
    match what {
        "log" => {
            _ = log::set_logger(&Stderr);
            log::set_max_level(log::LevelFilter::Info);
        }
        "level" => log::set_max_level(log::LevelFilter::Warn),
        "panic-hook" => std::panic::set_hook(Box::new(|_| eprintln!("a panic of this program"))),
        // SAFETY: nobody else is there who reads or writes the environment.
        "variable" => unsafe { std::env::set_var("RIGHT_OR_REFUSED", "set") },
        // SAFETY: as above.
        "variable-removed" => unsafe { std::env::remove_var("CASE_TO_REMOVE") },
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
        // SAFETY: the function changes a static, and stays.
        "at-exit" => _ = unsafe { libc::atexit(at_exit) },
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

pub(crate) fn evaluate(case: &str) {
    match case.split_once(' ') {
        Some(("bare", what)) => change(what),
        Some(("flag", what)) if !DONE.swap(true, Ordering::Relaxed) => change(what),
        Some(("once", what)) => ONCE.call_once(|| change(what)),
        _ => {}
    }
}

pub(crate) fn answer(case: &str) {
    // As a program does that relies on it.
    if case.contains(' ') && !case.starts_with("bare") {
        evaluate(case);
        println!("level {}, {:?}", log::max_level(), std::env::var_os("RIGHT_OR_REFUSED"));
    }
}
