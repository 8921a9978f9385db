//! Writes data files into the folder that `BENCH_DATA` names.
//!
//! ```text
//! make-data text                  the texts that everything else is made from
//! make-data paths COUNT           a list of COUNT paths
//! make-data sources PATHS WORDS   the first entries of both texts as Rust sources, for `baked`
//! ```

use std::fmt::Write;
use std::process::ExitCode;
use workloads::{map, strings, words, write};

/// How many paths `mini-fzf` has.
const PATHS: usize = 1_000_000;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let numbers: Vec<usize> = arguments.iter().filter_map(|argument| argument.parse().ok()).collect();
    match (arguments.first().map(String::as_str), &numbers[..]) {
        (Some("text"), []) => {
            write(strings::TEXT, paths(PATHS).as_bytes());
            write(map::TEXT, map::text(map::COUNT).as_bytes());
        }
        (Some("paths"), [count]) => write(strings::TEXT, paths(*count).as_bytes()),
        (Some("sources"), [paths, words]) => {
            write("strings.rs", strings_source(*paths).as_bytes());
            write("map.rs", map_source(*words).as_bytes());
        }
        _ => {
            eprintln!("text, paths COUNT, or sources PATHS WORDS?");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn paths(count: usize) -> String {
    let mut text = format!("{count}\n");
    for path in strings::made_up(count) {
        text.push_str(&path);
        text.push('\n');
    }
    text
}

/// A static slice of strings.
fn strings_source(count: usize) -> String {
    let mut source = "static STRINGS: &[&str] = &[\n".to_owned();
    for path in strings::made_up(count) {
        let _ = writeln!(source, "{path:?},");
    }
    source.push_str("];\n");
    source
}

/// A static map with a perfect hash function.
fn map_source(count: usize) -> String {
    let entry = |index| (words::word(index), format!("&{:?}", map::postings(index).collect::<Vec<_>>()));
    let entries: Vec<(String, String)> = (0..count).map(entry).collect();
    let mut map = phf_codegen::Map::new();
    for (word, postings) in &entries {
        map.entry(word.as_str(), postings);
    }
    format!("static MAP: phf::Map<&str, &[u32]> = {};\n", map.build())
}
