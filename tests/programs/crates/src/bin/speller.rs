//! `spellbook`, with the American dictionary.

use crates::{answer, evaluated};
use spellbook::Dictionary;

fastboot_rt::install!();

fastboot_rt::frozen! {
    static SPELLER: Dictionary = evaluated("SPELLER", || {
        let rules = include_str!(concat!(env!("SPELLBOOK"), "/vendor/en_US/en_US.aff"));
        let words = include_str!(concat!(env!("SPELLBOOK"), "/vendor/en_US/en_US.dic"));
        Dictionary::new(rules, words).expect("the dictionary is valid")
    }), check = |thawed, fresh| spelled(thawed) == spelled(fresh);
}

const WORDS: [&str; 8] = ["hello", "helo", "colour", "color", "unbelievably", "recieve", "O'Reilly", "zzyzx"];

/// Whether each word is right, and whether `receive` is suggested for it. All suggestions would be too much: which ones
/// there are depends on the order of a randomly keyed map.
fn spelled(speller: &Dictionary) -> Vec<(bool, bool)> {
    let spelled = WORDS.map(|word| {
        let mut suggestions = Vec::new();
        speller.suggest(word, &mut suggestions);
        (speller.check(word), suggestions.iter().any(|suggestion| suggestion == "receive"))
    });
    spelled.into()
}

fn main() {
    for (word, spelled) in WORDS.iter().zip(spelled(&SPELLER)) {
        answer(word, format_args!("{spelled:?}"));
    }
    crates::sources!(SPELLER);
}
