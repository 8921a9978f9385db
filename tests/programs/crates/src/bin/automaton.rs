//! `aho-corasick`: 20,000 words.

use aho_corasick::AhoCorasick;
use crates::{answer, evaluated, text, word};

fastboot_rt::install!();

fastboot_rt::frozen! {
    static WORDS: AhoCorasick =
        evaluated("WORDS", || AhoCorasick::new((0..20_000).map(word)).expect("20,000 words are not too many")),
        check = |thawed, fresh| found(thawed) == found(fresh);
}

fn found(words: &AhoCorasick) -> Vec<u32> {
    words.find_iter(&text(30_000)).map(|found| found.pattern().as_u32()).collect()
}

fn main() {
    let found = found(&WORDS);
    answer("words", format_args!("{} {:?}", found.len(), found.last()));
    crates::sources!(WORDS);
}
