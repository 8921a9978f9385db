//! Check: whether what the objects say is what the executable holds. The fields of relocations, and all bytes around them.

use super::inputs::Object;
use super::linked::{Dynamic, Linked};
use anyhow::{Result, bail};
use object::LittleEndian as LE;
use object::elf;
use object::read::elf::SectionHeader as _;
use std::ops::Range;

/// What a relocation makes of its field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    /// An address, in so many bytes.
    Absolute(usize),
    /// The distance to an address.
    Relative(usize),
    /// The distance to a word with an address, or, as most linkers have it, an instruction that needs no such word.
    Got,
    /// Something that does not say where it leads. The linker may rewrite so many bytes from so far before it.
    Opaque { before: usize, length: usize },
}

/// Where a field of the executable leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LeadsTo {
    /// To this address, if the addend is left out.
    Address(u64),
    /// It cannot be told.
    Unknown,
}

impl LeadsTo {
    /// Whether that may be `address`; `None` is something without one.
    pub(crate) fn may_be(self, address: Option<u64>) -> bool {
        match (self, address) {
            (Self::Address(seen), Some(address)) => seen == address,
            _ => true,
        }
    }
}

impl Field {
    /// The field of a type of relocation; `None` if it has none.
    pub(crate) fn of(kind: u32) -> Result<Option<Self>> {
        Ok(Some(match elf::RelocationType(kind) {
            elf::R_X86_64_NONE => return Ok(None),
            elf::R_X86_64_64 => Self::Absolute(8),
            elf::R_X86_64_32 | elf::R_X86_64_32S => Self::Absolute(4),
            elf::R_X86_64_PC32 | elf::R_X86_64_PLT32 => Self::Relative(4),
            elf::R_X86_64_PC64 => Self::Relative(8),
            // GNU ld rewrites instructions that were not marked for it, too.
            elf::R_X86_64_GOTPCREL | elf::R_X86_64_GOTPCRELX | elf::R_X86_64_REX_GOTPCRELX => Self::Got,
            elf::R_X86_64_TLSGD => Self::Opaque { before: 4, length: 16 },
            elf::R_X86_64_TLSLD => Self::Opaque { before: 3, length: 12 },
            elf::R_X86_64_GOTTPOFF => Self::Opaque { before: 3, length: 7 },
            elf::R_X86_64_GOTPC32_TLSDESC => Self::Opaque { before: 3, length: 7 },
            elf::R_X86_64_TLSDESC_CALL => Self::Opaque { before: 0, length: 2 },
            elf::R_X86_64_TPOFF32 | elf::R_X86_64_DTPOFF32 | elf::R_X86_64_GOTPC32 => {
                Self::Opaque { before: 0, length: 4 }
            }
            elf::R_X86_64_TPOFF64 | elf::R_X86_64_DTPOFF64 => Self::Opaque { before: 0, length: 8 },
            other => bail!("a relocation of type {} is not understood", other.0),
        }))
    }

    /// Which bytes, for a field at `offset` of `length` bytes, are not as the object has them.
    pub(crate) fn masked(self, offset: usize, length: usize) -> Range<usize> {
        let (before, size) = match self {
            Self::Absolute(size) | Self::Relative(size) => (0, size),
            Self::Got => (3, 7),
            Self::Opaque { before, length } => (before, length),
        };
        let start = offset.saturating_sub(before);
        start..(start + size).min(length)
    }

    /// Where it leads in the executable, its own address being `place`.
    pub(crate) fn leads_to(self, place: u64, addend: i64, linked: &Linked<'_>) -> Result<LeadsTo> {
        let address = match self {
            Self::Absolute(size) => match linked.dynamic(place) {
                Some(Dynamic::Address(address)) => Some(address),
                Some(Dynamic::Named) => None,
                None => read(linked, place, size),
            },
            Self::Relative(size) => read(linked, place, size).map(|distance| place.wrapping_add(distance)),
            Self::Got => return Ok(got(place, addend, linked)),
            Self::Opaque { .. } => None,
        };
        let Some(address) = address else { return Ok(LeadsTo::Unknown) };
        let address = address.wrapping_sub(addend as u64);
        Ok(if linked.is_stub(address) { LeadsTo::Unknown } else { LeadsTo::Address(address) })
    }
}

