//! A root that relies on a constructor, as registries do that fill themselves before `main`.

use std::sync::atomic::{AtomicUsize, Ordering};

fastboot_rt::install!();

static REGISTERED: AtomicUsize = AtomicUsize::new(0);

extern "C" fn constructor() {
    REGISTERED.fetch_add(1, Ordering::Relaxed);
}

#[used]
#[unsafe(link_section = ".init_array")]
static CONSTRUCTOR: extern "C" fn() = constructor;

fastboot_rt::frozen! {
    static SEEN: usize = REGISTERED.load(Ordering::Relaxed);
}

fn main() {
    println!("seen {}, registered {}", *SEEN, REGISTERED.load(Ordering::Relaxed));
}
