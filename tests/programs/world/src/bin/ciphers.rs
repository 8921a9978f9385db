//! A function that is chosen by a feature that no level has, behind a table of functions.

use std::arch::x86_64::{_mm_aesenc_si128, _mm_cvtsi128_si64, _mm_set1_epi64x};

fastboot_rt::install!();

trait Cipher: Send + Sync {
    fn round(&self, number: i64) -> i64;
}

struct Plain;
struct Fast;

impl Cipher for Plain {
    fn round(&self, number: i64) -> i64 {
        number.rotate_left(7)
    }
}

#[target_feature(enable = "aes")]
fn with_aes(number: i64) -> i64 {
    _mm_cvtsi128_si64(_mm_aesenc_si128(_mm_set1_epi64x(number), _mm_set1_epi64x(7)))
}

impl Cipher for Fast {
    fn round(&self, number: i64) -> i64 {
        // SAFETY: chosen where the processor has it.
        unsafe { with_aes(number) }
    }
}

fastboot_rt::frozen! {
    static CHOSEN: Box<dyn Cipher> = if std::arch::is_x86_feature_detected!("aes") { Box::new(Fast) } else { Box::new(Plain) };
}

fn main() {
    println!("{}", CHOSEN.round(9));
}
