//! Roots over an allocator of the program's own, which counts its calls: thawed roots cost none.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};
use witness::evaluated;

/// The system's allocator, counted.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call is passed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise, passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise, passed on; the block came from `System`.
        unsafe { System.dealloc(block, layout) }
    }
}

fastboot_rt::install!(Counting);

fastboot_rt::frozen! {
    /// Ten thousand allocations.
    static NAMES: Vec<String> = evaluated("NAMES", || (0..10_000).map(|number| format!("name {number}")).collect());
}

/// How often the allocator was called while `body` ran.
fn counted<T>(body: impl FnOnce() -> T) -> (T, u64) {
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    let value = body();
    (value, ALLOCATIONS.load(Ordering::Relaxed) - before)
}

fn main() {
    let (length, cost) = counted(|| NAMES.iter().map(String::len).sum::<usize>());
    println!("NAMES: {length}");
    eprintln!("allocations for NAMES: {cost}");
    let (clone, cost) = counted(|| NAMES.clone());
    println!("NAMES, cloned: {} for {cost} allocations", clone.len());
    witness::sources!(NAMES);
}
