//! Values that depend on the processor and on something else, in one word.

fastboot_rt::install!();

/// Two halves of a word.
#[repr(align(8))]
#[derive(Debug)]
pub struct Halves {
    color: u32,
    level: u32,
}

fastboot_rt::frozen! {
    static MIXED: Box<Halves> = Box::new(Halves {
        color: u32::from(std::env::var_os("NO_COLOR").is_none()),
        level: u32::from(is_x86_feature_detected!("avx2")),
    });
}

fn main() {
    println!("{} {}", MIXED.color, MIXED.level);
}
