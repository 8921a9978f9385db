//! What a file holds. Field by field what `inspect --json` prints.

use crate::contents::objects::Size;
use crate::contents::report::{self, Made, Part, Report};
use crate::elf::binary::{Binary, hex};
use crate::image::Image;
use crate::say::shell::grouped;
use anyhow::{Context, Result, bail};
use fastboot_format::image::{
    self as format, FLAGS, FormatError, HeaderPage, MAGIC, Rule, STATIC_LEN, TableKind, relocations,
};
use serde::Serialize;
use std::path::Path;

/// A file.
#[derive(Debug, Serialize)]
pub(crate) struct Found {
    pub(crate) file: String,
    /// `cold`, `embedded` or `snapshot`.
    pub(crate) kind: &'static str,
    /// Where an executable has its image: `section` or `footer`.
    pub(crate) place: Option<&'static str>,
    #[serde(flatten)]
    pub(crate) binary: Option<Executable>,
    pub(crate) image: Option<ImageFacts>,
}

/// What an ELF file says of itself.
#[derive(Debug, Serialize)]
pub(crate) struct Executable {
    pub(crate) identity: String,
    pub(crate) pie: bool,
    pub(crate) dynamic: bool,
    pub(crate) section: Section,
    pub(crate) footer: Option<Footer>,
    /// The statics in the tables of a cold binary.
    pub(crate) statics: Option<KnownStatics>,
}

/// What a cold binary knows of its statics, for a freeze of its own.
#[derive(Debug, Serialize)]
pub(crate) struct KnownStatics {
    pub(crate) known: usize,
    pub(crate) may_be_carried: usize,
}

impl KnownStatics {
    /// Reads the section of a cold binary, if it has tables.
    fn read(binary: &Binary) -> Result<Option<Self>> {
        if binary.is_embedded() || matches!(HeaderPage::decode(binary.section_bytes()), Err(FormatError::Cold)) {
            return Ok(None);
        }
        let cold = Image::from_bytes(binary.section_bytes())?;
        let table = cold.table(TableKind::Statics)?;
        let may_be_carried = format::statics(table).flatten().filter(|one| one.rule != Rule::Skip).count();
        Ok(Some(Self { known: table.len() / STATIC_LEN, may_be_carried }))
    }
}

/// Its `fastboot` section.
#[derive(Debug, Serialize)]
pub(crate) struct Section {
    pub(crate) index: usize,
    pub(crate) segment: Option<usize>,
    pub(crate) address: String,
    pub(crate) offset: u64,
    pub(crate) size: u64,
    pub(crate) align: u64,
}

