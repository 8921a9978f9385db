//! `syntect`, with all its syntaxes, warmed: it has highlighted this file, so the patterns for Rust are compiled.

use syntect::easy::HighlightLines;
use syntect::highlighting::{Theme, ThemeSet};
use syntect::parsing::SyntaxSet;
use syntect::util::as_24_bit_terminal_escaped;
use workloads::Run;

fastboot_rt::install!();

fastboot_rt::frozen! {
    static HIGHLIGHTER: Highlighter = Highlighter::warm(), check = |thawed, fresh| thawed.highlight() == fresh.highlight();
}

struct Highlighter {
    syntaxes: SyntaxSet,
    theme: Theme,
}

impl Highlighter {
    fn warm() -> Self {
        let highlighter = Self {
            syntaxes: SyntaxSet::load_defaults_newlines(),
            theme: ThemeSet::load_defaults().themes["base16-ocean.dark"].clone(),
        };
        highlighter.highlight();
        highlighter
    }

    fn highlight(&self) -> Vec<String> {
        let syntax = self.syntaxes.find_syntax_by_extension("rs").expect("syntect knows Rust");
        let mut lines = HighlightLines::new(syntax, &self.theme);
        let mut highlight = |line| {
            let regions = lines.highlight_line(line, &self.syntaxes).expect("the grammar is valid");
            as_24_bit_terminal_escaped(&regions, false)
        };
        include_str!("highlighter.rs").split_inclusive('\n').map(&mut highlight).collect()
    }
}

fn main() {
    let mut run = Run::start();
    if run.touches() {
        let highlighter = &*HIGHLIGHTER;
        run.look_up(1, |_, answer| highlighter.highlight().iter().for_each(|line| answer.bytes(line.as_bytes())));
    }
    run.finish()
}
