//! Thread-locals: which ones there are, and which of them changed while the roots were evaluated.
//!
//! None travels in the image, because every thread has its own.

use crate::elf::binary::Elf;
use crate::elf::names::Name;
use anyhow::{Context, Result};
use object::LittleEndian as LE;
use object::elf;
use object::read::elf::Sym as _;
use std::ops::Range;

/// A thread-local of the executable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ThreadLocal {
    /// Its path as in Rust source, or its symbol if it is not Rust's.
    pub(crate) name: String,
    /// The crate that owns it; `None` if it is not Rust's.
    pub(crate) crate_name: Option<String>,
    /// Where it lies in the segment of thread-locals.
    pub(crate) range: Range<u64>,
}

/// The thread-locals that have symbols.
#[derive(Debug, Default)]
pub(crate) struct ThreadLocals(Vec<ThreadLocal>);

impl ThreadLocals {
    /// Reads them from the symbol table.
    pub(crate) fn read(elf: &Elf<'_>, bytes: &[u8]) -> Result<Self> {
        let symbols = elf.sections.symbols(LE, bytes, elf::SHT_SYMTAB).context("its symbol table is damaged")?;
        let named = symbols.iter().filter_map(|symbol| {
            if symbol.st_type() != elf::STT_TLS || symbol.is_undefined(LE) || symbol.st_size(LE) == 0 {
                return None;
            }
            let Name { text, crate_name } = Name::of(str::from_utf8(symbol.name(LE, symbols.strings()).ok()?).ok()?);
            let start = symbol.st_value(LE);
            // What the user declared, without what `thread_local!` makes of it.
            let text = text.split("::{").next().unwrap_or_default().to_owned();
            Some(ThreadLocal { name: text, crate_name, range: start..start.checked_add(symbol.st_size(LE))? })
        });
        Ok(Self(named.collect()))
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &ThreadLocal> {
        self.0.iter()
    }

    /// Those that changed, by the bytes of the whole segment before and after.
    pub(crate) fn changed<'a>(&'a self, before: &'a [u8], after: &'a [u8]) -> impl Iterator<Item = &'a ThreadLocal> {
        self.0.iter().filter(move |one| {
            let range = one.range.start as usize..one.range.end as usize;
            before.get(range.clone()) != after.get(range)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_whose_bytes_differ_have_changed() {
        let one = |name: &str, range| ThreadLocal { name: name.to_owned(), crate_name: None, range };
        let all = ThreadLocals(vec![one("a", 0..8), one("b", 8..16), one("c", 16..17)]);
        let (before, mut after) = ([0; 17], [0; 17]);
        after[15] = 1;
        after[16] = 1;
        let names = |found: Vec<&ThreadLocal>| found.iter().map(|one| one.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(all.changed(&before, &after).collect()), ["b", "c"]);
    }
}
