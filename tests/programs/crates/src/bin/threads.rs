//! Four plain threads, each of which makes 20,000 strings.

use crates::{answer, digest, evaluated};
use std::thread;

fastboot_rt::install!();

fastboot_rt::frozen! {
    static STRINGS: Vec<Vec<String>> = evaluated("STRINGS", || {
        let make = |thread: usize| (0..20_000).map(|number| format!("string {number} of thread {thread}")).collect();
        let threads: Vec<_> = (0..4).map(|number| thread::spawn(move || make(number))).collect();
        threads.into_iter().map(|thread| thread.join().expect("it does not panic")).collect()
    });
}

fn main() {
    answer("lengths", format_args!("{:?}", STRINGS.iter().map(Vec::len).collect::<Vec<_>>()));
    answer("all", digest(STRINGS.iter().flatten()));
    crates::sources!(STRINGS);
}
