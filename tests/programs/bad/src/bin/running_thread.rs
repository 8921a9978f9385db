//! A root that holds the handle of a thread which goes on running.

use std::sync::Mutex;
use std::thread::{self, JoinHandle};

fastboot_rt::install!();

fastboot_rt::frozen! {
    static WORKER: Mutex<Option<JoinHandle<()>>> = Mutex::new(Some(thread::spawn(|| loop {
        thread::park();
    })));
}

fn main() {
    println!("{}", WORKER.is_poisoned());
}
