//! Own: which crates are the user's, as far as symbols tell: those that have fastboot's macros in their code.

use super::binary::Elf;
use super::names::{Name, last_name};
use anyhow::{Context, Result};
use object::LittleEndian as LE;
use object::elf;
use object::read::elf::Sym as _;
use std::collections::BTreeSet;

/// What `install!`, and what `frozen!` and `warm!` declare.
const DECLARED: &[&str] = &["__FASTBOOT_CONFIG", "__FASTBOOT_RECORD"];

/// The crates whose code has `install!`, `frozen!`, or `warm!`: the program's own, and libraries with roots.
pub(crate) fn own_crates(elf: &Elf<'_>, bytes: &[u8]) -> Result<BTreeSet<String>> {
    let symbols = elf.sections.symbols(LE, bytes, elf::SHT_SYMTAB).context("its symbol table is damaged")?;
    let names = symbols.iter().filter_map(|symbol| str::from_utf8(symbol.name(LE, symbols.strings()).ok()?).ok());
    let declared = names.filter(|text| DECLARED.iter().any(|name| text.contains(name))).map(Name::of);
    let declared = declared.filter(|name| DECLARED.contains(&last_name(&name.text)));
    Ok(declared.filter_map(|name| name.crate_name).filter(|name| name != "fastboot_rt").collect())
}
