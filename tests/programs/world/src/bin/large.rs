//! A value that is larger than what lies below the addresses that valgrind gives to programs, 64 MiB.

fastboot_rt::install!();

fastboot_rt::frozen! {
    static NUMBERS: Vec<u64> = vec![7; 9 << 20];
}

fn main() {
    println!("{} {:?}", NUMBERS.len(), NUMBERS.last());
}
