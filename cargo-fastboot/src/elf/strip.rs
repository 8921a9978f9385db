//! Strip: does to a cold binary what the profile's `strip = true` asks for, after its symbols were needed.
//!
//! The symbols name the statics that an image has to carry. So a binary that cargo stripped is linked once more with its
//! symbols, frozen, and stripped here. What is loaded stays as it is, to the byte; only what follows it in the file is
//! written anew.

use crate::elf::binary::Elf;
use anyhow::{Result, bail, ensure};
use object::LittleEndian as LE;
use object::elf::{self, FileHeader64, SectionHeader64};
use object::read::elf::{ProgramHeader as _, SectionHeader as _};
use object::{U16, U32, U64, pod};

/// Whether the binary still has a symbol table.
pub(crate) fn has_symbols(bytes: &[u8]) -> Result<bool> {
    Ok(Elf::parse(bytes)?.sections.iter().any(|section| section.sh_type(LE) == elf::SHT_SYMTAB))
}

/// The binary without its symbol table and without debug information.
pub(crate) fn strip(bytes: &[u8]) -> Result<Vec<u8>> {
    let elf = Elf::parse(bytes)?;
    let kept = kept_sections(&elf)?;
    let loaded = usize::try_from(loaded_end(&elf, &kept))?;
    let Some(loaded) = bytes.get(..loaded) else { bail!("truncated: a section ends behind the file") };
    let mut out = loaded.to_vec();
    let table = write_sections(&elf, &kept, bytes, &mut out)?;
    out.resize(out.len().next_multiple_of(8), 0);
    let table_offset = out.len() as u64;
    out.extend_from_slice(pod::bytes_of_slice(&table));

    let Ok((header, _)) = pod::from_bytes_mut::<FileHeader64<LE>>(&mut out) else { bail!("truncated: no ELF header") };
    header.e_shoff = U64::new(LE, table_offset);
    header.e_shnum = U16::new(LE, u16::try_from(table.len())?);
    header.e_shstrndx = U16::new(LE, elf::SymbolSection(u16::try_from(table.len() - 1)?));
    Ok(out)
}

/// A section that stays, with its index.
type KeptSection<'a> = (usize, &'a SectionHeader64<LE>);

fn name<'a>(elf: &Elf<'a>, section: &'a SectionHeader64<LE>) -> &'a [u8] {
    elf.sections.section_name(LE, section).unwrap_or_default()
}

fn is_loaded(section: &SectionHeader64<LE>) -> bool {
    section.sh_flags(LE).0 & elf::SHF_ALLOC.0 != 0
}

/// All sections but symbols, debug information, and what holds the names of symbols and of sections.
fn kept_sections<'a>(elf: &Elf<'a>) -> Result<Vec<KeptSection<'a>>> {
    let symbols = elf.sections.iter().find(|section| section.sh_type(LE) == elf::SHT_SYMTAB);
    let names = [symbols.map_or(0, |section| section.sh_link(LE) as usize), section_names(elf)];
    let mut kept: Vec<KeptSection<'a>> = Vec::new();
    for (index, section) in elf.sections.iter().enumerate() {
        let symbols = [elf::SHT_SYMTAB, elf::SHT_SYMTAB_SHNDX].contains(&section.sh_type(LE));
        let debug = name(elf, section).starts_with(b".debug_") || name(elf, section).starts_with(b".zdebug_");
        let goes = symbols || debug || names.contains(&index);
        if index == 0 || is_loaded(section) || !goes {
            // Symbols that are loaded refer to sections by index.
            ensure!(!is_loaded(section) || kept.len() == index, "a loaded section stands behind one that goes");
            kept.push((index, section));
        }
    }
    Ok(kept)
}

/// Index of the section with the sections' names.
fn section_names(elf: &Elf<'_>) -> usize {
    usize::from(elf.header.e_shstrndx.get(LE).0)
}

