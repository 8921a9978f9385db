//! The search: every path is scored, the best are kept.

use nucleo_matcher::pattern::{CaseMatching, Normalization, Pattern};
use nucleo_matcher::{Config, Matcher, Utf32Str};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A path that matches.
pub(crate) struct Match<'a> {
    pub(crate) score: u32,
    pub(crate) path: &'a str,
}

/// The `count` best matches, best first; of equals, the one that comes first in the list.
pub(crate) fn best<'a>(paths: &'a [String], query: &str, count: usize) -> Vec<Match<'a>> {
    let mut matcher = Matcher::new(Config::DEFAULT.match_paths());
    let pattern = Pattern::parse(query, CaseMatching::Smart, Normalization::Smart);
    let mut characters = Vec::new();
    // The best so far, with the worst of them on top.
    let mut best = BinaryHeap::new();
    for (index, path) in paths.iter().enumerate() {
        if let Some(score) = pattern.score(Utf32Str::new(path, &mut characters), &mut matcher) {
            best.push(Reverse((score, Reverse(index))));
            if best.len() > count {
                best.pop();
            }
        }
    }
    let best = best.into_sorted_vec().into_iter();
    best.map(|Reverse((score, Reverse(index)))| Match { score, path: &paths[index] }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_come_first_and_equals_in_order() {
        let paths = ["src/zebra.rs", "src/parser.rs", "doc/p_a_r_s_e_r.md", "src/parser.rs"].map(str::to_owned);
        let all = best(&paths, "parser", 10);
        assert_eq!(
            all.iter().map(|found| found.path).collect::<Vec<_>>(),
            ["src/parser.rs", "src/parser.rs", "doc/p_a_r_s_e_r.md"]
        );
        assert!(std::ptr::eq(all[0].path, paths[1].as_str()));
        assert_eq!(best(&paths, "parser", 1).len(), 1);
        assert_eq!(best(&paths, "quux", 10).len(), 0);
    }
}
