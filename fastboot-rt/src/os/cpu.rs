//! Cpu: which of the features in [`fastboot_format::features`] the processor at hand has.

use core::arch::x86_64::{__cpuid, __cpuid_count, CpuidResult};
use fastboot_format::features::{FEATURES, Feature, Leaf, Register};

/// `struct cpuid_feature` of glibc's `<sys/platform/x86.h>`: EAX to EDX as the processor reports them, and again
/// with only what the operating system enabled.
#[repr(C)]
struct CpuidFeature {
    cpuid: [u32; 4],
    active: [u32; 4],
}

type FeatureLeaf = unsafe extern "C" fn(u32) -> *const CpuidFeature;

/// glibc 2.33 and later has read `cpuid` already and hands the result out; `cpuid` itself traps in a virtual machine,
/// at about 2 µs each time. Other C libraries and older versions do not have it.
#[inline]
fn glibc() -> Option<FeatureLeaf> {
    let address = crate::os::symbols::weak_symbol!("__x86_get_cpuid_feature_leaf");
    if address == 0 {
        return None;
    }
    // SAFETY: not 0, so the C library defines the symbol, and it is a function of this type (glibc's manual,
    // "X86", documents `struct cpuid_feature` and this function, stable since 2.33).
    Some(unsafe { core::mem::transmute::<usize, FeatureLeaf>(address) })
}

struct Registers {
    ebx: u32,
    ecx: u32,
    edx: u32,
}

impl From<CpuidResult> for Registers {
    fn from(result: CpuidResult) -> Self {
        Self { ebx: result.ebx, ecx: result.ecx, edx: result.edx }
    }
}

/// The three leaves in the order of [`Leaf`], without what the operating system did not enable.
#[inline]
fn leaves() -> [Registers; 3] {
    if let Some(leaf) = glibc() {
        // Numbers of `CPUID_INDEX_1`, `CPUID_INDEX_7` and `CPUID_INDEX_80000001` in the same header.
        return [0, 1, 2].map(|index| {
            // SAFETY: a function of the C library that takes any number and returns the address of a static
            // structure of this type; for a number it does not know, one that is all zero.
            let active = unsafe { (*leaf(index)).active };
            Registers { ebx: active[1], ecx: active[2], edx: active[3] }
        });
    }
    asked()
}

/// The same, asked of the processor itself.
fn asked() -> [Registers; 3] {
    let basic = Registers::from(__cpuid(1));
    let extended =
        if __cpuid(0).eax >= 7 { Registers::from(__cpuid_count(7, 0)) } else { Registers { ebx: 0, ecx: 0, edx: 0 } };
    let mut leaves = [basic, extended, Registers::from(__cpuid(0x8000_0001))];
    let state = if leaves[0].ecx & OSXSAVE == 0 { 0 } else { extended_state() };
    for (needed, features) in [(AVX_STATE, &AVX[..]), (AVX512_STATE, &AVX512[..])] {
        if state & needed != needed {
            for (leaf, ebx, ecx) in features {
                leaves[*leaf].ebx &= !ebx;
                leaves[*leaf].ecx &= !ecx;
            }
        }
    }
    leaves
}

/// CPUID.1:ECX: the operating system uses XSAVE, so `xgetbv` may be executed.
const OSXSAVE: u32 = 1 << 27;
/// State components in XCR0 that AVX needs (SSE, AVX), and AVX-512 (those, opmask, both halves of ZMM).
const AVX_STATE: u64 = 0b110;
const AVX512_STATE: u64 = 0b1110_0110;
/// Features that need that state: index in the leaves, bits of EBX, bits of ECX.
const AVX: [(usize, u32, u32); 2] = [
    (0, 0, 1 << 12 | 1 << 28 | 1 << 29), // fma, avx, f16c
    (1, 1 << 5, 1 << 9 | 1 << 10),       // avx2, vaes, vpclmulqdq
];
const AVX512: [(usize, u32, u32); 1] = [(
    1,
    1 << 16 | 1 << 17 | 1 << 21 | 1 << 28 | 1 << 30 | 1 << 31, // f, dq, ifma, cd, bw, vl
    1 << 1 | 1 << 6 | 1 << 11 | 1 << 12 | 1 << 14,             // vbmi, vbmi2, vnni, bitalg, vpopcntdq
)];

/// XCR0: the state components that the operating system saves.
fn extended_state() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: the caller found OSXSAVE, so the instruction exists and may be executed; it reads a register.
    unsafe {
        core::arch::asm!("xgetbv", in("ecx") 0, out("eax") low, out("edx") high, options(nomem, nostack, preserves_flags));
    }
    u64::from(high) << 32 | u64::from(low)
}

#[inline]
fn has(feature: &Feature, leaves: &[Registers; 3]) -> bool {
    let leaf = match feature.leaf {
        Leaf::Basic => &leaves[0],
        Leaf::Extended => &leaves[1],
        Leaf::Vendor => &leaves[2],
    };
    let register = match feature.register {
        Register::Ebx => leaf.ebx,
        Register::Ecx => leaf.ecx,
        Register::Edx => leaf.edx,
    };
    register & (1 << feature.bit) != 0
}

/// The features of this processor, as a mask.
#[inline]
pub(crate) fn features() -> u64 {
    let leaves = leaves();
    let mut mask = 0;
    for (bit, feature) in FEATURES.iter().enumerate() {
        if has(feature, &leaves) {
            mask |= 1 << bit;
        }
    }
    mask
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn the_processor_says_what_the_c_library_says() {
        let ours = asked();
        let theirs = leaves();
        for feature in &FEATURES {
            assert_eq!(has(feature, &ours), has(feature, &theirs), "{feature:?}");
        }
    }

    #[test]
    fn agrees_with_the_standard_library() {
        let names: Vec<_> = fastboot_format::features::names(features()).collect();
        for (name, there) in [
            ("sse3", is_x86_feature_detected!("sse3")),
            ("sse4.2", is_x86_feature_detected!("sse4.2")),
            ("popcnt", is_x86_feature_detected!("popcnt")),
            ("avx", is_x86_feature_detected!("avx")),
            ("avx2", is_x86_feature_detected!("avx2")),
            ("bmi2", is_x86_feature_detected!("bmi2")),
            ("fma", is_x86_feature_detected!("fma")),
            ("avx512f", is_x86_feature_detected!("avx512f")),
            ("lzcnt", is_x86_feature_detected!("lzcnt")),
        ] {
            assert_eq!(names.contains(&name), there, "{name}");
        }
    }
}
