//! A root that shares a counter with a thread which would count on request.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

fastboot_rt::install!();

fastboot_rt::frozen! {
    static COUNTER: Arc<AtomicU64> = {
        let counter = Arc::new(AtomicU64::new(7));
        let shared = Arc::clone(&counter);
        let count = move || loop {
            thread::park();
            shared.fetch_add(1, Ordering::Relaxed);
        };
        thread::Builder::new().name("counts".to_owned()).spawn(count).expect("threads can be started");
        counter
    };
}

fn main() {
    println!("{}", COUNTER.load(Ordering::Relaxed));
}
