//! `dashmap`, changed by several threads afterwards.

use crates::{answer, entries, evaluated, word};
use dashmap::DashMap;
use std::thread;

fastboot_rt::install!();

fastboot_rt::frozen! {
    static MAP: DashMap<String, usize> = evaluated("MAP", || entries(50_000)),
        check = |thawed, fresh| found(thawed) == found(fresh);
}

fn found(map: &DashMap<String, usize>) -> usize {
    crates::found(50_000, |word| map.get(word).map(|found| *found))
}

fn main() {
    answer("found", found(&MAP));
    thread::scope(|scope| {
        for thread in 0..4 {
            scope.spawn(move || {
                for number in (thread..60_000).step_by(4) {
                    *MAP.entry(word(number)).or_default() += 1;
                }
            });
        }
    });
    answer("changed", format_args!("{} {:?}", MAP.len(), MAP.get(&word(59_999)).map(|found| *found)));
    crates::sources!(MAP);
}
