//! No root at all: `warm!` does it for lazy statics, of this program and of a library. What is counted is how often the
//! program's own allocator is called.

use crates::{DATE, answer};
use std::sync::LazyLock;
use syntect::easy::HighlightLines;
use syntect::highlighting::ThemeSet;
use syntect::parsing::SyntaxSet;
use syntect::util::as_24_bit_terminal_escaped;
use witness::{Counting, counted};

fastboot_rt::install!(Counting);

static SYNTAXES: LazyLock<SyntaxSet> = LazyLock::new(SyntaxSet::load_defaults_newlines);
static THEMES: LazyLock<ThemeSet> = LazyLock::new(ThemeSet::load_defaults);

const LINE: &str = "fn main() { println!(\"{}\", 1); } // a comment\n";
const TEXT: &str = "built on 2024-02-29";

fastboot_rt::warm! { highlight(LINE) }

fastboot_rt::warm! { DATE.is_match(TEXT) }

fn highlight(line: &str) -> String {
    let syntax = SYNTAXES.find_syntax_by_extension("rs").expect("syntect knows Rust");
    let mut lines = HighlightLines::new(syntax, &THEMES.themes["base16-ocean.dark"]);
    as_24_bit_terminal_escaped(&lines.highlight_line(line, &SYNTAXES).expect("the grammar is valid"), false)
}

fn main() {
    for turn in ["first", "second"] {
        let (line, cost) = counted(|| highlight(LINE));
        answer("line", format_args!("{line:?}"));
        eprintln!("allocations for the {turn} line: {cost}");
        let (year, cost) = counted(|| DATE.find(TEXT).map(|date| date.start()));
        answer("date", format_args!("{year:?}"));
        eprintln!("allocations for the {turn} date: {cost}");
    }
}
