//! Freezes itself where it runs. Prints the same lines in every run; with the argument `freeze`, freezes at once.
//!
//! The variable `TROUBLE` says what the root of that name does that a snapshot cannot hold; then no answer needs it.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;
use witness::evaluated;

fastboot_rt::install!(cache = fastboot_rt::CacheDir::User);

fastboot_rt::frozen! {
    /// Some words.
    static WORDS: Vec<String> = evaluated("WORDS", || (0..2000).map(|number| format!("word {number}")).collect());

    /// Where each word is, by a hash function whose keys are in the map.
    static INDEX: HashMap<&'static str, usize> = evaluated("INDEX", || {
        WORDS.iter().enumerate().map(|(number, word)| (word.as_str(), number)).collect()
    });

    /// The same, by one whose seed is in a static.
    static SEEDED: hashbrown::HashMap<&'static str, usize> = evaluated("SEEDED", || {
        WORDS.iter().enumerate().map(|(number, word)| (word.as_str(), number)).collect()
    });

    /// Two owners, and a function.
    static SHARED: (Arc<str>, Arc<str>, fn(&str) -> String) = evaluated("SHARED", shared);

    /// Something to change.
    static CHANGING: Mutex<Vec<u32>> = evaluated("CHANGING", || Mutex::new(vec![1, 2, 3]));

    /// What is wrong.
    static TROUBLE: usize = evaluated("TROUBLE", trouble);
}

/// Initialised in the freeze, and carried.
static LAZY: LazyLock<Vec<String>> = LazyLock::new(|| {
    eprintln!("LAZY was initialised");
    vec!["lazy".to_owned(), WORDS[3].clone()]
});

fastboot_rt::warm! { LAZY.len() }

fn shared() -> (Arc<str>, Arc<str>, fn(&str) -> String) {
    let first = Arc::<str>::from("shared");
    (Arc::clone(&first), first, str::to_uppercase)
}

fn trouble() -> usize {
    match std::env::var("TROUBLE").as_deref() {
        Ok("panic") => panic!("this root is\nbroken"),
        Ok("exit") => std::process::exit(7),
        Ok("abort") => std::process::abort(),
        Ok("descriptor") => {
            Box::leak(Box::new(std::fs::File::open("/etc/passwd").unwrap())).metadata().unwrap().len() as usize
        }
        Ok("thread") => {
            std::thread::spawn(|| std::thread::sleep(Duration::from_secs(3600)));
            1
        }
        Ok("child") => std::process::Command::new("sleep").arg("60").spawn().unwrap().id() as usize,
        // SAFETY: may be called with any length.
        Ok("malloc") => unsafe { libc::malloc(100) }.addr(),
        Ok("memory") => {
            let mut all = Vec::new();
            loop {
                all.push(vec![1u8; 1 << 30]);
            }
        }
        Ok("unequal") => std::process::id() as usize,
        Ok("slow") => {
            std::thread::sleep(Duration::from_millis(300));
            3
        }
        _ => 0,
    }
}

fn main() {
    if std::env::args().nth(1).as_deref() == Some("freeze") {
        match fastboot_rt::freeze_now() {
            Ok(path) => println!("froze {}", path.display()),
            Err(error) => println!("{error}"),
        }
    }
    print!("{}", answers());
    if std::env::var_os("TROUBLE").is_none() {
        println!("TROUBLE: {}", *TROUBLE);
    }
    witness::sources!(WORDS, INDEX, SEEDED, SHARED, CHANGING);
}

/// What all roots say.
fn answers() -> String {
    let found = |at: &dyn Fn(&str) -> Option<usize>| {
        WORDS.iter().filter(|word| at(word).is_some_and(|at| WORDS[at] == **word)).count()
    };
    format!(
        "WORDS: {} {:?}\nINDEX: {} found, {:?} not\nSEEDED: {} found, {:?} not\nSHARED: {} {}\nCHANGING: {:?}\nLAZY: {:?}\n",
        WORDS.len(),
        WORDS.last(),
        found(&|word| INDEX.get(word).copied()),
        INDEX.get("no word"),
        found(&|word| SEEDED.get(word).copied()),
        SEEDED.get("no word"),
        SHARED.2(&SHARED.0),
        Arc::ptr_eq(&SHARED.0, &SHARED.1),
        CHANGING.lock().unwrap(),
        *LAZY,
    )
}
