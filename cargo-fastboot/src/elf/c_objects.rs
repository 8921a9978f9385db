//! C objects: which statics of an executable belong to C code of the program's own, such as that of a `-sys` crate, and not to
//! the C library, the linker or an allocator.
//!
//! Symbols of one object file stand together, behind a symbol with the name of its source. glibc's archives have none such,
//! so in a static executable their statics come behind the last one of Rust's. That is how they are told apart: a name alone
//! (`table`, `buffer`) says nothing.

use super::binary::Elf;
use super::names::rust_symbol;
use anyhow::{Context, Result};
use object::LittleEndian as LE;
use object::elf;
use object::read::elf::Sym as _;
use std::collections::{BTreeMap, BTreeSet};

/// Variables of the C library that have plain names.
const LIBC: &[&str] = &[
    "daylight",
    "environ",
    "error_message_count",
    "error_one_per_line",
    "error_print_progname",
    "optarg",
    "opterr",
    "optind",
    "optopt",
    "program_invocation_name",
    "program_invocation_short_name",
    "stderr",
    "stdin",
    "stdout",
    "timezone",
    "tzname",
];
/// How names of C's allocators, of profilers and of sanitizers begin. Their statics change whenever the runtime allocates.
const ALLOCATORS: &[&str] = &["mi_", "_mi_", "je_", "_rjem_", "tc_", "tcmalloc", "rpmalloc", "snmalloc"];
/// How the names of the sources end that the compilers make objects of.
const SOURCES: &[&str] = &[".c", ".cc", ".cpp", ".cxx", ".c++", ".C", ".m", ".s", ".S", ".asm", ".f90", ".f"];

/// Where the statics of C objects are.
pub(crate) struct CObjects {
    /// Addresses of statics that only their object knows, each of them one of C's.
    local: BTreeSet<u64>,
    /// Addresses of all others that are not Rust's, and have no name of the C library.
    global: BTreeSet<u64>,
}

impl CObjects {
    /// Looks through the symbols.
    pub(crate) fn read(elf: &Elf<'_>, bytes: &[u8], dynamic: bool) -> Result<Self> {
        let symbols = elf.sections.symbols(LE, bytes, elf::SHT_SYMTAB).context("its symbol table is damaged")?;
        let strings = symbols.strings();
        let mut files = LocalSymbols::default();
        let (mut sanitized, mut globals) = (false, Vec::new());
        for symbol in symbols.iter() {
            let Ok(Ok(name)) = symbol.name(LE, strings).map(str::from_utf8) else { continue };
            sanitized |= name == "__sanitizer_print_stack_trace";
            let is_local = symbol.st_bind() == elf::STB_LOCAL;
            match symbol.st_type() {
                elf::STT_FILE => files.begin(name),
                _ if is_local && is_allocator(name) => files.is_allocator(),
                elf::STT_OBJECT | elf::STT_COMMON | elf::STT_NOTYPE if symbol.st_size(LE) > 0 => {
                    if is_local {
                        files.add(name, symbol.st_value(LE), symbol.st_shndx(LE).0);
                    } else {
                        globals.push((name, symbol.st_value(LE), symbol.st_shndx(LE).0));
                    }
                }
                _ => {}
            }
        }
        if sanitized {
            return Ok(Self { local: BTreeSet::new(), global: BTreeSet::new() });
        }
        let local = files.of_c(dynamic);
        let is_own = |(name, address, section): &(&str, u64, u16)| {
            // In a static executable the C library lies behind.
            let before_libc = files.libc.get(section).is_none_or(|first| address < first);
            is_own_name(name) && (dynamic || before_libc)
        };
        Ok(Self { local, global: globals.iter().filter(|one| is_own(one)).map(|(_, address, _)| *address).collect() })
    }

    /// Whether the static at an address, which is not Rust's, belongs to C code of the program's own.
    pub(crate) fn own(&self, address: u64) -> bool {
        self.local.contains(&address) || self.global.contains(&address)
    }
}

