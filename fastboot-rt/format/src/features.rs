//! The processor features a value may depend on.
//!
//! A value built where AVX2 was detected may hold the address of an AVX2 function. So an image records the features of
//! the processor it was made on, and a processor that lacks one of them does not use the image.

/// A feature: its name as `is_x86_feature_detected!` has it, and where `cpuid` reports it.
#[derive(Clone, Copy, Debug)]
pub struct Feature {
    /// Its name, and zeros. Not the address of one: in a position-independent program the loader would write each of them
    /// into the table at every start.
    text: [u8; NAME_LEN],
    /// What `cpuid` has to be asked.
    pub leaf: Leaf,
    /// The register that the answer is in.
    pub register: Register,
    /// The bit in that register.
    pub bit: u32,
    /// What the operating system has to save, see [`state`].
    pub state: u64,
}

/// Length in bytes of the longest name.
const NAME_LEN: usize = 18;

impl Feature {
    const fn new(name: &str, leaf: Leaf, register: Register, bit: u32, state: u64) -> Self {
        let (name, mut text, mut at) = (name.as_bytes(), [0; NAME_LEN], 0);
        while at < name.len() {
            text[at] = name[at];
            at += 1;
        }
        Self { text, leaf, register, bit, state }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        core::str::from_utf8(&self.text).unwrap_or_default().trim_end_matches('\0')
    }
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
    /// EAX = 7, ECX = 1.
    Extended1,
    /// EAX = 0Dh, ECX = 1.
    Xsave,
    /// EAX = 19h.
    KeyLocker,
    /// EAX = 1Eh, ECX = 1.
    Tiles,
}

impl Leaf {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Basic, Self::Extended, Self::Vendor, Self::Extended1, Self::Xsave, Self::KeyLocker, Self::Tiles];

    /// EAX and ECX.
    pub fn numbers(self) -> (u32, u32) {
        match self {
            Self::Basic => (1, 0),
            Self::Extended => (7, 0),
            Self::Vendor => (0x8000_0001, 0),
            Self::Extended1 => (7, 1),
            Self::Xsave => (0xd, 1),
            Self::KeyLocker => (0x19, 0),
            Self::Tiles => (0x1e, 1),
        }
    }
}

/// A register that `cpuid` answers in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Register {
    /// EAX.
    Eax,
    /// EBX.
    Ebx,
    /// ECX.
    Ecx,
    /// EDX.
    Edx,
}

/// What the operating system has to save for a feature to be of use: bits of XCR0.
pub mod state {
    /// Nothing that it does not save anyway.
    pub const NONE: u64 = 0;
    /// SSE and AVX registers.
    pub const AVX: u64 = 0b110;
    /// These, masks, and both halves of the large registers.
    pub const AVX512: u64 = 0b1110_0110;
    /// Tiles.
    pub const AMX: u64 = 0b11 << 17;
}

const fn feature(name: &str, leaf: Leaf, register: Register, bit: u32) -> Feature {
    Feature::new(name, leaf, register, bit, state::NONE)
}

const fn avx(name: &str, leaf: Leaf, register: Register, bit: u32) -> Feature {
    Feature::new(name, leaf, register, bit, state::AVX)
}

const fn avx512(name: &str, leaf: Leaf, register: Register, bit: u32) -> Feature {
    Feature::new(name, leaf, register, bit, state::AVX512)
}

const fn amx(name: &str, leaf: Leaf, register: Register, bit: u32) -> Feature {
    Feature::new(name, leaf, register, bit, state::AMX)
}

/// What every x86-64 processor has besides, though `is_x86_feature_detected!` can be asked for it, and other names for what
/// is in the table.
pub const NOT_IN_THE_TABLE: [&str; 7] = ["mmx", "sse", "tsc", "abm", "avx512gfni", "avx512vaes", "avx512vpclmulqdq"];

/// Features that older versions of the C library find as well; those behind them take an instruction each.
pub const COMMON: usize = 38;

