//! Spans: what may own a byte of a dump, and which of them does.

use super::names::{Name, is_part, rust_symbol};
use crate::elf::binary::Elf;
use anyhow::{Context, Result};
use fastboot_format::statics::Dump;
use object::LittleEndian as LE;
use object::elf;
use object::read::elf::{SectionHeader as _, Sym as _};
use std::collections::BTreeSet;
use std::ops::Range;

/// What may own a byte.
#[derive(Clone, Debug)]
pub(crate) struct Span<'a> {
    pub(crate) range: Range<u64>,
    pub(crate) owner: Owner<'a>,
}

/// In order: the former wins over the latter where they overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Owner<'a> {
    /// A `Frozen` static, a record of the registry, or anything else in a section of fastboot's.
    Root,
    /// A static of a symbol that has a size.
    Symbol(&'a str),
    /// What symbols leave of a section.
    Section(&'a str),
    /// What sections leave of a dump.
    Dump,
}

impl Span<'_> {
    /// Whether it is one thing and not the remains of several.
    pub(crate) fn is_static(&self) -> bool {
        matches!(self.owner, Owner::Root | Owner::Symbol(_))
    }

    /// The symbol of the whole static, if this is one of the parts that LLVM split it into.
    pub(crate) fn part_of(&self) -> Option<String> {
        match self.owner {
            Owner::Symbol(symbol) if is_part(symbol) => rust_symbol(symbol).map(str::to_owned),
            _ => None,
        }
    }

    /// The best owner of a byte comes first: of two symbols the smaller, as it is the more exact; of two names for the
    /// same, Rust's.
    fn rank(&self) -> (u8, u64, bool) {
        let class = match self.owner {
            Owner::Root => 0,
            Owner::Symbol(_) => 1,
            Owner::Section(_) => 2,
            Owner::Dump => 3,
        };
        let foreign = matches!(self.owner, Owner::Symbol(symbol) if rust_symbol(symbol).is_none());
        (class, self.range.end - self.range.start, foreign)
    }
}

/// A stretch of memory with one owner.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    pub(crate) range: Range<u64>,
    pub(crate) span: usize,
}

/// All that may own bytes of the dumps.
#[derive(Debug)]
pub(crate) struct Spans<'a> {
    pub(crate) all: Vec<Span<'a>>,
    /// There is no symbol table.
    pub(crate) stripped: bool,
}

impl<'a> Spans<'a> {
    pub(crate) fn read(elf: &Elf<'a>, bytes: &'a [u8], dumps: &[Dump<'_>], roots: &[Range<u64>]) -> Result<Self> {
        let mut all: Vec<Span<'a>> =
            roots.iter().map(|root| Span { range: root.clone(), owner: Owner::Root }).collect();

        let symbols = elf.sections.symbols(LE, bytes, elf::SHT_SYMTAB).context("its symbol table is damaged")?;
        let strings = symbols.strings();
        for symbol in symbols.iter() {
            // Not sections, files, functions, thread-locals, nor marks such as `_edata`, which have no size.
            let is_data = matches!(symbol.st_type(), elf::STT_OBJECT | elf::STT_NOTYPE | elf::STT_COMMON);
            if !is_data || symbol.is_undefined(LE) || symbol.st_size(LE) == 0 {
                continue;
            }
            let Ok(Ok(text)) = symbol.name(LE, strings).map(str::from_utf8) else { continue };
            if text.is_empty() {
                continue;
            }
            let start = symbol.st_value(LE);
            let range = start..start.saturating_add(symbol.st_size(LE));
            if dumps.iter().any(|dump| overlap(&dump.range(), &range)) {
                all.push(Span { range, owner: Owner::Symbol(text) });
            }
        }

        for section in elf.sections.iter() {
            let flags = section.sh_flags(LE);
            // `.tbss` has addresses but no memory.
            let nothing = flags.contains(elf::SHF_TLS) && section.sh_type(LE) == elf::SHT_NOBITS;
            if !flags.contains(elf::SHF_ALLOC | elf::SHF_WRITE) || nothing {
                continue;
            }
            let Ok(Ok(text)) = elf.sections.section_name(LE, section).map(str::from_utf8) else { continue };
            let start = section.sh_addr(LE);
            let range = start..start.saturating_add(section.sh_size(LE));
            let own = text.starts_with(crate::elf::binary::SECTION);
            all.push(Span { range, owner: if own { Owner::Root } else { Owner::Section(text) } });
        }
        all.extend(dumps.iter().map(|dump| Span { range: dump.range(), owner: Owner::Dump }));
        all.retain(|span| !span.range.is_empty());
        Ok(Self { all, stripped: symbols.is_empty() })
    }

    /// Cuts a dump into pieces with one owner each, ascending.
    pub(crate) fn pieces(&self, dump: &Dump<'_>) -> Vec<Piece> {
        let whole = dump.range();
        let mut edges = Vec::new();
        for (index, span) in self.all.iter().enumerate().filter(|(_, span)| overlap(&span.range, &whole)) {
            let key = (span.rank(), index);
            edges.push((span.range.start.max(whole.start), true, key));
            edges.push((span.range.end.min(whole.end), false, key));
        }
        edges.sort_unstable();
        let mut open = BTreeSet::new();
        let mut pieces: Vec<Piece> = Vec::new();
        let mut at = whole.start;
        for (edge, opens, key) in edges {
            if let Some(&(_, span)) = open.first().filter(|_| at < edge) {
                match pieces.last_mut() {
                    Some(last) if last.span == span && last.range.end == at => last.range.end = edge,
                    _ => pieces.push(Piece { range: at..edge, span }),
                }
            }
            at = edge;
            if opens {
                open.insert(key);
            } else {
                open.remove(&key);
            }
        }
        pieces
    }

    /// What a span is called: by its symbol, or if it is a root, by the symbol over its first changed byte.
    pub(crate) fn name(&self, index: usize, address: u64) -> Option<Name> {
        let here = |span: &&Span<'a>| span.range.contains(&address);
        let span = match self.all[index].owner {
            Owner::Root => {
                let symbols = self.all.iter().filter(|span| matches!(span.owner, Owner::Symbol(_)));
                symbols.filter(here).min_by_key(|span| span.rank())?
            }
            _ => &self.all[index],
        };
        match span.owner {
            Owner::Symbol(symbol) => Some(Name::of(symbol)),
            _ => None,
        }
    }
}

fn overlap(a: &Range<u64>, b: &Range<u64>) -> bool {
    a.start < b.end && b.start < a.end
}
