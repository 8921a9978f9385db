//! Processor: which features the one at hand has, as the standard library finds them.

use fastboot_format::features::FEATURES;

/// Lists the features that are asked for by name, because the macro takes nothing but literals.
macro_rules! detected {
    ($($name:tt)*) => {
        [$(($name, std::is_x86_feature_detected!($name))),*]
    };
}

/// Each feature's name, and whether this processor has it: in the order of [`FEATURES`].
#[cfg(target_arch = "x86_64")]
fn detected() -> [(&'static str, bool); FEATURES.len()] {
    detected!(
        "sse3" "pclmulqdq" "ssse3" "fma" "cmpxchg16b" "sse4.1" "sse4.2" "movbe" "popcnt" "aes" "avx" "f16c" "rdrand" "fxsr"
        "sse2" "bmi1" "avx2" "bmi2" "avx512f" "avx512dq" "rdseed" "adx" "avx512ifma" "avx512cd" "sha" "avx512bw" "avx512vl"
        "avx512vbmi" "avx512vbmi2" "gfni" "vaes" "vpclmulqdq" "avx512vnni" "avx512bitalg" "avx512vpopcntdq" "lzcnt" "sse4a"
        "tbm"
    )
}

/// The features of this processor, as a mask.
#[cfg(target_arch = "x86_64")]
pub(crate) fn features() -> u64 {
    detected().iter().enumerate().filter(|(_, (_, there))| *there).fold(0, |mask, (bit, _)| mask | 1 << bit)
}

/// There are no images for other processors.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn features() -> u64 {
    0
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    #[test]
    fn they_are_those_of_the_table() {
        assert_eq!(detected().map(|(name, _)| name), FEATURES.map(|feature| feature.name));
        assert_ne!(features() & fastboot_format::features::level("x86-64-v1").unwrap(), 0);
    }
}
