//! Resolve: where a relocation leads, as the linker has it.

use super::check::{self, Field};
use super::graph::{Graph, Id, Node, Other, SectionNode};
use super::merged::{is_merged, piece_at};
use anyhow::{Context, Result, bail, ensure};
use object::LittleEndian as LE;
use object::elf::{self, Rela64, Sym64};
use object::read::elf::SectionHeader as _;

/// What linkers define themselves: where parts of the executable begin and end.
const BOUNDARIES: [&str; 23] = [
    "_DYNAMIC",
    "_GLOBAL_OFFSET_TABLE_",
    "__GNU_EH_FRAME_HDR",
    "__TMC_END__",
    "__bss_start",
    "__dso_handle",
    "__ehdr_start",
    "__etext",
    "__executable_start",
    "__fini_array_end",
    "__fini_array_start",
    "__init_array_end",
    "__init_array_start",
    "__preinit_array_end",
    "__preinit_array_start",
    "__rela_iplt_end",
    "__rela_iplt_start",
    "_edata",
    "_end",
    "_etext",
    "edata",
    "end",
    "etext",
];

impl<'a> Graph<'a> {
    /// Where a relocation leads. `place`: the address of its field.
    pub(super) fn target(
        &mut self,
        number: usize,
        relocation: &Rela64<LE>,
        place: Option<u64>,
        field: Field,
    ) -> Result<(Id, i64)> {
        let objects = self.objects;
        let object = &objects[number];
        let addend = relocation.r_addend.get(LE);
        let index = relocation.r_sym(LE, false);
        let symbol = object.symbol(index)?;
        let seen = match place {
            Some(place) => field.leads_to(place, addend, self.linked)?,
            None => check::LeadsTo::Unknown,
        };
        let found = if symbol.st_bind() == elf::STB_LOCAL || index == 0 {
            vec![self.defined(number, index, addend, seen)?]
        } else {
            self.named(object.symbol_name(symbol)?, addend, seen)?
        };
        if seen == check::LeadsTo::Unknown && found.len() > 1 {
            return Ok((self.unknown(number, index, "one of several definitions"), addend));
        }
        let fits =
            |(id, value): &&(Id, u64)| seen.may_be(self.address_of(*id).map(|address| address.wrapping_add(*value)));
        let Some((id, value)) = found.iter().find(fits) else {
            bail!(
                "a reference to {} in {} leads elsewhere in the executable ({seen:x?})",
                object.symbol_name(symbol).unwrap_or("a section"),
                object.name,
            );
        };
        Ok((*id, (*value as i64).wrapping_add(addend)))
    }

    /// Where a symbol of an object is defined: node, and offset in it.
    fn defined(&mut self, number: usize, index: u32, addend: i64, seen: check::LeadsTo) -> Result<(Id, u64)> {
        let objects = self.objects;
        let object = &objects[number];
        let symbol = object.symbol(index)?;
        let value = symbol.st_value.get(LE);
        let Some(section) = object.section_of(index, symbol) else {
            if index == 0 || symbol.st_shndx.get(LE) == elf::SHN_ABS {
                return Ok((self.other(Other::Absolute(value), Node::Absolute(value)), 0));
            }
            return Ok((self.unknown(number, index, "a common symbol"), 0));
        };
        if let Some(id) = self.placed.get(&(number, section)) {
            return Ok((*id, value));
        }
        if is_merged(object, section)? {
            return self.merged(number, section, symbol, index, addend, seen);
        }
        // The linker may have taken an equal one for it.
        if let check::LeadsTo::Address(address) = seen
            && let Some(ids) = self.by_address.get(&address.wrapping_sub(value))
            && let Some(id) = ids.iter().find(|id| self.is_alike(**id, number, section))
        {
            return Ok((*id, value));
        }
        Ok((self.unknown(number, index, "a section that was left out"), 0))
    }

