//! `uaparser`: more than a thousand patterns that know browsers by their names, warmed: they were used once.

use uaparser::{Parser, UserAgentParser};
use workloads::{Run, read};

fastboot_rt::install!();

fastboot_rt::frozen! {
    static PARSER: UserAgentParser = warm(), check = |thawed, fresh| parsed(thawed) == parsed(fresh);
}

const PATTERNS: &str = "regexes.yaml";
const AGENT: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";

fn warm() -> UserAgentParser {
    frozen::reads(PATTERNS);
    let parser = UserAgentParser::from_bytes(&read(PATTERNS)).expect("the patterns are valid");
    parsed(&parser);
    parser
}

fn parsed(parser: &UserAgentParser) -> String {
    format!("{:?}", parser.parse(AGENT))
}

fn main() {
    let mut run = Run::start();
    if run.touches() {
        let parser = &*PARSER;
        run.look_up(1, |_, answer| answer.bytes(parsed(parser).as_bytes()));
    }
    run.finish()
}
