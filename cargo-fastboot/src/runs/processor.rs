//! Processor: which features the one at hand has, as the standard library finds them.

use fastboot_format::features::{FEATURES, Mask};

/// Lists the features that are asked for by name, because the macro takes nothing but literals.
macro_rules! detected {
    ($($name:tt)*) => {
        [$(($name, std::is_x86_feature_detected!($name))),*]
    };
}

/// Features by name, and whether this processor has them: all that the macro may be asked for without a nightly compiler.
#[cfg(target_arch = "x86_64")]
fn detected() -> impl Iterator<Item = (&'static str, bool)> {
    let all = detected!(
        "sse3" "pclmulqdq" "ssse3" "fma" "cmpxchg16b" "sse4.1" "sse4.2" "movbe" "popcnt" "aes" "avx" "f16c" "rdrand" "fxsr"
        "sse2" "bmi1" "avx2" "bmi2" "avx512f" "avx512dq" "rdseed" "adx" "avx512ifma" "avx512cd" "sha" "avx512bw" "avx512vl"
        "avx512vbmi" "avx512vbmi2" "gfni" "vaes" "vpclmulqdq" "avx512vnni" "avx512bitalg" "avx512vpopcntdq" "lzcnt" "sse4a"
        "tbm" "xsave" "xsaveopt" "xsavec" "xsaves" "kl" "widekl" "sha512" "sm3" "sm4" "avxvnni" "avxifma" "avxneconvert"
        "avxvnniint8" "avxvnniint16" "avx512bf16" "avx512vp2intersect" "avx512fp16"
    );
    all.into_iter()
}

/// The features of this processor, as a mask.
#[cfg(target_arch = "x86_64")]
pub(crate) fn features() -> Mask {
    let there = detected().filter(|(_, there)| *there);
    let bits = there.filter_map(|(name, _)| FEATURES.iter().position(|feature| feature.name() == name));
    bits.fold(0, |mask, bit| mask | 1 << bit)
}

/// There are no images for other processors.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn features() -> Mask {
    0
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    #[test]
    fn they_are_in_the_table() {
        for (name, _) in detected() {
            assert!(FEATURES.iter().any(|feature| feature.name() == name), "{name}");
        }
        assert_ne!(features() & fastboot_format::features::level("x86-64-v1").unwrap(), 0);
    }
}