    /// Whether a placed section holds the same bytes as one that was not.
    fn is_alike(&self, id: Id, number: usize, section: usize) -> bool {
        let same = |other: &SectionNode<'_>| {
            Some((other.size, other.data))
                == self.objects[number].header(section).ok().map(|header| (header.sh_size(LE), other.data))
        };
        matches!(&self.nodes[id], Node::Section(found) if same(found))
    }

    /// The piece of a merged section that a relocation leads to.
    fn merged(
        &mut self,
        number: usize,
        section: usize,
        symbol: &Sym64<LE>,
        index: u32,
        addend: i64,
        seen: check::LeadsTo,
    ) -> Result<(Id, u64)> {
        let objects = self.objects;
        let object = &objects[number];
        let data = object.data(section)?;
        let header = object.header(section)?;
        let value = symbol.st_value.get(LE);
        // Assemblers name such a section, and not a symbol in it, only where the addend is the place in it.
        let is_section = symbol.st_type() == elf::STT_SECTION;
        let at = if is_section { value.wrapping_add(addend as u64) } else { value };
        let strings = header.sh_flags(LE).contains(elf::SHF_STRINGS);
        let range = piece_at(data, at as usize, header.sh_entsize(LE) as usize, strings).with_context(|| {
            format!("{}: {} has no piece at {at:#x}", object.name, object.section_name(section).unwrap_or_default())
        })?;
        let content = &data[range.clone()];
        let check::LeadsTo::Address(symbol_at) = seen else {
            return Ok((self.unknown(number, index, "a merged piece whose address is not known"), 0));
        };
        // Of a section's symbol, what was seen is the address of the section as if it were whole.
        let address = symbol_at.wrapping_add(range.start as u64).wrapping_sub(value);
        ensure!(
            self.linked.at(address, content.len()) == Some(content),
            "a merged piece of {} is not at {address:#x}",
            object.name
        );
        let id = self.other(Other::Merged(address, content), Node::Merged { address, content });
        Ok((id, value.wrapping_sub(range.start as u64)))
    }

    /// Where a name may be defined, most probable first.
    fn named(&mut self, name: &'a str, addend: i64, seen: check::LeadsTo) -> Result<Vec<(Id, u64)>> {
        let mut names = vec![name];
        if let Some(wrapper) = self.definitions.get_key_value(format!("__wrap_{name}").as_str()).map(|(key, _)| *key)
            && self.wrapped.contains(name)
        {
            names.insert(0, wrapper);
        }
        if let Some(real) = name.strip_prefix("__real_").filter(|real| self.wrapped.contains(real)) {
            names = vec![real];
        }
        let mut found = Vec::new();
        for name in &names {
            let mut all = self.definitions.get(name).cloned().unwrap_or_default();
            // A strong one before a weak one.
            all.sort_by_key(|(object, index)| {
                self.objects[*object].symbol(*index).is_ok_and(|symbol| symbol.st_bind() == elf::STB_WEAK)
            });
            for (object, index) in all {
                found.push(self.defined(object, index, addend, seen)?);
            }
        }
        if found.is_empty() {
            found.push(self.undefined(names.last().copied().unwrap_or(name)));
        }
        Ok(found)
    }

    /// A name that no object defines.
    fn undefined(&mut self, name: &'a str) -> (Id, u64) {
        let section = name.strip_prefix("__start_").or_else(|| name.strip_prefix("__stop_"));
        let node = if self.linked.imports(name) || self.linked.exported.contains_key(name) {
            Node::Outside(name)
        } else if !self.linked.defines(name) {
            Node::Unresolved(name)
        } else if let Some(section) = section {
            let all = self.other(Other::All(section), Node::All { name: section });
            return (all, u64::from(name.starts_with("__stop_")));
        } else if BOUNDARIES.contains(&name) {
            Node::Linker(name)
        } else {
            Node::Unknown(format!("`{name}`, which no object defines"))
        };
        (self.other(Other::Name(name), node), 0)
    }
}
