//! `regex::RegexSet`, which has searched a text.

use crates::{answer, evaluated, text, word};
use regex::RegexSet;

fastboot_rt::install!();

fastboot_rt::frozen! {
    static SET: RegexSet = evaluated("SET", || {
        let patterns = (0..200).map(|number| format!(r"\b{}[a-z]* \w*{}", &word(number)[..4], &word(number + 1)[..2]));
        let set = RegexSet::new(patterns).expect("the patterns are valid");
        set.matches(&text(100));
        set
    }), check = |thawed, fresh| matches(thawed) == matches(fresh);
}

fn matches(set: &RegexSet) -> Vec<usize> {
    set.matches(&text(1000)).into_iter().collect()
}

fn main() {
    answer("matches", format_args!("{:?}", matches(&SET)));
    crates::sources!(SET);
}
