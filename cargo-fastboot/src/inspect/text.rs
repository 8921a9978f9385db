//! What was found, for people at a terminal.

use super::found::{Found, ImageFacts, KnownStatics, without_paths};
use crate::contents::objects::Size;
use crate::say::shell::{grouped, megabytes};
use std::io::{Result, Write};

/// Columns that long lists are wrapped at.
const WIDTH: usize = 110;
/// Columns of what stands before each line.
const LABEL: usize = 16;

/// Prints all of it.
pub(crate) fn print(out: &mut impl Write, found: &Found) -> Result<()> {
    writeln!(out, "{}: {}", found.file, found.describe())?;
    let identity = found.image.as_ref().map(|image| &image.identity);
    let identity = identity.or(found.binary.as_ref().map(|binary| &binary.identity));
    line(out, "identity", format_args!("SHA-256 {}", identity.map_or("", String::as_str)))?;
    if let Some(binary) = &found.binary {
        let section = &binary.section;
        let segment = match section.segment {
            Some(segment) => format!("program header {segment}, align {:#x}", section.align),
            None => "no segment of its own".to_owned(),
        };
        line(
            out,
            "section",
            format_args!(
                "{} bytes at {}, file offset {:#x}, section {}, {segment}",
                section.size, section.address, section.offset, section.index
            ),
        )?;
        if let Some(footer) = &binary.footer {
            line(out, "footer", format_args!("{} bytes at file offset {:#x}", footer.length, footer.offset))?;
        }
        if let Some(KnownStatics { known, may_be_carried }) = &binary.statics {
            line(out, "first run", format_args!("knows {known} statics, {may_be_carried} of them may be carried"))?;
        }
    }
    match &found.image {
        Some(image) => print_image(out, image),
        None => line(out, "image", format_args!("none: build with `cargo fastboot build`, or freeze and embed")),
    }
}

fn line(out: &mut impl Write, label: &str, text: impl std::fmt::Display) -> Result<()> {
    writeln!(out, "  {label:<0$}{text}", LABEL - 2)
}

fn print_image(out: &mut impl Write, image: &ImageFacts) -> Result<()> {
    let flags: String = image.flags.iter().map(|flag| format!(", {flag}")).collect();
    let length = megabytes(image.length);
    line(out, "image", format_args!("{length} at {}, format version {}{flags}", image.home, image.version))?;
    let density = image.density.map_or(String::new(), |density| format!(", density {density:.4}"));
    let data = format!("{} bytes from offset {}{density}", grouped(image.data_length), image.data_offset);
    line(out, "data", data)?;
    if let (Some(objects), Some(live)) = (image.objects, image.live) {
        let fit = if image.is_verbatim() { ", not planned" } else { &image.fit() };
        line(out, "objects", format_args!("{} with {} bytes{fit}", grouped(objects), grouped(live)))?;
    }
    if let Some(pointers) = image.pointers {
        line(out, "pointers", format_args!("{} into the image; {}", grouped(pointers), image.relocations()))?;
    }
    match image.cpu_features.as_slice() {
        [] => line(out, "cpu features", "none but those that the program itself needs")?,
        names => wrapped(out, "cpu features", names)?,
    }
    print_owners(out, image)?;
    print_largest(out, image)?;
    if !image.statics.is_empty() {
        writeln!(out, "\n  statics that changed")?;
        for changed in &image.statics {
            writeln!(out, "    {}: {}", changed.name, changed.decision)?;
        }
    }
    writeln!(out, "\n  tables")?;
    for table in &image.tables {
        let entries = table.entries.map_or(String::new(), |entries| format!(", {} entries", grouped(entries)));
        let length = grouped(table.length);
        writeln!(out, "    {length:>13} bytes at offset {:<12}{}{entries}", table.offset, table.name)?;
    }
    Ok(())
}

/// Words behind a label, over as many lines as they need.
fn wrapped(out: &mut impl Write, label: &str, words: &[String]) -> Result<()> {
    let mut text = String::new();
    let mut column = LABEL;
    for word in words {
        if column + word.len() > WIDTH {
            text += &format!("\n{:LABEL$}", "");
            column = LABEL;
        }
        text += word;
        text.push(' ');
        column += word.len() + 1;
    }
    line(out, label, text.trim_end())
}

/// The roots and what is no root's own, the largest first.
fn print_owners(out: &mut impl Write, image: &ImageFacts) -> Result<()> {
    let Some(contents) = &image.contents else {
        writeln!(out, "\n  roots, without their sizes, which are only known of planned images")?;
        for root in &image.roots {
            writeln!(out, "    {}: {}", root.name, without_paths(&root.type_name))?;
        }
        return Ok(());
    };
    writeln!(out, "\n  roots, and what is theirs alone\n    {:>9}  {:>11}", "size", "objects")?;
    let mut row = |size: Size, what: String| {
        let objects = if size.objects == 0 { String::new() } else { grouped(size.objects) };
        writeln!(out, "    {:>9}  {objects:>11}  {what}", megabytes(size.bytes))
    };
    for root in image.roots_by_size() {
        let shares = match root.shares {
            Some(size) if size.objects == 0 => String::new(),
            Some(size) => format!("; shares {} in {} with others", megabytes(size.bytes), grouped(size.objects)),
            None => "; shares with others".to_owned(),
        };
        row(root.own_size(), format!("{}: {}{shares}", root.name, without_paths(&root.type_name)))?;
    }
    for other in contents.others() {
        row(other.size, format!("{}: {}", other.name, other.what))?;
    }
    Ok(())
}

fn print_largest(out: &mut impl Write, image: &ImageFacts) -> Result<()> {
    let Some(contents) = image.contents.as_ref().filter(|contents| !contents.largest.is_empty()) else { return Ok(()) };
    let hint = if contents.traced { "" } else { " (freeze with --trace to see which functions made them)" };
    writeln!(out, "\n  largest objects{hint}")?;
    for large in &contents.largest {
        let maker = large.function.as_ref().map_or(String::new(), |name| format!("{name}\n{:15}", ""));
        writeln!(out, "    {:>9}  {maker}{}", megabytes(large.bytes), large.way)?;
    }
    Ok(())
}
