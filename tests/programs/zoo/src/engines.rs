//! Prepared values of well-known crates, which know nothing of fastboot.

use crate::{answer, digest};
use aho_corasick::AhoCorasick;
use jieba_rs::Jieba;
use regex::Regex;
use serde_json::{Value, json};
use std::thread;
use syntect::easy::HighlightLines;
use syntect::highlighting::{Theme, ThemeSet};
use syntect::parsing::SyntaxSet;
use syntect::util::as_24_bit_terminal_escaped;
use witness::evaluated;

fastboot_rt::frozen! {
    /// Dates and addresses, warmed by one search.
    static PATTERN: Regex = evaluated("PATTERN", || {
        let pattern = Regex::new(r"(?x) (?<date>\d{4}-\d{2}-\d{2}) | (?<address>[\w.]+@(?<host>[\w.]+)) | \bp\p{Greek}+")
            .expect("the pattern is valid");
        assert!(pattern.is_match("on 2024-02-29"));
        pattern
    });

    /// Many words at once.
    static WORDS: AhoCorasick =
        evaluated("WORDS", || AhoCorasick::new((0..2000).map(|number| format!("word{number} "))).expect("few words"));

    /// A highlighter that has highlighted a line of Rust.
    static HIGHLIGHTER: Highlighter = evaluated("HIGHLIGHTER", || {
        let highlighter = Highlighter::new();
        highlighter.highlight("fn main() { println!(\"{}\", 1); } // warm\n");
        highlighter
    });

    /// A segmenter for Chinese, with its dictionary.
    static SEGMENTER: Jieba = evaluated("SEGMENTER", Jieba::new);

    /// A document.
    static DOCUMENT: Value = evaluated("DOCUMENT", || {
        let text = json!({
            "name": "fastboot",
            "list": (0..1000).collect::<Vec<_>>(),
            "nested": {"pi": 3.25, "none": null, "yes": true, "text": "grün"},
        });
        serde_json::from_str(&text.to_string()).expect("serde_json reads what it wrote")
    });
}

struct Highlighter {
    syntaxes: SyntaxSet,
    theme: Theme,
}

impl Highlighter {
    fn new() -> Self {
        let mut themes = ThemeSet::load_defaults().themes;
        let theme = themes.remove("base16-ocean.dark").expect("syntect has this theme");
        Self { syntaxes: SyntaxSet::load_defaults_newlines(), theme }
    }

    fn highlight(&self, line: &str) -> String {
        let syntax = self.syntaxes.find_syntax_by_extension("rs").expect("syntect knows Rust");
        let mut lines = HighlightLines::new(syntax, &self.theme);
        as_24_bit_terminal_escaped(&lines.highlight_line(line, &self.syntaxes).expect("the grammar is valid"), false)
    }
}

pub(crate) fn run() {
    // The threads search at once: each needs a cache of its own, made or taken from the frozen pool.
    let matches: Vec<String> = thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|thread| scope.spawn(move || search(thread))).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("the search does not panic")).collect()
    });
    answer("PATTERN", format_args!("{matches:?}"));
    let pattern = PATTERN.clone();
    answer("PATTERN, cloned", pattern.replace_all("2024-02-29 and a.b@host.example", "[$date$host]"));
    drop(pattern);

    let text: String = (0..3000).step_by(7).map(|number| format!("some word{number} here, ")).collect();
    let found: Vec<_> = WORDS.find_iter(&text).map(|found| found.pattern().as_u32()).collect();
    answer("WORDS", format_args!("{} {:?}", found.len(), found.last()));
    let words = WORDS.clone();
    answer("WORDS, cloned", words.is_match("word1999 "));

    answer("HIGHLIGHTER", format_args!("{:?}", HIGHLIGHTER.highlight("let x: u8 = 0xff; // a comment\n")));
    let long = "pub fn f<'a, T: Clone>(x: &'a [T]) -> Option<&'a T> { x.iter().rev().nth(1) } /* \"s\" */\n";
    answer("HIGHLIGHTER, another line", format_args!("{:x}", digest([HIGHLIGHTER.highlight(long).as_bytes()])));

    answer("SEGMENTER", cut(&SEGMENTER, "我们中出了一个叛徒,南京市长江大桥"));
    let mut segmenter = SEGMENTER.clone();
    segmenter.add_word("长江大桥南", None, None);
    answer("SEGMENTER, word added", cut(&segmenter, "长江大桥南"));
    drop(segmenter);

    answer("DOCUMENT", format_args!("{} {} {}", DOCUMENT["name"], DOCUMENT["list"][999], DOCUMENT["nested"]));
    let mut document = DOCUMENT.clone();
    document["list"].as_array_mut().expect("it is a list").extend([json!("more"), json!({"and": "more"})]);
    document["nested"]["text"] = json!("changed");
    answer("DOCUMENT, changed", format_args!("{:x}", digest([document.to_string().as_bytes()])));

    witness::sources!(PATTERN, WORDS, HIGHLIGHTER, SEGMENTER, DOCUMENT);
}

fn search(thread: usize) -> Vec<String> {
    let text = format!("2024-02-2{thread} x@host{thread}.example πpα pαβ");
    let all = || PATTERN.find_iter(&text).map(|found| found.as_str().to_owned()).collect::<Vec<_>>();
    for _ in 0..500 {
        assert_eq!(all().len(), 3, "in thread {thread}");
    }
    all()
}

fn cut(segmenter: &Jieba, text: &str) -> String {
    segmenter.cut(text, true).iter().map(|token| token.word).collect::<Vec<_>>().join("/")
}
