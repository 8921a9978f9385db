//! A library with a root: whoever links it has the root too.

use std::collections::BTreeSet;
use witness::evaluated;

fastboot_rt::frozen! {
    /// The primes below a hundred thousand.
    pub static PRIMES: BTreeSet<u32> = evaluated("zoo_lib::PRIMES", || primes_below(100_000));
}

fn primes_below(end: usize) -> BTreeSet<u32> {
    let mut composite = vec![false; end];
    let mut primes = BTreeSet::new();
    for number in 2..end {
        if !composite[number] {
            primes.insert(number as u32);
            for multiple in (number * number..end).step_by(number) {
                composite[multiple] = true;
            }
        }
    }
    primes
}