/// An image at the end of the file.
#[derive(Debug, Serialize)]
pub(crate) struct Footer {
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

/// What there is to know of an image. What its report would say is missing if it has none.
#[derive(Debug, Serialize)]
pub(crate) struct ImageFacts {
    pub(crate) version: u16,
    pub(crate) flags: Vec<&'static str>,
    pub(crate) home: String,
    pub(crate) length: u64,
    pub(crate) data_offset: u64,
    pub(crate) data_length: u64,
    pub(crate) objects: Option<u64>,
    pub(crate) live: Option<u64>,
    /// `live` divided by `data_length`.
    pub(crate) density: Option<f64>,
    pub(crate) planned: Option<u64>,
    pub(crate) placed: Option<u64>,
    pub(crate) overflowed: Option<u64>,
    pub(crate) strayed: Option<u64>,
    /// Words that hold an address of the image.
    pub(crate) pointers: Option<u64>,
    /// Words that are relocated at start.
    pub(crate) static_pointers: u64,
    /// Words that are given the address of something in a shared library at start.
    pub(crate) bound_pointers: u64,
    pub(crate) page_size: u32,
    pub(crate) exe_base: String,
    pub(crate) identity: String,
    /// Names of features, and what else `cpuid` has to answer.
    pub(crate) cpu_features: Vec<String>,
    pub(crate) tables: Vec<Table>,
    pub(crate) roots: Vec<Root>,
    pub(crate) contents: Option<Contents>,
    pub(crate) statics: Vec<Static>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    pub(crate) offset: u64,
    pub(crate) length: u64,
    pub(crate) entries: Option<u64>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Root {
    pub(crate) name: String,
    #[serde(rename = "type")]
    pub(crate) type_name: String,
    pub(crate) size: u64,
    pub(crate) align: u64,
    pub(crate) address: String,
    /// The objects that nobody else reaches.
    pub(crate) own: Option<Owned>,
    /// The objects that it reaches and others too.
    pub(crate) shares: Option<Size>,
}

/// Objects with one owner, or one kind of owner.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Owned {
    #[serde(flatten)]
    pub(crate) size: Size,
    /// Who made the most of it; nothing if that was not traced.
    pub(crate) functions: Vec<Function>,
}

/// What one function made of it.
#[derive(Debug, Serialize)]
pub(crate) struct Function {
    pub(crate) name: Option<String>,
    #[serde(flatten)]
    pub(crate) size: Size,
}

/// Whose the bytes of the image data are that are not a root's own. There is no such thing for a verbatim image.
#[derive(Debug, Serialize)]
pub(crate) struct Contents {
    /// Of several roots.
    pub(crate) shared: Owned,
    /// What only carried statics lead to, and their own bytes.
    pub(crate) statics: Owned,
    pub(crate) carried: u64,
    /// What was allocated against the plan.
    pub(crate) overflow: u64,
    /// What alignment and pages leave free.
    pub(crate) gaps: u64,
    pub(crate) traced: bool,
    pub(crate) largest: Vec<Large>,
}

/// One of the largest objects.
#[derive(Debug, Serialize)]
pub(crate) struct Large {
    pub(crate) bytes: u64,
    pub(crate) function: Option<String>,
    pub(crate) way: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct Static {
    pub(crate) name: String,
    pub(crate) decision: String,
}

impl Found {
    /// Looks at a file.
    pub(crate) fn look(path: &Path) -> Result<Self> {
        let unusable = || format!("{} cannot be used", path.display());
        let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let file = path.display().to_string();
        if bytes.starts_with(&MAGIC) {
            let image = Image::from_bytes(&bytes).with_context(unusable)?;
            return Ok(Self {
                file,
                kind: "snapshot",
                place: None,
                binary: None,
                image: Some(ImageFacts::of(&image)?),
            });
        }
        if !bytes.starts_with(b"\x7fELF") {
            bail!("{} is neither an ELF executable, nor a fastboot snapshot, nor a deferred file", path.display());
        }
        let binary = Binary::parse(path, bytes).with_context(unusable)?;
        let image = match binary.image_bytes() {
            None => None,
            Some((place, bytes)) => {
                let image = Image::from_bytes(bytes);
                Some((place, image.with_context(|| format!("the image in {} cannot be used", path.display()))?))
            }
        };
        Ok(Self {
            file,
            kind: if image.is_some() { "embedded" } else { "cold" },
            place: image.as_ref().map(|(place, _)| *place),
            binary: Some(Executable::of(&binary).with_context(unusable)?),
            image: image.as_ref().map(|(_, image)| ImageFacts::of(image)).transpose()?,
        })
    }
}

impl Found {
    /// What kind of file it is.
    pub(crate) fn describe(&self) -> String {
        let Some(binary) = &self.binary else { return self.kind.to_owned() };
        let pie = if binary.pie { "PIE" } else { "non-PIE" };
        format!("{} binary, {pie}, {}", self.kind, if binary.dynamic { "dynamic" } else { "static" })
    }
}

impl Executable {
    fn of(binary: &Binary) -> Result<Self> {
        let section = binary.section;
        Ok(Self {
            identity: hex(&binary.identity()),
            pie: binary.pie,
            dynamic: binary.dynamic,
            section: Section {
                index: section.index,
                segment: section.segment,
                address: format!("{:#x}", section.address),
                offset: section.offset,
                size: section.size,
                align: section.align,
            },
            footer: binary.footer.map(|footer| Footer { offset: footer.offset, length: footer.length }),
            statics: KnownStatics::read(binary)?,
        })
    }
}

impl ImageFacts {
    fn of(image: &Image) -> Result<Self> {
        let header = image.header();
        let report = image.report::<Report>()?;
        let fit = report.as_ref().and_then(|report| report.plan);
        let contents = report.as_ref().and_then(|report| report.contents.as_ref());
        let decisions = image.carry_report()?.into_iter();
        Ok(Self {
            version: fastboot_format::image::VERSION,
            flags: FLAGS.into_iter().filter(|(flag, _)| header.flags & flag != 0).map(|(_, name)| name).collect(),
            home: format!("{:#x}", header.home),
            length: header.length,
            data_offset: header.data_offset,
            data_length: header.data_length,
            objects: report.as_ref().map(|report| report.objects),
            live: report.as_ref().map(|report| report.live),
            density: report.as_ref().map(|report| report.live as f64 / header.data_length.max(1) as f64),
            planned: fit.map(|fit| fit.planned),
            placed: fit.map(|fit| fit.placed),
            overflowed: fit.map(|fit| fit.overflowed),
            strayed: fit.map(|fit| fit.strayed),
            pointers: report.as_ref().map(|report| report.pointers),
            static_pointers: Table::relocated(image, TableKind::StaticPointers)?,
            bound_pointers: image.bound()?.len() as u64,
            page_size: header.page_size,
            exe_base: format!("{:#x}", header.exe_base),
            identity: hex(&header.identity),
            cpu_features: cpu_features(image)?,
            tables: image.tables().map(|table| Table::of(image, table)).collect::<Result<_>>()?,
            roots: (0..image.root_count() as usize)
                .map(|index| Root::of(image, index, contents))
                .collect::<Result<_>>()?,
            contents: contents.map(|contents| Contents::of(contents, header.data_length)),
            statics: decisions
                .map(|(name, decision)| Static { name: name.to_owned(), decision: decision.to_owned() })
                .collect(),
        })
    }

