//! Linked: what the executable that came of a link holds at an address, and which names it has.

use crate::elf::binary::Elf;
use anyhow::{Context, Result, bail, ensure};
use fastboot_format::image::PAGE;
use object::LittleEndian as LE;
use object::elf;
use object::read::elf::{ProgramHeader as _, SectionHeader as _, Sym as _};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;

/// A linked executable.
pub(crate) struct Linked<'a> {
    elf: Elf<'a>,
    bytes: &'a [u8],
    /// Where the linker's own tables of addresses lie: `.got`, `.plt` and their like.
    stubs: Vec<Range<u64>>,
    /// The dynamic relocations: what the loader adds a load bias to, or finds a name for.
    dynamic: HashMap<u64, Dynamic>,
    /// Names in the symbol table that are not local.
    names: BTreeSet<&'a str>,
    /// Names that a shared library has to provide, with the version asked for.
    outside: BTreeSet<&'a str>,
    /// What shared libraries may find in the executable.
    pub(crate) exported: BTreeMap<&'a str, u64>,
}

/// A dynamic relocation.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Dynamic {
    /// The load bias is added to this address.
    Address(u64),
    /// Anything else.
    Named,
}

impl<'a> Linked<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self> {
        let elf = Elf::parse(bytes)?;
        let mut linked = Self {
            elf,
            bytes,
            stubs: Vec::new(),
            dynamic: HashMap::new(),
            names: BTreeSet::new(),
            outside: BTreeSet::new(),
            exported: BTreeMap::new(),
        };
        linked.find_stubs()?;
        linked.find_names()?;
        Ok(linked)
    }

    fn find_stubs(&mut self) -> Result<()> {
        let Self { elf, bytes, .. } = &*self;
        let (mut stubs, mut dynamic) = (Vec::new(), HashMap::new());
        for section in elf.sections.iter() {
            let name = elf.sections.section_name(LE, section).unwrap_or_default();
            if name.starts_with(b".got") || name.starts_with(b".plt") || name.starts_with(b".iplt") {
                stubs.push(section.sh_addr(LE)..section.sh_addr(LE).saturating_add(section.sh_size(LE)));
            }
            let loaded = section.sh_flags(LE).contains(elf::SHF_ALLOC);
            if let Some((table, _)) = section.rela(LE, *bytes).context("a table of relocations is damaged")?
                && loaded
            {
                dynamic.extend(table.iter().map(|entry| {
                    let known = entry.r_type(LE, false) == elf::R_X86_64_RELATIVE;
                    let what = if known { Dynamic::Address(entry.r_addend.get(LE) as u64) } else { Dynamic::Named };
                    (entry.r_offset.get(LE), what)
                }));
            }
        }
        (self.stubs, self.dynamic) = (stubs, dynamic);
        Ok(())
    }

    fn find_names(&mut self) -> Result<()> {
        let symbols = self.elf.sections.symbols(LE, self.bytes, elf::SHT_SYMTAB)?;
        for symbol in symbols.iter().filter(|symbol| symbol.st_shndx.get(LE) != elf::SHN_UNDEF) {
            self.names.insert(std::str::from_utf8(symbol.name(LE, symbols.strings())?)?);
        }
        let symbols = self.elf.sections.symbols(LE, self.bytes, elf::SHT_DYNSYM)?;
        for symbol in symbols.iter().skip(1) {
            let name = std::str::from_utf8(symbol.name(LE, symbols.strings())?)?;
            if symbol.st_shndx.get(LE) == elf::SHN_UNDEF {
                self.outside.insert(name);
            } else {
                self.exported.insert(name, symbol.st_value.get(LE));
            }
        }
        Ok(())
    }

    /// The functions of shared libraries that have no address in the executable itself.
    pub(super) fn imported_functions(&self) -> Result<BTreeSet<&'a str>> {
        let symbols = self.elf.sections.symbols(LE, self.bytes, elf::SHT_DYNSYM)?;
        let functions = symbols.iter().skip(1).filter(|symbol| {
            let is_function = [elf::STT_FUNC, elf::STT_GNU_IFUNC].contains(&symbol.st_type());
            is_function && symbol.st_shndx.get(LE) == elf::SHN_UNDEF && symbol.st_value.get(LE) == 0
        });
        functions.map(|symbol| Ok(std::str::from_utf8(symbol.name(LE, symbols.strings())?)?)).collect()
    }

    /// Whether it has the name, defined by an object or by the linker itself.
    pub(crate) fn defines(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// Whether a shared library has to provide the name.
    pub(crate) fn imports(&self, name: &str) -> bool {
        self.outside.contains(name)
    }

    pub(crate) fn is_stub(&self, address: u64) -> bool {
        self.stubs.iter().any(|range| range.contains(&address))
    }

    pub(crate) fn dynamic(&self, address: u64) -> Option<Dynamic> {
        self.dynamic.get(&address).copied()
    }

    /// The bytes of the file for these addresses; `None` if they are not all in it. What is zero when it is loaded is not.
    pub(crate) fn at(&self, address: u64, length: usize) -> Option<&'a [u8]> {
        self.bytes.get(self.place(address, length)?)
    }

    /// Where in the file the bytes for these addresses are, if all are in it.
    pub(crate) fn place(&self, address: u64, length: usize) -> Option<Range<usize>> {
        let loads = self.elf.segments.iter().filter(|segment| segment.p_type(LE) == elf::PT_LOAD);
        for segment in loads {
            let Some(within) = address.checked_sub(segment.p_vaddr(LE)) else { continue };
            if within.saturating_add(length as u64) <= segment.p_filesz(LE) {
                let start = usize::try_from(segment.p_offset(LE).checked_add(within)?).ok()?;
                return Some(start..start.checked_add(length)?);
            }
        }
        None
    }

    /// Whether it can be loaded anywhere.
    pub(super) fn is_position_independent(&self) -> bool {
        self.elf.header.e_type.get(LE) == elf::ET_DYN
    }

    /// Whether lld made it, or mold, which understands what lld does.
    pub(super) fn is_of_lld(&self) -> bool {
        let comment = self.elf.section_named(".comment").and_then(|(_, section)| section.data(LE, self.bytes).ok());
        let text = comment.unwrap_or_default();
        [&b"LLD"[..], b"mold"].into_iter().any(|name| memchr::memmem::find(text, name).is_some())
    }

    /// To what its segments are aligned, in bytes.
    pub(super) fn alignment(&self) -> u64 {
        let loads = self.elf.segments.iter().filter(|segment| segment.p_type(LE) == elf::PT_LOAD);
        loads.map(|load| load.p_align(LE)).max().unwrap_or(0).max(PAGE as u64)
    }

    /// Each `PT_LOAD`: its address, its length in memory, its permissions.
    pub(crate) fn loads(&self) -> Vec<(u64, u64, u32)> {
        let loads = self.elf.segments.iter().filter(|segment| segment.p_type(LE) == elf::PT_LOAD);
        loads.map(|load| (load.p_vaddr(LE), load.p_memsz(LE), load.p_flags(LE).0)).collect()
    }

    /// Requires that in the other one all lies where it does here, this much further: each section, and what each symbol stands
    /// for.
    pub(super) fn require_alike(&self, other: &Self, distance: u64) -> Result<()> {
        let sections = |linked: &Self, distance: u64| {
            let loaded = linked.elf.sections.iter().filter(|section| section.sh_flags(LE).contains(elf::SHF_ALLOC));
            let place = |section: &elf::SectionHeader64<LE>| (section.sh_addr(LE) + distance, section.sh_size(LE));
            loaded.map(place).collect::<Vec<_>>()
        };
        let loads = |linked: &Self, distance: u64| {
            let loads = linked.loads().into_iter();
            loads.map(|(start, size, flags)| (start + distance, size, flags)).collect::<Vec<_>>()
        };
        let [here, there] = [self, other].map(|it| it.elf.sections.symbols(LE, it.bytes, elf::SHT_SYMTAB));
        let (here, there) = (here?, there?);
        let is_alike = |one: &elf::Sym64<LE>, other: &elf::Sym64<LE>| {
            let moved = other.st_value(LE).wrapping_sub(one.st_value(LE));
            // Numbers, names that are not defined, offsets among the thread-locals, and in what is not loaded.
            let section = self.elf.sections.section(object::SectionIndex(one.st_shndx(LE).0.into()));
            let is_loaded = section.is_ok_and(|section| section.sh_flags(LE).contains(elf::SHF_ALLOC));
            let may_stay = one.st_type() == elf::STT_TLS || !is_loaded || one.st_shndx(LE) == elf::SHN_UNDEF;
            let names = [one.name(LE, here.strings()), other.name(LE, there.strings())];
            (moved == distance || may_stay && moved == 0) && names[0] == names[1]
        };
        let is_same = sections(self, distance) == sections(other, 0)
            && loads(self, distance) == loads(other, 0)
            && here.len() == there.len();
        ensure!(is_same, "the linker lays it out in another way at other addresses");
        let mut pairs = here.iter().zip(there.iter()).skip(1);
        if let Some((one, _)) = pairs.find(|(one, other)| !is_alike(one, other)) {
            let name = String::from_utf8_lossy(one.name(LE, here.strings())?);
            bail!("the linker puts `{name}` elsewhere at other addresses");
        }
        Ok(())
    }

    /// What the loader is asked to load, in order, and where it shall look.
    pub(crate) fn needed(&self) -> Result<Vec<String>> {
        let parsed = goblin::elf::Elf::parse(self.bytes).context("the executable is damaged")?;
        let names = parsed.libraries.iter().map(|name| format!("needs {name}"));
        let paths = parsed.rpaths.iter().chain(&parsed.runpaths).map(|path| format!("looks in {path}"));
        let loader = parsed.interpreter.iter().map(|path| format!("loaded by {path}"));
        Ok(names.chain(paths).chain(loader).collect())
    }
}
