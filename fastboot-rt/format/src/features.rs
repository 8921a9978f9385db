//! The processor features a value may depend on.
//!
//! A value built where AVX2 was detected may hold the address of an AVX2 function. So an image records the features of
//! the processor it was made on, and a processor that lacks one of them does not use the image.

/// A feature: its name as `is_x86_feature_detected!` has it, and where `cpuid` reports it.
#[derive(Clone, Copy, Debug)]
pub struct Feature {
    /// Its name.
    pub name: &'static str,
    /// What `cpuid` has to be asked.
    pub leaf: Leaf,
    /// The register that the answer is in.
    pub register: Register,
    /// The bit in that register.
    pub bit: u32,
}

/// What `cpuid` is asked: the values of EAX and ECX.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaf {
    /// EAX = 1.
    Basic,
    /// EAX = 7, ECX = 0.
    Extended,
    /// EAX = 8000_0001h.
    Vendor,
}

/// A register that `cpuid` answers in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Register {
    /// EBX.
    Ebx,
    /// ECX.
    Ecx,
    /// EDX.
    Edx,
}

const fn feature(name: &'static str, leaf: Leaf, register: Register, bit: u32) -> Feature {
    Feature { name, leaf, register, bit }
}

/// Bit `n` of the mask in an image header is `FEATURES[n]`. New features go to the end. Bits from the Intel SDM,
/// volume 2A, CPUID, and the AMD64 APM, volume 3, appendix E.
pub const FEATURES: [Feature; 38] = {
    use Leaf::{Basic, Extended, Vendor};
    use Register::{Ebx, Ecx, Edx};
    [
        feature("sse3", Basic, Ecx, 0),
        feature("pclmulqdq", Basic, Ecx, 1),
        feature("ssse3", Basic, Ecx, 9),
        feature("fma", Basic, Ecx, 12),
        feature("cmpxchg16b", Basic, Ecx, 13),
        feature("sse4.1", Basic, Ecx, 19),
        feature("sse4.2", Basic, Ecx, 20),
        feature("movbe", Basic, Ecx, 22),
        feature("popcnt", Basic, Ecx, 23),
        feature("aes", Basic, Ecx, 25),
        feature("avx", Basic, Ecx, 28),
        feature("f16c", Basic, Ecx, 29),
        feature("rdrand", Basic, Ecx, 30),
        feature("fxsr", Basic, Edx, 24),
        feature("sse2", Basic, Edx, 26),
        feature("bmi1", Extended, Ebx, 3),
        feature("avx2", Extended, Ebx, 5),
        feature("bmi2", Extended, Ebx, 8),
        feature("avx512f", Extended, Ebx, 16),
        feature("avx512dq", Extended, Ebx, 17),
        feature("rdseed", Extended, Ebx, 18),
        feature("adx", Extended, Ebx, 19),
        feature("avx512ifma", Extended, Ebx, 21),
        feature("avx512cd", Extended, Ebx, 28),
        feature("sha", Extended, Ebx, 29),
        feature("avx512bw", Extended, Ebx, 30),
        feature("avx512vl", Extended, Ebx, 31),
        feature("avx512vbmi", Extended, Ecx, 1),
        feature("avx512vbmi2", Extended, Ecx, 6),
        feature("gfni", Extended, Ecx, 8),
        feature("vaes", Extended, Ecx, 9),
        feature("vpclmulqdq", Extended, Ecx, 10),
        feature("avx512vnni", Extended, Ecx, 11),
        feature("avx512bitalg", Extended, Ecx, 12),
        feature("avx512vpopcntdq", Extended, Ecx, 14),
        feature("lzcnt", Vendor, Ecx, 5),
        feature("sse4a", Vendor, Ecx, 6),
        feature("tbm", Vendor, Ecx, 21),
    ]
};

