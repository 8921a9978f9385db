//! Makers: which function made each allocation of a plan run, from the traces that it recorded.
//!
//! A trace begins in the allocator and in the standard library's collections. Who made the allocation is the first
//! function that belongs to neither: a symbol of the executable, so what was inlined counts as the function it was
//! inlined into.

use crate::elf::binary::{Binary, Elf};
use crate::elf::names::Name;
use crate::runs::capture::Capture;
use anyhow::{Context, Result};
use object::LittleEndian as LE;
use object::elf;
use object::read::elf::Sym as _;
use std::collections::HashMap;
use std::ops::Range;

/// Crates whose functions make allocations for others: the allocator, the standard library with the hash tables in it.
const FOR_OTHERS: [&str; 6] = ["alloc", "core", "std", "hashbrown", "fastboot_rt", "__rustc"];
/// Names are cut after this many bytes: those of closures in generic functions can fill pages.
const LONGEST: usize = 300;

/// The functions that made allocations.
#[derive(Debug, Default)]
pub(crate) struct Makers {
    names: Vec<String>,
    /// For each block the number of its maker's name, or `NONE`. Empty if there were no traces.
    of_block: Vec<u32>,
}

const NONE: u32 = u32::MAX;

impl Makers {
    /// Finds them; nobody if the capture has no traces.
    pub(crate) fn find(binary: &Binary, capture: &Capture) -> Result<Self> {
        if capture.traces.is_empty() {
            return Ok(Self::default());
        }
        let mut functions = Functions::read(binary).context("cannot tell which functions made allocations")?;
        let (mut names, mut number_of) = (Vec::new(), HashMap::new());
        let mut of_trace = HashMap::new();
        let mut number = |place: u32| {
            let name = functions.maker(trace(&capture.trace_words, place))?;
            Some(*number_of.entry(name).or_insert_with_key(|name| {
                names.push(name.clone());
                names.len() as u32 - 1
            }))
        };
        let of_block = capture
            .traces
            .iter()
            .map(|place| *of_trace.entry(*place).or_insert_with(|| number(*place).unwrap_or(NONE)));
        let of_block = of_block.collect();
        Ok(Self { names, of_block })
    }

    /// Whether there were traces.
    pub(crate) fn are_known(&self) -> bool {
        !self.of_block.is_empty()
    }

    /// The number of the function that made a block; `None` if nobody knows.
    pub(crate) fn of(&self, block: u32) -> Option<u32> {
        self.of_block.get(block as usize).copied().filter(|number| *number != NONE)
    }

    /// The name of a function.
    pub(crate) fn name(&self, number: u32) -> &str {
        self.names.get(number as usize).map_or("", String::as_str)
    }
}

/// The return addresses of the trace at a place.
fn trace(words: &[u32], place: u32) -> &[u32] {
    let place = place as usize;
    let found = words.get(place).and_then(|count| words.get(place + 1..place + 1 + *count as usize));
    if place == 0 { &[] } else { found.unwrap_or(&[]) }
}

/// The functions of an executable.
struct Functions<'a> {
    /// Where it begins, which the addresses in traces are counted from.
    first: u64,
    /// Addresses as in the file, ascending, and symbols.
    symbols: Vec<(Range<u64>, &'a str)>,
    /// Those of them that were asked for, understood.
    names: HashMap<usize, Name>,
}

impl<'a> Functions<'a> {
    fn read(binary: &'a Binary) -> Result<Self> {
        let elf = Elf::parse(&binary.bytes)?;
        let table = elf.sections.symbols(LE, binary.bytes.as_slice(), elf::SHT_SYMTAB);
        let table = table.context("its symbol table is damaged")?;
        let functions = table.iter().filter(|symbol| symbol.st_type() == elf::STT_FUNC && symbol.st_size(LE) > 0);
        let mut symbols: Vec<(Range<u64>, &str)> = functions
            .filter_map(|symbol| {
                let name = str::from_utf8(symbol.name(LE, table.strings()).ok()?).ok()?;
                let start = symbol.st_value(LE);
                Some((start..start.saturating_add(symbol.st_size(LE)), name))
            })
            .collect();
        // Functions that were folded into one share it; the name that comes first stands for all.
        symbols.sort_unstable_by(|(a, name), (b, other)| (a.start, name).cmp(&(b.start, other)));
        symbols.dedup_by_key(|(range, _)| range.start);
        Ok(Self { first: binary.first_address()?, symbols, names: HashMap::new() })
    }

    /// The function that has an address in it.
    fn at(&mut self, address: u64) -> Option<&Name> {
        let after = self.symbols.partition_point(|(range, _)| range.start <= address);
        let index = after.checked_sub(1)?;
        let (range, symbol) = &self.symbols[index];
        range.contains(&address).then(|| &*self.names.entry(index).or_insert_with(|| Name::of(symbol)))
    }

    /// Who made what has this trace.
    fn maker(&mut self, trace: &[u32]) -> Option<String> {
        trace.iter().find_map(|address| {
            // A return address is behind the call, which may be the last instruction of its function.
            let name = self.at(self.first + u64::from(*address).checked_sub(1)?)?;
            let own = name.crate_name.as_deref().is_some_and(|name| !FOR_OTHERS.contains(&name));
            own.then(|| shortened(&name.text))
        })
    }
}

fn shortened(name: &str) -> String {
    match name.char_indices().find(|(at, _)| *at >= LONGEST) {
        Some((at, _)) => format!("{}…", &name[..at]),
        None => name.to_owned(),
    }
}
