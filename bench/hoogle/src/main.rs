//! `hoogle`: finds names by how one of their words begins.
//!
//! ```text
//! hoogle names > names.txt                gathers names on this machine, one a line
//! hoogle build [--input names.txt]        makes hoogle.defer of them (without --input, gathers them first)
//! hoogle search read_exact --stats        answers, and says how little of the file it read
//! ```

mod index;
mod names;

use anyhow::{Context, Result, bail};
use fastboot_defer::{self as defer, LoadOptions, ReadCount, SaveOptions};
use index::{Found, NameSearch};
use names::Name;
use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

const HELP: &str = "\
Usage: hoogle names
       hoogle build [--input FILE] [--file FILE]
       hoogle search NAME [--stats] [--strict] [--limit N] [--file FILE]

names    print every public item of the crates whose sources cargo has here, and every file of Debian packages
build    write the index (default hoogle.defer) of the names in FILE, one a line: name, kind, origin, with tabs between
search   print the names with a word that begins with NAME
         --stats   also say how many bytes of the file were read, and how long it took
         --strict  load the whole file and look at everything: the same answers, for comparison
         --limit   print at most N (default 20)
";

/// Changes whenever the types in `index` change.
const VERSION: u64 = 1;

fn main() -> Result<()> {
    let mut words = Vec::new();
    let (mut stats, mut strict, mut limit) = (false, false, 20);
    let (mut input, mut file) = (None, PathBuf::from("hoogle.defer"));
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().with_context(|| format!("{arg} wants a value\n\n{HELP}"));
        match arg.as_str() {
            "--stats" => stats = true,
            "--strict" => strict = true,
            "--limit" => limit = value()?.parse().context("--limit wants a number")?,
            "--input" => input = Some(PathBuf::from(value()?)),
            "--file" => file = value()?.into(),
            "-h" | "--help" => {
                print!("{HELP}");
                return Ok(());
            }
            _ if arg.starts_with('-') => bail!("{arg} is unknown\n\n{HELP}"),
            _ => words.push(arg),
        }
    }
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["names"] => {
            let mut out = std::io::BufWriter::new(std::io::stdout().lock());
            for name in names::gather()? {
                writeln!(out, "{}", name.line())?;
            }
            Ok(out.flush()?)
        }
        ["build"] => build(input, file),
        ["search", name] => search(name, limit, stats, strict, file),
        _ => bail!("what should I do?\n\n{HELP}"),
    }
}

fn build(input: Option<PathBuf>, file: PathBuf) -> Result<()> {
    let names: Vec<Name> = match input {
        Some(path) => std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read {}", path.display()))?
            .lines()
            .filter_map(Name::parse)
            .collect(),
        None => names::gather()?,
    };
    let index = NameSearch::build(&names);
    SaveOptions::new().version(VERSION).save(&file, &index)?;
    let summary = defer::inspect(&file)?;
    println!(
        "{}: {} names ({} different), {} items, {} blocks, {:.1} MB, {:.2} % of it strict",
        file.display(),
        names.len(),
        index.names,
        index.items.len(),
        summary.blocks.len(),
        summary.file_len as f64 / 1e6,
        100.0 * summary.strict_share(),
    );
    Ok(())
}

fn search(name: &str, limit: usize, stats: bool, strict: bool, file: PathBuf) -> Result<()> {
    let count = ReadCount::default();
    let start = Instant::now();
    let index: NameSearch = LoadOptions::new()
        .version(VERSION)
        .count(&count)
        .load(&file)
        .context("no index; make one with `hoogle build`")?;
    let names = index.names;
    let found = if strict { index.strict()?.search(name, limit) } else { index.search(name, limit)? };
    let time = start.elapsed();
    print(&found)?;
    if stats {
        let len = std::fs::metadata(&file)?.len();
        eprintln!(
            "{} of {len} bytes read ({:.3} %) in {} reads, {} blocks; {names} names; {time:.1?}",
            count.bytes(),
            100.0 * count.bytes() as f64 / len as f64,
            count.reads(),
            count.blocks(),
        );
    }
    Ok(())
}

fn print(found: &Found) -> Result<()> {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for item in &found.first {
        writeln!(out, "{:6} {}  ({})", item.kind, item.name, item.from)?;
    }
    let more = found.total - found.first.len() as u64;
    if more > 0 {
        writeln!(out, "... and {more} more")?;
    }
    Ok(out.flush()?)
}
