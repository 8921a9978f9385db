//! The list of paths, as a static of the language.

use workloads::{Run, strings};

include!(concat!(env!("BENCH_DATA"), "/strings.rs"));

fn main() {
    let mut run = Run::start();
    strings::look_up(&mut run, || STRINGS);
    run.finish()
}
