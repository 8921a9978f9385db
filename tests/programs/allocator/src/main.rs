//! Roots over an allocator of the program's own, which counts its calls: thawed roots cost none.

use witness::{Counting, counted, evaluated};

fastboot_rt::install!(Counting);

fastboot_rt::frozen! {
    /// Ten thousand allocations.
    static NAMES: Vec<String> = evaluated("NAMES", || (0..10_000).map(|number| format!("name {number}")).collect());
}

fn main() {
    let (length, cost) = counted(|| NAMES.iter().map(String::len).sum::<usize>());
    println!("NAMES: {length}");
    eprintln!("allocations for NAMES: {cost}");
    let (clone, cost) = counted(|| NAMES.clone());
    println!("NAMES, cloned: {} for {cost} allocations", clone.len());
    witness::sources!(NAMES);
}
