//! A root that a constructor reads; with the feature `early`, one that runs before the runtime's own.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

fastboot_rt::install!();

static SEEN: AtomicUsize = AtomicUsize::new(0);

fastboot_rt::frozen! {
    static TABLE: HashMap<String, u32> = (0..100).map(|number| (format!("number {number}"), number)).collect();
}

extern "C" fn constructor() {
    SEEN.store(TABLE.len(), Ordering::Relaxed);
}

#[used]
#[cfg_attr(not(feature = "early"), unsafe(link_section = ".init_array"))]
#[cfg_attr(feature = "early", unsafe(link_section = ".init_array.00050"))]
static CONSTRUCTOR: extern "C" fn() = constructor;

fn main() {
    println!("{} {}", SEEN.load(Ordering::Relaxed), TABLE["number 7"]);
}
