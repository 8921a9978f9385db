//! Train: learns from runs of the embedded binary which objects it uses, and freezes once more with those in front,
//! together.
//!
//! A run says which pages of the image it touched; all objects on them count as used. Nothing relies on that being so:
//! the second freeze is planned, placed and proved like any other.

use crate::elf::binary::Binary;
use crate::embed;
use crate::freeze::finish::FreezeOutput;
use crate::freeze::pipeline::{freeze, working_folder};
use crate::freeze::verify;
use crate::image::Image;
use crate::options::{self, Allocation, Arguments, FreezeOptions, Place};
use crate::plan::placement::Plan;
use crate::say::shell::{Shell, grouped, megabytes};
use anyhow::{Context, Result, bail};
use fastboot_format::image::PAGE;
use fastboot_format::protocol::TRAIN_VARIABLE;
use std::collections::HashSet;
use std::path::Path;
use std::process::Stdio;

/// In an entry of a pagemap (proc_pid_pagemap(5)): the page is in memory, or was and is swapped out.
const THERE: u64 = 3 << 62;

/// Freezes the binary at `cold`. If it is to be trained: embeds the image as `place` says, runs that, and freezes again.
pub(crate) fn freeze_trained(
    cold: &Path,
    place: Place,
    options: &FreezeOptions,
    shell: &Shell,
) -> Result<FreezeOutput> {
    let untrained = freeze(cold, options, shell)?;
    if options.train.is_empty() {
        return Ok(untrained);
    }
    let Some(plan) = &untrained.plan else {
        shell.warn("the image is verbatim, so its objects cannot be put elsewhere: the program is not trained");
        return Ok(untrained);
    };
    let pages = train(cold, &untrained, place, options, shell)
        .with_context(|| format!("cannot train {}; leave out --train", cold.display()))?;
    let preferred = used(plan, &pages, untrained.image.len(), shell);
    if preferred.is_empty() {
        shell.warn(
            "the training runs used nothing of the image, so there is nothing to put in front: call the program so that it \
             does what it is made for",
        );
        return Ok(untrained);
    }
    // There is a good image already, so that this one need not be.
    let trained = freeze(cold, &FreezeOptions { preferred, ..options.clone() }, &shell.quiet());
    trained.or_else(|error| {
        shell.warn(format_args!("{error:#}: the program is not trained"));
        Ok(untrained)
    })
}

/// Runs the program with each of its arguments: the pages that it touched, numbered from the home address on.
fn train(
    cold: &Path,
    FreezeOutput { image, .. }: &FreezeOutput,
    place: Place,
    options: &FreezeOptions,
    shell: &Shell,
) -> Result<HashSet<u64>> {
    let folder = working_folder(cold)?;
    let program = folder.path().join(cold.file_stem().unwrap_or_default());
    embed::embed_into(Binary::read(cold)?, image, place, &program)?;
    let mut pages = HashSet::new();
    let inputs: Vec<Option<&Path>> = match options.stdin.as_slice() {
        [] => vec![None],
        files => files.iter().map(|file| Some(file.as_path())).collect(),
    };
    for arguments in &options.train {
        for stdin in &inputs {
            let from = stdin.map_or_else(String::new, |path| format!(" < {}", path.display()));
            shell.status("Training", format_args!("`{arguments}{from}`"));
            pages.extend(train_once(&program, arguments, *stdin, image, options, shell)?);
        }
    }
    Ok(pages)
}

