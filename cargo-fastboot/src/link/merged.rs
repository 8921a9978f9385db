//! Merged: sections of which the linker keeps each piece once, whatever object it comes from.

use super::inputs::Object;
use anyhow::Result;
use object::LittleEndian as LE;
use object::elf;
use object::read::elf::SectionHeader as _;
use std::ops::Range;

/// Whether the linker merges the pieces of a section.
pub(super) fn is_merged(object: &Object<'_>, section: usize) -> Result<bool> {
    let header = object.header(section)?;
    let flags = header.sh_flags(LE);
    Ok(flags.contains(elf::SHF_MERGE)
        && header.sh_entsize(LE) != 0
        && object.relocations(section)?.is_empty()
        && !flags.contains(elf::SHF_WRITE))
}

/// The piece of a merged section that holds the byte at `at`.
pub(super) fn piece_at(data: &[u8], at: usize, entry: usize, strings: bool) -> Option<Range<usize>> {
    if !strings {
        let start = at.checked_div(entry)? * entry;
        return (start + entry <= data.len()).then_some(start..start + entry);
    }
    // Each ends with an entry of zeros.
    let is_end = |start: usize| Some(data.get(start..start + entry)?.iter().all(|byte| *byte == 0));
    let mut start = at.checked_div(entry)? * entry;
    let mut end = start;
    while !is_end(end)? {
        end += entry;
    }
    while start > 0 && !is_end(start - entry)? {
        start -= entry;
    }
    Some(start..end + entry)
}

#[cfg(test)]
mod tests {
    use super::piece_at;

    #[test]
    fn pieces_of_merged_sections() {
        assert_eq!(piece_at(b"ab\0\0cd\0", 0, 1, true), Some(0..3));
        assert_eq!(piece_at(b"ab\0\0cd\0", 2, 1, true), Some(0..3));
        assert_eq!(piece_at(b"ab\0\0cd\0", 3, 1, true), Some(3..4));
        assert_eq!(piece_at(b"ab\0\0cd\0", 5, 1, true), Some(4..7));
        assert_eq!(piece_at(b"ab\0\0cd", 5, 1, true), None);
        assert_eq!(piece_at(b"a\0\0\0b\0\0\0", 4, 2, true), Some(4..8));
        assert_eq!(piece_at(&[0; 32], 20, 16, false), Some(16..32));
        assert_eq!(piece_at(&[0; 31], 20, 16, false), None);
        assert_eq!(piece_at(&[0; 31], 20, 0, false), None);
    }
}
