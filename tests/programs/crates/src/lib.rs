//! What the programs have in common. Each of them, in `src/bin`, has one root made with a well-known crate, which is
//! asked something; those that need a crate that takes long to compile need the feature `full`.

use regex::Regex;
use std::fmt::Display;
use std::sync::LazyLock;

pub use witness::{evaluated, sources};

/// A lazy static of a dependency, which no program declares a root for.
pub static DATE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\b(\p{Nd}{4})-(\p{Nd}{2})-(\p{Nd}{2})\b").expect("the pattern is valid"));

/// Prints what a root answered.
pub fn answer(question: &str, answer: impl Display) {
    println!("{question}: {answer}");
}

/// A digest of texts (FNV-1a), for what is too long to print.
pub fn digest(texts: impl IntoIterator<Item = impl AsRef<str>>) -> u64 {
    texts.into_iter().fold(0xcbf2_9ce4_8422_2325, |hash, text| {
        text.as_ref()
            .bytes()
            .chain([0xff])
            .fold(hash, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
    })
}

/// Word number `number`, in letters; no two are the same.
pub fn word(number: usize) -> String {
    let syllables = ["ba", "ce", "di", "fo", "gu", "ka", "le", "mi", "no", "pu", "ra", "se", "ti", "vo", "zu", "yel"];
    let mut rest = number.wrapping_mul(40_503) & 0xf_ffff;
    let mut word = String::new();
    for _ in 0..5 {
        word.push_str(syllables[rest % syllables.len()]);
        rest /= syllables.len();
    }
    word
}

/// Words, each with its number: what maps are made of.
pub fn entries<M: FromIterator<(String, usize)>>(count: usize) -> M {
    (0..count).map(|number| (word(number), number)).collect()
}

/// How many of so many words a map has the right number for.
pub fn found(count: usize, get: impl Fn(&str) -> Option<usize>) -> usize {
    (0..count).filter(|number| get(&word(*number)) == Some(*number)).count()
}

/// A text of so many words, spaces between them, the same every time.
pub fn text(words: usize) -> String {
    (0..words).map(|number| word(number * 7 + 1)).collect::<Vec<_>>().join(" ")
}
