//! A root whose expression panics.

fastboot_rt::install!();

fastboot_rt::frozen! {
    static WHOLE: u32 = 1;
    static BROKEN: Vec<u32> = panic!("this root is broken");
}

fn main() {
    println!("{} {}", *WHOLE, BROKEN.len());
}
