//! Cpu: which of the features in [`fastboot_format::features`] the processor at hand has.

use core::arch::x86_64::{__cpuid_count, CpuidResult};
use fastboot_format::features::{COMMON, FEATURES, Feature, Leaf, Mask, Register};
use fastboot_format::image::Answer;

/// What the instruction `cpuid` answers.
#[inline]
pub(crate) fn cpuid(leaf: u32, subleaf: u32) -> CpuidResult {
    // SAFETY: every x86-64 processor has the instruction, which reads registers alone. Later compilers know that.
    #[allow(unused_unsafe)]
    unsafe {
        __cpuid_count(leaf, subleaf)
    }
}

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

/// What the C library knows of the first [`COMMON`] features, without what the operating system did not enable.
#[inline]
fn known(leaf: FeatureLeaf) -> Mask {
    // Numbers of `CPUID_INDEX_1`, `CPUID_INDEX_7` and `CPUID_INDEX_80000001` in the same header.
    let leaves = [0, 1, 2].map(|index| {
        // SAFETY: a function of the C library that takes any number and returns the address of a static
        // structure of this type; for a number it does not know, one that is all zero.
        unsafe { (*leaf(index)).active }
    });
    let of = |feature: &Feature| match feature.leaf {
        Leaf::Basic => leaves[0],
        Leaf::Extended => leaves[1],
        Leaf::Vendor => leaves[2],
        _ => [0; 4],
    };
    let there = FEATURES.iter().take(COMMON).enumerate().filter(|(_, feature)| has(feature, of(feature)));
    there.fold(0, |mask, (bit, _)| mask | 1 << bit)
}

/// Which of these features the processor says it has, without what the operating system did not enable.
#[cold]
fn asked(wanted: Mask) -> Mask {
    let highest = [cpuid(0, 0).eax, cpuid(0x8000_0000, 0).eax];
    let saved = if cpuid(1, 0).ecx & OSXSAVE == 0 { 0 } else { extended_state() };
    let mut there = 0;
    for leaf in Leaf::ALL {
        let (eax, ecx) = leaf.numbers();
        if !is_there(eax, highest) {
            continue;
        }
        let features = || FEATURES.iter().enumerate().filter(|(bit, one)| one.leaf == leaf && wanted & (1 << bit) != 0);
        if features().next().is_none() {
            continue;
        }
        let found = cpuid(eax, ecx);
        let answer = [found.eax, found.ebx, found.ecx, found.edx];
        for (bit, feature) in features() {
            if has(feature, answer) && saved & feature.state == feature.state {
                there |= 1 << bit;
            }
        }
    }
    there
}

/// CPUID.1:ECX: the operating system uses XSAVE, so `xgetbv` may be executed.
const OSXSAVE: u32 = 1 << 27;
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
fn has(feature: &Feature, [eax, ebx, ecx, edx]: [u32; 4]) -> bool {
    let register = match feature.register {
        Register::Eax => eax,
        Register::Ebx => ebx,
        Register::Ecx => ecx,
        Register::Edx => edx,
    };
    register & (1 << feature.bit) != 0
}

/// The features of this processor, as a mask.
pub(crate) fn features() -> Mask {
    asked(Mask::MAX)
}

/// Which of these features this processor lacks: all of them, or those that the C library knows of. Most values need none.
#[inline]
pub(crate) fn missing(needed: Mask) -> Mask {
    if needed == 0 {
        return 0;
    }
    let Some(leaf) = glibc() else { return needed & !asked(needed) };
    let common = needed & ((1 << COMMON) - 1);
    let missing = common & !known(leaf);
    // One is enough: the processor need not be asked for the rest.
    if missing != 0 || common == needed {
        return missing;
    }
    needed & !common & !asked(needed & !common)
}

/// Whether a processor has this leaf whose highest ones, of the basic and of the extended, are these. Of one that it does not have
/// it answers with anything.
pub(crate) fn is_there(leaf: u32, highest: [u32; 2]) -> bool {
    highest.iter().any(|highest| leaf <= *highest && (leaf ^ *highest) >> 31 == 0)
}

/// The first of these answers of which this processor lacks some bits, without those that it has.
#[cold]
pub(crate) fn missing_answer(needed: impl IntoIterator<Item = Answer>) -> Option<Answer> {
    let highest = [cpuid(0, 0).eax, cpuid(0x8000_0000, 0).eax];
    let missing = |answer: Answer| {
        if !is_there(answer.leaf, highest) {
            return answer;
        }
        let found = cpuid(answer.leaf, answer.subleaf);
        answer.without([found.eax, found.ebx, found.ecx, found.edx])
    };
    needed.into_iter().map(missing).find(|missing| !missing.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn the_processor_says_what_the_c_library_says() {
        let Some(leaf) = glibc() else { return };
        let common = (1 << COMMON) - 1;
        let differ = known(leaf) ^ asked(common);
        assert_eq!(fastboot_format::features::names(differ).collect::<Vec<_>>(), [""; 0]);
        assert_eq!(asked(common), features() & common);
    }

    #[test]
    fn leaves_that_are_there() {
        let there = |leaf| is_there(leaf, [0x20, 0x8000_0008]);
        assert!([0, 7, 0x20, 0x8000_0000, 0x8000_0008].into_iter().all(there));
        assert!(![0x21, 0x24, 0x4000_0000, 0x8000_0009, u32::MAX].into_iter().any(there));
    }

    #[test]
    fn an_answer_is_missed_bit_by_bit() {
        let found = cpuid(1, 0);
        let there = Answer { leaf: 1, subleaf: 0, bits: [0, 0, found.ecx, found.edx] };
        assert_eq!(missing_answer([there, there]), None);
        // Reserved, and 0 on every processor.
        let more = Answer { bits: [0, 0, found.ecx, found.edx | 1 << 10], ..there };
        assert_eq!(missing_answer([there, more]), Some(Answer { bits: [0, 0, 0, 1 << 10], ..there }));
        let nowhere = Answer { leaf: 0x7000_0000, subleaf: 0, bits: [0, 1, 0, 0] };
        assert_eq!(missing_answer([nowhere]), Some(nowhere));
    }

    #[test]
    fn what_is_missing_is_missing() {
        let there = features();
        assert_eq!((missing(0), missing(there)), (0, 0));
        for (bit, feature) in FEATURES.iter().enumerate() {
            assert_eq!(missing(1 << bit), !there & 1 << bit, "{}", feature.name());
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
            ("avx512vnni", is_x86_feature_detected!("avx512vnni")),
            ("avx512fp16", is_x86_feature_detected!("avx512fp16")),
            ("avx512bf16", is_x86_feature_detected!("avx512bf16")),
            ("xsaveopt", is_x86_feature_detected!("xsaveopt")),
            ("xsavec", is_x86_feature_detected!("xsavec")),
            ("vaes", is_x86_feature_detected!("vaes")),
        ] {
            assert_eq!(names.contains(&name), there, "{name}");
        }
    }
}
