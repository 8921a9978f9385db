//! Instructions: for which processors an executable's functions are.

use super::binary::Elf;
use super::cpuid::functions;
use anyhow::Result;
use fastboot_format::features::{FEATURES, Mask};
use iced_x86::{Decoder, DecoderOptions, Instruction, Mnemonic};
use object::LittleEndian as LE;
use object::elf;
use object::read::elf::{ProgramHeader as _, Rela as _, SectionHeader as _};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// How many functions are looked at that one calls, itself or through others: what was made for a processor is often called by
/// something that was not.
const MOST_CALLED: usize = 48;

/// The functions of an executable, and its bytes.
pub(crate) struct Code<'a> {
    functions: Vec<Range<u64>>,
    /// What is loaded of the file: the address, and the bytes.
    loaded: Vec<(u64, &'a [u8])>,
    /// Where the loader writes an address of the executable, and which one, as in the file.
    relocated: BTreeMap<u64, u64>,
}

impl<'a> Code<'a> {
    /// Of an executable.
    pub(crate) fn of(bytes: &'a [u8]) -> Result<Self> {
        let parsed = Elf::parse(bytes)?;
        let segments = parsed.segments.iter().filter(|segment| segment.p_type(LE) == elf::PT_LOAD);
        let loaded =
            segments.map(|segment| (segment.p_vaddr(LE), segment.data(LE, bytes).unwrap_or_default())).collect();
        Ok(Self { functions: functions(&parsed, bytes), loaded, relocated: relocated(&parsed, bytes)? })
    }

    fn bytes(&self, range: Range<u64>) -> Option<&'a [u8]> {
        let within = |(start, bytes): &(u64, &'a [u8])| {
            let from = usize::try_from(range.start.checked_sub(*start)?).ok()?;
            bytes.get(from..from.checked_add(usize::try_from(range.end.checked_sub(range.start)?).ok()?)?)
        };
        self.loaded.iter().find_map(within)
    }

    /// The word at an address, as the file or its relocation has it.
    pub(crate) fn word(&self, address: u64) -> Option<u64> {
        let bytes = self.bytes(address..address.checked_add(8)?)?;
        let there = bytes.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
        self.relocated.get(&address).copied().or(there)
    }

    /// Whether there is something in the file for this address.
    pub(crate) fn has(&self, address: u64) -> bool {
        self.word(address).is_some()
    }

    fn function(&self, address: u64) -> Option<&Range<u64>> {
        let index = self.functions.binary_search_by_key(&address, |function| function.start).ok()?;
        Some(&self.functions[index])
    }

    /// The processor features that the instructions of a function need, and those of what it calls directly; `None` if no
    /// function begins at this address.
    pub(crate) fn features(&self, address: u64) -> Option<Mask> {
        self.function(address)?;
        let (mut seen, mut next, mut features) = (BTreeSet::from([address]), vec![address], 0);
        while let Some(function) = next.pop().and_then(|address| self.function(address)) {
            let code = self.bytes(function.clone()).unwrap_or_default();
            for instruction in Decoder::with_ip(64, code, function.start, DecoderOptions::NONE) {
                features |= needed(&instruction);
                let is_call = instruction.is_call_near() || instruction.is_jmp_short_or_near();
                let target = instruction.near_branch_target();
                if is_call && seen.len() < MOST_CALLED && self.function(target).is_some() && seen.insert(target) {
                    next.push(target);
                }
            }
        }
        Some(features)
    }
}

/// What the loader writes because of relative relocations.
fn relocated(parsed: &Elf<'_>, bytes: &[u8]) -> Result<BTreeMap<u64, u64>> {
    let mut relocated = BTreeMap::new();
    for section in parsed.sections.iter() {
        let Some((relocations, _)) = section.rela(LE, bytes)? else { continue };
        let relative = relocations.iter().filter(|one| one.r_type(LE, false) == elf::R_X86_64_RELATIVE);
        relocated.extend(relative.map(|one| (one.r_offset(LE), one.r_addend(LE) as u64)));
    }
    Ok(relocated)
}

/// The features of the table that an instruction needs.
fn needed(instruction: &Instruction) -> Mask {
    // Older processors take the one for `bsf`, which is why compilers write it for them as well.
    if instruction.mnemonic() == Mnemonic::Tzcnt {
        return 0;
    }
    let bit = |name: &str| FEATURES.iter().position(|feature| feature.name() == name).map_or(0, |bit| 1 << bit);
    let names = instruction.cpuid_features().iter().map(|feature| format!("{feature:?}").to_ascii_lowercase());
    // Such as SSE4_2, AVX512_VBMI, and AVX512BW.
    names.map(|name| bit(&name.replace("sse4_", "sse4.").replace('_', ""))).fold(0, |mask, bit| mask | bit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fastboot_format::features::names;

    #[test]
    fn instructions_need_what_they_are_made_for() {
        let of = |code: &[u8]| {
            let mask = needed(&Decoder::new(64, code, DecoderOptions::NONE).decode());
            names(mask).collect::<Vec<_>>().join(" ")
        };
        for (code, expected) in [
            (&[0x90][..], ""),
            (&[0x66, 0x0f, 0x6f, 0xc1], "sse2"),
            (&[0x66, 0x0f, 0x38, 0x00, 0xc1], "ssse3"),
            (&[0x66, 0x0f, 0x38, 0x17, 0xc1], "sse4.1"),
            (&[0x66, 0x0f, 0x38, 0xdc, 0xc1], "aes"),
            (&[0xf3, 0x0f, 0xb8, 0xc1], "popcnt"),
            (&[0xf3, 0x0f, 0xbc, 0xc1], ""),
            (&[0xc5, 0xfd, 0x74, 0xc1], "avx2"),
            (&[0x62, 0xf1, 0x7d, 0x48, 0x74, 0xc1], "avx512bw"),
            (&[0x62, 0xf2, 0x7d, 0x48, 0x8d, 0xc1], "avx512vbmi"),
        ] {
            assert_eq!(of(code), expected, "{code:x?}");
        }
    }

    #[test]
    fn functions_have_the_features_of_what_they_call() {
        // call 0x1010; ret; and there: vpcmpeqb ymm0, ymm0, ymm1; ret
        let mut code = [0xcc; 0x20];
        code[..6].copy_from_slice(&[0xe8, 0x0b, 0, 0, 0, 0xc3]);
        code[0x10..0x15].copy_from_slice(&[0xc5, 0xfd, 0x74, 0xc1, 0xc3]);
        let code = Code {
            functions: vec![0x1000..0x1006, 0x1010..0x1015],
            loaded: vec![(0x1000, &code)],
            relocated: [(0x1008, 0x1010)].into(),
        };
        let of = |address| code.features(address).map(|mask| names(mask).collect::<Vec<_>>());
        assert_eq!(of(0x1010), Some(vec!["avx2"]));
        assert_eq!(of(0x1000), Some(vec!["avx2"]));
        assert_eq!(of(0x1004), None);
        assert_eq!(code.word(0x1018), Some(0xcccc_cccc_cccc_cccc));
        assert_eq!(code.word(0x1008), Some(0x1010));
        assert!(code.has(0x1000) && !code.has(0x1019));
    }
}
