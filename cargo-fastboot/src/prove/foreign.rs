//! Foreign: what an address outside of image and executable is the address of.

use crate::prove::bindings::Bindings;
use crate::runs::capture::{Allocator, ForeignBlock, Mapping};
use object::read::elf::{FileHeader as _, ProgramHeader as _, Sym as _};
use object::{LittleEndian as LE, elf};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

/// What an address is the address of.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Foreign {
    /// Something that is known to be in use, and whose only purpose is to be referred to.
    Held(String),
    /// Something that has a name.
    Named(String),
    /// Whatever is there.
    Other(String),
    /// What calls leave behind, and values hardly have.
    Left(String),
}

/// Things outside of the image of which a run is known to have an address, and which garbage is not likely to have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known<'a> {
    /// `pthread_t` of threads that were still running.
    pub(crate) handles: &'a [u64],
    /// Blocks of memory that is not in the image.
    pub(crate) foreign_blocks: &'a [ForeignBlock],
    /// Addresses and names of thread-locals of the user's own.
    pub(crate) thread_locals: &'a [(Range<u64>, String)],
    /// What the executable got from the dynamic linker in this run and in the other one.
    pub(crate) bindings: &'a Bindings,
    /// Where texts of environment variables begin, and whose they are.
    pub(crate) texts: &'a [(u64, String)],
    /// Where in the image data the roots' values are: nothing is left there by anyone.
    pub(crate) values: &'a [u64],
    /// The numbers of the process and of its freeze thread; zero where they are not known.
    pub(crate) numbers: [u64; 2],
}

impl Known<'_> {
    /// The block that begins at an address and came to be while a root was evaluated.
    pub(super) fn block_at(&self, address: u64) -> Option<Foreign> {
        let mut blocks = self.foreign_blocks.iter();
        blocks.find(|block| block.address == address && !block.root.is_empty()).map(ForeignBlock::at_begin)
    }

    /// Whose text begins at this address.
    fn text_at(&self, address: u64) -> Option<&str> {
        self.texts.iter().find(|(start, _)| *start == address).map(|(_, name)| name.as_str())
    }

    /// What this address means.
    pub(super) fn at(&self, address: u64) -> Option<Foreign> {
        if self.handles.contains(&address) {
            return Some(Foreign::Held("a running thread, that is, its handle".to_owned()));
        }
        if let Some((_, name)) = self.thread_locals.iter().find(|(range, _)| range.contains(&address)) {
            return Some(Foreign::Named(format!("the thread-local `{name}`")));
        }
        let block =
            self.foreign_blocks.iter().find(|block| (block.address..block.address + block.size).contains(&address))?;
        Some(match address == block.address {
            true => block.at_begin(),
            false => Foreign::Named(format!("a place in {block}")),
        })
    }
}

impl ForeignBlock {
    /// What its first address means. C code keeps that of what it allocated.
    pub(super) fn at_begin(&self) -> Foreign {
        match self.allocator {
            Allocator::Malloc if !self.root.is_empty() => Foreign::Held(self.to_string()),
            _ => Foreign::Named(self.to_string()),
        }
    }
}

impl fmt::Display for ForeignBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { allocator, root, size, .. } = self;
        match allocator {
            Allocator::Malloc if root.is_empty() => {
                write!(f, "{size} bytes of C's heap from before the roots were evaluated")
            }
            Allocator::Malloc => {
                write!(f, "{size} bytes that C code allocated with `malloc` while `{root}` was evaluated")
            }
            Allocator::Mmap => write!(f, "{size} bytes of memory that `{root}` mapped with `mmap`"),
        }
    }
}

