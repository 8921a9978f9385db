//! The index in rkyv's format, inside the program, not checked.

use baked::Aligned;
use peers::archived::{Index, Map};
use workloads::{Run, map};

static BYTES: &Aligned<[u8]> = &Aligned(*include_bytes!(concat!(env!("BENCH_DATA"), "/postings.rkyv")));

fn main() {
    let mut run = Run::start();
    map::look_up(&mut run, || {
        // SAFETY: the bytes are what `peers` saved, aligned.
        Box::leak(Box::new(Index(unsafe { rkyv::access_unchecked::<Map>(&BYTES.0) })))
    });
    run.finish()
}
