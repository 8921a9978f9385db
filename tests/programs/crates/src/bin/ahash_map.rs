//! `ahash`: maps whose hasher has keys of its own, and maps that take theirs from a static.

use ahash::{AHashMap, AHasher};
use crates::{answer, evaluated, word};
use std::collections::HashMap;
use std::hash::BuildHasherDefault;

fastboot_rt::install!();

type Fixed = HashMap<String, usize, BuildHasherDefault<AHasher>>;

fastboot_rt::frozen! {
    static MAP: AHashMap<String, usize> =
        evaluated("MAP", || (0..50_000).map(|number| (word(number), number)).collect());

    static FIXED: Fixed = evaluated("FIXED", || (0..50_000).map(|number| (word(number), number)).collect());
}

fn main() {
    answer("found", (0..50_000).filter(|number| MAP.get(&word(*number)) == Some(number)).count());
    answer("fixed, found", (0..50_000).filter(|number| FIXED.get(&word(*number)) == Some(number)).count());
    answer("not found", MAP.contains_key("nothing") || FIXED.contains_key("nothing"));
    let fresh: Fixed = FIXED.iter().map(|(word, number)| (word.clone(), *number)).collect();
    answer("equal to a fresh one", fresh == *FIXED);
    crates::sources!(MAP, FIXED);
}
