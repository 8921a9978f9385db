//! `regex`: 200 patterns, each of which has searched a text.

use crates::{answer, evaluated, text, word};
use regex::Regex;

fastboot_rt::install!();

fastboot_rt::frozen! {
    static REGEXES: Vec<Regex> = evaluated("REGEXES", || (0..200).map(warmed).collect()),
        check = |thawed, fresh| searches(thawed) == searches(fresh);
}

fn warmed(number: usize) -> Regex {
    let (first, second) = (word(number), &word(number + 1)[..3]);
    let pattern = match number % 4 {
        0 => format!(r"(?i)\b(?:{first}|{second}\w{{2,9}})\b"),
        1 => format!(r"(?<stem>\p{{Lowercase}}+){second}(?<end>[a-e]*)"),
        2 => format!(r"{second}(?:[a-m]{{2}}|[n-z]{{3}})+ \S+ {}", &first[..2]),
        _ => format!(r"(?s){second}.*?{}", &first[2..5]),
    };
    let regex = Regex::new(&pattern).expect("the pattern is valid");
    regex.captures(&text(100));
    regex
}

fn searches(regexes: &[Regex]) -> Vec<usize> {
    let text = text(1000);
    regexes.iter().map(|regex| regex.captures_iter(&text).map(|found| found[0].len()).sum()).collect()
}

fn main() {
    answer("bytes found", format_args!("{:?}", searches(&REGEXES)));
    crates::sources!(REGEXES);
}
