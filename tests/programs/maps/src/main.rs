//! Roots whose memory depends on random bytes: maps with seeds of all kinds, and caches. Prints what it finds in them.

use regex::Regex;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::thread;
use witness::evaluated;

fastboot_rt::install!();

type Map<S> = HashMap<String, u64, S>;

fastboot_rt::frozen! {
    /// SipHash, with keys from the system.
    static STANDARD: Map<std::hash::RandomState> = evaluated("STANDARD", || words().collect());

    /// foldhash, whose seed depends on addresses.
    static FOLDED: hashbrown::HashMap<String, u64> = evaluated("FOLDED", || words().collect());

    /// ahash, with keys from the system.
    static HASHED: ahash::AHashMap<String, u64> = evaluated("HASHED", || words().collect());

    /// Random numbers as they are.
    static KEYS: [u64; 4] = evaluated("KEYS", || {
        use std::hash::BuildHasher;
        std::array::from_fn(|number| std::hash::RandomState::new().hash_one(number))
    }), check = |thawed, fresh| thawed.len() == fresh.len();

    /// A pattern whose caches have been used.
    static PATTERN: Regex = evaluated("PATTERN", || {
        let pattern = Regex::new(r"(?i)\b(?<word>[a-zα-ω]+)-\d{2,4}\b").expect("the pattern is valid");
        assert!(pattern.is_match("see word-17 and ΩΜΈΓΑ-2024"));
        pattern
    });

    /// What four threads made, each by itself.
    static THREADS: Vec<Map<std::hash::RandomState>> = evaluated("THREADS", || {
        thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| words().collect())).collect();
            threads.into_iter().map(|thread| thread.join().expect("it does not panic")).collect()
        })
    });

    /// What a thread put into a map behind a lock.
    static LOCKED: Arc<Mutex<HashSet<String>>> = evaluated("LOCKED", || {
        let set = Arc::new(Mutex::new(HashSet::new()));
        let shared = Arc::clone(&set);
        let filler = thread::spawn(move || shared.lock().expect("nobody panics").extend(words().map(|(word, _)| word)));
        filler.join().expect("it does not panic");
        set
    });
}

fn words() -> impl Iterator<Item = (String, u64)> {
    (0..5000).map(|number| (format!("word {}", number * 7919 % 10_007), number))
}

fn main() {
    let found = [STANDARD.get("word 42"), FOLDED.get("word 42"), HASHED.get("word 42"), THREADS[3].get("word 42")];
    println!("{found:?}");
    println!("{} {}", KEYS.len(), LOCKED.lock().expect("nobody panics").len());
    println!("{:?}", PATTERN.captures("a Word-1999").map(|found| found["word"].to_owned()));
    witness::sources!(STANDARD, FOLDED, HASHED, KEYS, PATTERN, THREADS, LOCKED);
}
