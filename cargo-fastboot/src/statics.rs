//! Statics: which statics of the executable changed while the roots were evaluated, whose they are, and which of them
//! travel in the image.
//!
//! ```text
//!  before  |....|aaaa|....|bbbb|cccc|      every writable PT_LOAD, dumped twice by the freeze run
//!  after   |....|aaXa|....|bbbb|cYYc|
//!                  |             ||        compared word by word
//!  symbols      [ A      ]    [ C  ]      the innermost symbol over a changed byte is its static
//! ```
//!
//! Nothing is read but the symbol table and the two dumps: what a changed word points at is for the caller to judge.

mod name;
mod policy;

use crate::binary::Elf;
use anyhow::{Context, Result, bail};
use name::{Name, rust_symbol};
use object::LittleEndian as LE;
use object::elf;
use object::read::elf::{ProgramHeader as _, SectionHeader as _, Sym as _};
use policy::{Choice, Chosen};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;

/// One writable range of the executable, before and after the evaluation of the roots.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dump<'a> {
    /// Address as in the ELF file, that is, with the load bias subtracted.
    pub(crate) address: u64,
    /// Its bytes before.
    pub(crate) before: &'a [u8],
    /// Its bytes after, as many.
    pub(crate) after: &'a [u8],
}

/// A static that changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Static {
    /// Its path as in Rust source, without hashes and LLVM's suffixes; the symbol itself if it is not Rust's;
    /// [`NO_SYMBOL`] if it has none.
    pub(crate) name: String,
    /// The crate that owns it; `None` if it is not Rust's.
    pub(crate) crate_name: Option<String>,
    /// Address as in the ELF file.
    pub(crate) address: u64,
    /// Size in bytes, as its symbol says; without a symbol, the bytes from the first to the last that changed.
    pub(crate) size: u64,
    /// What changed, as ascending addresses in whole aligned words, except where the static itself begins or ends
    /// within a word. Never empty.
    pub(crate) changed: Vec<Range<u64>>,
    /// Whether it travels in the image.
    pub(crate) decision: Decision,
}

/// Why something was decided, to be shown and stored.
pub(crate) type Reason = Cow<'static, str>;

/// Whether a static travels in the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Its changed bytes are restored at start, before user code.
    Carry(Reason),
    /// It starts as the linker made it.
    Skip(Reason),
}

/// What `[package.metadata.fastboot]` of the user's package chooses: names of crates, of modules or of statics, or the
/// beginning of such a name and `*`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Choices {
    /// Carried though the table says otherwise.
    pub(crate) carry: Vec<String>,
    /// Not carried.
    pub(crate) skip: Vec<String>,
}

/// Name of what no symbol covers.
pub(crate) const NO_SYMBOL: &str = "<no symbol>";

const WORD: u64 = 8;
const PAGE: u64 = 4096;

