//! What a file for deferred loading is made of, and whether all of it is whole. Never holds more of it than one block.

use crate::say::shell::megabytes;
use anyhow::{Context, Result, bail};
use fastboot_defer::{self as defer, BlockKind, BlockSummary, Compression, Summary, Verification};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::Path;

/// For people, this many blocks are listed.
const LISTED: usize = 16;

/// Whether the file begins as every file for deferred loading does.
pub(crate) fn is_deferred(path: &Path) -> std::io::Result<bool> {
    let mut first = Vec::new();
    File::open(path)?.take(defer::MAGIC.len() as u64).read_to_end(&mut first)?;
    Ok(first == defer::MAGIC)
}

/// What was found in a file.
struct Found<'a> {
    path: &'a Path,
    summary: Summary,
    /// Every damage, if all blocks were read.
    damage: Option<Vec<String>>,
}

/// Prints what the file holds. With `verify` reads all of it; damage is printed, and is an error.
pub(crate) fn inspect(path: &Path, as_json: bool, verify: bool) -> Result<()> {
    let unusable = || format!("{} cannot be used", path.display());
    let found = if verify {
        let Verification { summary, damage, .. } = defer::verify(path).with_context(unusable)?;
        Found { path, summary, damage: Some(damage.iter().map(ToString::to_string).collect()) }
    } else {
        Found { path, summary: defer::inspect(path).with_context(unusable)?, damage: None }
    };
    let mut out = BufWriter::new(std::io::stdout().lock());
    let written = if as_json {
        serde_json::to_writer_pretty(&mut out, &found).map_err(std::io::Error::from).and_then(|()| writeln!(out))
    } else {
        print(&mut out, &found)
    };
    match written.and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
        written => written.context("cannot write to standard output")?,
    }
    match found.damage.as_deref() {
        None | Some([]) => Ok(()),
        Some([_]) => bail!("{} is damaged in one place: restore it, or save it anew", path.display()),
        Some(all) => bail!("{} is damaged in {} places: restore it, or save it anew", path.display(), all.len()),
    }
}

impl Serialize for Found<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let summary = &self.summary;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("file", &self.path.display().to_string())?;
        map.serialize_entry("kind", "deferred")?;
        map.serialize_entry("format", &summary.format)?;
        map.serialize_entry("version", &summary.version)?;
        map.serialize_entry("checksums", &summary.checksums)?;
        map.serialize_entry("length", &summary.file_len)?;
        map.serialize_entry("strict_length", &summary.strict_len)?;
        map.serialize_entry("strict_share", &summary.strict_share())?;
        map.serialize_entry("deferred_length", &summary.deferred_len)?;
        map.serialize_entry("gap_length", &summary.gap_len)?;
        map.serialize_entry("raw_length", &summary.raw_len())?;
        if let Some(damage) = &self.damage {
            map.serialize_entry("damage", damage)?;
        }
        map.serialize_entry("blocks", &Blocks(&summary.blocks))?;
        map.end()
    }
}

/// One by one, since there may be millions.
struct Blocks<'a>(&'a [BlockSummary]);

impl Serialize for Blocks<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(block))
    }
}

fn block(block: &BlockSummary) -> Value {
    json!({
        "number": block.number,
        "kind": block.kind.name(),
        "offset": block.offset,
        "stored": block.stored,
        "raw": block.raw,
        "compression": block.compression.name(),
    })
}

/// The same, for people.
fn print(out: &mut impl Write, found: &Found<'_>) -> std::io::Result<()> {
    let Found { path, summary, damage } = found;
    writeln!(out, "{}: deferred file, {}", path.display(), megabytes(summary.file_len))?;
    writeln!(
        out,
        "  format        {}, version {} of its types, {} checksums",
        summary.format,
        summary.version,
        if summary.checksums { "with" } else { "without" }
    )?;
    let percent = summary.strict_share() * 100.0;
    writeln!(out, "  strict        {} bytes, {percent:.2} % of what is stored", summary.strict_len)?;

    let parts = || summary.blocks.iter().filter(|block| block.kind == BlockKind::Part);
    writeln!(out, "  deferred      {} bytes in {} blocks", summary.deferred_len, parts().count())?;
    if summary.gap_len > 0 {
        writeln!(out, "  gaps          {} bytes that nothing refers to", summary.gap_len)?;
    }
    let mut sizes: Vec<u64> = parts().map(|block| block.stored).collect();
    sizes.sort_unstable();
    if let [smallest, .., largest] = sizes[..] {
        let median = sizes[sizes.len() / 2];
        writeln!(out, "  block sizes   {smallest} to {largest} bytes, half of them up to {median}")?;
    }
    let compressed = || summary.blocks.iter().filter(|block| block.compression != Compression::None);
    let (stored, raw) = compressed().fold((0, 0), |(stored, raw), block| (stored + block.stored, raw + block.raw));
    if raw > 0 {
        let percent = stored as f64 * 100.0 / raw as f64;
        let count = compressed().count();
        writeln!(out, "  compression   {count} blocks, {raw} bytes stored as {stored}, {percent:.1} %")?;
    } else {
        writeln!(out, "  compression   none")?;
    }
    print_blocks(out, &summary.blocks)?;
    match damage.as_deref() {
        None => Ok(()),
        Some([]) if summary.checksums => {
            writeln!(out, "  verified      {} blocks, all whole", summary.blocks.len())
        }
        Some([]) => writeln!(
            out,
            "  verified      the headers of {} blocks are right; there are no checksums to compare",
            summary.blocks.len()
        ),
        Some(all) => all.iter().try_for_each(|damage| writeln!(out, "  damage        {damage}")),
    }
}

fn print_blocks(out: &mut impl Write, blocks: &[BlockSummary]) -> std::io::Result<()> {
    for block in blocks.iter().take(LISTED) {
        write!(
            out,
            "  block         {}: {}, {} bytes at offset {}",
            block.number,
            block.kind.name(),
            block.stored,
            block.offset
        )?;
        match block.compression {
            Compression::None => writeln!(out)?,
            packed => writeln!(out, ", {} of {} bytes", packed.name(), block.raw)?,
        }
    }
    if let more @ 1.. = blocks.len().saturating_sub(LISTED) {
        writeln!(out, "                and {more} more; --json lists them all")?;
    }
    Ok(())
}
