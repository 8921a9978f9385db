//! A function that is chosen by a feature of x86-64-v2.

use std::arch::x86_64::_mm_crc32_u64;

fastboot_rt::install!();

fn plain(number: u64) -> u64 {
    number.rotate_left(7)
}

#[target_feature(enable = "sse4.2")]
fn with_crc(number: u64) -> u64 {
    _mm_crc32_u64(7, number)
}

fn fast(number: u64) -> u64 {
    // SAFETY: chosen where the processor has it.
    unsafe { with_crc(number) }
}

fastboot_rt::frozen! {
    static CHOSEN: fn(u64) -> u64 = if std::arch::is_x86_feature_detected!("sse4.2") { fast } else { plain };
}

fn main() {
    println!("{}", CHOSEN(9));
}
