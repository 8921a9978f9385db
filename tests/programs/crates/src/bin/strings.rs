//! `Vec<String>`: a million strings.

use crates::{answer, digest, evaluated};

fastboot_rt::install!();

fastboot_rt::frozen! {
    static STRINGS: Vec<String> = evaluated("STRINGS", || (0..1_000_000).map(|n| format!("string {n}")).collect());
}

fn main() {
    answer("length", STRINGS.len());
    answer("all", digest(&*STRINGS));
    crates::sources!(STRINGS);
}
