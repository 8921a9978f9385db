//! Graph: what an executable is made of, as its linker saw it. Nodes are the input sections that made it into the executable,
//! each function, vtable and constant by itself as rustc has it; edges are their relocations.
//!
//! Addresses are taken from the link map, contents and relocations from the objects, and both are compared with the
//! executable ([`check`]): a graph that is not that of the executable is none.

use super::check::{self, Field};
use super::inputs::{Object, cie_of};
use super::linked::Linked;
use super::map::InputSection;
use super::merged::is_merged;
use anyhow::{Context, Result, ensure};
use object::LittleEndian as LE;
use object::elf;
use object::read::elf::SectionHeader as _;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;

/// Number of a node.
pub(crate) type Id = usize;

/// Something that the executable is made of, or that it refers to.
#[derive(Debug)]
pub(crate) enum Node<'a> {
    /// An input section.
    Section(SectionNode<'a>),
    /// A piece of a section whose pieces the linker merges: by content, and where that is.
    Merged { address: u64, content: &'a [u8] },
    /// All input sections of this name in the order of their addresses: what lies between `__start_` and `__stop_`.
    All { name: &'a str },
    /// A name of a shared library's.
    Outside(&'a str),
    /// A name that nobody has: zero.
    Unresolved(&'a str),
    /// A name that the linker defines.
    Linker(&'a str),
    /// A number.
    Absolute(u64),
    /// Something that is not understood. An error only for those who come to it.
    Unknown(String),
}

/// An input section, where it was placed.
#[derive(Debug)]
pub(crate) struct SectionNode<'a> {
    pub(crate) object: usize,
    pub(crate) index: usize,
    pub(crate) address: u64,
    pub(crate) size: u64,
    pub(crate) name: &'a str,
    pub(crate) kind: u32,
    pub(crate) flags: u64,
    pub(crate) align: u64,
    /// Empty if it is all zeros and not in the file.
    pub(crate) data: &'a [u8],
}

/// An edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Edge {
    /// Where in the node it begins.
    pub(crate) offset: u64,
    /// The type of the relocation.
    pub(crate) kind: u32,
    pub(crate) target: Id,
    /// Where in the target it leads, the addend included.
    pub(crate) within: i64,
}

/// A piece of bytes with relocations: what a node holds, or an unwind entry of it.
#[derive(Debug)]
pub(crate) struct RelocatedBytes<'a> {
    pub(crate) data: &'a [u8],
    /// What of it does not count, ascending: such as where something lies.
    pub(crate) masked: Vec<Range<usize>>,
    pub(crate) edges: Vec<Edge>,
}

/// The graph of an executable.
pub(crate) struct Graph<'a> {
    pub(super) objects: &'a [Object<'a>],
    pub(super) linked: &'a Linked<'a>,
    /// What `--wrap` names.
    pub(super) wrapped: BTreeSet<&'a str>,
    pub(crate) nodes: Vec<Node<'a>>,
    /// Number of a placed section.
    pub(super) placed: HashMap<(usize, usize), Id>,
    /// Placed sections by address.
    pub(super) by_address: BTreeMap<u64, Vec<Id>>,
    /// Where names that are not local are defined: object and symbol.
    pub(super) definitions: HashMap<&'a str, Vec<(usize, u32)>>,
    /// Numbers of all other nodes.
    others: HashMap<Other<'a>, Id>,
}

