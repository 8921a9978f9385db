//! `syntect`, with all its syntaxes and themes: a highlighter that has highlighted something. Its scopes are numbers in a
//! table behind a static.

use crates::{answer, digest, evaluated};
use syntect::easy::HighlightLines;
use syntect::highlighting::{Theme, ThemeSet};
use syntect::parsing::SyntaxSet;
use syntect::util::as_24_bit_terminal_escaped;

fastboot_rt::install!();

fastboot_rt::frozen! {
    static HIGHLIGHTER: Highlighter = evaluated("HIGHLIGHTER", || {
        let highlighter = Highlighter {
            syntaxes: SyntaxSet::load_defaults_newlines(),
            theme: ThemeSet::load_defaults().themes["base16-ocean.dark"].clone(),
        };
        highlighter.highlight();
        highlighter
    }), check = |thawed, fresh| thawed.highlight() == fresh.highlight();
}

struct Highlighter {
    syntaxes: SyntaxSet,
    theme: Theme,
}

impl Highlighter {
    fn highlight(&self) -> Vec<String> {
        let syntax = self.syntaxes.find_syntax_by_extension("rs").expect("syntect knows Rust");
        let mut lines = HighlightLines::new(syntax, &self.theme);
        // By name, too: the names are in that table.
        let name = syntax.scope.build_string();
        let mut highlight = |line: &str| {
            let regions = lines.highlight_line(line, &self.syntaxes).expect("the grammar is valid");
            as_24_bit_terminal_escaped(&regions, false)
        };
        let lines = include_str!("highlighter.rs").split_inclusive('\n').map(&mut highlight);
        [name].into_iter().chain(lines).collect()
    }
}

fn main() {
    let lines = HIGHLIGHTER.highlight();
    answer("a line", format_args!("{:?}", lines[4]));
    answer("all lines", digest(lines));
    crates::sources!(HIGHLIGHTER);
}
