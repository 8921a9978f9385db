//! A root that is an open file.

use std::fs::File;

fastboot_rt::install!();

fastboot_rt::frozen! {
    static FILE: File = File::open("Cargo.toml").expect("the package has one");
}

fn main() {
    println!("{:?}", FILE.metadata());
}
