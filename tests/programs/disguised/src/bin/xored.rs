//! A root that keeps addresses XORed with a number.

use disguised::{Form, Hidden};

fastboot_rt::install!();

struct Xored;

const KEY: usize = 0x0123_4567_89ab_cdef;

impl Form for Xored {
    fn disguise(address: usize) -> usize {
        address ^ KEY
    }

    fn reveal(word: usize) -> usize {
        word ^ KEY
    }
}

fastboot_rt::frozen! {
    static SECRETS: Vec<Hidden<Xored>> = (0..20).map(Hidden::new).collect();
}

fn main() {
    println!("{:?}", SECRETS.iter().map(Hidden::get).collect::<Vec<_>>());
}
