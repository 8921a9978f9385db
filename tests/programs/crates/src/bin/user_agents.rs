//! `uaparser`: more than a thousand patterns that know browsers by their names.

use crates::{answer, evaluated};
use uaparser::{Parser, UserAgentParser};

fastboot_rt::install!();

fastboot_rt::frozen! {
    static PARSER: UserAgentParser = evaluated("PARSER", || {
        let patterns = include_bytes!(concat!(env!("UAPARSER"), "/src/core/regexes.yaml"));
        UserAgentParser::from_bytes(patterns).expect("the patterns are valid")
    }), check = |thawed, fresh| parsed(thawed) == parsed(fresh);
}

const AGENTS: [&str; 3] = [
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 \
     Mobile/15E148 Safari/604.1",
    "curl/8.5.0",
];

fn parsed(parser: &UserAgentParser) -> [String; 3] {
    AGENTS.map(|agent| format!("{:?}", parser.parse(agent)))
}

fn main() {
    for parsed in parsed(&PARSER) {
        answer("parsed", parsed);
    }
    crates::sources!(PARSER);
}
