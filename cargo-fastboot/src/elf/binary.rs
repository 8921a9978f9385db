//! Binary: what an ELF executable says about itself. Where its `fastboot` section is, which segment that has, and its
//! identity.

use anyhow::{Context, Result, bail};
use fastboot_format::image::{
    FLAG_COLD, FLAG_FOOTER, FLAGS_OFFSET, FOOTER_LEN, Footer, HEADER_COPY, HEADER_COPY_LEN, HEADER_LEN, HOME_WINDOW,
    Header, HeaderPage, IDENTITY_OFFSET, TABLE_LEN,
};
use object::LittleEndian as LE;
use object::elf::{self, FileHeader64, ProgramHeader64, SectionHeader64};
use object::read::elf::{FileHeader as _, ProgramHeader as _, Rela as _, SectionHeader as _, Sym as _};
use sha2::{Digest, Sha256};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Name of the ELF section.
pub(crate) const SECTION: &str = "fastboot";

/// An executable, read and understood.
#[derive(Debug)]
pub(crate) struct Binary {
    pub(crate) path: PathBuf,
    pub(crate) bytes: Vec<u8>,
    /// Position-independent (`ET_DYN`).
    pub(crate) pie: bool,
    /// Has an interpreter, that is, uses shared libraries.
    pub(crate) dynamic: bool,
    pub(crate) section: Section,
    /// Where an image is appended, if one is.
    pub(crate) footer: Option<Footer>,
    /// What its identity is made of, and that identity once somebody asked for it.
    identified: Vec<Identified>,
    identity: OnceLock<[u8; 32]>,
}

/// A segment, as far as it is part of the identity.
#[derive(Debug)]
struct Identified {
    /// Its address, its size in memory and in the file, its permissions.
    fields: [u64; 4],
    /// Where in the file its bytes are.
    ranges: Vec<Range<usize>>,
}

/// The `fastboot` section, and its segment if it has one of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Section {
    /// Index in the section header table.
    pub(crate) index: usize,
    /// Index of its PT_LOAD in the program header table; `None` if it was linked without fastboot.ld.
    pub(crate) segment: Option<usize>,
    /// `sh_addr`, which is `p_vaddr`.
    pub(crate) address: u64,
    /// `sh_offset`, which is `p_offset`.
    pub(crate) offset: u64,
    /// `sh_size`, which is `p_filesz`.
    pub(crate) size: u64,
    /// `p_align`; 0 if it has no segment of its own.
    pub(crate) align: u64,
}

impl Section {
    /// The bytes of the section in the file.
    pub(crate) fn file_range(&self) -> Range<usize> {
        // `Binary::parse` found the range to lie in the file, so it fits a usize.
        self.offset as usize..(self.offset + self.size) as usize
    }
}

/// The same program as another one, linked for other addresses.
#[derive(Clone, Copy)]
pub(crate) struct Twin<'a> {
    pub(crate) binary: &'a Binary,
    /// How far everything in it is from where it is in the other one.
    pub(crate) distance: u64,
}

/// The parts of an ELF file that this tool looks at.
pub(crate) struct Elf<'a> {
    pub(crate) header: &'a FileHeader64<LE>,
    pub(crate) segments: &'a [ProgramHeader64<LE>],
    pub(crate) sections: object::read::elf::SectionTable<'a, FileHeader64<LE>>,
}

