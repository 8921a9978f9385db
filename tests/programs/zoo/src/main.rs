//! Roots of every kind. For each: what it answers as it stands, then what it answers after being mutated, cloned, grown
//! and dropped, as far as its type allows. One line on standard output for each answer, the same in every run.

mod cells;
mod code;
mod collections;
mod engines;
mod layout;
mod owned;
mod shared;

use std::fmt::Display;

fastboot_rt::install!();

fn main() {
    for run in [collections::run, shared::run, code::run, engines::run, cells::run, layout::run, owned::run] {
        run();
    }
    answer("zoo_lib::PRIMES", format_args!("{} {:?}", zoo_lib::PRIMES.len(), zoo_lib::PRIMES.range(90_000..).next()));
    witness::sources!(zoo_lib::PRIMES);
}

/// Prints what a root answered.
fn answer(root: &str, answer: impl Display) {
    println!("{root}: {answer}");
}

/// A digest of bytes (FNV-1a), for what is too long to print.
fn digest<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> u64 {
    parts
        .into_iter()
        .flatten()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}
