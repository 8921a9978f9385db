//! `indexmap`, with 200,000 entries.

use crates::{answer, entries, evaluated, found};
use indexmap::IndexMap;

fastboot_rt::install!();

fastboot_rt::frozen! {
    static MAP: IndexMap<String, usize> = evaluated("MAP", || entries(200_000));
}

fn main() {
    answer("found", found(200_000, |word| MAP.get(word).copied()));
    answer("in order", MAP.values().enumerate().all(|(index, number)| index == *number));
    crates::sources!(MAP);
}
