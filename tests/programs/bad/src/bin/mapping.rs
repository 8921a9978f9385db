//! A root that is a mapped file.

use memmap2::Mmap;
use std::fs::File;

fastboot_rt::install!();

fastboot_rt::frozen! {
    static MAPPED: Mmap = {
        let file = File::open("Cargo.toml").expect("the package has one");
        // SAFETY: nobody changes the file of a package that is being built.
        unsafe { Mmap::map(&file) }.expect("it can be mapped")
    };
}

fn main() {
    println!("{}", MAPPED.len());
}
