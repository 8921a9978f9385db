//! Attribute: which statics of the executable changed while the roots were evaluated, and whose they are.
//!
//! ```text
//!  before  |....|aaaa|....|bbbb|cccc|      every writable PT_LOAD, dumped twice by the freeze run
//!  after   |....|aaXa|....|bbbb|cYYc|
//!                  |             ||        compared word by word
//!  symbols      [ A      ]    [ C  ]      the innermost symbol over a changed byte is its static
//! ```
//!
//! Nothing is read but the symbol table and the two dumps: what a changed word points at is for the caller to judge.

use super::decide::{self, Decision, Facts};
use super::linked::{Linked, Moved};
use super::policy::Chosen;
use crate::elf::binary::{Elf, Twin};
use crate::elf::c_objects::CObjects;
use crate::elf::own::Owners;
use crate::elf::spans::Spans;
use crate::options::Choices;
use anyhow::{Context, Result, bail};
use fastboot_format::statics::Dump;
use object::LittleEndian as LE;
use object::elf;
use object::read::elf::ProgramHeader as _;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

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
    /// Whether that is what the user chose.
    pub(crate) chosen: bool,
    /// Whether it was changed before the roots were evaluated, too: constructors did that, and do it in the program.
    pub(crate) constructed: bool,
    /// Whether it belongs to C code of the program's own.
    pub(crate) of_c: bool,
    /// Whether its crate is the user's, as far as is known.
    pub(crate) own: bool,
    /// The symbol of the whole, if LLVM split it and this is one of the parts.
    pub(crate) part_of: Option<String>,
}

impl Static {
    /// Whether it is what the macro of the crate `cpufeatures` makes, and carried as such.
    pub(crate) fn is_cpu_cache(&self) -> bool {
        matches!(&self.decision, Decision::Carry(reason) if reason == decide::CPU_CACHE)
    }
}

/// Name of what no symbol covers.
pub(crate) const NO_SYMBOL: &str = "<no symbol>";

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
    twin: Option<Twin<'_>>,
    dumps: &[Dump<'_>],
    roots: &[Range<u64>],
    executable: Range<u64>,
    choices: &Choices,
) -> Result<Vec<Static>> {
    let chosen = Chosen::parse(choices)?;
    let bias = bias(elf, executable.start)?;
    let code = code(elf, bias);
    let linked = Linked::read(elf, bytes, bias)?;
    let moved = twin.map(|twin| Moved::read(twin, bias)).transpose()?;
    let spans = Spans::read(elf, bytes, dumps, roots)?;
    let dynamic = elf.segments.iter().any(|segment| segment.p_type(LE) == elf::PT_INTERP);
    let owners = Owners::read(elf, bytes, bias)?;
    let c_objects = CObjects::read(elf, bytes, dynamic)?;

    let found = changes(dumps, &spans)?;
    let mut statics = Vec::with_capacity(found.len());
    for ((_, index), changed) in found {
        let span = &spans.all[index];
        let (Some(first), Some(last)) = (changed.first(), changed.last()) else { continue };
        let whole = if span.is_static() { span.range.clone() } else { first.start..last.end };
        let name = spans.name(index, first.start);
        let is_number =
            |before: &[u8]| moved.as_ref().is_some_and(|twin| twin.has_number(&linked, span.range.start, before));
        let facts = Facts { name: name.as_ref(), span, dumps, code: &code, is_number: &is_number, owners: &owners };
        let decision = facts.decide(&chosen, spans.stripped)?;
        let by_user = facts.is_chosen(&chosen)?;
        let (text, crate_name) = match name {
            Some(name) => (name.text, name.crate_name),
            None => (NO_SYMBOL.to_owned(), None),
        };
        let before = dumps.iter().find_map(|dump| dump.bytes(&whole)).map(|(before, _)| before);
        let size = whole.end - whole.start;
        statics.push(Static {
            name: text,
            own: owners.has(crate_name.as_deref()),
            crate_name,
            address: whole.start,
            size,
            changed,
            decision,
            chosen: by_user,
            of_c: span.is_static() && c_objects.own(whole.start),
            constructed: before.is_some_and(|before| linked.differs(whole.start, before)),
            part_of: span.part_of(),
        });
    }
    statics.sort_by_key(|one| one.address);
    make_whole(&mut statics);
    Ok(statics)
}

/// By the address where a static begins and the index of its span: what changed of it.
type Changes = BTreeMap<(u64, usize), Vec<Range<u64>>>;

