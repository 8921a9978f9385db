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
    let parsed = Elf::parse(bytes)?;
    let name = |section: &SectionHeader64<LE>| parsed.sections.section_name(LE, section).unwrap_or_default();
    let names_index = parsed.header.e_shstrndx.get(LE).0;
    let symbols = parsed.sections.iter().find(|section| section.sh_type(LE) == elf::SHT_SYMTAB);
    let strings_index = symbols.map_or(0, |section| section.sh_link(LE));
    let is_alloc = |section: &SectionHeader64<LE>| section.sh_flags(LE).0 & elf::SHF_ALLOC.0 != 0;

    let mut kept: Vec<(usize, &SectionHeader64<LE>)> = Vec::new();
    for (index, section) in parsed.sections.iter().enumerate() {
        let symbols = [elf::SHT_SYMTAB, elf::SHT_SYMTAB_SHNDX].contains(&section.sh_type(LE));
        let debug = name(section).starts_with(b".debug_") || name(section).starts_with(b".zdebug_");
        let goes = symbols || debug || index == strings_index as usize || index == usize::from(names_index);
        if index == 0 || is_alloc(section) || !goes {
            // Symbols that are loaded refer to sections by index.
            ensure!(!is_alloc(section) || kept.len() == index, "a loaded section stands behind one that goes");
            kept.push((index, section));
        }
    }

    let segments = parsed.segments.iter().map(|segment| segment.p_offset(LE) + segment.p_filesz(LE));
    let sections = kept.iter().filter(|(_, section)| is_alloc(section) && section.sh_type(LE) != elf::SHT_NOBITS);
    let sections = sections.map(|(_, section)| section.sh_offset(LE) + section.sh_size(LE));
    let headers = [parsed.program_header_range().end as u64];
    let end = segments.chain(sections).chain(headers).max().unwrap_or(0);
    let Some(loaded) = bytes.get(..usize::try_from(end)?) else { bail!("truncated: a section ends behind the file") };
    let mut out = loaded.to_vec();

    let moved = |old: u32| kept.iter().position(|(index, _)| *index == old as usize).unwrap_or(0) as u32;
    let mut names = vec![0u8];
    let mut table = Vec::new();
    for (index, section) in &kept {
        let mut header = **section;
        if *index != 0 {
            header.sh_name = U32::new(LE, names.len() as u32);
            names.extend_from_slice(name(section));
            names.push(0);
        }
        header.sh_link = U32::new(LE, moved(section.sh_link(LE)));
        if section.sh_flags(LE).0 & elf::SHF_INFO_LINK.0 != 0 {
            header.sh_info = U32::new(LE, moved(section.sh_info(LE)));
        }
        if *index != 0 && !is_alloc(section) && section.sh_type(LE) != elf::SHT_NOBITS {
            out.resize(out.len().next_multiple_of(section.sh_addralign(LE).clamp(1, 4096) as usize), 0);
            let start = usize::try_from(section.sh_offset(LE))?;
            let Some(content) = bytes.get(start..start.saturating_add(section.sh_size(LE) as usize)) else {
                bail!("truncated: a section ends behind the file")
            };
            header.sh_offset = U64::new(LE, out.len() as u64);
            out.extend_from_slice(content);
        }
        table.push(header);
    }
    let mut shstrtab = SectionHeader64::<LE> {
        sh_name: U32::new(LE, names.len() as u32),
        ..*parsed.sections.section(object::SectionIndex(usize::from(names_index)))?
    };
    names.extend_from_slice(b".shstrtab\0");
    shstrtab.sh_offset = U64::new(LE, out.len() as u64);
    shstrtab.sh_size = U64::new(LE, names.len() as u64);
    table.push(shstrtab);
    out.extend_from_slice(&names);
    out.resize(out.len().next_multiple_of(8), 0);
    let table_offset = out.len() as u64;
    out.extend_from_slice(pod::bytes_of_slice(&table));

    let Ok((header, _)) = pod::from_bytes_mut::<FileHeader64<LE>>(&mut out) else { bail!("truncated: no ELF header") };
    header.e_shoff = U64::new(LE, table_offset);
    header.e_shnum = U16::new(LE, u16::try_from(table.len())?);
    header.e_shstrndx = U16::new(LE, elf::SymbolSection(u16::try_from(table.len() - 1)?));
    Ok(out)
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
