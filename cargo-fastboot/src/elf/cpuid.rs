//! Cpuid: where an executable asks the processor what it can do.
//!
//! The instruction has two bytes, which may as well be part of another one. So the functions that have them are decoded from
//! their beginnings on.

use crate::elf::binary::Elf;
use anyhow::Result;
use iced_x86::{Decoder, DecoderOptions, Mnemonic};
use memchr::memmem;
use object::LittleEndian as LE;
use object::elf;
use object::read::elf::{ProgramHeader as _, Sym as _};
use std::ops::Range;

/// The instruction.
const CPUID: [u8; 2] = [0x0f, 0xa2];

/// The addresses of all of them, as in the file, ascending; `None` if that cannot be said: where such bytes are in no
/// function that has a symbol, or in one that is not all instructions.
pub(crate) fn sites(bytes: &[u8]) -> Result<Option<Vec<u64>>> {
    let parsed = Elf::parse(bytes)?;
    let functions = functions(&parsed, bytes);
    let mut sites = Vec::new();
    for segment in parsed.segments {
        if segment.p_type(LE) != elf::PT_LOAD || !segment.p_flags(LE).contains(elf::PF_X) {
            continue;
        }
        let (start, code) = (segment.p_vaddr(LE), segment.data(LE, bytes).unwrap_or_default());
        let mut decoded = start;
        for at in memmem::find_iter(code, &CPUID).map(|at| start.wrapping_add(at as u64)) {
            if at < decoded {
                continue;
            }
            let Some(function) = function_at(&functions, at) else { return Ok(None) };
            let within = function.start.checked_sub(start).zip(function.end.checked_sub(start));
            let code = within.and_then(|(from, to)| code.get(from as usize..to as usize));
            let Some(found) = code.and_then(|code| cpuids(code, function.start)) else { return Ok(None) };
            sites.extend(found);
            decoded = function.end;
        }
    }
    sites.sort_unstable();
    sites.dedup();
    Ok(Some(sites))
}

/// Whether the function that has this address asks for whole leaves, but looks at nothing that has no name: the one with which
/// the standard library finds features out, or the runtime's own.
pub(crate) fn looks_at_named_features_only(bytes: &[u8], address: u64) -> bool {
    let name = || {
        let symbols = Elf::parse(bytes).ok()?.sections.symbols(LE, bytes, elf::SHT_SYMTAB).ok()?;
        let has = |start: u64, size: u64| start <= address && address - start < size;
        let symbol =
            symbols.iter().find(|one| one.st_type() == elf::STT_FUNC && has(one.st_value(LE), one.st_size(LE)))?;
        symbols.symbol_name(LE, symbol).ok()
    };
    // As both ways of mangling write a path.
    let known: [&[u8]; 2] = [b"10std_detect", b"11fastboot_rt2os3cpu"];
    name().is_some_and(|name| known.into_iter().any(|path| memmem::find(name, path).is_some()))
}

/// The functions that have symbols, by their beginnings.
pub(super) fn functions(parsed: &Elf<'_>, bytes: &[u8]) -> Vec<Range<u64>> {
    let Ok(symbols) = parsed.sections.symbols(LE, bytes, elf::SHT_SYMTAB) else { return Vec::new() };
    let functions = symbols.iter().filter(|symbol| symbol.st_type() == elf::STT_FUNC && symbol.st_size(LE) > 0);
    let mut ranges: Vec<Range<u64>> =
        functions.map(|symbol| symbol.st_value(LE)..symbol.st_value(LE).saturating_add(symbol.st_size(LE))).collect();
    ranges.sort_unstable_by_key(|range| (range.start, range.end));
    ranges
}

/// The last function to begin before an address that has it.
fn function_at(functions: &[Range<u64>], at: u64) -> Option<Range<u64>> {
    let before = functions.partition_point(|function| function.start <= at);
    functions[..before].iter().rev().take(16).find(|function| function.contains(&at)).cloned()
}

/// Where in a function's code the instruction stands, as others write it; `None` if not all of the code is instructions.
fn cpuids(code: &[u8], address: u64) -> Option<Vec<u64>> {
    let mut found = Vec::new();
    for instruction in Decoder::with_ip(64, code, address, DecoderOptions::NONE) {
        if instruction.is_invalid() {
            return None;
        }
        // With a prefix it is the runtime's own.
        if instruction.mnemonic() == Mnemonic::Cpuid && instruction.len() == CPUID.len() {
            found.push(instruction.ip());
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_are_told_from_what_looks_like_them() {
        // mov eax, 0x00a20f00; cpuid; mov rbx, rax; rex.W cpuid; ret
        let code = [0xb8, 0, 0x0f, 0xa2, 0, 0x0f, 0xa2, 0x48, 0x89, 0xc3, 0x48, 0x0f, 0xa2, 0xc3];
        assert_eq!(cpuids(&code, 0x1000), Some(vec![0x1005]));
        assert_eq!(cpuids(&[0x0f, 0xa2, 0x06], 0x1000), None, "no instruction in 64-bit mode");
    }

    #[test]
    fn functions_are_found_by_what_they_hold() {
        let functions = [0x10..0x20, 0x20..0x80, 0x30..0x38];
        assert_eq!(function_at(&functions, 0x34), Some(0x30..0x38));
        assert_eq!(function_at(&functions, 0x40), Some(0x20..0x80));
        assert_eq!(function_at(&functions, 0x80), None);
    }

    #[test]
    fn this_test_asks_somewhere() {
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        // The standard library does, to say what there is.
        assert!(std::is_x86_feature_detected!("sse2"));
        let sites = sites(&own).unwrap();
        let its_own = sites.iter().flatten().any(|site| looks_at_named_features_only(&own, *site));
        assert!(its_own || sites.is_none());
        assert!(!looks_at_named_features_only(&own, 0));
        assert!(sites.is_none_or(|sites| !sites.is_empty()));
    }
}