/// What changed of each span.
fn changes(dumps: &[Dump<'_>], spans: &Spans<'_>) -> Result<Changes> {
    let mut found = BTreeMap::<_, Vec<_>>::new();
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
    Ok(found)
}

/// What is carried is carried whole. Where nothing but the expressions changed a static, the words that changed are all there
/// is to it; where constructors did so too, every byte of it counts. And all parts of one static share one fate.
fn make_whole(statics: &mut [Static]) {
    let constructed: BTreeSet<String> =
        statics.iter().filter(|one| one.constructed).filter_map(|one| one.part_of.clone()).collect();
    for one in statics {
        one.constructed |= one.part_of.as_ref().is_some_and(|symbol| constructed.contains(symbol));
        if one.constructed && one.chosen {
            one.changed.clear();
            one.changed.push(one.address..one.address + one.size);
        }
    }
}

fn loads<'a>(elf: &Elf<'a>) -> impl Iterator<Item = &'a elf::ProgramHeader64<LE>> {
    elf.segments.iter().filter(|segment| segment.p_type(LE) == elf::PT_LOAD)
}

/// How far from the addresses in the file the freeze run had the executable, which began at `executable`.
fn bias(elf: &Elf<'_>, executable: u64) -> Result<u64> {
    let first = loads(elf).map(|segment| segment.p_vaddr(LE)).min().context("it has no PT_LOAD segment")?;
    Ok(executable.wrapping_sub(first / PAGE * PAGE))
}

/// Where the freeze run had its code.
fn code(elf: &Elf<'_>, bias: u64) -> Vec<Range<u64>> {
    let code = loads(elf).filter(|segment| segment.p_flags(LE).contains(elf::PF_X)).map(|segment| {
        let start = segment.p_vaddr(LE).wrapping_add(bias);
        start..start.saturating_add(segment.p_memsz(LE))
    });
    code.collect()
}

#[cfg(test)]
#[expect(clippy::single_range_in_vec_init, reason = "lists of ranges, some of them with one")]
mod tests {
    use super::*;

    const CODE: u64 = 0x40_0000;
    const DATA: u64 = 0x40_2000;
    const OBJECT: u8 = 1;

    /// An executable with 4 KiB of code and 8 KiB of `.data`, of which only the tables are in the file.
    fn executable(symbols: &[(&str, u64, u64, u8)]) -> Vec<u8> {
        let (mut strings, mut table) = (vec![0], vec![0; 24]);
        for (name, address, size, info) in symbols {
            table.extend((strings.len() as u32).to_le_bytes());
            table.extend([*info, 0, 2, 0]);
            table.extend([*address, *size].map(u64::to_le_bytes).concat());
            strings.extend([name.as_bytes(), b"\0"].concat());
        }
        let names = b"\0.text\0.data\0.symtab\0.strtab\0";
        let tables_at = 64 + 2 * 56;
        let strings_at = tables_at + table.len();
        let names_at = strings_at + strings.len();
        let sections_at = (names_at + names.len()).next_multiple_of(8);

        let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0\x01\0\0\0".to_vec();
        file.extend([CODE, 64, sections_at as u64].map(u64::to_le_bytes).concat());
        file.extend([0_u16, 0, 64, 56, 2, 64, 6, 5].map(u16::to_le_bytes).concat());
        for (flags, address, size) in [(5_u32, CODE, 0x1000_u64), (6, DATA, 0x2000)] {
            file.extend([1, flags].map(u32::to_le_bytes).concat());
            file.extend([0, address, address, 0, size, 0x1000].map(u64::to_le_bytes).concat());
        }
        file.extend([table.as_slice(), &strings, names].concat());
        file.resize(sections_at, 0);
        let mut section =
            |name: u32, kind: u32, flags: u64, [address, offset, size]: [usize; 3], link: u32, entry: u64| {
                file.extend([name, kind].map(u32::to_le_bytes).concat());
                file.extend([flags, address as u64, offset as u64, size as u64].map(u64::to_le_bytes).concat());
                file.extend([link, 0].map(u32::to_le_bytes).concat());
                file.extend([8, entry].map(u64::to_le_bytes).concat());
            };
        section(0, 0, 0, [0; 3], 0, 0);
        section(1, 8, 6, [CODE as usize, 0, 0x1000], 0, 0);
        section(7, 8, 3, [DATA as usize, 0, 0x2000], 0, 0);
        section(13, if symbols.is_empty() { 7 } else { 2 }, 0, [0, tables_at, table.len()], 4, 24);
        section(21, 3, 0, [0, strings_at, strings.len()], 0, 0);
        section(0, 3, 0, [0, names_at, names.len()], 0, 0);
        file
    }

