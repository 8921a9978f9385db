//! A root that is not the same in any two runs.

#![allow(clippy::vec_box, reason = "the way to the number is to have more than one step")]

fastboot_rt::install!();

fastboot_rt::frozen! {
    static IDS: Vec<Box<(u64, u32)>> = vec![Box::new((7, std::process::id()))];
}

fn main() {
    println!("{:?}", *IDS);
}
