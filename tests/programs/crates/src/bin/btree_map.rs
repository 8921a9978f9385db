//! `BTreeMap`.

use crates::{answer, entries, evaluated, found};
use std::collections::BTreeMap;

fastboot_rt::install!();

fastboot_rt::frozen! {
    static MAP: BTreeMap<String, usize> = evaluated("MAP", || entries(50_000));
}

fn main() {
    answer("found", found(50_000, |word| MAP.get(word).copied()));
    answer("behind m", format_args!("{:?}", MAP.range("m".to_owned()..).next()));
    crates::sources!(MAP);
}
