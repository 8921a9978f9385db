//! Freezes itself where it runs. Prints the same lines in every run. With the argument `freeze`, it freezes at once; with
//! `children`, it says what it knows of child processes; with `adopt`, it becomes one that adopts orphans, and begins anew.
//!
//! The variable `TROUBLE` says what the root of that name does that a snapshot cannot hold; then no answer needs it.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;
use witness::evaluated;

#[cfg(not(any(feature = "beside", feature = "unchecked")))]
fastboot_rt::install!(cache = fastboot_rt::CacheDir::User);
#[cfg(feature = "beside")]
fastboot_rt::install!(std::alloc::System, snapshot = "none.snap", cache = fastboot_rt::CacheDir::Folder("cache/of it"));
#[cfg(feature = "unchecked")]
fastboot_rt::install!(unsafe unchecked_snapshot = "first-run.snap");

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
    static SHARED: Shared = evaluated("SHARED", shared);

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

type Shared = (Arc<str>, Arc<str>, fn(&str) -> String);

fn shared() -> Shared {
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
        Ok("child") => std::process::Command::new("sleep").arg("3").spawn().unwrap().id() as usize,
        // SAFETY: may be called with any length.
        Ok("malloc") => unsafe { libc::malloc(100) }.addr(),
        Ok("memory") => vec![1u8; 1 << 45].len(),
        // Holds the address of a static of the standard library, which is not carried.
        Ok("stdout") => Box::leak(Box::new(std::io::stdout())) as *const std::io::Stdout as usize,
        Ok("unequal") => std::process::id() as usize,
        Ok("slow") => {
            std::thread::sleep(Duration::from_millis(300));
            3
        }
        _ => 0,
    }
}

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("freeze") => match fastboot_rt::freeze_now() {
            Ok(path) => eprintln!("froze {}", path.display()),
            Err(error) => eprintln!("{error}"),
        },
        Some("children") => children(),
        Some("adopt") => adopt(),
        _ => {}
    }
    print!("{}", answers());
    witness::sources!(WORDS, INDEX, SEEDED, SHARED, CHANGING);
    if std::env::var_os("TROUBLE").is_none() {
        println!("TROUBLE: {}", *TROUBLE);
        witness::sources!(TROUBLE);
    }
}

/// Says whether there is a child process to wait for, and whether the end of one was signalled.
fn children() {
    let mut pending = std::mem::MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: `pending` is writable, and all zeros are a valid set; waiting for nobody's end changes nothing.
    let (waited, signalled) = unsafe {
        libc::sigpending(pending.as_mut_ptr());
        (
            libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG | libc::__WALL),
            libc::sigismember(pending.as_ptr(), libc::SIGCHLD),
        )
    };
    eprintln!("children: waitpid {waited} {:?}, SIGCHLD {signalled}", std::io::Error::last_os_error().kind());
}

/// Executes this program again, without arguments, as one that adopts orphans.
fn adopt() {
    // SAFETY: sets an attribute of this process.
    unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) };
    let error = std::os::unix::process::CommandExt::exec(
        std::process::Command::new(std::env::current_exe().unwrap()).env_remove("FASTBOOT"),
    );
    panic!("{error}");
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