/// What the linker made of an instruction that takes an address from its table.
fn got(place: u64, addend: i64, linked: &Linked<'_>) -> LeadsTo {
    let relative = |from: u64| Some(from.wrapping_add(read(linked, from, 4)?).wrapping_sub(addend as u64));
    let Some(direct) = relative(place) else { return LeadsTo::Unknown };
    if linked.is_stub(direct) {
        // A word of the table: the address itself, if no loader has to put it there.
        return match (linked.dynamic(direct), read(linked, direct, 8)) {
            (Some(Dynamic::Address(address)), _) => LeadsTo::Address(address),
            (None, Some(address)) if address != 0 && !linked.is_stub(address) => LeadsTo::Address(address),
            _ => LeadsTo::Unknown,
        };
    }
    match place.checked_sub(2).and_then(|opcode| linked.at(opcode, 2)) {
        // `lea`, and `call` behind a prefix.
        Some([0x8d, _] | [0x67, 0xe8]) => LeadsTo::Address(direct),
        // `mov`, `test` and the like with a number.
        Some([0xc7 | 0xf7 | 0x81, _]) => read(linked, place, 4).map_or(LeadsTo::Unknown, LeadsTo::Address),
        // `jmp`, which is a byte shorter.
        Some([0xe9, _]) => relative(place - 1).map_or(LeadsTo::Unknown, LeadsTo::Address),
        _ => LeadsTo::Unknown,
    }
}

/// A number of the executable, with its sign.
fn read(linked: &Linked<'_>, address: u64, size: usize) -> Option<u64> {
    let bytes = linked.at(address, size)?;
    match size {
        4 => Some(i32::from_le_bytes(*bytes.first_chunk()?) as i64 as u64),
        _ => Some(u64::from_le_bytes(*bytes.first_chunk()?)),
    }
}

/// Whether a section may lie at an address: whether the executable has the same bytes there, but for the fields.
pub(crate) fn is_at(object: &Object<'_>, section: usize, address: u64, linked: &Linked<'_>) -> Result<bool> {
    let data = object.data(section)?;
    if object.header(section)?.sh_type(LE) == elf::SHT_NOBITS || data.is_empty() {
        return Ok(true);
    }
    let Some(there) = linked.at(address, data.len()) else { return Ok(false) };
    let mut masked = Vec::new();
    for relocation in object.relocations(section)? {
        if let Some(field) = Field::of(relocation.r_type(LE, false).0)? {
            masked.push(field.masked(relocation.r_offset.get(LE) as usize, data.len()));
        }
    }
    masked.sort_unstable_by_key(|range| range.start);
    Ok(outside_of(&masked, data.len()).all(|range| data[range.clone()] == there[range]))
}

/// What lies between ranges that ascend by their beginnings.
pub(crate) fn outside_of(masked: &[Range<usize>], length: usize) -> impl Iterator<Item = Range<usize>> {
    let ends = masked.iter().cloned().chain(std::iter::once(length..length));
    let mut at = 0;
    ends.filter_map(move |range| {
        let before = at..range.start.min(length);
        at = at.max(range.end);
        (before.start < before.end).then_some(before)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_between_masks() {
        let between = |masked: &[Range<usize>]| outside_of(masked, 20).collect::<Vec<_>>();
        assert_eq!(between(&[0..4, 2..6, 3..5, 10..14]), [6..10, 14..20]);
        assert_eq!(between(&[5..7, 5..20]), std::iter::once(0..5).collect::<Vec<_>>());
        assert_eq!(between(&[0..0, 0..20]), []);
    }

    #[test]
    fn types_that_are_not_known_are_refused() {
        assert_eq!(Field::of(0).unwrap(), None);
        assert_eq!(Field::of(elf::R_X86_64_64.0).unwrap(), Some(Field::Absolute(8)));
        assert!(Field::of(elf::R_X86_64_COPY.0).is_err());
        assert_eq!(Field::Got.masked(3, 7), 0..7);
        assert_eq!(Field::Opaque { before: 4, length: 16 }.masked(2, 10), 0..10);
    }
}
