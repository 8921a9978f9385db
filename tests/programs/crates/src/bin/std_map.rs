//! `std::collections::HashMap`, with random keys.

use crates::{answer, evaluated, word};
use std::collections::HashMap;

fastboot_rt::install!();

fastboot_rt::frozen! {
    static MAP: HashMap<String, usize> = evaluated("MAP", || (0..50_000).map(|number| (word(number), number)).collect());
}

fn main() {
    answer("found", (0..50_000).filter(|number| MAP.get(&word(*number)) == Some(number)).count());
    answer("not found", MAP.contains_key("nothing"));
    crates::sources!(MAP);
}
