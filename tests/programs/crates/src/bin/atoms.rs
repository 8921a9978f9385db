//! `string_cache`: atoms, which are addresses in a table behind a static.

use crates::{answer, evaluated, word};
use string_cache::DefaultAtom as Atom;

fastboot_rt::install!();

fastboot_rt::frozen! {
    static ATOMS: Vec<Atom> = evaluated("ATOMS", || (0..20_000).map(|number| Atom::from(word(number))).collect());
}

fn is_same(one: &Atom, other: &Atom) -> bool {
    one == other
}

fn main() {
    answer("atoms", format_args!("{} {:?}", ATOMS.len(), ATOMS[17]));
    // The same atom is the same address.
    answer(
        "found again",
        ATOMS.iter().enumerate().filter(|(number, atom)| is_same(&Atom::from(word(*number)), atom)).count(),
    );
    let mut owned = ATOMS.clone();
    owned.retain(|atom| atom.len() > 10);
    answer("owned", format_args!("{} {}", owned.len(), owned.contains(&Atom::from("short"))));
    crates::sources!(ATOMS);
}
