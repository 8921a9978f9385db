//! The list of paths in rkyv's format, inside the program, not checked.

use baked::Aligned;
use peers::archived::Strings;
use workloads::{Run, strings};

static BYTES: &Aligned<[u8]> = &Aligned(*include_bytes!(concat!(env!("BENCH_DATA"), "/paths.rkyv")));

fn main() {
    let mut run = Run::start();
    // SAFETY: the bytes are what `peers` saved, aligned.
    strings::look_up(&mut run, || unsafe { rkyv::access_unchecked::<Strings>(&BYTES.0) }.as_slice());
    run.finish()
}
