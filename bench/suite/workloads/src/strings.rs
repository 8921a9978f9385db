//! The first workload: a list of paths, looked up by their numbers.

use crate::{Run, data, paths};
use std::fs::File;
use std::io::{BufRead, BufReader};

/// The text: the number of paths, then each of them, one a line.
pub const TEXT: &str = "paths.txt";

/// A list of strings, of whatever type.
pub trait Strings {
    /// How many there are.
    fn count(&self) -> usize;
    /// One of them.
    fn entry(&self, index: usize) -> &str;
}

impl<S: AsRef<str>> Strings for [S] {
    fn count(&self) -> usize {
        self.len()
    }

    fn entry(&self, index: usize) -> &str {
        self[index].as_ref()
    }
}

/// The first `count` paths of `mini-fzf`, or more of their kind.
pub fn made_up(count: usize) -> Vec<String> {
    paths::made_up(count)
}

/// Does what the run asks for.
pub fn look_up<S: Strings + ?Sized + 'static>(run: &mut Run, value: impl FnOnce() -> &'static S) {
    if run.touches() {
        let value = value();
        run.look_up(value.count(), |index, answer| answer.bytes(value.entry(index).as_bytes()));
    }
}

/// Builds the list from the text.
///
/// # Panics
/// If the file cannot be read or is something else.
pub fn from_text() -> Vec<String> {
    let path = data(TEXT);
    let file = File::open(&path).unwrap_or_else(|error| panic!("cannot open {}: {error}", path.display()));
    let mut reader = BufReader::with_capacity(1 << 16, file);
    let mut line = String::with_capacity(256);
    let mut next = |line: &mut String| {
        line.clear();
        reader.read_line(line).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()));
        line.truncate(line.trim_end().len());
    };
    next(&mut line);
    let count = line.parse().unwrap_or_else(|_| panic!("{} does not begin with a number", path.display()));
    let mut paths = Vec::with_capacity(count);
    for _ in 0..count {
        next(&mut line);
        paths.push(line.as_str().to_owned());
    }
    paths
}
