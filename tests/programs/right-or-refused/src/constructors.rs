//! Statics that constructors change, and the expressions as well.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

static TREE: Mutex<BTreeMap<u32, u32>> = Mutex::new(BTreeMap::new());
static LIST: Mutex<Vec<&str>> = Mutex::new(Vec::new());
static COUNTER: AtomicUsize = AtomicUsize::new(7);
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

pub(crate) fn evaluate(case: &str) {
    match case {
        "constructor-tree" => _ = TREE.lock().unwrap().insert(2, 2),
        "constructor-list" => LIST.lock().unwrap().push("root"),
        "constructor-counter" => _ = COUNTER.fetch_add(1, Ordering::Relaxed),
        "constructor-registry" => FOUND.store(REGISTRY.lock().unwrap().len(), Ordering::Relaxed),
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
        "constructor-registry" => {
            println!("{:?}, found {}", REGISTRY.lock().unwrap(), FOUND.load(Ordering::Relaxed));
        }
        _ => {}
    }
}
