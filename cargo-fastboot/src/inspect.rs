//! Inspect: says what is in a cold binary, an embedded one, a snapshot, or a deferred file.

mod defer;

use crate::binary::{Binary, hex};
use crate::image::Image;
use crate::shell::megabytes;
use anyhow::{Context, Result, bail};
use fastboot_rt::format::{self, FLAGS, FormatError, HeaderPage, MAGIC, Rule, STATIC_LEN, TableKind, relocations};
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;

/// Prints what `path` is and holds: for people, or as JSON. With `verify`, reads all of a deferred file.
pub(crate) fn inspect(path: &Path, as_json: bool, verify: bool) -> Result<()> {
    if defer::is_deferred(path).with_context(|| format!("cannot read {}", path.display()))? {
        return defer::inspect(path, as_json, verify);
    }
    let found = look(path)?;
    if verify {
        bail!(
            "--verify is for deferred files, and {} is none: `inspect` alone checks an image's header and tables, and \
             `cargo fastboot verify` its values",
            path.display()
        );
    }
    let mut out = std::io::stdout().lock();
    let written = if as_json {
        serde_json::to_writer_pretty(&mut out, &found).map_err(std::io::Error::from).and_then(|()| writeln!(out))
    } else {
        print(&mut out, path, &found)
    };
    match written {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write to standard output"),
    }
}

/// What the file holds, as the value that `--json` prints.
fn look(path: &Path) -> Result<Value> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    if bytes.starts_with(&MAGIC) {
        let image = Image::from_bytes(&bytes).with_context(|| format!("{} cannot be used", path.display()))?;
        return Ok(json!({ "file": path.display().to_string(), "kind": "snapshot", "image": describe(&image)? }));
    }
    if !bytes.starts_with(b"\x7fELF") {
        bail!("{} is neither an ELF executable, nor a fastboot snapshot, nor a deferred file", path.display());
    }
    let binary = Binary::parse(path, bytes).with_context(|| format!("{} cannot be used", path.display()))?;
    let mut statics = None;
    let image = match (binary.image_bytes(), HeaderPage::decode(binary.section_bytes())) {
        (None, Err(FormatError::Cold)) => None,
        (None, _) => {
            let cold = Image::from_bytes(binary.section_bytes());
            let cold = cold.with_context(|| format!("{} cannot be used", path.display()))?;
            let table = cold.table(TableKind::Statics)?;
            let carried = format::statics(table).flatten().filter(|one| one.rule != Rule::Skip).count();
            statics = Some(json!({ "known": table.len() / STATIC_LEN, "may_be_carried": carried }));
            None
        }
        (Some((place, bytes)), _) => {
            let image = Image::from_bytes(bytes);
            Some((place, image.with_context(|| format!("the image in {} cannot be used", path.display()))?))
        }
    };
    let section = binary.section;
    Ok(json!({
        "file": path.display().to_string(),
        "kind": if image.is_some() { "embedded" } else { "cold" },
        "place": image.as_ref().map(|(place, _)| place),
        "identity": hex(&binary.identity),
        "pie": binary.pie,
        "dynamic": binary.dynamic,
        "section": {
            "index": section.index,
            "segment": section.segment,
            "address": format!("{:#x}", section.address),
            "offset": section.offset,
            "size": section.size,
            "align": section.align,
        },
        "footer": binary.footer.map(|footer| json!({ "offset": footer.offset, "length": footer.length })),
        "statics": statics,
        "image": image.as_ref().map(|(_, image)| describe(image)).transpose()?,
    }))
}

fn describe(image: &Image) -> Result<Value> {
    let header = image.header();
    let mut roots = Vec::new();
    for index in 0..image.root_count() as usize {
        let (root, name, type_name) = image.root(index)?;
        roots.push(json!({
            "name": name,
            "type": type_name,
            "size": root.size,
            "align": root.align,
            "address": format!("{:#x}", root.value),
        }));
    }
    let tables: Vec<Value> = image
        .tables()
        .map(|table| {
            json!({
                "name": table.kind.name(),
                "offset": table.offset,
                "length": table.length,
                "entries": match table.kind {
                    TableKind::StaticPointers | TableKind::ImagePointers => {
                        image.table(table.kind).ok().map(|bytes| relocations(bytes, header).count() as u64)
                    }
                    kind => (kind.entry_len() > 1).then(|| table.length / kind.entry_len() as u64),
                },
            })
        })
        .collect();
    let report = image.carry_report()?;
    let statics: Vec<Value> =
        report.into_iter().map(|(name, decision)| json!({ "name": name, "decision": decision })).collect();
    let flags: Vec<&str> =
        FLAGS.into_iter().filter(|(flag, _)| header.flags & flag != 0).map(|(_, name)| name).collect();
    let about = image.report()?;
    let fit = about.as_ref().and_then(|about| about.plan);
    Ok(json!({
        "version": fastboot_rt::format::VERSION,
        "flags": flags,
        "home": format!("{:#x}", header.home),
        "length": header.length,
        "data_offset": header.data_offset,
        "data_length": header.data_length,
        "objects": about.as_ref().map(|about| about.objects),
        "live": about.as_ref().map(|about| about.live),
        "density": about.as_ref().map(|about| about.live as f64 / header.data_length.max(1) as f64),
        "planned": fit.map(|fit| fit.planned),
        "placed": fit.map(|fit| fit.placed),
        "overflowed": fit.map(|fit| fit.overflowed),
        "strayed": fit.map(|fit| fit.strayed),
        "page_size": header.page_size,
        "exe_base": format!("{:#x}", header.exe_base),
        "identity": hex(&header.identity),
        "cpu_features": fastboot_rt::cpu::names(header.cpu).collect::<Vec<_>>(),
        "tables": tables,
        "roots": roots,
        "statics": statics,
    }))
}