impl<'a> Elf<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self> {
        if !bytes.starts_with(&elf::ELFMAG) {
            bail!("not an ELF file");
        }
        let header = FileHeader64::<LE>::parse(bytes).context("not a 64-bit ELF file, or truncated")?;
        if !header.is_little_endian() || header.e_machine.get(LE) != elf::EM_X86_64 {
            bail!("not an x86-64 executable (e_machine {}): images are made for x86-64 only", header.e_machine.get(LE));
        }
        if ![elf::ET_EXEC, elf::ET_DYN].contains(&header.e_type.get(LE)) {
            bail!("not an executable (e_type {})", header.e_type.get(LE));
        }
        let segments = header.program_headers(LE, bytes).context("truncated: no program headers")?;
        let sections = header.sections(LE, bytes).context("truncated: no section headers")?;
        Ok(Self { header, segments, sections })
    }

    pub(crate) fn section_named(&self, name: &str) -> Option<(usize, &'a SectionHeader64<LE>)> {
        let mut sections = self.sections.enumerate();
        let (index, section) =
            sections.find(|(_, section)| self.sections.section_name(LE, section) == Ok(name.as_bytes()))?;
        Some((index.0, section))
    }

    /// Addresses of the words into which the dynamic linker puts the address of a symbol that another object has, and its name.
    pub(crate) fn bound_places(&self, bytes: &'a [u8]) -> Result<Vec<(u64, &'a str)>> {
        let cannot_read = || "its relocations cannot be read: the file is damaged";
        let symbols = self.sections.symbols(LE, bytes, elf::SHT_DYNSYM).with_context(cannot_read)?;
        // Of the words of statics only those that nobody else writes to.
        let protected = self.segments.iter().find(|segment| segment.p_type(LE) == elf::PT_GNU_RELRO);
        let protected = protected.map_or(0..0, |one| one.p_vaddr(LE)..one.p_vaddr(LE) + one.p_memsz(LE));
        let mut places = Vec::new();
        for section in self.sections.iter() {
            let Some((relocations, _)) = section.rela(LE, bytes).with_context(cannot_read)? else { continue };
            for one in relocations {
                let place = one.r_offset.get(LE);
                let is_whole = match one.r_type(LE, false) {
                    elf::R_X86_64_JUMP_SLOT | elf::R_X86_64_GLOB_DAT => true,
                    elf::R_X86_64_64 => one.r_addend.get(LE) == 0 && protected.contains(&place),
                    _ => false,
                };
                let symbol = one.symbol(LE, false).filter(|_| is_whole);
                let Some(symbol) = symbol.and_then(|index| symbols.symbol(index).ok()) else { continue };
                let name = symbol.name(LE, symbols.strings()).ok().and_then(|name| std::str::from_utf8(name).ok());
                places.extend(name.filter(|_| symbol.st_shndx.get(LE) == elf::SHN_UNDEF).map(|name| (place, name)));
            }
        }
        Ok(places)
    }

    /// Where in the file the program header table is.
    pub(crate) fn program_header_range(&self) -> Range<usize> {
        let start = self.header.e_phoff.get(LE) as usize;
        start..start + size_of_val(self.segments)
    }

    pub(crate) fn fastboot_section(&self, file_length: usize) -> Result<Section> {
        let Some((index, header)) = self.section_named(SECTION) else {
            bail!(
                "it has no `{SECTION}` section; \
                 put `fastboot_rt::install!();` into the binary's main.rs and build it with `cargo fastboot build`"
            );
        };
        let address = header.sh_addr(LE);
        let (offset, size) = (header.sh_offset(LE), header.sh_size(LE));
        if header.sh_type(LE) != elf::SHT_PROGBITS
            || offset.checked_add(size).is_none_or(|end| end > file_length as u64)
        {
            bail!("its `{SECTION}` section lies outside of the file: the file is truncated or damaged");
        }
        let own = |segment: &ProgramHeader64<LE>| {
            segment.p_type(LE) == elf::PT_LOAD && segment.p_vaddr(LE) == address && segment.p_offset(LE) == offset
        };
        // Not if something else is in it, with contents or without.
        let alone = |index: &usize| {
            let segment = &self.segments[*index];
            segment.p_filesz(LE) == size && segment.p_memsz(LE) == size
        };
        let segment = self.segments.iter().position(own).filter(alone);
        let higher = |other: &ProgramHeader64<LE>| other.p_type(LE) == elf::PT_LOAD && other.p_vaddr(LE) > address;
        if segment.is_some() && self.segments.iter().any(higher) {
            bail!(
                "its `{SECTION}` segment is not the last one; build it with `cargo fastboot build` and no other script"
            );
        }
        let align = segment.map_or(0, |index| self.segments[index].p_align(LE));
        Ok(Section { index, segment, address, offset, size, align })
    }

    /// Where in the file the copy of an image's beginning goes; `None` if nothing in the program reads it.
    pub(crate) fn header_copy(&self, file_length: usize) -> Result<Option<Range<usize>>> {
        let Some((_, header)) = self.section_named(HEADER_COPY) else { return Ok(None) };
        let (start, size) = (header.sh_offset(LE), header.sh_size(LE));
        let end = start.checked_add(size).filter(|end| *end <= file_length as u64);
        let (Some(end), elf::SHT_PROGBITS) = (end, header.sh_type(LE)) else {
            bail!("its `{HEADER_COPY}` section lies outside of the file: the file is truncated or damaged");
        };
        // Of several versions of the runtime the first one is meant; the others find zeros.
        let long_enough = start + HEADER_COPY_LEN as u64 <= end;
        Ok(long_enough.then_some(start as usize..start as usize + HEADER_COPY_LEN))
    }

    /// Where the contents of the file end, as far as they end before `limit`; `without` is no part of them.
    pub(crate) fn contents_end(&self, limit: u64, without: Option<&Section>) -> u64 {
        let sections = self.sections.iter().enumerate().filter(|(index, header)| {
            without.is_none_or(|section| section.index != *index) && header.sh_type(LE) != elf::SHT_NOBITS
        });
        let segments = self.segments.iter().enumerate();
        let segments = segments.filter(|(index, _)| without.is_none_or(|section| section.segment != Some(*index)));
        let headers = self.header.e_shoff.get(LE) + (self.sections.len() * size_of::<SectionHeader64<LE>>()) as u64;
        let ends = sections
            .map(|(_, header)| header.sh_offset(LE).saturating_add(header.sh_size(LE)))
            .chain(segments.map(|(_, header)| header.p_offset(LE).saturating_add(header.p_filesz(LE))))
            .chain([headers]);
        ends.filter(|end| *end <= limit).max().unwrap_or(limit)
    }

    /// Every loaded byte outside of the section. What embedding and `strip` change is left out: the ELF header, the
    /// program header table (but not what it says of the other segments), symbols of the section, the build-id, the section
    /// itself, and the copy of its beginning.
    fn identified(&self, bytes: &[u8], section: &Section) -> Result<Vec<Identified>> {
        let mut left_out = vec![0..size_of::<FileHeader64<LE>>(), self.program_header_range(), section.file_range()];
        left_out.extend(self.header_copy(bytes.len())?);
        if let Some((_, note)) = self.section_named(".note.gnu.build-id") {
            let start = note.sh_offset(LE) as usize;
            left_out.push(start..start.saturating_add(note.sh_size(LE) as usize));
        }
        left_out.extend(self.symbols_of(section.index, bytes, elf::SHT_DYNSYM)?.map(|(_, range)| range));
        let mut identified = Vec::new();
        for (index, segment) in self.segments.iter().enumerate() {
            if segment.p_type(LE) != elf::PT_LOAD || Some(index) == section.segment {
                continue;
            }
            let (offset, length) = (segment.p_offset(LE), segment.p_filesz(LE));
            let fields = [segment.p_vaddr(LE), segment.p_memsz(LE), length, u64::from(segment.p_flags(LE).0)];
            let end = offset.checked_add(length).filter(|end| *end <= bytes.len() as u64);
            let Some(end) = end else { bail!("truncated: a segment ends behind the end of the file") };
            let mut at = offset as usize;
            let end = end as usize;
            let mut holes: Vec<_> = left_out.iter().filter(|hole| hole.end > at && hole.start < end).collect();
            holes.sort_by_key(|hole| hole.start);
            let mut ranges = Vec::new();
            for hole in holes {
                ranges.push(at..hole.start.max(at));
                at = hole.end.clamp(at, end);
            }
            ranges.push(at..end);
            identified.push(Identified { fields, ranges });
        }
        Ok(identified)
    }

    /// The symbols that a table of the given type has for one section: their values, and where in the file they are.
    pub(crate) fn symbols_of(
        &self,
        section: usize,
        bytes: &[u8],
        table: elf::SectionType,
    ) -> Result<impl Iterator<Item = (u64, Range<usize>)> + use<>> {
        let symbols = self.sections.symbols(LE, bytes, table).context("its symbol table is damaged")?;
        let start = match self.sections.iter().find(|header| header.sh_type(LE) == table) {
            Some(header) => header.sh_offset(LE) as usize,
            None => 0,
        };
        let size = size_of::<elf::Sym64<LE>>();
        let found: Vec<_> = symbols
            .iter()
            .enumerate()
            .filter(|(_, symbol)| usize::from(symbol.st_shndx.get(LE).0) == section)
            .map(|(index, symbol)| (symbol.st_value.get(LE), start + index * size..start + (index + 1) * size))
            .collect();
        Ok(found.into_iter())
    }
}

