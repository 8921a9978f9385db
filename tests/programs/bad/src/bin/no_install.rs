//! Without `install!()`: there is no section to embed an image in.

fastboot_rt::frozen! {
    static NUMBERS: Vec<u32> = (0..10).collect();
}

fn main() {
    println!("{}", NUMBERS.len());
}
