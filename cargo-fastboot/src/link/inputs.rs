//! Inputs: the objects that a link map names, read and taken apart: sections, relocations, symbols, and which unwind
//! tables belong to which section.

use anyhow::{Context, Result, bail, ensure};
use object::LittleEndian as LE;
use object::elf::{self, FileHeader64, Rela64, SectionHeader64, Sym64};
use object::read::archive::ArchiveFile;
use object::read::elf::{FileHeader as _, SectionHeader as _, SectionTable, SymbolTable};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::path::Path;

/// The bytes of the files, each once.
#[derive(Debug, Default)]
pub(crate) struct Files(BTreeMap<String, Vec<u8>>);

impl Files {
    /// Reads each file that these names mean: `object`, or `archive(member)`.
    pub(crate) fn read<'n>(names: impl Iterator<Item = &'n str>) -> Result<Self> {
        let mut files = BTreeMap::new();
        for name in names {
            let path = split(name).0;
            if !files.contains_key(path) {
                let bytes = std::fs::read(path).with_context(|| format!("cannot read the linker's input {path}"))?;
                files.insert(path.to_owned(), bytes);
            }
        }
        Ok(Self(files))
    }

    /// What was read: paths and bytes.
    pub(crate) fn into_contents(self) -> impl Iterator<Item = (String, Vec<u8>)> {
        self.0.into_iter()
    }

    /// Takes the objects apart that these names mean.
    pub(crate) fn objects<'a>(&'a self, names: &BTreeSet<&str>) -> Result<Vec<Object<'a>>> {
        let mut objects = Vec::new();
        for (path, bytes) in &self.0 {
            if !bytes.starts_with(b"!<arch>\n") {
                objects.extend(names.contains(path.as_str()).then(|| Object::parse(path.clone(), bytes)).transpose()?);
                continue;
            }
            let cannot_read = || format!("cannot read the archive {path}");
            let archive = ArchiveFile::parse(bytes.as_slice()).with_context(cannot_read)?;
            ensure!(!archive.is_thin(), "{path} is a thin archive");
            for member in archive.members() {
                let member = member.with_context(cannot_read)?;
                let name = format!("{path}({})", String::from_utf8_lossy(member.name()));
                if names.contains(name.as_str()) {
                    let data = member.data(bytes.as_slice()).with_context(cannot_read)?;
                    objects.push(Object::parse(name, data)?);
                }
            }
        }
        Ok(objects)
    }
}

/// The path and the member of a name, if that is what it is.
pub(super) fn split(name: &str) -> (&str, Option<&str>) {
    let parts = name.strip_suffix(')').and_then(|rest| rest.rsplit_once('('));
    match parts {
        Some((path, member)) if !Path::new(name).is_file() => (path, Some(member)),
        _ => (name, None),
    }
}

/// An object file.
#[derive(Debug)]
pub(crate) struct Object<'a> {
    pub(crate) name: String,
    bytes: &'a [u8],
    sections: SectionTable<'a, FileHeader64<LE>>,
    pub(crate) symbols: SymbolTable<'a, FileHeader64<LE>>,
    /// For each section, the index of that with its relocations.
    relocations: HashMap<usize, usize>,
    /// For each section, the unwind entries of the functions in it: the section that they lie in, and where.
    frames: HashMap<usize, Vec<(usize, Range<usize>)>>,
}

impl<'a> Object<'a> {
    fn parse(name: String, bytes: &'a [u8]) -> Result<Self> {
        let cannot_parse = || format!("cannot take {name} apart");
        let header = FileHeader64::<LE>::parse(bytes).with_context(cannot_parse)?;
        let sections = header.sections(LE, bytes).with_context(cannot_parse)?;
        let symbols = sections.symbols(LE, bytes, elf::SHT_SYMTAB).with_context(cannot_parse)?;
        let mut relocations = HashMap::new();
        for (index, section) in sections.iter().enumerate() {
            match section.sh_type(LE) {
                elf::SHT_RELA => {
                    let of = section.sh_info(LE) as usize;
                    ensure!(
                        relocations.insert(of, index).is_none(),
                        "{name}: two tables of relocations for one section"
                    );
                }
                elf::SHT_REL => bail!("{name}: relocations without addends"),
                _ => {}
            }
        }
        let mut object = Self { name, bytes, sections, symbols, relocations, frames: HashMap::new() };
        object.find_frames()?;
        Ok(object)
    }

