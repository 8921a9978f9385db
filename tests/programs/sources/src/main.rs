//! Roots of all kinds in a small image that can come from anywhere: section, footer, snapshot. Prints the same lines in
//! every run. The first argument says what to do besides:
//!
//! - `fork`: forks, and both processes change what they thawed;
//! - `race`: many threads use every root at once, for the first time;
//! - `abort`: a closure in the image ends the program with a signal;
//! - `write`: counts a reference to something in the image, which is a write;
//! - `nothing`: uses no root.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, LazyLock, Mutex};
use witness::evaluated;

fastboot_rt::install!(snapshot = "sources.snap");

/// A pointer where no pointer can be aligned.
#[repr(C, packed)]
struct Packed {
    tag: u8,
    word: &'static str,
    boxed: Box<u32>,
}

/// A function with something of its own.
type Add = Box<dyn Fn(usize) -> String + Send + Sync>;

fastboot_rt::frozen! {
    /// Some words.
    static WORDS: Vec<String> = evaluated("WORDS", || (0..40).map(|number| format!("word {number}")).collect());

    /// Where each word is.
    static INDEX: HashMap<&'static str, usize> = evaluated("INDEX", || {
        WORDS.iter().enumerate().map(|(number, word)| (word.as_str(), number)).collect()
    });

    /// Words by length.
    static TREE: BTreeMap<usize, Vec<&'static str>> = evaluated("TREE", || {
        let mut tree = BTreeMap::<_, Vec<_>>::new();
        WORDS.iter().for_each(|word| tree.entry(word.len()).or_default().push(word.as_str()));
        tree
    });

    /// Unaligned pointers, into the image and into the executable.
    static PACKED: Vec<Packed> = evaluated("PACKED", || {
        let words = ["literal", WORDS[7].as_str()].into_iter().enumerate();
        words.map(|(tag, word)| Packed { tag: tag as u8, word, boxed: Box::new(tag as u32 + 40) }).collect()
    });

    /// A closure that owns something.
    static ADD: Add = evaluated("ADD", || {
        let own: Vec<usize> = (1..4).collect();
        Box::new(move |number| {
            if number == usize::MAX {
                stop_here(&own);
            }
            format!("{} and {number}", own.iter().sum::<usize>())
        })
    });

    /// Two owners.
    static SHARED: (Arc<str>, Arc<str>) = evaluated("SHARED", || {
        let first = Arc::<str>::from("shared");
        (Arc::clone(&first), first)
    });

    /// Something to change.
    static CHANGING: Mutex<Vec<u32>> = evaluated("CHANGING", || Mutex::new(vec![1, 2, 3]));
}

/// Initialised in the freeze, and carried: it holds pointers into the image.
static LAZY: LazyLock<Vec<String>> = LazyLock::new(|| {
    eprintln!("LAZY was initialised");
    vec!["lazy".to_owned(), WORDS[3].clone()]
});

fastboot_rt::warm! { LAZY.len() }

/// What the constructors saw.
static BEFORE: AtomicUsize = AtomicUsize::new(0);
static AFTER: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Before the thaw: allocates, and takes the home address if it is told to.
extern "C" fn before() {
    let own = vec![7u8; 1000];
    BEFORE.store(own.iter().map(|byte| usize::from(*byte)).sum(), Ordering::Relaxed);
    if std::env::var_os("SOURCES_OCCUPY").is_some() {
        let home = std::ptr::without_provenance_mut(0x5500_0000_0000);
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
        // SAFETY: a new mapping that replaces none.
        let got = unsafe { libc::mmap(home, 4096, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
        // In an embedded non-PIE, the kernel was faster.
        eprintln!("home address {}", if got == home { "occupied" } else { "was taken" });
    }
}

/// After the thaw: allocates.
extern "C" fn after() {
    AFTER.lock().unwrap().extend(["allocated".to_owned(), "after".to_owned()]);
}

#[used]
#[unsafe(link_section = ".init_array.00050")]
static EARLY: extern "C" fn() = before;

#[used]
#[unsafe(link_section = ".init_array")]
static LATE: extern "C" fn() = after;

/// In the feature `other`, another function than otherwise.
fn title() -> &'static str {
    if cfg!(feature = "other") { "another build" } else { "sources" }
}

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("fork") => fork(),
        Some("race") => race(),
        Some("abort") => drop(ADD(usize::MAX)),
        Some("write") => drop(Arc::clone(&SHARED.0)),
        Some("nothing") => return,
        _ => {}
    }
    eprintln!("{}", title());
    print!("{}", answers());
    witness::sources!(WORDS, INDEX, TREE, PACKED, ADD, SHARED, CHANGING);
}

/// Ends the process with a signal, so that a debugger has a stack to show.
#[inline(never)]
fn stop_here(numbers: &[usize]) -> ! {
    eprintln!("stopping with {numbers:?}");
    std::process::abort()
}

/// What all roots say.
fn answers() -> String {
    let words = WORDS.iter().filter(|word| INDEX.get(word.as_str()).is_some_and(|at| WORDS[*at] == **word)).count();
    let tree: Vec<_> = TREE.iter().map(|(length, words)| (*length, words.len(), words[0])).collect();
    let packed: Vec<_> = PACKED.iter().map(|packed| ({ packed.tag }, { packed.word }, boxed(packed))).collect();
    let changing = CHANGING.lock().unwrap();
    let constructors = (BEFORE.load(Ordering::Relaxed), AFTER.lock().unwrap().join(" "));
    format!(
        "WORDS: {} {:?}\nINDEX: {words} found, {:?} not\nTREE: {tree:?}\nPACKED: {packed:?}\nADD: {}\n\
         SHARED: {} {} {}\nCHANGING: {changing:?}\nLAZY: {:?}\nconstructors: {constructors:?}\n",
        WORDS.len(),
        WORDS.last(),
        INDEX.get("no word"),
        ADD(5),
        SHARED.0,
        Arc::ptr_eq(&SHARED.0, &SHARED.1),
        Arc::strong_count(&SHARED.0),
        *LAZY,
    )
}

fn boxed(packed: &Packed) -> u32 {
    // SAFETY: the field is a valid `Box`; it is read as a pointer, unaligned, and not kept.
    unsafe { *(&raw const packed.boxed).cast::<*const u32>().read_unaligned() }
}

/// Changes what was thawed, in a child process and then in this one: neither sees the other's changes.
fn fork() {
    // SAFETY: there is one thread.
    let child = unsafe { libc::fork() };
    CHANGING.lock().unwrap().extend([4; 1000]);
    let owner = Arc::clone(&SHARED.0);
    assert_eq!((CHANGING.lock().unwrap().len(), Arc::strong_count(&owner)), (1003, 3));
    CHANGING.lock().unwrap().truncate(3);
    drop(owner);
    if child == 0 {
        assert!(answers().contains("40 found"));
        std::process::exit(7);
    }
    let mut status = 0;
    // SAFETY: `status` is writable, and the child is this process's.
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 7, "the child ended with {status:#x}");
}

/// Uses every root in 16 threads at once.
fn race() {
    let barrier = Barrier::new(16);
    let all: Vec<String> = std::thread::scope(|scope| {
        let run = || {
            barrier.wait();
            answers()
        };
        let threads: Vec<_> = (0..16).map(|_| scope.spawn(run)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(all.iter().all(|answer| *answer == all[0]), "threads disagree: {all:#?}");
}