/// What tells nodes apart that are no placed sections.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) enum Other<'a> {
    Merged(u64, &'a [u8]),
    All(&'a str),
    Name(&'a str),
    Absolute(u64),
    Unknown(usize, u32),
}

impl<'a> Graph<'a> {
    pub(crate) fn new(
        objects: &'a [Object<'a>],
        map: &[InputSection<'_>],
        linked: &'a Linked<'a>,
        wrapped: BTreeSet<&'a str>,
    ) -> Result<Self> {
        let mut graph = Self {
            objects,
            linked,
            wrapped,
            nodes: Vec::new(),
            placed: HashMap::new(),
            by_address: BTreeMap::new(),
            definitions: HashMap::new(),
            others: HashMap::new(),
        };
        graph.place(map)?;
        graph.find_definitions()?;
        Ok(graph)
    }

    /// Finds for each line of the map the section that it means.
    fn place(&mut self, map: &[InputSection<'_>]) -> Result<()> {
        let mut candidates: HashMap<(&str, &str), Vec<(usize, usize)>> = HashMap::new();
        for (number, object) in self.objects.iter().enumerate() {
            for index in 1..object.len() {
                let flags = object.header(index)?.sh_flags(LE);
                if flags.contains(elf::SHF_ALLOC) && !is_merged(object, index)? {
                    let name = object.section_name(index)?;
                    candidates.entry((object.name.as_str(), name)).or_default().push((number, index));
                }
            }
        }
        for place in map {
            let Some(found) = candidates.get_mut(&(place.file, place.section)) else { continue };
            if place.section == ".eh_frame" {
                continue;
            }
            let mut fits = None;
            for (at, (object, index)) in found.iter().enumerate() {
                let object = &self.objects[*object];
                let header = object.header(*index)?;
                if header.sh_size(LE) == place.size && check::is_at(object, *index, place.address, self.linked)? {
                    fits = Some(at);
                    break;
                }
            }
            let Some(at) = fits else {
                // GNU ld shows what it left out, too, with no size.
                ensure!(place.size == 0, "{} of {} is not as it is in the executable", place.section, place.file);
                continue;
            };
            let (object, index) = found.remove(at);
            self.add_section(object, index, place.address)?;
        }
        Ok(())
    }

    fn add_section(&mut self, object: usize, index: usize, address: u64) -> Result<()> {
        let of = &self.objects[object];
        let header = of.header(index)?;
        // Whether it is grouped, or kept, is the linker's business.
        let flags = header.sh_flags(LE).0 & u64::from(0x7_u32 | 0x400);
        let section = SectionNode {
            object,
            index,
            address,
            size: header.sh_size(LE),
            name: of.section_name(index)?,
            kind: header.sh_type(LE).0,
            flags,
            align: header.sh_addralign(LE).max(1),
            data: of.data(index)?,
        };
        ensure!(address.is_multiple_of(section.align), "{} is not aligned", section.name);
        let id = self.nodes.len();
        self.nodes.push(Node::Section(section));
        self.placed.insert((object, index), id);
        self.by_address.entry(address).or_default().push(id);
        Ok(())
    }

    fn find_definitions(&mut self) -> Result<()> {
        for (number, object) in self.objects.iter().enumerate() {
            for (index, symbol) in object.symbols.enumerate() {
                let index = index.0 as u32;
                let defined = symbol.st_shndx.get(LE) != elf::SHN_UNDEF;
                if symbol.st_bind() == elf::STB_LOCAL || !defined {
                    continue;
                }
                // What is in a section that was left out is not the definition that counts.
                let there = match object.section_of(index, symbol) {
                    Some(section) => self.placed.contains_key(&(number, section)) || is_merged(object, section)?,
                    None => true,
                };
                if there {
                    self.definitions.entry(object.symbol_name(symbol)?).or_default().push((number, index));
                }
            }
        }
        Ok(())
    }

    /// What a node holds, and the unwind entries that belong to it.
    pub(crate) fn pieces(&mut self, id: Id) -> Result<Vec<RelocatedBytes<'a>>> {
        let objects = self.objects;
        let Some(Node::Section(section)) = self.nodes.get(id) else { return Ok(Vec::new()) };
        let (number, index, address, whole) = (section.object, section.index, section.address, section.data.len());
        let object = &objects[number];
        let mut pieces = vec![self.piece(number, index, 0..whole, Some(address))?];
        for (frames, range) in object.frames(index) {
            let data = object.data(*frames)?;
            let cie = cie_of(data, range)?.context("an unwind entry without CIE")?;
            for part in [cie, range.clone()] {
                let mut piece = self.piece(number, *frames, part, None)?;
                // How far it is to the CIE.
                piece.masked.push(4..8);
                pieces.push(piece);
            }
        }
        Ok(pieces)
    }

    /// Part of a section, which lies at `address` if that is known.
    fn piece(
        &mut self,
        number: usize,
        index: usize,
        range: Range<usize>,
        address: Option<u64>,
    ) -> Result<RelocatedBytes<'a>> {
        let objects = self.objects;
        let object = &objects[number];
        let data = object.data(index)?.get(range.clone()).context("cut off")?;
        let mut edges = Vec::new();
        for relocation in object.relocations(index)? {
            let offset = relocation.r_offset.get(LE);
            let Some(offset) = offset.checked_sub(range.start as u64).filter(|offset| *offset < data.len() as u64)
            else {
                continue;
            };
            let kind = relocation.r_type(LE, false).0;
            let Some(field) = Field::of(kind)
                .with_context(|| format!("in {} of {}", object.section_name(index).unwrap_or_default(), object.name))?
            else {
                continue;
            };
            let place = address.map(|address| address + offset);
            let (target, within) = self.target(number, relocation, place, field)?;
            edges.push(Edge { offset, kind, target, within });
        }
        // Objects list them in any order; the walk has to meet them in one.
        edges.sort_by_key(|edge| edge.offset);
        Ok(RelocatedBytes { data, masked: Vec::new(), edges })
    }

    pub(super) fn other(&mut self, key: Other<'a>, node: Node<'a>) -> Id {
        let next = self.nodes.len();
        let id = *self.others.entry(key).or_insert(next);
        if id == next {
            self.nodes.push(node);
        }
        id
    }

    pub(super) fn unknown(&mut self, number: usize, symbol: u32, what: &str) -> Id {
        let object = &self.objects[number].name;
        self.other(Other::Unknown(number, symbol), Node::Unknown(format!("{what} (symbol {symbol} of {object})")))
    }

    /// Where a node lies, if it is somewhere in the executable.
    pub(crate) fn address_of(&self, id: Id) -> Option<u64> {
        match self.nodes.get(id)? {
            Node::Section(section) if section.flags & u64::from(0x400_u32) == 0 => Some(section.address),
            Node::Merged { address, .. } => Some(*address),
            _ => None,
        }
    }

    /// The placed sections of a name, in the order of their addresses.
    pub(crate) fn all(&self, is: impl Fn(&SectionNode<'a>) -> bool) -> Vec<Id> {
        let ids = self.by_address.values().flatten().copied();
        ids.filter(|id| matches!(&self.nodes[*id], Node::Section(section) if is(section))).collect()
    }

    /// What of the executable lies at an address that it exports.
    pub(crate) fn exported(&self) -> Vec<Id> {
        let starts = |address: &u64| self.by_address.range(..=*address).next_back().map(|(_, ids)| ids.as_slice());
        self.linked.exported.values().filter_map(starts).flatten().copied().collect()
    }

    /// Names of the writable statics in a section, as far as there are symbols, and their places in it.
    pub(crate) fn names_in(&self, section: &SectionNode<'a>) -> Result<Vec<(u64, &'a str)>> {
        let object = &self.objects[section.object];
        let mut names = Vec::new();
        for (index, symbol) in object.symbols.enumerate() {
            if object.section_of(index.0 as u32, symbol) == Some(section.index) && symbol.st_type() != elf::STT_SECTION
            {
                names.push((symbol.st_value.get(LE), object.symbol_name(symbol)?));
            }
        }
        names.sort_unstable();
        Ok(names)
    }
}