fn is_allocator(name: &str) -> bool {
    ALLOCATORS.iter().any(|prefix| name.starts_with(prefix))
}

/// Whether the name is one that a program's own C code could give.
fn is_own_name(name: &str) -> bool {
    let is_cxx = name.starts_with("_Z");
    rust_symbol(name).is_none() && (is_cxx || !name.starts_with('_')) && !is_allocator(name) && !LIBC.contains(&name)
}

/// The local symbols, object by object.
#[derive(Default)]
struct LocalSymbols {
    /// The statics of each object of C.
    objects: Vec<CObject>,
    /// Those of objects that have no source's name, behind one of Rust's.
    others: Vec<u64>,
    /// The first address in each section of those: where the C library begins.
    libc: BTreeMap<u16, u64>,
    now: SourceKind,
}

#[derive(Default)]
struct CObject {
    statics: Vec<u64>,
    is_allocator: bool,
}

/// What the object is that the last name of a source stands for.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum SourceKind {
    C,
    /// What the compiler driver adds to every program.
    StartFile,
    #[default]
    Rust,
}

impl LocalSymbols {
    fn begin(&mut self, source: &str) {
        self.now = match source {
            "crtstuff.c" => SourceKind::StartFile,
            _ if SOURCES.iter().any(|end| source.ends_with(end)) => SourceKind::C,
            _ => SourceKind::Rust,
        };
        if self.now == SourceKind::C {
            self.objects.push(CObject::default());
        }
    }

    fn is_allocator(&mut self) {
        if self.now == SourceKind::C
            && let Some(object) = self.objects.last_mut()
        {
            object.is_allocator = true;
        }
    }

    fn add(&mut self, name: &str, address: u64, section: u16) {
        if rust_symbol(name).is_some() {
            return;
        }
        match self.now {
            SourceKind::C => self.objects.last_mut().into_iter().for_each(|object| object.statics.push(address)),
            SourceKind::StartFile => {}
            SourceKind::Rust => {
                let first = self.libc.entry(section).or_insert(address);
                *first = address.min(*first);
                if is_own_name(name) {
                    self.others.push(address);
                }
            }
        }
    }

    fn of_c(&self, dynamic: bool) -> BTreeSet<u64> {
        let objects = self.objects.iter().filter(|object| !object.is_allocator);
        let own = objects.flat_map(|object| &object.statics);
        own.chain(self.others.iter().filter(|_| dynamic)).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> LocalSymbols {
        let mut files = LocalSymbols::default();
        files.begin("crtstuff.c");
        files.add("completed.0", 0x10, 1);
        files.begin("engine.c");
        files.add("table", 0x20, 1);
        files.begin("heap.c");
        files.is_allocator();
        files.add("arenas", 0x30, 1);
        files.begin("std.0123-cgu.0");
        files.add("_ZN3std1A17h0123456789abcdefE", 0x40, 1);
        files.add("main_arena", 0x50, 1);
        files
    }

    #[test]
    fn statics_of_c_are_told_from_those_of_the_c_library() {
        assert_eq!(files().of_c(false), BTreeSet::from([0x20]));
        assert_eq!(files().of_c(true), BTreeSet::from([0x20, 0x50]), "there is no C library in a dynamic executable");
        assert_eq!(files().libc, BTreeMap::from([(1, 0x50)]));
    }

    #[test]
    fn names_of_the_system_are_none_of_the_programs_own() {
        for name in
            ["environ", "_IO_2_1_stdout_", "__libc_argv", "_rjem_je_opt", "mi_heap", "_ZN3std1A17h0123456789abcdefE"]
        {
            assert!(!is_own_name(name), "{name}");
        }
        for name in ["table", "_ZL5table", "g_state"] {
            assert!(is_own_name(name), "{name}");
        }
    }
}
