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
    static BOXES: Vec<Box<u64>> = evaluated("BOXES", || (0..10_000).map(Box::new).collect());
}

/// How often the allocator was called while `body` ran.
fn counted<T>(body: impl FnOnce() -> T) -> (T, u64) {
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    let value = body();
    (value, ALLOCATIONS.load(Ordering::Relaxed) - before)
}

fn main() {
    let (sum, cost) = counted(|| BOXES.iter().map(|number| **number).sum::<u64>());
    println!("BOXES: {sum}");
    eprintln!("allocations for BOXES: {cost}");
    let (clone, cost) = counted(|| BOXES.clone());
    println!("BOXES, cloned: {} for {cost} allocations", clone.len());
    witness::sources!(BOXES);
}
