//! What the test programs say on standard error, so that a test can tell which build expressions ran in which process.
//!
//! ```text
//! evaluated NAME         the build expression of the root NAME ran in this process
//! source NAME SOURCE     the value of the root NAME came from SOURCE
//! ```
//!
//! And an allocator that counts, for those that say what something costs.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

#[doc(hidden)]
pub use fastboot_rt::Frozen;

/// Runs the build expression of the root `name`, and says so.
pub fn evaluated<T>(name: &str, build: impl FnOnce() -> T) -> T {
    eprintln!("evaluated {name}");
    build()
}

/// Says of each root where its value came from.
#[macro_export]
macro_rules! sources {
    ($($root:path),* $(,)?) => {
        $(eprintln!("source {} {}", stringify!($root), $crate::Frozen::source(&$root));)*
    };
}

/// The system's allocator, its calls counted. Growing counts as one.
#[derive(Debug)]
pub struct Counting;

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

/// How often [`Counting`] was asked for memory while `body` ran.
pub fn counted<T>(body: impl FnOnce() -> T) -> (T, u64) {
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    let value = body();
    (value, ALLOCATIONS.load(Ordering::Relaxed) - before)
}