/// Finds the statics that changed, ascending by address, and decides for each whether it is carried.
///
/// `roots` are the addresses, as in the file, of the `Frozen` statics and of the registry's records. `executable` is
/// where the freeze run had its segments, from the page of the first to the end of the last.
///
/// A stripped binary has no symbols, so nothing of it is carried and every change has that as its reason.
///
/// # Errors
/// If the dumps do not fit the file, or the choices are wrong.
pub(crate) fn attribute(
    elf: &Elf<'_>,
    bytes: &[u8],
    dumps: &[Dump<'_>],
    roots: &[Range<u64>],
    executable: Range<u64>,
    choices: &Choices,
) -> Result<Vec<Static>> {
    let chosen = Chosen::parse(choices)?;
    let code = code(elf, executable.start)?;
    let spans = Spans::read(elf, bytes, dumps, roots)?;

    let mut found = BTreeMap::<_, Vec<Range<u64>>>::new();
    for dump in dumps {
        if dump.before.len() != dump.after.len() {
            bail!(
                "the memory at {:#x} was dumped with {} bytes before and {} bytes after the evaluation; \
                 this is a bug of fastboot",
                dump.address,
                dump.before.len(),
                dump.after.len()
            );
        }
        for piece in spans.pieces(dump) {
            let changed = dump.changed(piece.range.clone());
            if changed.is_empty() {
                continue;
            }
            // What belongs to no symbol is told apart by the symbols between.
            let span = &spans.all[piece.span];
            let start = if span.is_static() { span.range.start } else { piece.range.start };
            found.entry((start, piece.span)).or_default().extend(changed);
        }
    }

    let mut statics = Vec::with_capacity(found.len());
    for ((_, index), changed) in found {
        let span = &spans.all[index];
        let (Some(first), Some(last)) = (changed.first(), changed.last()) else { continue };
        let whole = if span.is_static() { span.range.clone() } else { first.start..last.end };
        let name = spans.name(index, first.start);
        let facts = Facts { name: &name, span, dumps, code: &code, whole: !spans.split(&name) };
        let decision = facts.decide(&chosen, spans.stripped)?;
        let (text, crate_name) = match name {
            Some(name) => (name.text, name.crate_name),
            None => (NO_SYMBOL.to_owned(), None),
        };
        let size = whole.end - whole.start;
        statics.push(Static { name: text, crate_name, address: whole.start, size, changed, decision });
    }
    statics.sort_by_key(|one| one.address);
    Ok(statics)
}

impl<'a> Dump<'a> {
    fn range(&self) -> Range<u64> {
        self.address..self.address.saturating_add(self.before.len() as u64)
    }

    /// Bytes of a range, which has to lie inside, before and after.
    fn bytes(&self, range: &Range<u64>) -> Option<(&'a [u8], &'a [u8])> {
        let start = usize::try_from(range.start.checked_sub(self.address)?).ok()?;
        let end = usize::try_from(range.end.checked_sub(self.address)?).ok()?;
        Some((self.before.get(start..end)?, self.after.get(start..end)?))
    }

    fn differs(&self, range: &Range<u64>) -> bool {
        self.bytes(range).is_some_and(|(before, after)| before != after)
    }

    /// The words that changed, as far as they lie in the range, neighbours joined.
    fn changed(&self, range: Range<u64>) -> Vec<Range<u64>> {
        let mut changed: Vec<Range<u64>> = Vec::new();
        for page in steps(range, PAGE).filter(|page| self.differs(page)) {
            for word in steps(page, WORD).filter(|word| self.differs(word)) {
                match changed.last_mut() {
                    Some(last) if last.end == word.start => last.end = word.end,
                    _ => changed.push(word),
                }
            }
        }
        changed
    }
}

/// Cuts a range at the multiples of `step`.
fn steps(range: Range<u64>, step: u64) -> impl Iterator<Item = Range<u64>> {
    let mut at = range.start;
    std::iter::from_fn(move || {
        let start = at;
        at = (start / step + 1).saturating_mul(step).min(range.end);
        (start < at).then_some(start..at)
    })
}

/// Where the freeze run had its code.
fn code(elf: &Elf<'_>, executable: u64) -> Result<Vec<Range<u64>>> {
    let loads = || elf.segments.iter().filter(|segment| segment.p_type(LE) == elf::PT_LOAD);
    let first = loads().map(|segment| segment.p_vaddr(LE)).min().context("it has no PT_LOAD segment")?;
    let bias = executable.wrapping_sub(first / PAGE * PAGE);
    let code = loads().filter(|segment| segment.p_flags(LE).contains(elf::PF_X)).map(|segment| {
        let start = segment.p_vaddr(LE).wrapping_add(bias);
        start..start.saturating_add(segment.p_memsz(LE))
    });
    Ok(code.collect())
}

/// What may own a byte.
#[derive(Clone, Debug)]
struct Span<'a> {
    range: Range<u64>,
    owner: Owner<'a>,
}

/// In order: the former wins over the latter where they overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Owner<'a> {
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
    fn is_static(&self) -> bool {
        matches!(self.owner, Owner::Root | Owner::Symbol(_))
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
struct Piece {
    range: Range<u64>,
    span: usize,
}

/// All that may own bytes of the dumps.
#[derive(Debug)]
struct Spans<'a> {
    all: Vec<Span<'a>>,
    /// How many symbols are parts of the same static.
    parts: HashMap<&'a str, usize>,
    /// There is no symbol table.
    stripped: bool,
}

