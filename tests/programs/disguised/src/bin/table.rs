//! A root that keeps the addresses of statics shifted: right where they have the same address in every process.

use std::ptr::with_exposed_provenance;

fastboot_rt::install!();

static NAMES: [&str; 3] = ["one", "two", "three"];

fastboot_rt::frozen! {
    static SHIFTED: Vec<usize> = NAMES.iter().map(|name| (&raw const *name).expose_provenance() >> 3).collect();
}

fn main() {
    // SAFETY: the addresses of elements of `NAMES`.
    let name = |word: &usize| unsafe { *with_exposed_provenance::<&str>(word << 3) };
    println!("{:?}", SHIFTED.iter().map(name).collect::<Vec<_>>());
}
