//! A root whose expression ends the process.

fastboot_rt::install!();

fastboot_rt::frozen! {
    static LEAVES: u32 = std::process::exit(7);
}

fn main() {
    println!("{}", *LEAVES);
}