fn train_once(
    program: &Path,
    arguments: &Arguments,
    stdin: Option<&Path>,
    image: &Image,
    options: &FreezeOptions,
    shell: &Shell,
) -> Result<Vec<u64>> {
    let report = tempfile::NamedTempFile::new().context("cannot make a temporary file for the report")?;
    let mut command = options.command(program);
    command.args(&arguments.words).env(TRAIN_VARIABLE, report.path());
    // What it complains about is of interest.
    command.stdin(options::stdin(stdin)?).stdout(Stdio::null());
    let status = verify::wait(&mut command, "Training", options, program, shell)?;
    let report = std::fs::read(&report).with_context(|| format!("cannot read {}", report.path().display()))?;
    let pages = image.len().div_ceil(PAGE as u64) as usize;
    match touched(&report, pages) {
        Touched::Nothing => bail!(
            "called with `{arguments}` it ended with {status}, and does not say which pages it touched: look what it says \
             with FASTBOOT_LOG=1, and whether there is /proc/self/pagemap"
        ),
        Touched::Unknown => {
            shell.warn(format_args!(
                "called with `{arguments}` the program ended with {status}, without `exit` or a return from `main`: \
                 nothing is known of what it used"
            ));
            Ok(Vec::new())
        }
        Touched::Pages(touched) => {
            if !status.success() {
                shell.warn(format_args!(
                    "called with `{arguments}` the program ended with {status}; what it used up to then counts"
                ));
            }
            Ok(touched)
        }
    }
}

/// What a report says.
#[derive(Debug, PartialEq, Eq)]
enum Touched {
    /// There is none.
    Nothing,
    /// The program did not get to its exit.
    Unknown,
    /// These pages, by process.
    Pages(Vec<u64>),
}

/// Reads a report: the pagemap's entries for all pages, as they were first, and at the exit of each process.
fn touched(report: &[u8], pages: usize) -> Touched {
    let there: Vec<bool> =
        report.as_chunks::<8>().0.iter().map(|entry| u64::from_le_bytes(*entry) & THERE != 0).collect();
    let mut states = there.chunks_exact(pages.max(1));
    let Some(first) = states.next() else { return Touched::Nothing };
    if states.len() == 0 {
        return Touched::Unknown;
    }
    // What was there already is what the thaw wrote to: it does so in every run, wherever the page is.
    let touched = states.flat_map(|last| {
        let pages = (0..).zip(first.iter().zip(last));
        pages.filter(|(_, (first, last))| **last && !**first).map(|(page, _)| page)
    });
    Touched::Pages(touched.collect())
}

/// The objects on these pages of an image that is `length` bytes long.
fn used(plan: &Plan, pages: &HashSet<u64>, length: u64, shell: &Shell) -> HashSet<Allocation> {
    let objects: Vec<_> = plan.on_pages(pages).collect();
    let bytes = objects.iter().map(|placement| placement.reserved).sum();
    shell.status(
        "Trained",
        format_args!(
            "{} of {} pages were used: {} of {} objects, {}, come first",
            grouped(pages.len() as u64),
            grouped(length.div_ceil(PAGE as u64)),
            grouped(objects.len() as u64),
            grouped(plan.len() as u64),
            megabytes(bytes)
        ),
    );
    objects.into_iter().filter_map(|placement| plan.allocation(placement)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_words() {
        let words = |text: &str| text.parse::<Arguments>().map(|arguments| arguments.words);
        assert_eq!(words("search 'a b' --all").unwrap(), ["search", "a b", "--all"]);
        assert_eq!(words("").unwrap(), [""; 0]);
        assert!(words("search 'a").is_err() && words("search \\").is_err());
    }

    #[test]
    fn pages_of_all_processes_but_not_those_of_the_thaw() {
        let state = |entries: [u64; 4]| entries.map(|entry| (entry << 61).to_le_bytes()).as_flattened().to_vec();
        let (first, one, two) = (state([0, 4, 0, 0]), state([0, 4, 5, 0]), state([2, 4, 0, 1]));
        assert_eq!(touched(&[], 4), Touched::Nothing);
        assert_eq!(touched(&first[..24], 4), Touched::Nothing);
        assert_eq!(touched(&first, 4), Touched::Unknown);
        assert_eq!(touched(&[&*first, &one].concat(), 4), Touched::Pages(vec![2]));
        assert_eq!(touched(&[&*first, &one, &two].concat(), 4), Touched::Pages(vec![2, 0]));
    }
}
