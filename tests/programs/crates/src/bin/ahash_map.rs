//! `ahash`: maps whose hasher has keys of its own, and maps that take theirs from a static.

use ahash::{AHashMap, AHasher};
use crates::{answer, entries, evaluated, found};
use std::collections::HashMap;
use std::hash::BuildHasherDefault;

fastboot_rt::install!();

type Fixed = HashMap<String, usize, BuildHasherDefault<AHasher>>;

fastboot_rt::frozen! {
    static MAP: AHashMap<String, usize> = evaluated("MAP", || entries(50_000));

    static FIXED: Fixed = evaluated("FIXED", || entries(50_000));
}

fn main() {
    answer("found", found(50_000, |word| MAP.get(word).copied()));
    answer("fixed, found", found(50_000, |word| FIXED.get(word).copied()));
    answer("not found", MAP.contains_key("nothing") || FIXED.contains_key("nothing"));
    let fresh: Fixed = FIXED.iter().map(|(word, number)| (word.clone(), *number)).collect();
    answer("equal to a fresh one", fresh == *FIXED);
    crates::sources!(MAP, FIXED);
}
