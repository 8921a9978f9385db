//! `lasso`: interned strings and their keys.

use crates::{answer, evaluated, word};
use lasso::{Spur, ThreadedRodeo};

fastboot_rt::install!();

fastboot_rt::frozen! {
    static INTERNER: ThreadedRodeo = evaluated("INTERNER", || {
        let interner = ThreadedRodeo::default();
        (0..20_000).for_each(|number| _ = interner.get_or_intern(word(number)));
        interner
    });

    static KEYS: Vec<Spur> = evaluated("KEYS", || (0..20_000).filter_map(|number| INTERNER.get(word(number))).collect());
}

fn main() {
    answer("interned", format_args!("{} {}", INTERNER.len(), KEYS.len()));
    let right = KEYS.iter().enumerate().filter(|(number, key)| INTERNER.resolve(key) == word(*number));
    answer("right", right.count());
    answer(
        "new",
        format_args!("{:?} {}", INTERNER.get("new"), INTERNER.get_or_intern("new") == INTERNER.get_or_intern("new")),
    );
    crates::sources!(INTERNER, KEYS);
}
