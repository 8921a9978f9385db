//! `indexmap`, with 200,000 entries.

use crates::{answer, evaluated, word};
use indexmap::IndexMap;

fastboot_rt::install!();

fastboot_rt::frozen! {
    static MAP: IndexMap<String, usize> =
        evaluated("MAP", || (0..200_000).map(|number| (word(number), number)).collect());
}

fn main() {
    answer("found", (0..200_000).filter(|number| MAP.get(&word(*number)) == Some(number)).count());
    answer("in order", MAP.values().enumerate().all(|(index, number)| index == *number));
    crates::sources!(MAP);
}
