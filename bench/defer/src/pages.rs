//! What is saved: pages with titles and long texts, made the same way every time.

use fastboot_rt::defer::Defer;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub(crate) struct StrictPage {
    pub(crate) url: String,
    pub(crate) title: String,
    pub(crate) text: String,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct LazyPage {
    pub(crate) url: Defer<String>,
    pub(crate) title: String,
    pub(crate) text: Defer<String>,
}

/// A page of which everything is strict in every format.
#[derive(Serialize, Deserialize)]
pub(crate) struct Head {
    pub(crate) title: String,
    pub(crate) url: String,
    pub(crate) rank: u64,
}

pub(crate) fn page(n: usize) -> StrictPage {
    let words = ["parser", "index", "deferred", "page", "of", "the", "block", "reads"];
    let word = |i: usize| words[(n * 31 + i * i * 7 + i) % words.len()];
    let mut text = format!("Text {n}: ");
    while text.len() < 1400 + n % 200 {
        text.push_str(word(text.len()));
        text.push(' ');
    }
    StrictPage {
        url: format!("https://example.org/{}/{n}", word(n)),
        title: format!("{} {} {n}", word(1), word(n + 3)),
        text,
    }
}

pub(crate) fn lazy(n: usize) -> LazyPage {
    let StrictPage { url, title, text } = page(n);
    LazyPage { url: url.into(), title, text: text.into() }
}

pub(crate) fn head(n: usize) -> Head {
    let StrictPage { url, title, .. } = page(n);
    Head { title, url, rank: n as u64 * 7919 }
}

/// Which titles are looked at: 100, spread over all.
pub(crate) fn titles(pages: usize) -> impl Iterator<Item = usize> {
    (0..100).map(move |i| (i * 7919 + 13) % pages)
}

/// Which texts are looked at.
pub(crate) fn texts(pages: usize) -> [usize; 3] {
    [pages / 7, pages / 2, pages - 1]
}

/// Looks at a string: something that the compiler cannot leave out, and that tells whether all saw the same.
pub(crate) fn look(s: &str) -> u64 {
    s.bytes().fold(7, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)))
}