    struct Case<'a> {
        symbols: &'a [(&'a str, u64, u64, u8)],
        before: Vec<u8>,
        after: Vec<u8>,
        roots: Vec<Range<u64>>,
        choices: Choices,
    }

    impl<'a> Case<'a> {
        fn new(symbols: &'a [(&'a str, u64, u64, u8)]) -> Self {
            let memory = vec![0; 0x2000];
            Self { symbols, before: memory.clone(), after: memory, roots: Vec::new(), choices: Choices::default() }
        }

        fn word(mut self, at: u64, before: u64, after: u64) -> Self {
            let at = (at - DATA) as usize;
            self.before[at..at + 8].copy_from_slice(&before.to_le_bytes());
            self.after[at..at + 8].copy_from_slice(&after.to_le_bytes());
            self
        }

        fn carry(mut self, name: &str) -> Self {
            self.choices.carry.push(name.to_owned());
            self
        }

        fn run(self) -> Result<Vec<Static>> {
            let file = executable(self.symbols);
            let dump = Dump { address: DATA, before: &self.before, after: &self.after };
            attribute(&Elf::parse(&file)?, &file, None, &[dump], &self.roots, CODE..DATA + 0x2000, &self.choices)
        }

        fn names(self) -> Vec<(String, bool)> {
            let statics = self.run().unwrap();
            statics.into_iter().map(|one| (one.name, matches!(one.decision, Decision::Carry(_)))).collect()
        }
    }

    fn carried(name: &str) -> (String, bool) {
        (name.to_owned(), true)
    }

    fn skipped(name: &str) -> (String, bool) {
        (name.to_owned(), false)
    }

    const A: &str = "_ZN3lib1A17h0123456789abcdefE";
    const B: &str = "_ZN3lib1B17h0123456789abcdefE.llvm.12";
    const STD: &str = "_RNvNtNtCsjrHSEGnQ3l9_3std6thread11main_thread4MAIN.0";

    #[test]
    fn what_changed_is_named_and_measured() {
        let symbols = [(A, DATA, 32, OBJECT), (B, DATA + 0x1000, 8, OBJECT)];
        let found = Case::new(&symbols).word(DATA + 8, 0, 1).word(DATA + 16, 0, 1).run().unwrap();
        assert_eq!(
            found,
            [Static {
                name: "lib::A".to_owned(),
                crate_name: Some("lib".to_owned()),
                address: DATA,
                size: 32,
                changed: vec![DATA + 8..DATA + 24],
                decision: Decision::Carry("state of `lib`".into()),
                chosen: false,
                constructed: false,
                of_c: false,
                own: false,
                part_of: None,
            }]
        );
        assert!(Case::new(&symbols).run().unwrap().is_empty());
    }

    #[test]
    fn neighbours_in_one_word_are_told_apart() {
        let symbols = [(A, DATA, 1, OBJECT), (STD, DATA + 1, 1, OBJECT), (B, DATA + 2, 1, OBJECT)];
        let found = Case::new(&symbols).word(DATA, 0, 0x01_01_00).run().unwrap();
        let changed: Vec<_> = found.iter().map(|one| (one.name.as_str(), one.changed.clone())).collect();
        assert_eq!(
            changed,
            [("std::thread::main_thread::MAIN", vec![DATA + 1..DATA + 2]), ("lib::B", vec![DATA + 2..DATA + 3])]
        );
    }

    #[test]
    fn the_innermost_symbol_counts_and_the_rest_is_the_outers() {
        let symbols = [(A, DATA, 24, OBJECT), (B, DATA + 8, 8, OBJECT), ("c_alias", DATA + 8, 8, OBJECT)];
        let found = Case::new(&symbols).word(DATA, 0, 1).word(DATA + 8, 0, 1).word(DATA + 16, 0, 1).run().unwrap();
        let changed: Vec<_> = found.iter().map(|one| (one.name.as_str(), one.changed.clone())).collect();
        assert_eq!(
            changed,
            [("lib::A", vec![DATA..DATA + 8, DATA + 16..DATA + 24]), ("lib::B", vec![DATA + 8..DATA + 16])]
        );
    }

    #[test]
    fn marks_sections_and_thread_locals_are_no_statics() {
        const SECTION: u8 = 3;
        const TLS: u8 = 6;
        let symbols =
            [("_edata", DATA, 0, 0), (".data", DATA, 64, SECTION), (A, DATA, 64, TLS), (B, DATA + 64, 8, OBJECT)];
        let found = Case::new(&symbols).word(DATA, 0, 1).run().unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].name.as_str(), found[0].address, found[0].size), (NO_SYMBOL, DATA, 8));
        assert_eq!(found[0].decision, Decision::Skip("no symbol (section .data)".into()));
    }

    #[test]
    fn a_stripped_binary_has_all_its_changes_skipped() {
        let found = Case::new(&[]).word(DATA + 8, 0, 1).word(DATA + 0x1ff8, 0, 1).run().unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].decision, Decision::Skip("no symbols: the binary is stripped".into()));
        assert_eq!(found[0].changed, [DATA + 8..DATA + 16, DATA + 0x1ff8..DATA + 0x2000]);
    }

    #[test]
    fn roots_are_never_carried() {
        let symbols = [(A, DATA, 16, OBJECT), (B, DATA + 16, 16, OBJECT)];
        let case = || {
            let mut case = Case::new(&symbols).word(DATA + 8, 0, 1).word(DATA + 16, 0, 1);
            case.roots.push(DATA..DATA + 16);
            case
        };
        assert_eq!(case().names(), [skipped("lib::A"), carried("lib::B")]);
        assert_eq!(case().carry("lib").names(), [skipped("lib::A"), carried("lib::B")]);
        let error = case().carry("lib::A").run().unwrap_err().to_string();
        assert!(error.contains("is a root"), "{error}");
    }

    #[test]
    fn what_is_not_rusts_needs_its_full_name() {
        let symbols = [("main_arena", DATA, 8, OBJECT), ("mine", DATA + 8, 8, OBJECT), ("_dl_x", DATA + 16, 8, OBJECT)];
        let case = || Case::new(&symbols).word(DATA, 0, 1).word(DATA + 8, 0, 1).word(DATA + 16, 0, 1);
        let none = [skipped("main_arena"), skipped("mine"), skipped("_dl_x")];
        assert_eq!(case().names(), none);
        assert_eq!(case().carry("*").names(), none);
        assert_eq!(case().carry("mine").names(), [skipped("main_arena"), carried("mine"), skipped("_dl_x")]);
        assert!(case().carry("main_arena").run().is_err());
        assert!(case().carry("_dl_x").run().is_err());
    }

    #[test]
    fn std_is_never_carried() {
        let symbols = [(STD, DATA, 8, OBJECT)];
        let case = || Case::new(&symbols).word(DATA, 0, 1);
        assert_eq!(case().carry("*").names(), [skipped("std::thread::main_thread::MAIN")]);
        assert!(case().carry("std::thread").run().is_err());
    }

    #[test]
    fn dispatch_caches_are_skipped_and_parts_of_statics_are_not() {
        let part = "_ZN3lib1A17h0123456789abcdefE.0";
        let symbols = [(A, DATA, 8, OBJECT), (part, DATA + 8, 8, OBJECT), (B, DATA + 16, 8, OBJECT)];
        let case = Case::new(&symbols).word(DATA, CODE, CODE + 64).word(DATA + 8, CODE, CODE + 64);
        let case = case.word(DATA + 16, 0, CODE + 64);
        assert_eq!(case.names(), [skipped("lib::A"), carried("lib::A"), carried("lib::B")]);
        let chosen = Case::new(&symbols).word(DATA, CODE, CODE + 64).carry("lib");
        assert_eq!(chosen.names(), [carried("lib::A")]);
    }

    #[test]
    fn cpu_feature_caches_are_carried_as_such() {
        let symbols = [("_ZN4sha24avx27STORAGE17h0123456789abcdefE", DATA, 1, OBJECT)];
        let is_cache = |before| Case::new(&symbols).word(DATA, before, 1).run().unwrap()[0].is_cpu_cache();
        assert!(is_cache(0xff) && !is_cache(0));
    }

    #[test]
    fn dumps_that_do_not_match_are_an_error() {
        let mut case = Case::new(&[]);
        case.after.pop();
        assert!(case.run().unwrap_err().to_string().contains("bug of fastboot"));
    }
}
