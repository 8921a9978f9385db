//! A few small roots, for tests that are about something else. Prints the same lines in every run; with the argument
//! `abort`, ends with a signal instead; with `built`, says what the build expressions
//! saw; with `nothing`, touches no root.

use std::collections::HashMap;
use std::sync::Arc;
use witness::evaluated;

fastboot_rt::install!();

fastboot_rt::frozen! {
    /// Some words.
    static WORDS: Vec<String> = evaluated("WORDS", || (0..10_000).map(|number| format!("word {number}")).collect());

    /// Where each word is.
    static INDEX: HashMap<&'static str, usize> = evaluated("INDEX", || {
        WORDS.iter().enumerate().map(|(number, word)| (word.as_str(), number)).collect()
    });

    /// A word that has another owner, and a function to apply to it.
    static SHARED: (Arc<str>, fn(&str) -> String) = evaluated("SHARED", shared);

    /// The folder that the build expressions ran in, and what they were told.
    static BUILT: (String, Option<String>) = evaluated("BUILT", || {
        let manifest = std::fs::read_to_string("Cargo.toml").unwrap_or_default();
        (manifest.lines().nth(1).unwrap_or("no manifest").to_owned(), std::env::var("SMALL_BUILT_WITH").ok())
    });

    /// The other owner.
    static OWNER: Arc<str> = evaluated("OWNER", || Arc::clone(&SHARED.0));
}

fn shared() -> (Arc<str>, fn(&str) -> String) {
    (Arc::from("shared"), str::to_uppercase)
}

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("abort") => stop_here(WORDS.len()),
        Some("built") => return println!("{} {:?}", BUILT.0, BUILT.1),
        Some("nothing") => return,
        _ => {}
    }
    println!("WORDS: {} {:?}", WORDS.len(), WORDS.last());
    println!("INDEX: {} {:?}", INDEX.len(), INDEX.get("word 1234"));
    println!("SHARED: {} {}", SHARED.1(&SHARED.0), Arc::ptr_eq(&OWNER, &SHARED.0));
    println!("OWNER: {}", Arc::strong_count(&OWNER));
    let _ = &*BUILT;
    witness::sources!(WORDS, INDEX, SHARED, BUILT, OWNER);
}

/// Ends the process with a signal, so that a debugger has a stack to show.
#[inline(never)]
fn stop_here(words: usize) -> ! {
    eprintln!("stopping with {words} words");
    std::process::abort()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_are_statics_like_any_other() {
        assert_eq!(INDEX["word 1234"], 1234);
        assert_eq!(WORDS[1234], "word 1234");
        assert!(Arc::ptr_eq(&OWNER, &SHARED.0));
        assert_eq!(fastboot_rt::Frozen::source(&WORDS), fastboot_rt::Source::Evaluated);
    }
}
