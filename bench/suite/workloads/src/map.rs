//! The second workload: an index that says for each word where it occurs.

use crate::{Run, words};
use std::collections::HashMap;
use std::fmt::Write;

/// The text: a line for each word, with the word and its numbers, spaces between.
pub const TEXT: &str = "postings.txt";
/// How many words there are.
pub const COUNT: usize = 200_000;

/// The index as it is in Rust.
pub type Map = HashMap<String, Vec<u32>>;

/// An index, of whatever type.
pub trait Postings {
    /// How many words it has.
    fn count(&self) -> usize;
    /// Where a word occurs.
    fn postings(&self, word: &str) -> Option<impl Iterator<Item = u32>>;
}

impl Postings for Map {
    fn count(&self) -> usize {
        self.len()
    }

    fn postings(&self, word: &str) -> Option<impl Iterator<Item = u32>> {
        Some(self.get(word)?.iter().copied())
    }
}

/// Does what the run asks for.
///
/// # Panics
/// If a word is missing.
pub fn look_up<P: Postings + 'static>(run: &mut Run, value: impl FnOnce() -> &'static P) {
    if run.touches() {
        let value = value();
        run.look_up(value.count(), |index, answer| {
            let word = words::word(index);
            let postings = value.postings(&word).unwrap_or_else(|| panic!("`{word}` is missing"));
            postings.for_each(|posting| answer.number(u64::from(posting)));
        });
    }
}

/// Where word number `index` occurs.
pub fn postings(index: usize) -> impl Iterator<Item = u32> {
    let first = (index as u32).wrapping_mul(0x9e37_79b1);
    (0..1 + first % 15).map(move |step| first.wrapping_add(step.wrapping_mul(7919)))
}

/// The text of an index of `count` words.
pub fn text(count: usize) -> String {
    let mut text = String::new();
    for index in 0..count {
        text.push_str(&words::word(index));
        for posting in postings(index) {
            let _ = write!(text, " {posting}");
        }
        text.push('\n');
    }
    text
}

/// Builds the index from the text.
///
/// # Panics
/// If the text is something else.
pub fn from_text(text: &str) -> Map {
    let entry = |line: &str| {
        let (word, numbers) = line.split_once(' ').expect("a word and its numbers");
        let numbers: Vec<u32> = numbers.split(' ').map(|number| number.parse().expect("a number")).collect();
        (word.to_owned(), numbers)
    };
    text.lines().map(entry).collect()
}