/// What two addresses in mappings of the same name mean; `known` of either run.
pub(super) fn foreign(
    here: &Mapping,
    a: u64,
    there: &Mapping,
    b: u64,
    [known, known_there]: [&Known<'_>; 2],
    libraries: &mut Libraries,
) -> Option<Foreign> {
    if let Some(what) = known.at(a) {
        return Some(what);
    }
    let offset = here.offset + (a - here.range.start);
    match here.name.as_str() {
        name if name.starts_with("[stack") => Some(match known.text_at(a) {
            // What `getenv` gave, and what is kept of it.
            Some(text) if known_there.text_at(b) == Some(text) => Foreign::Other(format!("the text of {text}")),
            _ => Foreign::Left("the main thread's stack or environment".to_owned()),
        }),
        "" | "[heap]" => Some(Foreign::Other("memory of the C library".to_owned())),
        // Libraries move as a whole; but of some functions they have one for each kind of processor.
        _ if offset != there.offset + (b - there.range.start) && !(here.executable && there.executable) => None,
        name => Some(match libraries.symbol_at(here, a) {
            Some(symbol) => Foreign::Named(format!("`{symbol}` in {name}")),
            None if known.bindings.has(a) => Foreign::Left(format!("code in {name}")),
            // Of functions that there are several of, one for each kind of processor, only the library knows the names.
            None if libraries.is_function(here, a) => Foreign::Named(format!("a function in {name}")),
            None if here.executable => Foreign::Other(format!("code in {name}")),
            None => Foreign::Other(name.to_owned()),
        }),
    }
}

/// The shared libraries that were looked into, each read once.
#[derive(Default)]
pub(super) struct Libraries(BTreeMap<String, Vec<u8>>);

impl Libraries {
    /// The symbol that a shared library has at exactly this address.
    fn symbol_at(&mut self, mapping: &Mapping, address: u64) -> Option<String> {
        let bytes = self.read(mapping);
        let header = elf::FileHeader64::<LE>::parse(bytes).ok()?;
        let value = value(header.program_headers(LE, bytes).ok()?, mapping, address)?;
        let sections = header.sections(LE, bytes).ok()?;
        let symbols = sections.symbols(LE, bytes, elf::SHT_DYNSYM).ok()?;
        let symbol = symbols.iter().find(|symbol| symbol.st_value(LE) == value && value != 0)?;
        Some(String::from_utf8_lossy(symbol.name(LE, symbols.strings()).ok()?).into_owned())
    }

    /// Whether a function begins at this address, by the table in which unwinders look for it. What a call returns to is inside
    /// of one.
    fn is_function(&mut self, mapping: &Mapping, address: u64) -> bool {
        let begins = |bytes: &[u8]| {
            let header = elf::FileHeader64::<LE>::parse(bytes).ok()?;
            let segments = header.program_headers(LE, bytes).ok()?;
            let value = value(segments, mapping, address)?;
            let segment = segments.iter().find(|segment| segment.p_type(LE) == elf::PT_GNU_EH_FRAME)?;
            let table = segment.data(LE, bytes).ok()?;
            Some(begins_function(table, value.wrapping_sub(segment.p_vaddr(LE))))
        };
        mapping.executable && begins(self.read(mapping)) == Some(true)
    }

    fn read(&mut self, mapping: &Mapping) -> &[u8] {
        let read = || std::fs::read(&mapping.name).unwrap_or_default();
        self.0.entry(mapping.name.clone()).or_insert_with(read)
    }
}

/// The address in a library's own numbering of what a mapping of it has at this address.
fn value(segments: &[elf::ProgramHeader64<LE>], mapping: &Mapping, address: u64) -> Option<u64> {
    let offset = mapping.offset + (address - mapping.range.start);
    // Mappings begin at page boundaries, segments do not: the offset may lie in the page before.
    let segment = segments.iter().find(|segment| {
        let start = segment.p_offset(LE) & !0xfff;
        segment.p_type(LE) == elf::PT_LOAD && (start..segment.p_offset(LE) + segment.p_filesz(LE)).contains(&offset)
    })?;
    Some(offset.wrapping_sub(segment.p_offset(LE)).wrapping_add(segment.p_vaddr(LE)))
}

/// Whether a function begins at this distance from a section `.eh_frame_hdr`, whose bytes are `table`. Of its encodings (Linux
/// Standard Base, 10.6.2) the one that all linkers write is understood: four bytes each, distances from the section.
fn begins_function(table: &[u8], distance: u64) -> bool {
    let Some(([1, 0x1b, 0x03, 0x3b, _, _, _, _], rest)) = table.split_first_chunk() else { return false };
    let Some((count, rest)) = rest.split_first_chunk::<4>() else { return false };
    let functions = rest.as_chunks::<8>().0;
    let functions = functions.get(..u32::from_le_bytes(*count) as usize).unwrap_or(functions);
    let begin = |[a, b, c, d, ..]: &[u8; 8]| i64::from(i32::from_le_bytes([*a, *b, *c, *d]));
    functions.binary_search_by_key(&(distance as i64), begin).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_begin_where_unwinders_look_for_them() {
        let entries = [-0x900_i32, -0x480, -0x10, 0x20].into_iter().flat_map(|begin| [begin, 7]);
        let table = [1, 0x1b, 0x03, 0x3b, 0, 0, 0, 0, 4, 0, 0, 0];
        let table: Vec<u8> = table.into_iter().chain(entries.flat_map(i32::to_le_bytes)).collect();
        for (distance, begins) in
            [(-0x900, true), (-0x480, true), (0x20, true), (-0x47c, false), (7, false), (0x28, false)]
        {
            assert_eq!(begins_function(&table, distance as u64), begins, "{distance:#x}");
        }
        assert!(!begins_function(&table[..8], 0) && !begins_function(&[], 0));
        let other = [&[1, 0x1b, 0x03, 0x33], &table[4..]].concat();
        assert!(!begins_function(&other, -0x900_i64 as u64), "another encoding");
    }
}
