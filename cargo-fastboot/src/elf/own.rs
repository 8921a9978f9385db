//! Own: which crates are the user's, as far as symbols tell: those that have fastboot's macros in their code.

use super::binary::Elf;
use super::names::{Name, last_name};
use anyhow::{Context, Result};
use object::LittleEndian as LE;
use object::elf;
use object::read::elf::Sym as _;
use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::ops::Range;

/// What `install!`, and what `frozen!` and `warm!` declare.
const DECLARED: &[&str] = &["__FASTBOOT_CONFIG", "__FASTBOOT_RECORD"];

/// The crates whose code has `install!`, `frozen!`, or `warm!`: the program's own, and libraries with roots.
fn own_crates(elf: &Elf<'_>, bytes: &[u8]) -> Result<BTreeSet<String>> {
    let symbols = elf.sections.symbols(LE, bytes, elf::SHT_SYMTAB).context("its symbol table is damaged")?;
    let names = symbols.iter().filter_map(|symbol| str::from_utf8(symbol.name(LE, symbols.strings()).ok()?).ok());
    let declared = names.filter(|text| DECLARED.iter().any(|name| text.contains(name))).map(Name::of);
    let declared = declared.filter(|name| DECLARED.contains(&last_name(&name.text)));
    Ok(declared.filter_map(|name| name.crate_name).filter(|name| name != "fastboot_rt").collect())
}
/// What the compiler calls the function of a closure that is a plain function pointer.
const CLOSURE: &str = "core::ops::function::FnOnce::call_once";

/// Whose statics and functions of an executable are.
pub(crate) struct Owners<'a> {
    elf: &'a Elf<'a>,
    bytes: &'a [u8],
    /// How far above the addresses in the file it is loaded.
    bias: u64,
    crates: BTreeSet<String>,
    functions: OnceCell<Functions>,
}

impl<'a> Owners<'a> {
    pub(crate) fn read(elf: &'a Elf<'a>, bytes: &'a [u8], bias: u64) -> Result<Self> {
        Ok(Self { elf, bytes, bias, crates: own_crates(elf, bytes)?, functions: OnceCell::new() })
    }

    /// Whether a crate is the user's, as far as is known.
    pub(crate) fn has(&self, crate_name: Option<&str>) -> bool {
        crate_name.is_some_and(|name| self.crates.contains(name))
    }

    /// Whether a word is known to be the address of a function of other crates than this one.
    pub(crate) fn are_of_others(&self, word: &[u8], crate_name: &str) -> bool {
        let Some(address) = word.first_chunk().map(|word| u64::from_le_bytes(*word).wrapping_sub(self.bias)) else {
            return false;
        };
        self.functions.get_or_init(|| Functions::read(self.elf, self.bytes)).are_of_others(address, crate_name)
    }
}

/// Functions of Rust's in the executable by their addresses, as in the file.
#[derive(Default)]
struct Functions(Vec<(Range<u64>, Name)>);

impl Functions {
    /// Those that there are symbols for.
    fn read(elf: &Elf<'_>, bytes: &[u8]) -> Self {
        let Ok(symbols) = elf.sections.symbols(LE, bytes, elf::SHT_SYMTAB) else { return Self::default() };
        let functions = symbols.iter().filter(|symbol| symbol.st_type() == elf::STT_FUNC);
        let named = functions.filter_map(|symbol| {
            let name = Name::of(str::from_utf8(symbol.name(LE, symbols.strings()).ok()?).ok()?);
            let start = symbol.st_value(LE);
            name.crate_name.is_some().then(|| (start..start + symbol.st_size(LE).max(1), name))
        });
        Self(named.collect())
    }

    /// Whether all that is known of what is at an address is that it belongs to other crates than this one. Equal functions may
    /// be one with many names.
    fn are_of_others(&self, address: u64, crate_name: &str) -> bool {
        let mut names = self.0.iter().filter(|(range, _)| range.contains(&address)).map(|(_, name)| name).peekable();
        let is_other = |name: &Name| {
            let of = name.crate_name.as_deref().unwrap_or_default();
            // Functions of the standard library do for all crates; but a closure is somebody's.
            name.text.starts_with(CLOSURE) || of != crate_name && !["core", "alloc", "std"].contains(&of)
        };
        names.peek().is_some() && names.all(is_other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_of_others_are_told_from_those_of_the_crate() {
        let name = |text: &str, of: &str| Name { text: text.to_owned(), crate_name: Some(of.to_owned()) };
        let functions = Functions(vec![
            (0x100..0x110, name("memchr::find_avx2", "memchr")),
            (0x200..0x210, name("app::mine", "app")),
            (0x300..0x310, name("app::equal", "app")),
            (0x300..0x310, name("memchr::equal", "memchr")),
            (0x400..0x410, name(CLOSURE, "core")),
            (0x500..0x510, name("core::str::count", "core")),
        ]);
        let others = |address: u64| functions.are_of_others(address, "memchr");
        assert_eq!([0x100, 0x200, 0x300, 0x400, 0x500, 0x600].map(others), [false, true, false, true, false, false]);
    }
}