/// Where in the file what is loaded ends.
fn loaded_end(elf: &Elf<'_>, kept: &[KeptSection<'_>]) -> u64 {
    let segments = elf.segments.iter().map(|segment| segment.p_offset(LE) + segment.p_filesz(LE));
    let sections = kept.iter().filter(|(_, section)| is_loaded(section) && section.sh_type(LE) != elf::SHT_NOBITS);
    let sections = sections.map(|(_, section)| section.sh_offset(LE) + section.sh_size(LE));
    let headers = [elf.program_header_range().end as u64];
    segments.chain(sections).chain(headers).max().unwrap_or(0)
}

/// Appends to `out` what the sections hold that are kept and not loaded, and their names. Returns the headers of all that
/// are kept, the last one being that of the names.
fn write_sections(
    elf: &Elf<'_>,
    kept: &[KeptSection<'_>],
    bytes: &[u8],
    out: &mut Vec<u8>,
) -> Result<Vec<SectionHeader64<LE>>> {
    let moved = |old: u32| kept.iter().position(|(index, _)| *index == old as usize).unwrap_or(0) as u32;
    let mut names = vec![0u8];
    let mut table = Vec::new();
    for (index, section) in kept {
        let mut header = **section;
        if *index != 0 {
            header.sh_name = U32::new(LE, names.len() as u32);
            names.extend_from_slice(name(elf, section));
            names.push(0);
        }
        header.sh_link = U32::new(LE, moved(section.sh_link(LE)));
        if section.sh_flags(LE).0 & elf::SHF_INFO_LINK.0 != 0 {
            header.sh_info = U32::new(LE, moved(section.sh_info(LE)));
        }
        if *index != 0 && !is_loaded(section) && section.sh_type(LE) != elf::SHT_NOBITS {
            header.sh_offset = U64::new(LE, append_aligned(section, bytes, out)?);
        }
        table.push(header);
    }
    let mut header = SectionHeader64::<LE> {
        sh_name: U32::new(LE, names.len() as u32),
        ..*elf.sections.section(object::SectionIndex(section_names(elf)))?
    };
    names.extend_from_slice(b".shstrtab\0");
    header.sh_offset = U64::new(LE, out.len() as u64);
    header.sh_size = U64::new(LE, names.len() as u64);
    table.push(header);
    out.extend_from_slice(&names);
    Ok(table)
}

/// Appends what a section holds, aligned as it asks for. Returns where it is.
fn append_aligned(section: &SectionHeader64<LE>, bytes: &[u8], out: &mut Vec<u8>) -> Result<u64> {
    out.resize(out.len().next_multiple_of(section.sh_addralign(LE).clamp(1, 4096) as usize), 0);
    let start = usize::try_from(section.sh_offset(LE))?;
    let Some(content) = bytes.get(start..start.saturating_add(section.sh_size(LE) as usize)) else {
        bail!("truncated: a section ends behind the file")
    };
    let offset = out.len() as u64;
    out.extend_from_slice(content);
    Ok(offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_very_program_can_be_stripped() {
        let path = std::env::current_exe().unwrap();
        let bytes = std::fs::read(path).unwrap();
        assert!(has_symbols(&bytes).unwrap());
        let stripped = strip(&bytes).unwrap();
        assert!(!has_symbols(&stripped).unwrap());
        assert!(stripped.len() < bytes.len() / 2);
        // Another parser accepts it, and everything that is loaded is where it was.
        let (before, after) = (goblin::elf::Elf::parse(&bytes).unwrap(), goblin::elf::Elf::parse(&stripped).unwrap());
        assert_eq!(before.program_headers, after.program_headers);
        for header in &before.program_headers {
            let range = header.p_offset as usize..(header.p_offset + header.p_filesz) as usize;
            // The ELF header itself changes.
            let skip = 64usize.saturating_sub(range.start);
            assert_eq!(bytes[range.clone()][skip.min(range.len())..], stripped[range.clone()][skip.min(range.len())..]);
        }
        let names = |elf: &goblin::elf::Elf<'_>| -> Vec<(String, u64)> {
            let sections = elf.section_headers.iter().filter(|section| section.is_alloc());
            sections.map(|s| (elf.shdr_strtab.get_at(s.sh_name).unwrap().to_owned(), s.sh_addr)).collect()
        };
        assert_eq!(names(&before), names(&after));
    }
}