impl Binary {
    /// Reads an executable that has a `fastboot` section of its own.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(path, bytes).with_context(|| format!("{} cannot be used", path.display()))
    }

    /// As [`Binary::read`], of bytes that were read already.
    pub(crate) fn parse(path: &Path, bytes: Vec<u8>) -> Result<Self> {
        let elf = Elf::parse(&bytes)?;
        let section = elf.fastboot_section(bytes.len())?;
        let placeholder = &bytes[section.file_range()];
        if Header::stamped_identity(placeholder).is_none() {
            bail!("its `{SECTION}` section does not begin with a fastboot header; does something else use that name?");
        }
        let needed = goblin::elf::Elf::parse(&bytes)
            .context("damaged")?
            .libraries
            .iter()
            .find_map(|name| (name.starts_with("libstd-") && name.contains(".so")).then(|| (*name).to_owned()));
        if let Some(library) = needed {
            bail!("it uses {library}, whose allocations cannot be captured; build it without `-C prefer-dynamic`");
        }
        let pie = elf.header.e_type.get(LE) == elf::ET_DYN;
        let dynamic = elf.segments.iter().any(|segment| segment.p_type(LE) == elf::PT_INTERP);
        let identified = elf.identified(&bytes, &section)?;
        let footer = match bytes.last_chunk::<FOOTER_LEN>() {
            Some(last) => Footer::decode(last, bytes.len() as u64)?,
            None => None,
        };
        let path = path.to_owned();
        Ok(Self { path, pie, dynamic, section, footer, identified, identity: OnceLock::new(), bytes })
    }

    /// The first address that it has anything at, without the load bias.
    pub(crate) fn first_address(&self) -> Result<u64> {
        let elf = Elf::parse(&self.bytes)?;
        let loads = elf.segments.iter().filter(|segment| segment.p_type(LE) == elf::PT_LOAD);
        loads.map(|segment| segment.p_vaddr(LE)).min().context("it has no PT_LOAD segment")
    }

    /// The same program, linked for other addresses.
    pub(crate) fn twin<'a>(&self, binary: &'a Self) -> Result<Twin<'a>> {
        Ok(Twin { binary, distance: binary.first_address()?.wrapping_sub(self.first_address()?) })
    }

    /// SHA-256 of every loaded byte except what embedding and `strip` change. The first one who asks waits for it.
    pub(crate) fn identity(&self) -> [u8; 32] {
        *self.identity.get_or_init(|| {
            let mut hash = Sha256::new();
            for Identified { fields, ranges } in &self.identified {
                hash.update(fields.map(u64::to_le_bytes).as_flattened());
                for range in ranges {
                    // `parse` found it to lie in the file, of which only what lies behind it is ever cut off.
                    hash.update(&self.bytes[range.clone()]);
                }
            }
            hash.finalize().into()
        })
    }

    /// A number that other binaries do not have: of its stamp, else of its identity.
    pub(crate) fn seed(&self) -> u64 {
        let stamp = Header::stamped_identity(self.section_bytes()).filter(|stamp| *stamp != [0; 32]);
        let [first, ..] = *stamp.unwrap_or_else(|| self.identity()).as_chunks().0 else { return 0 };
        u64::from_le_bytes(first)
    }

    /// Whether the section was given other contents than the linker's: an image, or the tables of a cold binary.
    pub(crate) fn is_rewritten(&self) -> bool {
        self.section.size > HEADER_LEN as u64 || HOME_WINDOW.contains(&self.section.address)
    }

    /// Whether an image was embedded in the section. Its bytes may still be damaged.
    pub(crate) fn is_embedded(&self) -> bool {
        let cold = |page: HeaderPage<'_>| page.header.flags & FLAG_COLD != 0;
        self.is_rewritten() && !HeaderPage::decode(self.section_bytes()).is_ok_and(cold)
    }

    /// The bytes of the `fastboot` section.
    pub(crate) fn section_bytes(&self) -> &[u8] {
        &self.bytes[self.section.file_range()]
    }

    /// The copy of the image's beginning, or the zeros in its place.
    pub(crate) fn header_copy(&self) -> Result<Option<&[u8]>> {
        Ok(Elf::parse(&self.bytes)?.header_copy(self.bytes.len())?.map(|range| &self.bytes[range]))
    }

    /// The image that a start looks at first, as bytes that may still be damaged, and where it is: in the section, else
    /// behind the executable.
    pub(crate) fn image_bytes(&self) -> Option<(&'static str, &[u8])> {
        if self.is_embedded() {
            return Some(("section", self.section_bytes()));
        }
        // `parse` found the footer to describe a part of the file.
        let footer = self.footer?;
        let start = footer.offset as usize;
        Some(("footer", &self.bytes[start..start + footer.length as usize]))
    }

    /// Writes its identity into the section's header, so that the running program knows itself without hashing anything.
    pub(crate) fn stamp(&mut self) {
        let identity = self.identity();
        let at = self.section.file_range().start + IDENTITY_OFFSET;
        self.bytes[at..at + identity.len()].copy_from_slice(&identity);
    }

    /// Writes into the section's header whether an image is appended to the file, unless it is the header of an image: if
    /// that is of no use, a start looks for another one in any case.
    fn tell_footer(&mut self, appended: bool) {
        if self.is_embedded() {
            return;
        }
        let change = |flags: u64| if appended { flags | FLAG_FOOTER } else { flags & !FLAG_FOOTER };
        let range = self.section.file_range();
        let section = &mut self.bytes[range];
        let encoded = HeaderPage::decode(section).ok().map(|HeaderPage { header, .. }| {
            let directory = &section[HEADER_LEN..][..header.table_count as usize * TABLE_LEN];
            Header { flags: change(header.flags), ..header }.encode(directory)
        });
        match encoded {
            Some(header) => section[..HEADER_LEN].copy_from_slice(&header),
            // A placeholder, which has no other flags: `parse` found an identity behind them.
            None => section[FLAGS_OFFSET..FLAGS_OFFSET + 8].copy_from_slice(&change(0).to_le_bytes()),
        }
    }

    /// Makes the executable one that an image will be appended to.
    pub(crate) fn expect_footer(&mut self) -> Result<()> {
        if self.is_embedded() && Header::stamped_identity(self.section_bytes()) != Some(self.identity()) {
            bail!(
                "its `{SECTION}` section holds the image of another binary, which a start would find first; append to the \
                 cold binary instead"
            );
        }
        self.stamp();
        self.tell_footer(true);
        Ok(())
    }

    /// Cuts an appended image off, and what was put between it and the end of the executable's own contents.
    pub(crate) fn remove_footer(&mut self) -> Result<()> {
        if let Some(footer) = self.footer.take() {
            let end = Elf::parse(&self.bytes)?.contents_end(footer.offset, None);
            self.bytes.truncate(usize::try_from(end)?);
        }
        self.tell_footer(false);
        Ok(())
    }
}

/// Whether these are the bytes of an executable that can be loaded anywhere.
pub(crate) fn is_position_independent(bytes: &[u8]) -> bool {
    Elf::parse(bytes).is_ok_and(|elf| elf.header.e_type.get(LE) == elf::ET_DYN)
}

/// A hash, as 64 hexadecimal digits.
pub(crate) fn hex(hash: &[u8; 32]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}