/// Bit `n` of the mask in an image header is `FEATURES[n]`. New features go to the end. Bits from the Intel SDM,
/// volume 2A, CPUID, and the AMD64 APM, volume 3, appendix E. Every name that `is_x86_feature_detected!` knows is here, or in
/// [`NOT_IN_THE_TABLE`].
// A static, because a constant is copied to whoever uses it.
pub static FEATURES: [Feature; 70] = {
    use Leaf::{Basic, Extended, Extended1, KeyLocker, Tiles, Vendor, Xsave};
    use Register::{Eax, Ebx, Ecx, Edx};
    [
        feature("sse3", Basic, Ecx, 0),
        feature("pclmulqdq", Basic, Ecx, 1),
        feature("ssse3", Basic, Ecx, 9),
        avx("fma", Basic, Ecx, 12),
        feature("cmpxchg16b", Basic, Ecx, 13),
        feature("sse4.1", Basic, Ecx, 19),
        feature("sse4.2", Basic, Ecx, 20),
        feature("movbe", Basic, Ecx, 22),
        feature("popcnt", Basic, Ecx, 23),
        feature("aes", Basic, Ecx, 25),
        avx("avx", Basic, Ecx, 28),
        avx("f16c", Basic, Ecx, 29),
        feature("rdrand", Basic, Ecx, 30),
        feature("fxsr", Basic, Edx, 24),
        feature("sse2", Basic, Edx, 26),
        feature("bmi1", Extended, Ebx, 3),
        avx("avx2", Extended, Ebx, 5),
        feature("bmi2", Extended, Ebx, 8),
        avx512("avx512f", Extended, Ebx, 16),
        avx512("avx512dq", Extended, Ebx, 17),
        feature("rdseed", Extended, Ebx, 18),
        feature("adx", Extended, Ebx, 19),
        avx512("avx512ifma", Extended, Ebx, 21),
        avx512("avx512cd", Extended, Ebx, 28),
        feature("sha", Extended, Ebx, 29),
        avx512("avx512bw", Extended, Ebx, 30),
        avx512("avx512vl", Extended, Ebx, 31),
        avx512("avx512vbmi", Extended, Ecx, 1),
        avx512("avx512vbmi2", Extended, Ecx, 6),
        feature("gfni", Extended, Ecx, 8),
        avx("vaes", Extended, Ecx, 9),
        avx("vpclmulqdq", Extended, Ecx, 10),
        avx512("avx512vnni", Extended, Ecx, 11),
        avx512("avx512bitalg", Extended, Ecx, 12),
        avx512("avx512vpopcntdq", Extended, Ecx, 14),
        feature("lzcnt", Vendor, Ecx, 5),
        feature("sse4a", Vendor, Ecx, 6),
        feature("tbm", Vendor, Ecx, 21),
        avx("xop", Vendor, Ecx, 11),
        feature("xsave", Basic, Ecx, 26),
        feature("rtm", Extended, Ebx, 11),
        feature("ermsb", Extended, Ebx, 9),
        avx512("avx512pf", Extended, Ebx, 26),
        avx512("avx512er", Extended, Ebx, 27),
        feature("kl", Extended, Ecx, 23),
        avx512("avx512vp2intersect", Extended, Edx, 8),
        amx("amx-bf16", Extended, Edx, 22),
        avx512("avx512fp16", Extended, Edx, 23),
        amx("amx-tile", Extended, Edx, 24),
        amx("amx-int8", Extended, Edx, 25),
        avx("sha512", Extended1, Eax, 0),
        avx("sm3", Extended1, Eax, 1),
        avx("sm4", Extended1, Eax, 2),
        avx("avxvnni", Extended1, Eax, 4),
        avx512("avx512bf16", Extended1, Eax, 5),
        amx("amx-fp16", Extended1, Eax, 21),
        avx("avxifma", Extended1, Eax, 23),
        feature("movrs", Extended1, Eax, 31),
        avx("avxvnniint8", Extended1, Edx, 4),
        avx("avxneconvert", Extended1, Edx, 5),
        amx("amx-complex", Extended1, Edx, 8),
        avx("avxvnniint16", Extended1, Edx, 10),
        feature("xsaveopt", Xsave, Eax, 0),
        feature("xsavec", Xsave, Eax, 1),
        feature("xsaves", Xsave, Eax, 3),
        feature("widekl", KeyLocker, Ebx, 2),
        amx("amx-fp8", Tiles, Eax, 4),
        amx("amx-tf32", Tiles, Eax, 6),
        amx("amx-avx512", Tiles, Eax, 7),
        amx("amx-movrs", Tiles, Eax, 8),
    ]
};

