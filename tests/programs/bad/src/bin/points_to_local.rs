//! A root with a raw pointer into a thread-local.

use std::cell::Cell;

fastboot_rt::install!();

thread_local! {
    static LOCAL: Cell<u64> = const { Cell::new(7) };
}

/// The address of a number.
struct Address(*const Cell<u64>);

// SAFETY: nobody reads or writes what is there.
unsafe impl Send for Address {}
// SAFETY: as above.
unsafe impl Sync for Address {}

fastboot_rt::frozen! {
    static ADDRESSES: Vec<Address> = (0..3).map(|_| LOCAL.with(|local| Address(local))).collect();
}

fn main() {
    println!("{:?}", ADDRESSES[0].0);
}
