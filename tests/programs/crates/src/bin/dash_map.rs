//! `dashmap`, changed by several threads afterwards.

use crates::{answer, evaluated, word};
use dashmap::DashMap;
use std::thread;

fastboot_rt::install!();

fastboot_rt::frozen! {
    static MAP: DashMap<String, usize> =
        evaluated("MAP", || (0..50_000).map(|number| (word(number), number)).collect()),
        check = |thawed, fresh| found(thawed) == found(fresh);
}

fn found(map: &DashMap<String, usize>) -> usize {
    (0..50_000).filter(|number| map.get(&word(*number)).is_some_and(|found| *found == *number)).count()
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
