//! Measurements: start-up times of programs with prepared values, in many formats.
//!
//! ```text
//! rows      what is measured
//! programs  makes programs and data, in target/bench
//! rounds    runs them in turn                          ┐
//! memory    of processes that are alive at once        │
//! count     system calls and instructions              ├─ results ─ report, plot, readme, targets
//! thaw      by the program's own account               │
//! refused   images that are there and not used         │
//! scan      reading all of a value                     │
//! page_cache  with the file in other states            │
//! scaling   by size of the image, by look-ups          │
//! freeze    what making an image takes                 │
//! rebuild   what a build takes after a change          │
//! allocator  what `FastbootAlloc` costs                ┘
//! ```
//!
//! How to measure start-up, and why so: docs/measuring.md.

mod allocator;
mod count;
mod freeze;
mod machine;
mod memory;
mod page_cache;
mod plot;
mod programs;
mod readme;
mod rebuild;
mod refused;
mod report;
mod results;
mod rounds;
mod rows;
mod scaling;
mod scan;
mod statistics;
mod targets;
mod thaw;

use anyhow::{Context, Result, ensure};
use machine::Machine;
use programs::Workshop;
use results::{Measured, MeasuredRow, Parts, Results};
use rounds::{Case, Samples};
use rows::{FASTBOOT_DEFAULT, LOOK_UPS, Program, RKYV, Row, Table};
use serde::Serialize;
use std::path::Path;

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Size {
    /// In minutes.
    Quick,
    /// With builds from scratch, larger images, and more rounds.
    Full,
}

/// How many processes are alive at once when their memory is looked at.
const PROCESSES: usize = 20;
/// A program that takes longer than this, in microseconds, is not counted and not started that often in a quick run.
const SLOW: f64 = 20_000.0;
/// How many instructions of a program are counted one by one, at most, where the processor does not count them.
fn most_instructions(size: Size) -> u64 {
    match size {
        Size::Quick => 0,
        Size::Full => 1_000_000,
    }
}

/// What the command line asks for.
struct Options {
    size: Size,
    json: bool,
    check: bool,
    readme: bool,
    tables: Vec<Table>,
    scaling: bool,
    freeze: bool,
    allocator: bool,
    rebuild: bool,
}

impl Options {
    fn parse(flags: &[String]) -> Self {
        let has = |name: &str| flags.iter().any(|flag| flag.strip_prefix("--") == Some(name));
        let other = ["scaling", "freeze", "allocator", "rebuild"];
        let all = !Table::ALL.iter().map(|table| table.name()).chain(other).any(has);
        let [scaling, freeze, allocator, rebuild] = other.map(|part| all || has(part));
        let tables = Table::ALL.into_iter().filter(|table| all || has(table.name())).collect();
        let size = if has("quick") { Size::Quick } else { Size::Full };
        let [json, check, readme] = ["json", "check", "readme"].map(has);
        Self { size, json, check, readme, tables, scaling, freeze, allocator, rebuild }
    }
}

/// Makes the programs, measures, prints the results and writes them to `target/bench`.
pub(crate) fn bench(flags: &[String]) -> Result<()> {
    let options = Options::parse(flags);
    let mut machine = Machine::look()?;
    if let Some(warning) = machine.warning() {
        ensure!(!options.readme, "not for README.md: {warning}");
        eprintln!("xtask: {warning}");
    }
    let size = options.size;
    let mut workshop = Workshop::open(size)?;
    let mut tables = Vec::new();
    for table in &options.tables {
        tables.push(measure(*table, &mut workshop, size)?);
    }
    let has_strings = options.tables.contains(&Table::Strings);
    let scan = has_strings.then(|| scan::scan(&mut workshop, size)).transpose()?;
    let page_cache = has_strings.then(|| page_cache::page_cache(&mut workshop)).transpose()?.unwrap_or_default();
    let refused = has_strings.then(|| refused::refused(&mut workshop)).transpose()?.unwrap_or_default();
    let scaling = options.scaling.then(|| scaling::scaling(&mut workshop, size)).transpose()?;
    let freeze = options.freeze.then(|| freeze::freeze(&mut workshop, size)).transpose()?.unwrap_or_default();
    let allocator =
        options.allocator.then(|| allocator::allocator(&mut workshop, size)).transpose()?.unwrap_or_default();
    let rebuild = options.rebuild.then(|| rebuild::rebuild(&workshop, size)).transpose()?.unwrap_or_default();
    machine.look_again()?;
    let results = Results { machine, size, tables, scan, page_cache, refused, scaling, freeze, allocator, rebuild };
    write(&workshop.folder, &results)?;
    if options.readme {
        let summary = report::summary(&results).context("README.md shows W1, which was not measured")?;
        readme::update(&summary)?;
    }
    if options.json {
        println!("{}", serde_json::to_string_pretty(&results)?);
    } else {
        print!("{}", report::markdown(&results));
    }
    if options.check { targets::check(&results) } else { Ok(()) }
}

