//! Two roots that need each other.

fastboot_rt::install!();

fastboot_rt::frozen! {
    static HEN: u64 = *EGG + 1;
    static EGG: u64 = *HEN + 1;
}

fn main() {
    println!("{}", *HEN);
}
