//! A root whose expression can be evaluated once in each process.

use std::sync::atomic::{AtomicBool, Ordering};

fastboot_rt::install!();

static DONE: AtomicBool = AtomicBool::new(false);

fastboot_rt::frozen! {
    static VALUE: u64 = {
        if DONE.swap(true, Ordering::Relaxed) {
            std::process::abort();
        }
        7
    };
}

fn main() {
    println!("{}", *VALUE);
}