/// Everything that is to be known of the rows of a table.
fn measure(table: Table, workshop: &mut Workshop, size: Size) -> Result<Measured> {
    let mut case = |row: Row| anyhow::Ok(Case { made: workshop.make(row.program, row.workload)?, row });
    let rows = rows::rows(table, size);
    let references = rows.iter().filter_map(rows::reference).map(&mut case).collect::<Result<Vec<_>>>()?;
    let cases = rows.into_iter().map(&mut case).collect::<Result<Vec<_>>>()?;
    eprintln!("xtask: measuring {}", table.name());
    let samples = rounds::run(&cases, &references, size)?;
    let base = rounds::base(&cases, &samples)?;
    let measured = cases.iter().zip(&samples).map(|(case, samples)| row(case, samples, base, size));
    let find = |name: &str| {
        let found = cases.iter().position(|case| case.row.name == name && case.row.look_ups == LOOK_UPS)?;
        samples.get(found)
    };
    let against_rkyv = find(FASTBOOT_DEFAULT).zip(find(RKYV)).filter(|_| table == Table::Strings);
    Ok(Measured {
        name: table.name(),
        title: table.title(),
        rows: measured.collect::<Result<_>>()?,
        against_rkyv: against_rkyv.map(|(own, other)| rounds::ratio(own, other, |sample| sample.wall)),
    })
}

fn row(case: &Case, samples: &Samples, base: &Samples, size: Size) -> Result<MeasuredRow> {
    let wall = rounds::spread(samples, |sample| sample.wall);
    let slow = wall.median > SLOW;
    // The empty program cannot wait.
    let waits = !matches!(case.row.program, Program::Empty(_));
    let processes = if slow && size == Size::Quick { 1 } else { PROCESSES };
    let thaws = matches!(case.row.program, Program::Fastboot { .. } | Program::Snapshot { .. });
    Ok(MeasuredRow {
        program: case.row.name.clone(),
        task: case.row.task(),
        rounds: samples.iter().flatten().count(),
        wall,
        ratio: rounds::ratio(samples, base, |sample| sample.wall),
        parts: waits.then(|| Parts {
            start: rounds::told(samples, |told| told.start),
            load: rounds::told(samples, |told| told.load),
            look_ups: rounds::told(samples, |told| told.passes.iter().fold(0.0, |sum, pass| sum + pass)),
            exit: rounds::told(samples, |told| told.exit),
        }),
        faults: rounds::middle(samples, |sample| sample.faults),
        system_calls: count::system_calls(case),
        instructions: (!slow).then(|| count::instructions(case, most_instructions(size))).flatten(),
        memory: waits.then(|| memory::memory(case, processes)).transpose()?,
        binary_bytes: case.made.binary_bytes,
        data_bytes: case.made.data_bytes,
        build: case.made.build,
        thaw: if thaws { thaw::thaw(case)? } else { None },
    })
}

/// Writes the results as JSON, as Markdown and as plots.
fn write(folder: &Path, results: &Results) -> Result<()> {
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    write("results.json", &serde_json::to_string_pretty(results)?)?;
    write("results.md", &report::markdown(results))?;
    for table in &results.tables {
        write(&format!("{}.svg", table.name), &plot::bars(table))?;
    }
    if let Some(scaling) = &results.scaling {
        write("size.svg", &plot::lines("Whole process, by size of the image", "MB", &scaling.by_size))?;
        write("thaw.svg", &plot::lines("The thaw alone, by size of the image", "MB", &scaling.thaw))?;
        write("look-ups.svg", &plot::lines("Whole process, by look-ups in W1", "look-ups", &scaling.by_look_ups))?;
    }
    eprintln!("xtask: results, tables and plots are in {}", folder.display());
    Ok(())
}
