//! Statics that constructors change, and the expressions as well; and registries of crates, which are filled before `main`.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

static TREE: Mutex<BTreeMap<u32, u32>> = Mutex::new(BTreeMap::new());
static LIST: Mutex<Vec<&str>> = Mutex::new(Vec::new());
static COUNTER: AtomicUsize = AtomicUsize::new(7);
static NAMES: Mutex<String> = Mutex::new(String::new());
/// Where a registry finds out what there is: the expressions only read it.
static REGISTRY: Mutex<Vec<&str>> = Mutex::new(Vec::new());
/// What the expressions find in it.
static FOUND: AtomicUsize = AtomicUsize::new(0);

extern "C" fn constructor() {
    match crate::case().as_str() {
        "constructor-tree" => _ = TREE.lock().unwrap().insert(1, 1),
        "constructor-list" => LIST.lock().unwrap().push("constructor"),
        "constructor-counter" => _ = COUNTER.fetch_add(1, Ordering::Relaxed),
        "constructor-registry" => REGISTRY.lock().unwrap().push("plug-in"),
        _ => {}
    }
}

#[used]
#[unsafe(link_section = ".init_array")]
static CONSTRUCTOR: extern "C" fn() = constructor;

/// The same by the crate that many use for it.
#[ctor::ctor(unsafe)]
fn constructor_of_ctor() {
    match crate::case().as_str() {
        "ctor-changed" => NAMES.lock().unwrap().push_str("constructor "),
        "ctor-registry" => REGISTRY.lock().unwrap().push("plug-in of ctor"),
        _ => {}
    }
}

/// What plug-ins hand in.
struct PlugIn(&'static str, &'static AtomicUsize);

/// How often each was found.
static COUNTS: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];

inventory::collect!(PlugIn);
inventory::submit! { PlugIn("first", &COUNTS[0]) }
inventory::submit! { PlugIn("second", &COUNTS[1]) }

#[linkme::distributed_slice]
static SLICE: [fn() -> u32];
#[linkme::distributed_slice(SLICE)]
fn three() -> u32 {
    3
}
#[linkme::distributed_slice(SLICE)]
fn four() -> u32 {
    4
}

/// Counts the plug-ins, and each that they were found.
fn plug_ins() -> usize {
    inventory::iter::<PlugIn>().map(|PlugIn(name, found)| name.len() + found.fetch_add(1, Ordering::Relaxed)).sum()
}

/// What refers to the registries of crates, and what is in them.
type Registered = (Vec<&'static PlugIn>, Vec<fn() -> u32>);

fastboot_rt::frozen! {
    static REGISTERED: Registered = registered(&crate::case()), check = |_, _| true;
}

fn registered(case: &str) -> Registered {
    match case {
        "inventory" => (inventory::iter::<PlugIn>().collect(), Vec::new()),
        "linkme" => (Vec::new(), SLICE.to_vec()),
        _ => Default::default(),
    }
}

pub(crate) fn evaluate(case: &str) {
    match case {
        "constructor-tree" => _ = TREE.lock().unwrap().insert(2, 2),
        "constructor-list" => LIST.lock().unwrap().push("root"),
        "constructor-counter" => _ = COUNTER.fetch_add(1, Ordering::Relaxed),
        "constructor-registry" | "ctor-registry" => FOUND.store(REGISTRY.lock().unwrap().len(), Ordering::Relaxed),
        "ctor-changed" => NAMES.lock().unwrap().push_str("root"),
        "inventory-changed" => FOUND.store(plug_ins(), Ordering::Relaxed),
        // Without a constructor, and so right.
        "expression-tree" => _ = TREE.lock().unwrap().insert(3, 3),
        _ => {}
    }
}

pub(crate) fn answer(case: &str) {
    match case {
        "constructor-tree" | "expression-tree" => println!("{:?}", TREE.lock().unwrap()),
        "constructor-list" => println!("{:?}", LIST.lock().unwrap()),
        "constructor-counter" => println!("{}", COUNTER.load(Ordering::Relaxed)),
        "ctor-changed" => println!("{}", NAMES.lock().unwrap()),
        "constructor-registry" | "ctor-registry" => {
            println!("{:?}, found {}", REGISTRY.lock().unwrap(), FOUND.load(Ordering::Relaxed));
        }
        "inventory" => {
            let mut names: Vec<&str> = REGISTERED.0.iter().map(|plug_in| plug_in.0).collect();
            names.sort_unstable();
            let are_those =
                inventory::iter::<PlugIn>().all(|new| REGISTERED.0.iter().any(|old| std::ptr::eq(*old, new)));
            println!("{names:?}, the same {are_those}");
        }
        "inventory-changed" => println!("{}, then {}", FOUND.load(Ordering::Relaxed), plug_ins()),
        "linkme" => println!("{} of {}", REGISTERED.1.iter().map(|add| add()).sum::<u32>(), SLICE.len()),
        _ => {}
    }
}