    /// Whether it holds dead objects too, and nobody knows whose which object is.
    pub(crate) fn is_verbatim(&self) -> bool {
        self.flags.contains(&"verbatim")
    }

    /// The roots, those first that have the most of their own.
    pub(crate) fn roots_by_size(&self) -> Vec<&Root> {
        let mut roots: Vec<&Root> = self.roots.iter().collect();
        roots.sort_by(|a, b| b.own_size().bytes.cmp(&a.own_size().bytes).then(a.name.cmp(&b.name)));
        roots
    }

    /// What became of the plan, behind a number of objects.
    pub(crate) fn fit(&self) -> String {
        let (Some(planned), Some(placed)) = (self.planned, self.placed) else { return String::new() };
        let mut text = match placed == planned && Some(placed) == self.objects {
            true => ", all placed as planned".to_owned(),
            false => format!(", {} of {} placed as planned", grouped(placed), grouped(planned)),
        };
        let [strayed, overflowed] = [self.strayed, self.overflowed].map(Option::unwrap_or_default);
        if overflowed > 0 {
            text += &format!("; {strayed} threads left the plan, {} allocations overflowed", grouped(overflowed));
        }
        text
    }

    /// What happens to pointers at start.
    pub(crate) fn relocations(&self) -> String {
        let relocated = match self.static_pointers {
            0 => "none is relocated at start".to_owned(),
            1 => "1 static pointer is relocated at start".to_owned(),
            count => format!("{} static pointers are relocated at start", grouped(count)),
        };
        match self.bound_pointers {
            0 => relocated,
            1 => format!("{relocated}; 1 pointer into a shared library is set"),
            count => format!("{relocated}; {} pointers into shared libraries are set", grouped(count)),
        }
    }
}

/// What an image needs of a processor, by name.
fn cpu_features(image: &Image) -> Result<Vec<String>> {
    let names = fastboot_format::features::names(image.header().features()).map(str::to_owned);
    Ok(names.chain(format::answers(image.table(TableKind::Answers)?).map(|answer| answer.to_string())).collect())
}

impl Table {
    fn of(image: &Image, table: &format::Table) -> Result<Self> {
        let entries = match table.kind {
            kind @ (TableKind::StaticPointers | TableKind::ImagePointers) => Some(Self::relocated(image, kind)?),
            kind => (kind.entry_len() > 1).then(|| table.length / kind.entry_len() as u64),
        };
        Ok(Self { name: table.kind.name(), offset: table.offset, length: table.length, entries })
    }

