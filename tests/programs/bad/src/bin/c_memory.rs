//! A root that holds memory which C's `malloc` gave out, as bindings of C libraries do.

use std::ptr::NonNull;

fastboot_rt::install!();

/// What a binding would make of C's handle.
#[derive(Debug)]
struct Handle {
    name: String,
    block: NonNull<u8>,
}

// SAFETY: nobody reads or writes the block.
unsafe impl Send for Handle {}
// SAFETY: as above.
unsafe impl Sync for Handle {}

fastboot_rt::frozen! {
    static HANDLES: Vec<Handle> = (0..3).map(handle).collect();
}

fn handle(number: usize) -> Handle {
    // SAFETY: any size will do.
    let block = unsafe { libc::malloc(100 + number) };
    Handle { name: format!("handle {number}"), block: NonNull::new(block.cast()).expect("there is memory") }
}

fn main() {
    println!("{:?} {:?}", HANDLES[1].name, HANDLES[1].block);
}
