//! State of a shared library that roots' expressions leave behind. The variable `CASE` says what they do.

use core::ffi::{c_char, c_int};
use std::sync::Once;
use std::sync::atomic::{AtomicU8, Ordering};

fastboot_rt::install!();

unsafe extern "C" {
    fn library_set_up();
    fn library_square(n: c_int) -> c_int;
    fn library_scale(by: c_int);
    fn library_scaled(n: c_int) -> c_int;
    fn library_keep(text: *const c_char) -> c_int;
    fn library_kept() -> c_int;
}

static ONCE: Once = Once::new();
static STATE: AtomicU8 = AtomicU8::new(0);

fastboot_rt::frozen! {
    /// Made with the library's help.
    static ROOT: String = {
        let case = case();
        evaluate(&case);
        format!("root of {case}")
    };
}

fn case() -> String {
    fastboot_rt::input_env("CASE").map_or_else(String::new, |case| case.to_string_lossy().into_owned())
}

fn evaluate(case: &str) {
    match case.split_once(' ') {
        Some(("once", what)) => ONCE.call_once(|| change(what)),
        Some(("state", what)) if STATE.swap(1, Ordering::Relaxed) == 0 => change(what),
        Some(("bare", what)) => change(what),
        _ => {}
    }
}

fn change(what: &str) {
    match what {
        // SAFETY: they change statics of the library's own, and nobody else is there.
        "zeros" => unsafe { library_set_up() },
        // SAFETY: as above.
        "data" => unsafe { library_scale(3) },
        // SAFETY: as above; it copies a string that ends with zero.
        "heap" => _ = unsafe { library_keep(c"kept".as_ptr()) },
        // SAFETY: it reads.
        "nothing" => assert_eq!(unsafe { library_square(0) }, 0),
        _ => {}
    }
}

fn main() {
    let case = case();
    println!("{}", *ROOT);
    if !case.starts_with("bare") {
        evaluate(&case);
        // SAFETY: they read statics of the library's own.
        println!("{:?}", unsafe { [library_square(4), library_scaled(4), library_kept()] });
    }
}
