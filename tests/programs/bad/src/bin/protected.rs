//! A root that has a page which nobody can read behind what it holds, as guards against overruns are.

use std::alloc::{Layout, alloc_zeroed};

fastboot_rt::install!();

const PAGE: usize = 4096;

#[derive(Debug)]
struct Guarded {
    start: *mut u8,
    length: usize,
}

// SAFETY: nobody writes to it.
unsafe impl Send for Guarded {}
// SAFETY: as above.
unsafe impl Sync for Guarded {}

fastboot_rt::frozen! {
    static GUARDED: Guarded = guarded();
}

fn guarded() -> Guarded {
    let layout = Layout::from_size_align(3 * PAGE, PAGE).expect("a size and a power of two");
    // SAFETY: the layout has a size.
    let start = unsafe { alloc_zeroed(layout) };
    assert!(!start.is_null());
    // SAFETY: the last of three pages that were allocated just now; nobody reads it.
    let result = unsafe { libc::mprotect(start.add(2 * PAGE).cast(), PAGE, libc::PROT_NONE) };
    assert_eq!(result, 0);
    Guarded { start, length: 2 * PAGE }
}

fn main() {
    println!("{:?} {}", GUARDED.start, GUARDED.length);
}