/// The levels of the x86-64 psABI, and what each adds to the one before. `x86-64-v1` is what every processor has.
static LEVELS: [(&str, &str); 4] = [
    ("x86-64-v1", "fxsr sse2"),
    ("x86-64-v2", "cmpxchg16b popcnt sse3 ssse3 sse4.1 sse4.2"),
    ("x86-64-v3", "avx avx2 bmi1 bmi2 f16c fma lzcnt movbe xsave"),
    ("x86-64-v4", "avx512f avx512bw avx512cd avx512dq avx512vl"),
];

/// The names of the levels, the lowest first.
pub const LEVEL_NAMES: [&str; 4] = [LEVELS[0].0, LEVELS[1].0, LEVELS[2].0, LEVELS[3].0];

/// A set of features, as a mask: bit `n` is `FEATURES[n]`.
pub type Mask = u128;

/// The features of a level, such as `x86-64-v3`, as a mask; all features for `native`; `None` for any other name.
pub fn level(name: &str) -> Option<Mask> {
    if name == "native" {
        return Some(Mask::MAX);
    }
    let last = LEVELS.iter().position(|(level, _)| *level == name)?;
    let names = LEVELS.iter().take(last + 1).flat_map(|(_, names)| names.split(' '));
    let bit = |name| FEATURES.iter().position(|feature| feature.name() == name).map_or(0, |bit| 1 << bit);
    Some(names.fold(0, |mask: Mask, name| mask | bit(name)))
}

/// These features without those that follow from others of them: a processor with AVX has XSAVE.
pub fn without_implied(mask: Mask) -> Mask {
    let bit = |name| FEATURES.iter().position(|feature| feature.name() == name).map_or(0, |bit| 1 << bit);
    if mask & bit("avx") == 0 { mask } else { mask & !bit("xsave") }
}

/// The lowest level above the first that has all of these features, if there is one.
pub fn level_of(mask: Mask) -> Option<&'static str> {
    let levels = LEVELS.iter().skip(1).map(|(name, _)| *name);
    levels.into_iter().find(|name| level(name).is_some_and(|level| mask & !level == 0))
}

/// What `cpuid` answers (EAX, EBX, ECX, EDX) without features that are not in the mask `visible`.
///
/// What only says how a feature is to be used is left as it is; so is what every processor has.
pub fn masked(leaf: u32, subleaf: u32, mut answer: [u32; 4], visible: Mask) -> [u32; 4] {
    let is_it = |known: &Leaf| {
        let (eax, ecx) = known.numbers();
        eax == leaf && (ecx == subleaf || !matches!(eax, 7 | 0xd | 0x1e))
    };
    let Some(of) = Leaf::ALL.into_iter().find(is_it) else {
        return match leaf {
            // Newer features, of which nobody here knows any; and AVX10, which has a leaf of its own.
            7 | 0x24 => [0; 4],
            _ => answer,
        };
    };
    // Of features that are not known here none is seen; where a leaf holds other things as well, the known ones count.
    let mut hidden = match of {
        // FMA4.
        Leaf::Vendor => [0, 0, 1 << 16, 0],
        Leaf::Basic | Leaf::Xsave => [0; 4],
        Leaf::Extended | Leaf::Extended1 | Leaf::KeyLocker | Leaf::Tiles => [u32::MAX; 4],
    };
    let features = || FEATURES.iter().enumerate().map(|(bit, feature)| (visible & (1 << bit) != 0, feature));
    for (seen, feature) in features().filter(|(_, feature)| feature.leaf == of) {
        let register = match feature.register {
            Register::Eax => &mut hidden[0],
            Register::Ebx => &mut hidden[1],
            Register::Ecx => &mut hidden[2],
            Register::Edx => &mut hidden[3],
        };
        if seen {
            *register &= !(1 << feature.bit);
        } else {
            *register |= 1 << feature.bit;
        }
    }
    if of == Leaf::Extended && features().any(|(seen, feature)| seen && feature.leaf == Leaf::Extended1) {
        // That there is a further subleaf.
        hidden[0] = 0;
    }
    for (register, hidden) in answer.iter_mut().zip(hidden) {
        *register &= !hidden;
    }
    answer
}

