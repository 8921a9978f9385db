//! `hashbrown`: its hash function, foldhash, keeps a seed in a static.

use crates::{answer, entries, evaluated, found};
use hashbrown::HashMap;

fastboot_rt::install!();

fastboot_rt::frozen! {
    static MAP: HashMap<String, usize> = evaluated("MAP", || entries(50_000));
}

fn main() {
    answer("found", found(50_000, |word| MAP.get(word).copied()));
    answer("not found", MAP.contains_key("nothing"));
    crates::sources!(MAP);
}