/// The same value, for people.
fn print(out: &mut impl Write, path: &Path, found: &Value) -> std::io::Result<()> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let number = |value: &Value| value.as_u64().unwrap_or_default();
    let yes = |value: &Value| value.as_bool() == Some(true);
    let image = &found["image"];

    let kind = match found["kind"].as_str() {
        Some("snapshot") => "snapshot".to_owned(),
        kind => format!(
            "{} binary, {}, {}",
            kind.unwrap_or_default(),
            if yes(&found["pie"]) { "PIE" } else { "non-PIE" },
            if yes(&found["dynamic"]) { "dynamic" } else { "static" }
        ),
    };
    writeln!(out, "{}: {kind}", path.display())?;
    let identity = if image.is_null() { &found["identity"] } else { &image["identity"] };
    writeln!(out, "  identity      SHA-256 {}", text(identity))?;
    if let Some(section) = found.get("section") {
        let segment = match section["segment"].as_u64() {
            Some(segment) => format!("program header {segment}, align {:#x}", number(&section["align"])),
            None => "no segment of its own".to_owned(),
        };
        writeln!(
            out,
            "  section       {} bytes at {}, file offset {:#x}, section {}, {segment}",
            number(&section["size"]),
            text(&section["address"]),
            number(&section["offset"]),
            number(&section["index"]),
        )?;
    }
    if !found["footer"].is_null() {
        writeln!(
            out,
            "  footer        {} bytes at file offset {:#x}",
            number(&found["footer"]["length"]),
            number(&found["footer"]["offset"])
        )?;
    }
    if !found["statics"].is_null() {
        let statics = &found["statics"];
        writeln!(
            out,
            "  first run     knows {} statics, {} of them may be carried",
            number(&statics["known"]),
            number(&statics["may_be_carried"])
        )?;
    }
    if image.is_null() {
        return writeln!(out, "  image         none: build with `cargo fastboot build`, or freeze and embed");
    }
    let list = |values: &Value| -> String {
        let names: Vec<_> = values.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        names.join(" ")
    };
    writeln!(
        out,
        "  image         {} at {}, format version {}, {}",
        megabytes(number(&image["length"])),
        text(&image["home"]),
        number(&image["version"]),
        list(&image["flags"])
    )?;
    writeln!(
        out,
        "  data          {} bytes from offset {}",
        number(&image["data_length"]),
        number(&image["data_offset"])
    )?;
    if let Some(density) = image["density"].as_f64() {
        let (objects, live) = (number(&image["objects"]), number(&image["live"]));
        writeln!(out, "  density       {density:.4}: {objects} objects with {live} bytes of it are alive")?;
    }
    match image["planned"].as_u64() {
        Some(planned) => {
            let [placed, overflowed, strayed] = ["placed", "overflowed", "strayed"].map(|name| number(&image[name]));
            let more = match overflowed {
                0 => String::new(),
                _ => format!("; {strayed} threads left the plan, {overflowed} allocations overflowed"),
            };
            writeln!(out, "  plan          {placed} of {planned} objects placed as planned{more}")?;
        }
        None => writeln!(out, "  plan          none")?,
    }
    writeln!(out, "  cpu features  {}", list(&image["cpu_features"]))?;
    for table in image["tables"].as_array().into_iter().flatten() {
        writeln!(
            out,
            "  table         {}: {}{} bytes at offset {}",
            text(&table["name"]),
            table["entries"].as_u64().map_or(String::new(), |entries| format!("{entries} entries, ")),
            number(&table["length"]),
            number(&table["offset"])
        )?;
    }
    for root in image["roots"].as_array().into_iter().flatten() {
        writeln!(
            out,
            "  root          {}: {}, {} bytes, align {}, at {}",
            text(&root["name"]),
            text(&root["type"]),
            number(&root["size"]),
            number(&root["align"]),
            text(&root["address"])
        )?;
    }
    for changed in image["statics"].as_array().into_iter().flatten() {
        writeln!(out, "  static        {}: {}", text(&changed["name"]), text(&changed["decision"]))?;
    }
    Ok(())
}
