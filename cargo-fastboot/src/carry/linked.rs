//! Linked: what the linker made, that is, what the executable's writable memory holds when it is loaded, before any of its
//! code runs: bytes of the file, with the load-time relocations applied. What differs from it before the roots are
//! evaluated, constructors changed.

use crate::elf::binary::{Elf, Twin};
use anyhow::{Context, Result};
use object::LittleEndian as LE;
use object::elf;
use object::read::elf::{ProgramHeader as _, Rela as _, SectionHeader as _};
use std::collections::BTreeSet;

const WORD: u64 = 8;

/// What the executable's writable segments hold when it is loaded, without what is read-only later.
pub(super) fn memory(elf: &Elf<'_>, bytes: &[u8]) -> Result<Vec<(u64, Vec<u8>)>> {
    let segments = |kind| elf.segments.iter().filter(move |segment| segment.p_type(LE) == kind);
    let end_of_relro =
        segments(elf::PT_GNU_RELRO).map(|segment| segment.p_vaddr(LE).saturating_add(segment.p_memsz(LE)));
    let end_of_relro = end_of_relro.max().unwrap_or(0);
    let mut memory = Vec::new();
    for segment in segments(elf::PT_LOAD).filter(|segment| segment.p_flags(LE).contains(elf::PF_W)) {
        let address = segment.p_vaddr(LE);
        let stored = segment.data(LE, bytes).ok().context("truncated: a segment ends behind the end of the file")?;
        let mut content = stored.to_vec();
        content.resize(usize::try_from(segment.p_memsz(LE))?, 0);
        let protected = end_of_relro.saturating_sub(address).min(content.len() as u64);
        content.drain(..protected as usize);
        memory.push((address + protected, content));
    }
    Ok(memory)
}

/// The same, as it is in a process.
pub(super) struct Linked {
    /// Addresses as in the file, and bytes.
    memory: Vec<(u64, Vec<u8>)>,
    /// Addresses of the words that only the dynamic linker knows.
    unknown: BTreeSet<u64>,
}

impl Linked {
    /// Of a process that has the executable `bias` bytes above the addresses in the file.
    pub(super) fn read(elf: &Elf<'_>, bytes: &[u8], bias: u64) -> Result<Self> {
        let mut linked = Self { memory: memory(elf, bytes)?, unknown: BTreeSet::new() };
        for section in elf.sections.iter().filter(|section| section.sh_flags(LE).contains(elf::SHF_ALLOC)) {
            let damaged = "its relocations are damaged";
            if let Some((relocations, _)) = section.rela(LE, bytes).context(damaged)? {
                for relocation in relocations {
                    let (at, addend) = (relocation.r_offset(LE), relocation.r_addend(LE) as u64);
                    match relocation.r_type(LE, false) {
                        elf::R_X86_64_RELATIVE => linked.set(at, |_| addend.wrapping_add(bias)),
                        _ => _ = linked.unknown.insert(at & !(WORD - 1)),
                    }
                }
            }
            for at in section.relr(LE, bytes).context(damaged)?.into_iter().flatten() {
                linked.set(at, |addend| addend.wrapping_add(bias));
            }
        }
        Ok(linked)
    }

    fn word(&self, at: u64) -> Option<u64> {
        self.memory.iter().find_map(|(address, bytes)| {
            let start = usize::try_from(at.checked_sub(*address)?).ok()?;
            Some(u64::from_le_bytes(*bytes.get(start..)?.first_chunk()?))
        })
    }

    fn set(&mut self, at: u64, value: impl Fn(u64) -> u64) {
        let word = self.memory.iter_mut().find_map(|(address, bytes)| {
            let start = usize::try_from(at.checked_sub(*address)?).ok()?;
            bytes.get_mut(start..)?.first_chunk_mut::<8>()
        });
        if let Some(word) = word {
            *word = value(u64::from_le_bytes(*word)).to_le_bytes();
        }
    }

    /// Whether memory at this address that holds `now` was made otherwise, as far as the file tells.
    pub(super) fn differs(&self, address: u64, now: &[u8]) -> bool {
        let then = self.memory.iter().find_map(|(start, bytes)| {
            let start = usize::try_from(address.checked_sub(*start)?).ok()?;
            bytes.get(start..start + now.len())
        });
        let is_known = |at: u64| !self.unknown.contains(&(at & !(WORD - 1)));
        then.is_some_and(|then| {
            let pairs = (address..).zip(then.iter().zip(now));
            pairs.into_iter().any(|(at, (then, now))| then != now && is_known(at))
        })
    }
}

/// The same of the twin.
pub(super) struct Moved {
    linked: Linked,
    distance: u64,
}

impl Moved {
    pub(super) fn read(twin: Twin<'_>, bias: u64) -> Result<Self> {
        let bytes = &twin.binary.bytes;
        Ok(Self { linked: Linked::read(&Elf::parse(bytes)?, bytes, bias)?, distance: twin.distance })
    }

    /// Whether what is `now` at this address of the executable is what the linker put there, and that is no address of anything
    /// in it. `own` is what the linker made of the executable.
    pub(super) fn has_number(&self, own: &Linked, at: u64, now: &[u8]) -> bool {
        let there = at.wrapping_add(self.distance);
        let now = now.first_chunk().map(|now| u64::from_le_bytes(*now));
        // Constructors and the loader may have put something else there.
        let linked = |linked: &Linked, at| linked.word(at).filter(|_| !linked.unknown.contains(&(at & !(WORD - 1))));
        now.is_some() && linked(own, at) == now && linked(&self.linked, there) == now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_twin_tells_addresses_from_numbers() {
        let linked = |start: u64, words: [u64; 2]| Linked {
            memory: vec![(start, words.iter().flat_map(|word| word.to_le_bytes()).collect())],
            unknown: BTreeSet::new(),
        };
        let twin = Moved { linked: linked(0x5000, [0x4800, 0x900]), distance: 0x4000 };
        let own = linked(0x1000, [0x800, 0x900]);
        let has_number = |own: &Linked, at: u64, now: u64| twin.has_number(own, at, &now.to_le_bytes());
        assert!(has_number(&own, 0x1008, 0x900));
        assert!(!has_number(&own, 0x1000, 0x4800 - 0x4000), "an address");
        assert!(!has_number(&own, 0x1008, 0x901), "a constructor's");
        assert!(!has_number(&own, 0x1010, 0x900), "behind it");
        let loaded = Linked { unknown: BTreeSet::from([0x1008]), ..own };
        assert!(!has_number(&loaded, 0x1008, 0x900), "the loader's");
    }

    #[test]
    fn what_constructors_changed_is_told_from_what_the_loader_filled_in() {
        let mut linked = Linked { memory: vec![(0x1000, vec![0; 64])], unknown: BTreeSet::from([0x1010]) };
        linked.set(0x1008, |addend| addend + 0x55);
        linked.set(0x5000, |_| 1);
        let mut now = vec![0; 64];
        now[8] = 0x55;
        assert!(!linked.differs(0x1000, &now));
        // The dynamic linker's.
        now[0x17] = 1;
        assert!(!linked.differs(0x1000, &now));
        now[0x18] = 1;
        assert!(linked.differs(0x1000, &now));
        assert!(!linked.differs(0x1000, &now[..0x18]) && linked.differs(0x1018, &now[0x18..0x19]));
        assert!(!linked.differs(0x2000, &now), "not in the file");
    }
}
