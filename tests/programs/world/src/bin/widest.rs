//! A function that is chosen by a feature of x86-64-v4.

use std::arch::x86_64::{_mm512_add_epi64, _mm512_reduce_add_epi64, _mm512_set1_epi64};

fastboot_rt::install!();

fn plain(number: i64) -> i64 {
    (number + 7) * 8
}

#[target_feature(enable = "avx512f")]
fn with_wide_registers(number: i64) -> i64 {
    _mm512_reduce_add_epi64(_mm512_add_epi64(_mm512_set1_epi64(number), _mm512_set1_epi64(7)))
}

fn fast(number: i64) -> i64 {
    // SAFETY: chosen where the processor has it.
    unsafe { with_wide_registers(number) }
}

fastboot_rt::frozen! {
    static CHOSEN: fn(i64) -> i64 = if std::arch::is_x86_feature_detected!("avx512f") { fast } else { plain };
}

fn main() {
    println!("{}", CHOSEN(9));
}