    /// How many sections it has.
    pub(crate) fn len(&self) -> usize {
        self.sections.len()
    }

    pub(crate) fn header(&self, section: usize) -> Result<&'a SectionHeader64<LE>> {
        Ok(self.sections.section(object::SectionIndex(section))?)
    }

    pub(crate) fn section_name(&self, section: usize) -> Result<&'a str> {
        let name = self.sections.section_name(LE, self.header(section)?)?;
        std::str::from_utf8(name).with_context(|| format!("{}: the name of a section is not UTF-8", self.name))
    }

    /// What the section holds; nothing if that is not in the file.
    pub(crate) fn data(&self, section: usize) -> Result<&'a [u8]> {
        Ok(self.header(section)?.data(LE, self.bytes)?)
    }

    pub(crate) fn relocations(&self, section: usize) -> Result<&'a [Rela64<LE>]> {
        let Some(index) = self.relocations.get(&section) else { return Ok(&[]) };
        Ok(self.header(*index)?.rela(LE, self.bytes)?.map_or(&[][..], |(table, _)| table))
    }

    pub(crate) fn symbol(&self, index: u32) -> Result<&'a Sym64<LE>> {
        Ok(self.symbols.symbol(object::SymbolIndex(index as usize))?)
    }

    pub(crate) fn symbol_name(&self, symbol: &Sym64<LE>) -> Result<&'a str> {
        let name = symbol.st_name.get(LE);
        let name =
            self.symbols.strings().get(name).ok().with_context(|| format!("{}: a symbol without name", self.name))?;
        std::str::from_utf8(name).with_context(|| format!("{}: the name of a symbol is not UTF-8", self.name))
    }

    /// The section that a symbol is defined in.
    pub(crate) fn section_of(&self, index: u32, symbol: &Sym64<LE>) -> Option<usize> {
        let section = self.symbols.symbol_section(LE, symbol, object::SymbolIndex(index as usize)).ok()??;
        Some(section.0)
    }

    /// The unwind entries of the functions in a section: each a CIE and an FDE, the bytes and where they begin.
    pub(crate) fn frames(&self, section: usize) -> &[(usize, Range<usize>)] {
        self.frames.get(&section).map_or(&[], Vec::as_slice)
    }

    fn find_frames(&mut self) -> Result<()> {
        for index in 1..self.len() {
            if self.section_name(index)? != ".eh_frame" {
                continue;
            }
            let data = self.data(index)?;
            let relocations = self.relocations(index)?;
            for range in entries(data).with_context(|| format!("{}: .eh_frame is not understood", self.name))? {
                if cie_of(data, &range)?.is_none() {
                    continue;
                }
                // Its first relocation is that of the function.
                let begins =
                    relocations.iter().find(|relocation| relocation.r_offset.get(LE) == range.start as u64 + 8);
                let Some(begins) = begins else { continue };
                let number = begins.r_sym(LE, false);
                let function = self.section_of(number, self.symbol(number)?);
                if let Some(function) = function {
                    self.frames.entry(function).or_default().push((index, range));
                }
            }
        }
        Ok(())
    }
}

/// The entries of an `.eh_frame` section.
fn entries(data: &[u8]) -> Result<Vec<Range<usize>>> {
    let (mut found, mut at) = (Vec::new(), 0);
    while at < data.len() {
        let length = word(data, at)? as usize;
        if length == 0 {
            at += 4;
            continue;
        }
        ensure!(length < 0xffff_fff0, "an entry of more than 4 GiB");
        let range = at..at + 4 + length;
        ensure!(range.end <= data.len() && length >= 8, "an entry ends behind its section");
        at = range.end;
        found.push(range);
    }
    Ok(found)
}

/// Where the CIE of an FDE begins; `None` for a CIE itself.
pub(crate) fn cie_of(data: &[u8], entry: &Range<usize>) -> Result<Option<Range<usize>>> {
    let distance = word(data, entry.start + 4)? as usize;
    if distance == 0 {
        return Ok(None);
    }
    let start = (entry.start + 4).checked_sub(distance).context("an FDE without CIE")?;
    let end = start + 4 + word(data, start)? as usize;
    ensure!(end <= data.len(), "a CIE ends behind its section");
    Ok(Some(start..end))
}

fn word(data: &[u8], at: usize) -> Result<u32> {
    let bytes = data.get(at..).and_then(|rest| rest.first_chunk()).context("cut off")?;
    Ok(u32::from_le_bytes(*bytes))
}
