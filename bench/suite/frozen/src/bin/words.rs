//! `aho-corasick`: an automaton that finds 100,000 words at once.

use aho_corasick::AhoCorasick;
use workloads::{Run, words};

fastboot_rt::install!();

fastboot_rt::frozen! {
    static WORDS: AhoCorasick = AhoCorasick::new((0..COUNT).map(words::word)).expect("the automaton is not too large"),
        check = |thawed, fresh| thawed.patterns_len() == fresh.patterns_len() && thawed.is_match(&words::word(1));
}

const COUNT: usize = 100_000;

fn main() {
    let mut run = Run::start();
    if run.touches() {
        let automaton = &*WORDS;
        let text: String = (0..100).map(|index| words::word(index * 1001) + " ").collect();
        run.look_up(1, |_, answer| {
            automaton.find_iter(&text).for_each(|found| answer.number(found.pattern().as_u64()))
        });
    }
    run.finish()
}