    /// How many words a table of pointers is for.
    fn relocated(image: &Image, kind: TableKind) -> Result<u64> {
        Ok(relocations(image.table(kind)?, image.header()).count() as u64)
    }
}

impl Root {
    fn of(image: &Image, index: usize, contents: Option<&report::Contents>) -> Result<Self> {
        let (root, name, type_name) = image.root(index)?;
        let part = contents.and_then(|contents| contents.roots.get(index).map(|part| (part, contents)));
        Ok(Self {
            name: name.to_owned(),
            type_name: type_name.to_owned(),
            size: root.size,
            align: root.align,
            address: format!("{:#x}", root.value),
            own: part.map(|(part, contents)| Owned::of(part, contents)),
            shares: part.and_then(|(part, _)| part.shares),
        })
    }

    /// The objects that nobody else reaches.
    pub(crate) fn own_size(&self) -> Size {
        self.own.as_ref().map(|own| own.size).unwrap_or_default()
    }
}

/// What of the image data is no root's own.
pub(crate) struct Other<'a> {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    pub(crate) size: Size,
    pub(crate) functions: &'a [Function],
}

impl Contents {
    fn of(contents: &report::Contents, data_length: u64) -> Self {
        let objects = contents.roots.iter().chain([&contents.shared, &contents.statics]);
        let known = objects.map(|part| part.size.bytes).sum::<u64>() + contents.carried + contents.overflow;
        let largest = contents.largest.iter().map(|large| Large {
            bytes: large.bytes,
            function: function_name(contents, large.function),
            way: large.way.clone(),
        });
        Self {
            shared: Owned::of(&contents.shared, contents),
            statics: Owned::of(&contents.statics, contents),
            carried: contents.carried,
            overflow: contents.overflow,
            gaps: data_length.saturating_sub(known),
            traced: contents.functions.is_some(),
            largest: largest.collect(),
        }
    }

    /// All that there is of it.
    pub(crate) fn others(&self) -> impl Iterator<Item = Other<'_>> {
        let (shared, statics) = (&self.shared, &self.statics);
        let held = Size { bytes: statics.size.bytes + self.carried, ..statics.size };
        let bytes = |bytes| Size { objects: 0, bytes };
        let all = [
            ("shared", "reached from several roots", shared.size, shared.functions.as_slice()),
            ("carried statics", "and what only they lead to", held, statics.functions.as_slice()),
            ("overflow", "allocated against the plan", bytes(self.overflow), &[]),
            ("gaps", "left free by alignment and pages", bytes(self.gaps), &[]),
        ];
        let all = all.into_iter().filter(|(_, _, size, _)| size.bytes > 0);
        all.map(|(name, what, size, functions)| Other { name, what, size, functions })
    }
}

impl Owned {
    fn of(part: &Part, contents: &report::Contents) -> Self {
        let named = |made: &Made| Function { name: function_name(contents, made.function), size: made.size };
        Self { size: part.size, functions: part.functions.iter().map(named).collect() }
    }
}

/// The name of a function that the report knows by its number, if it was traced.
fn function_name(contents: &report::Contents, number: Option<usize>) -> Option<String> {
    contents.functions.as_ref()?.get(number?).cloned()
}

/// A type's name as one would write it, with everything imported: `Vec<String>` for
/// `alloc::vec::Vec<alloc::string::String>`.
pub(crate) fn without_paths(type_name: &str) -> String {
    let is_part = |character: char| character.is_alphanumeric() || character == '_';
    let (mut text, mut rest) = (String::new(), type_name);
    while let Some(first) = rest.chars().next() {
        let length = rest.find(|character| !is_part(character)).unwrap_or(rest.len());
        let (word, behind) = rest.split_at(length.max(if length == 0 { first.len_utf8() } else { 0 }));
        match behind.strip_prefix("::") {
            // The beginning of a path, and not the end of a bracket.
            Some(behind) if length > 0 => rest = behind,
            _ => {
                text += word;
                rest = behind;
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_lose_their_paths() {
        for (long, short) in [
            ("u8", "u8"),
            ("alloc::vec::Vec<alloc::string::String>", "Vec<String>"),
            ("(&str, fn(&'_ str) -> alloc::string::String)", "(&str, fn(&'_ str) -> String)"),
            (
                "alloc::boxed::Box<dyn core::ops::function::Fn(u64) -> u64 + core::marker::Send>",
                "Box<dyn Fn(u64) -> u64 + Send>",
            ),
            ("<a::B as c::D>::E<[größe::Maß; 4]>", "<B as D>::E<[Maß; 4]>"),
            ("", ""),
        ] {
            assert_eq!(without_paths(long), short);
        }
    }
}
