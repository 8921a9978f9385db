//! Rules: what is to become of every static where the program freezes itself.

use super::decide::{Decision, Facts};
use super::linked;
use super::policy::Chosen;
use crate::elf::binary::Elf;
use crate::elf::names::is_part;
use crate::elf::own::Owners;
use crate::elf::spans::{Owner, Spans};
use crate::options::Choices;
use anyhow::{Context, Result};
use fastboot_format::image::{self as format, Rule};
use fastboot_format::statics::Dump;

/// Size in bytes of a word.
const WORD: u64 = 8;

/// Every static of Rust's, ascending by address, and what is to become of it where the program freezes itself: there
/// nobody has symbols, nor this table of rules.
///
/// What depends on the values that statics have is decided there ([`Rule::CarryUnlessCode`]), or from those in the file.
///
/// # Errors
/// If the file is damaged, or the choices are wrong.
pub(crate) fn rules(elf: &Elf<'_>, bytes: &[u8], choices: &Choices) -> Result<Vec<format::Static>> {
    let chosen = Chosen::parse(choices)?;
    let memory = linked::memory(elf, bytes)?;
    // None of them changed: no rule is to be about what they changed into.
    let dump = |(address, bytes)| Dump { address, before: bytes, after: bytes };
    let dumps: Vec<Dump<'_>> = memory.iter().map(|(address, bytes)| dump((*address, bytes.as_slice()))).collect();
    let spans = Spans::read(elf, bytes, &dumps, &[])?;
    let owners = Owners::read(elf, bytes, 0)?;
    let mut rules = Vec::new();
    for piece in dumps.iter().flat_map(|dump| spans.pieces(dump)) {
        let span = &spans.all[piece.span];
        let Owner::Symbol(symbol) = span.owner else { continue };
        let Some(name) = spans.name(piece.span, piece.range.start) else { continue };
        let facts = Facts { name: Some(&name), span, dumps: &dumps, code: &[], is_number: &|_| false, owners: &owners };
        let carry = match facts.decide(&chosen, false)? {
            Decision::Carry(_) => true,
            // Nothing in an image refers to ours; what C has cannot be known.
            Decision::Skip(_) if name.crate_name.as_deref().is_none_or(|name| name == "fastboot_rt") => continue,
            Decision::Skip(_) => false,
        };
        let by_user = match &name.crate_name {
            Some(crate_name) => chosen.of(&name.text, crate_name)?.is_some(),
            None => true,
        };
        let is_word = span.range.end - span.range.start == WORD && !is_part(symbol);
        let rule = match carry {
            false => Rule::Skip,
            true if is_word && !by_user => Rule::CarryUnlessCode,
            true => Rule::Carry,
        };
        let length = u32::try_from(piece.range.end - piece.range.start)
            .with_context(|| format!("the static `{}` has more than 4 GiB", name.text))?;
        rules.push(format::Static { address: piece.range.start, length, rule });
    }
    rules.sort_by_key(|one| one.address);
    Ok(rules)
}