/// The levels of the x86-64 psABI, and what each adds to the one before. `x86-64-v1` is what every processor has.
const LEVELS: [(&str, &[&str]); 4] = [
    ("x86-64-v1", &["fxsr", "sse2"]),
    ("x86-64-v2", &["cmpxchg16b", "popcnt", "sse3", "ssse3", "sse4.1", "sse4.2"]),
    ("x86-64-v3", &["avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "lzcnt", "movbe"]),
    ("x86-64-v4", &["avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"]),
];

/// The features of a level, such as `x86-64-v3`, as a mask; all features for `native`; `None` for any other name.
pub fn level(name: &str) -> Option<u64> {
    if name == "native" {
        return Some(u64::MAX);
    }
    let last = LEVELS.iter().position(|(level, _)| *level == name)?;
    let names = LEVELS.iter().take(last + 1).flat_map(|(_, names)| *names);
    let bit = |name| FEATURES.iter().position(|feature| feature.name == name).map_or(0, |bit| 1 << bit);
    Some(names.fold(0, |mask, name| mask | bit(*name)))
}

/// What `cpuid` answers (EAX, EBX, ECX, EDX) without features that are not in the mask `visible`.
///
/// What only says how a feature is to be used is left as it is; so is what every processor has.
pub fn masked(leaf: u32, subleaf: u32, mut answer: [u32; 4], visible: u64) -> [u32; 4] {
    let of = match (leaf, subleaf) {
        (1, _) => Leaf::Basic,
        (7, 0) => Leaf::Extended,
        // Newer features, of which no level has any.
        (7, _) => return [0; 4],
        (0x8000_0001, _) => Leaf::Vendor,
        _ => return answer,
    };
    let mut hidden = match of {
        // No further subleaf, and of features not known here none.
        Leaf::Extended => [u32::MAX, u32::MAX, u32::MAX, u32::MAX],
        // XOP and FMA4.
        Leaf::Vendor => [0, 0, 1 << 11 | 1 << 16, 0],
        Leaf::Basic => [0; 4],
    };
    for (bit, feature) in FEATURES.iter().enumerate().filter(|(_, feature)| feature.leaf == of) {
        let register = match feature.register {
            Register::Ebx => &mut hidden[1],
            Register::Ecx => &mut hidden[2],
            Register::Edx => &mut hidden[3],
        };
        if visible & (1 << bit) != 0 {
            *register &= !(1 << feature.bit);
        } else {
            *register |= 1 << feature.bit;
        }
    }
    for (register, hidden) in answer.iter_mut().zip(hidden) {
        *register &= !hidden;
    }
    answer
}

/// Names of the features in a mask, in the order of the mask's bits.
pub fn names(mask: u64) -> impl Iterator<Item = &'static str> {
    FEATURES.iter().enumerate().filter(move |(bit, _)| mask & (1 << bit) != 0).map(|(_, feature)| feature.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_has_its_features_and_those_below() {
        let count = |name: &str| level(name).unwrap().count_ones() as usize;
        let mut sum = 0;
        for (name, added) in LEVELS {
            sum += added.len();
            // A misspelt name would have no bit.
            assert_eq!(count(name), sum, "{name}");
        }
        assert_eq!((level("native"), level("x86-64-v5")), (Some(u64::MAX), None));
    }

    #[test]
    fn what_is_hidden_is_hidden_and_nothing_else() {
        let all = [u32::MAX; 4];
        let v2 = level("x86-64-v2").unwrap();
        let [_, ebx, ecx, edx] = masked(1, 0, all, v2);
        assert_eq!((ebx, edx), (u32::MAX, u32::MAX), "what every processor has");
        assert_eq!(ecx & (1 << 19 | 1 << 23 | 1 << 27), 1 << 19 | 1 << 23 | 1 << 27, "sse4.1, popcnt, osxsave");
        assert_eq!(ecx & (1 << 12 | 1 << 25 | 1 << 28), 0, "fma, aes, avx");
        assert_eq!(masked(7, 0, all, v2), [0; 4]);
        assert_eq!(masked(7, 0, all, level("x86-64-v3").unwrap())[1], 1 << 3 | 1 << 5 | 1 << 8, "bmi1, avx2, bmi2");
        assert_eq!(masked(7, 1, all, u64::MAX), [0; 4]);
        assert_eq!(masked(0x8000_0001, 0, all, v2)[2] & (1 << 5), 0, "lzcnt");
        assert_eq!(masked(0x8000_0002, 0, all, 0), all, "the processor's name");
    }
}
