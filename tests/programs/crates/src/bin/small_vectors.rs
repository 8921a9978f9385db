//! `smallvec`: some inline, some on the heap.

use crates::{answer, evaluated, word};
use smallvec::SmallVec;

fastboot_rt::install!();

fastboot_rt::frozen! {
    static VECTORS: Vec<SmallVec<[String; 3]>> =
        evaluated("VECTORS", || (0..1000).map(|length| (0..length % 7).map(word).collect()).collect());
}

fn main() {
    answer("on the heap", VECTORS.iter().filter(|vector| vector.spilled()).count());
    let mut owned = VECTORS.clone();
    owned.iter_mut().for_each(|vector| vector.push("pushed".to_owned()));
    answer("owned", owned.iter().map(SmallVec::len).sum::<usize>());
    answer("some", format_args!("{:?} {:?}", VECTORS[3], owned[6]));
    crates::sources!(VECTORS);
}
