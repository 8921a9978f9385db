//! A digest, made by code that asks the processor and remembers the answer in a static: the value is the same on every one.

use sha2::{Digest, Sha256};

fastboot_rt::install!();

fastboot_rt::frozen! {
    static DIGEST: Vec<u8> = Sha256::digest("some words").to_vec();
}

fn main() {
    println!("{:x?} {}", *DIGEST, Sha256::digest("some words").as_slice() == DIGEST.as_slice());
}