/// The bits of what `cpuid` answered (EAX, EBX, ECX, EDX) that may be features of which nobody here knows.
pub fn unknown(leaf: u32, subleaf: u32, answer: [u32; 4]) -> [u32; 4] {
    let [eax, ebx, ecx, edx] = masked(leaf, subleaf, answer, Mask::MAX);
    [answer[0] & !eax, answer[1] & !ebx, answer[2] & !ecx, answer[3] & !edx]
}

/// Names of the features in a mask, in the order of the mask's bits.
pub fn names(mask: Mask) -> impl Iterator<Item = &'static str> {
    FEATURES.iter().enumerate().filter(move |(bit, _)| mask & (1 << bit) != 0).map(|(_, feature)| feature.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_has_its_features_and_those_below() {
        let count = |name: &str| level(name).unwrap().count_ones() as usize;
        let mut sum = 0;
        for (name, added) in &LEVELS {
            sum += added.split(' ').count();
            // A misspelt name would have no bit.
            assert_eq!(count(name), sum, "{name}");
        }
        assert_eq!((level("native"), level("x86-64-v5")), (Some(Mask::MAX), None));
        assert_eq!(level_of(level("x86-64-v3").unwrap() & !1), Some("x86-64-v3"));
        assert_eq!(level_of(0), Some("x86-64-v2"));
        assert_eq!(level_of(Mask::MAX), None);
    }

    #[test]
    fn no_feature_is_there_twice() {
        for (index, one) in FEATURES.iter().enumerate() {
            assert!(!NOT_IN_THE_TABLE.contains(&one.name()), "{}", one.name());
            for other in &FEATURES[..index] {
                let same = (other.leaf, other.register, other.bit) == (one.leaf, one.register, one.bit);
                assert!(other.name() != one.name() && !same, "{} and {}", other.name(), one.name());
            }
        }
    }

    #[test]
    fn what_no_table_knows_is_unknown() {
        let all = [u32::MAX; 4];
        let [eax, ebx, _, _] = unknown(7, 0, all);
        assert_eq!((eax, ebx & (1 << 5 | 1 << 2)), (0, 1 << 2), "the number of subleaves, avx2, SGX");
        assert_eq!(unknown(7, 2, all), all);
        assert_eq!(unknown(1, 0, all), [0; 4], "other things");
        assert_eq!(unknown(0x8000_0002, 0, all), [0; 4]);
        for feature in FEATURES {
            let (leaf, subleaf) = feature.leaf.numbers();
            let unknown = unknown(leaf, subleaf, all);
            assert_eq!(unknown[feature.register as usize] & (1 << feature.bit), 0, "{}", feature.name());
        }
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
        assert_eq!(masked(7, 1, all, v2), [0; 4]);
        assert_eq!(masked(7, 2, all, Mask::MAX), [0; 4]);
        let bf16 = 1 << FEATURES.iter().position(|feature| feature.name() == "avx512bf16").unwrap();
        assert_eq!(masked(7, 1, all, bf16), [1 << 5, 0, 0, 0]);
        assert_eq!(masked(7, 0, all, bf16), [u32::MAX, 0, 0, 0], "that there is a subleaf");
        assert_eq!(masked(0x8000_0001, 0, all, v2)[2] & (1 << 5), 0, "lzcnt");
        assert_eq!(masked(0x8000_0002, 0, all, 0), all, "the processor's name");
    }
}
