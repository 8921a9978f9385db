//! `ustr`: interned strings that do not come from the global allocator, but from the system's. This cannot be frozen.

use crates::{answer, evaluated, word};
use ustr::Ustr;

fastboot_rt::install!();

fastboot_rt::frozen! {
    static NAMES: Vec<Ustr> = evaluated("NAMES", || (0..1000).map(|number| Ustr::from(&word(number))).collect());
}

fn main() {
    answer("a name", NAMES[17]);
    crates::sources!(NAMES);
}