impl<'a> Spans<'a> {
    fn read(elf: &Elf<'a>, bytes: &'a [u8], dumps: &[Dump<'_>], roots: &[Range<u64>]) -> Result<Self> {
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
        let mut parts = HashMap::new();
        for span in &all {
            if let Owner::Symbol(symbol) = span.owner {
                *parts.entry(rust_symbol(symbol).unwrap_or(symbol)).or_default() += 1;
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
            let own = text.starts_with(crate::binary::SECTION);
            all.push(Span { range, owner: if own { Owner::Root } else { Owner::Section(text) } });
        }
        all.extend(dumps.iter().map(|dump| Span { range: dump.range(), owner: Owner::Dump }));
        all.retain(|span| !span.range.is_empty());
        Ok(Self { all, parts, stripped: symbols.is_empty() })
    }

    /// Cuts a dump into pieces with one owner each, ascending.
    fn pieces(&self, dump: &Dump<'_>) -> Vec<Piece> {
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
    fn name(&self, index: usize, address: u64) -> Option<Name<'a>> {
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

    /// Whether the compiler made several statics of it.
    fn split(&self, name: &Option<Name<'_>>) -> bool {
        let parts = name.as_ref().and_then(|name| self.parts.get(name.mangled));
        parts.is_some_and(|count| *count > 1)
    }
}

fn overlap(a: &Range<u64>, b: &Range<u64>) -> bool {
    a.start < b.end && b.start < a.end
}

/// What a decision is made from.
struct Facts<'a> {
    name: &'a Option<Name<'a>>,
    span: &'a Span<'a>,
    dumps: &'a [Dump<'a>],
    code: &'a [Range<u64>],
    /// Its symbol covers all of it.
    whole: bool,
}

impl Facts<'_> {
    fn decide(&self, chosen: &Chosen, stripped: bool) -> Result<Decision> {
        let skip = |reason: &'static str| Ok(Decision::Skip(reason.into()));
        let by_name = || self.name.as_ref().and_then(|name| chosen.carried_by_name(&name.text));
        if self.span.owner == Owner::Root {
            return match by_name() {
                Some(pattern) => Err(policy::cannot(pattern, "it is a root, and roots are in the image anyway")),
                None => skip("a root"),
            };
        }
        let Some(name) = self.name else {
            return Ok(Decision::Skip(match self.span.owner {
                _ if stripped => "no symbols: the binary is stripped".into(),
                Owner::Section(section) => format!("no symbol (section {section})").into(),
                _ => "no symbol".into(),
            }));
        };
        let Some(crate_name) = &name.crate_name else {
            // It may be a `#[no_mangle]` static. C's own cannot be told from those, so only its full name will do.
            return match by_name() {
                Some(pattern) if name.text.starts_with('_') => {
                    Err(policy::cannot(pattern, "names with a leading `_` belong to the C library and the linker"))
                }
                Some(_) => Ok(Decision::Carry("named by `carry`".into())),
                None => skip("not a Rust symbol"),
            };
        };
        if policy::never(crate_name) {
            return match by_name() {
                Some(pattern) => Err(policy::cannot(pattern, "it belongs to the running process")),
                None => Ok(Decision::Skip(format!("`{crate_name}` belongs to the running process").into())),
            };
        }
        match chosen.of(&name.text, crate_name)? {
            Some(Choice::Carry(by)) => return Ok(Decision::Carry(format!("chosen by carry = `{}`", by.text()).into())),
            Some(Choice::Skip(by)) => return Ok(Decision::Skip(format!("chosen by skip = `{}`", by.text()).into())),
            None => {}
        }
        if self.is_dispatch_cache() {
            return skip("a dispatch cache: the CPU is asked anew");
        }
        if self.is_cpu_feature_cache(&name.text) {
            return skip("a cache of CPU features: the CPU is asked anew");
        }
        match policy::skipped(&name.text, crate_name) {
            Some(reason) => skip(reason),
            None => Ok(Decision::Carry(format!("state of `{crate_name}`").into())),
        }
    }

    fn bytes(&self) -> Option<(&[u8], &[u8])> {
        self.dumps.iter().find_map(|dump| dump.bytes(&self.span.range))
    }

    /// One word, the address of code before and after, such as memchr's `FN`. A word split off a larger static is not:
    /// it would be missed.
    fn is_dispatch_cache(&self) -> bool {
        let is_code = |bytes: &[u8]| {
            let word = bytes.try_into().map(u64::from_le_bytes);
            word.is_ok_and(|word| self.code.iter().any(|code| code.contains(&word)))
        };
        self.whole && self.bytes().is_some_and(|(before, after)| is_code(before) && is_code(after))
    }

    /// What the macro of the crate `cpufeatures` puts into the crates that use it: one byte, 255 for not yet asked.
    fn is_cpu_feature_cache(&self, name: &str) -> bool {
        name.ends_with("::STORAGE") && self.bytes().is_some_and(|(before, _)| before == [u8::MAX])
    }
}
