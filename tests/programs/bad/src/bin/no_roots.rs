//! Without roots: there is nothing to freeze.

fastboot_rt::install!();

fn main() {}
