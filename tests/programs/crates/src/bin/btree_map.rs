//! `BTreeMap`.

use crates::{answer, evaluated, word};
use std::collections::BTreeMap;

fastboot_rt::install!();

fastboot_rt::frozen! {
    static MAP: BTreeMap<String, usize> = evaluated("MAP", || (0..50_000).map(|number| (word(number), number)).collect());
}

fn main() {
    answer("found", (0..50_000).filter(|number| MAP.get(&word(*number)) == Some(number)).count());
    answer("behind m", format_args!("{:?}", MAP.range("m".to_owned()..).next()));
    crates::sources!(MAP);
}
