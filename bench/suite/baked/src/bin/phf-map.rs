//! The index, as a static of the language with a perfect hash function.

use workloads::Run;
use workloads::map::{self, Postings};

include!(concat!(env!("BENCH_DATA"), "/map.rs"));

struct Index;

impl Postings for Index {
    fn count(&self) -> usize {
        MAP.len()
    }

    fn postings(&self, word: &str) -> Option<impl Iterator<Item = u32>> {
        Some(MAP.get(word)?.iter().copied())
    }
}

fn main() {
    let mut run = Run::start();
    map::look_up(&mut run, || &Index);
    run.finish()
}
