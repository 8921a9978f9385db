//! `--compare-run`: what the finished program does with its image is what it does without, or it is not delivered.

use anyhow::{Result, ensure};
use fastboot_tests::programs::{TargetFolder, programs};
use fastboot_tests::runs::{self, Run};
use std::fs;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// One test at a time: what was compared last decides what a fresh build does.
static ALONE: Mutex<()> = Mutex::new(());

/// Builds the program; it must succeed or not, and say all of this. Returns what it said, and where the program is.
fn build(options: &[&str], succeeds: bool, says: &[&str]) -> Result<(String, PathBuf)> {
    let target = TargetFolder::lock()?;
    let run = Run::of(target.fastboot_build()?.args(["--release", "--package", "compared"]).args(options))?;
    ensure!(run.status.success() == succeeds, "{options:?}: {}\n{}", run.status, run.stderr);
    for text in says {
        ensure!(run.stderr.contains(text), "{options:?}: `{text}` is not in:\n{}", run.stderr);
    }
    let path = target.path().join("release/compared");
    let thaws = Run::of(runs::program(&path).env("FASTBOOT_LOG", "1"))?.stderr.contains("fastboot: thawed");
    ensure!(thaws == succeeds, "{options:?}: a program that is {}", if thaws { "thawed" } else { "cold" });
    Ok((run.stderr, path))
}

#[test]
fn runs_of_the_metadata_and_of_flags_are_compared() -> Result<()> {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let queries = programs().join("compared/queries.txt");
    let listed = ["Comparing `answer 7`", "Comparing `lines < ", "queries.txt`"];
    build(&["--refreeze"], true, &listed)?;
    let (said, _) = build(&[], true, &["Fresh compared"])?;
    ensure!(!said.contains("Comparing"), "it was compared already:\n{said}");
    let own = ["--compare-run", "answer 12", "--compare-run=lines", "--stdin", &queries.to_string_lossy()];
    build(&own, true, &["Fresh compared", "Comparing `answer 12 < ", "Comparing `lines < "])?;
    build(&["--compare-run", "answer 12", "--stdin", "no-such-file"], false, &["no-such-file", "`--stdin` names"])
        .map(drop)
}

#[test]
fn a_program_that_does_something_else_is_not_delivered() -> Result<()> {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let says = ["called with `source` the program does something else with its image", "line 2 of standard output"];
    let (said, path) = build(&["--compare-run", "source"], false, &says)?;
    ensure!(said.contains("`evaluated` without") || said.contains("`unevaluated` without"), "{said}");
    ensure!(said.contains("`section` with it"), "{said}");
    for entry in fs::read_dir(path.with_file_name("fastboot"))? {
        let entry = entry?.path();
        let ours =
            entry.is_dir() && entry.file_name().is_some_and(|name| name.to_string_lossy().starts_with("compared-"));
        ensure!(
            !ours || !entry.join("compared.embedded").exists(),
            "the embedded program was left in {}",
            entry.display()
        );
    }
    build(
        &["--compare-run", "status"],
        false,
        &["ended with exit status 0 without, and ended with exit status 1 with it"],
    )?;
    let says = ["called with `time` the program does not do the same in every run"];
    build(&["--compare-run", "time"], false, &says)?;
    build(&["--compare-run", "complain"], true, &[])?;
    build(&["--compare-run", "complain", "--compare-stderr"], false, &["line 1 of standard error"]).map(drop)
}

#[test]
fn training_reads_standard_input() -> Result<()> {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir()?;
    let queries = folder.path().join("queries");
    fs::write(&queries, "5000\n5001\n")?;
    let queries = queries.to_string_lossy().into_owned();
    let train = ["--refreeze", "--train", "lines", "--stdin", &queries];
    build(&train, true, &["Training `lines < ", "Trained "])?;
    let nothing = "used nothing of the image";
    let (said, _) = build(&["--refreeze", "--train", "time"], true, &[nothing])?;
    ensure!(said.contains("warning: the training runs used nothing"), "{said}");
    Ok(())
}
