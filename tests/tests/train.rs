//! Training: what a program uses lies together, and nothing else is different.

use anyhow::{Context, Result, ensure};
use fastboot_tests::programs::{TargetFolder, cold_path};
use fastboot_tests::runs::{self, Run};
use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A hundred notes from all over, and others.
const TRAINED: [&str; 3] = ["7", "197", "100"];
const OTHERS: [&str; 3] = ["11", "193", "100"];

/// Where the program is built.
struct Stage {
    target: TargetFolder,
    folder: tempfile::TempDir,
}

impl Stage {
    fn new() -> Result<Self> {
        Ok(Self { target: TargetFolder::lock()?, folder: tempfile::tempdir()? })
    }

    /// Builds the program with these flags.
    fn build(&self, flags: &[&str]) -> Result<Run> {
        let run = Run::of(self.target.fastboot_build()?.args(["--package", "notes"]).args(flags))?;
        run.require_success()?;
        Ok(run)
    }

    fn made(&self) -> PathBuf {
        self.target.path().join("debug")
    }

    /// A copy of the program as `build` left it. Written page by page: the page cache then has it in small pieces, as it has
    /// a file that was read back, and page faults can be told.
    fn keep(&self, name: &str) -> Result<PathBuf> {
        let to = self.folder.path().join(name);
        let mut file = fs::File::options().create_new(true).write(true).mode(0o755).open(&to)?;
        for page in fs::read(self.made().join("notes"))?.chunks(4096) {
            file.write_all(page)?;
        }
        Ok(to)
    }
}

/// What a look-up took.
struct Taken {
    answer: String,
    faults: u32,
    pieces: u32,
}

fn look_up(program: &Path, numbers: [&str; 3]) -> Result<Taken> {
    let run = Run::of(runs::program(program).args(numbers))?;
    run.require_success()?;
    ensure!(run.evaluated().is_empty(), "it has no image");
    let said = run.stderr.lines().find_map(|line| line.strip_suffix(" pieces")?.split_once(" faults, "));
    let (faults, pieces) = said.context("it does not say what it took")?;
    Ok(Taken { faults: faults.parse()?, pieces: pieces.parse()?, answer: run.stdout })
}

/// Trains the program, linked as `flags` say.
fn what_is_used_lies_together(flags: &[&str]) -> Result<()> {
    let stage = Stage::new()?;
    stage.build(&[flags, &["--refreeze"]].concat())?;
    let untrained = stage.keep("untrained")?;
    let said = stage.build(&[flags, &["--verify", "--train", "7 197 '100'"]].concat())?;
    ensure!(said.stderr.contains(" Training `7 197 '100'`\n"), "{}", said.stderr);
    ensure!(said.stderr.contains(" pages were used: "), "{}", said.stderr);
    ensure!(said.evaluated() == ["NOTES"], "what expressions say is shown twice: {:?}", said.evaluated());
    let trained = stage.keep("trained")?;

    for numbers in [TRAINED, OTHERS, ["0", "1", "20000"]] {
        let cold = Run::of(runs::program(&cold_path(&stage.made(), "notes")).args(numbers))?;
        cold.require_cold()?;
        for program in [&untrained, &trained] {
            runs::require_same(&cold.stdout, &look_up(program, numbers)?.answer)?;
        }
    }
    let (before, after) = (look_up(&untrained, TRAINED)?, look_up(&trained, TRAINED)?);
    ensure!(before.pieces > 60 && after.pieces < 10, "{} pieces, {} when trained", before.pieces, after.pieces);
    ensure!(2 * after.faults < before.faults, "{} page faults, {} when trained", before.faults, after.faults);
    Ok(())
}

#[test]
fn non_pie() -> Result<()> {
    what_is_used_lies_together(&[])
}

#[test]
fn pie() -> Result<()> {
    what_is_used_lies_together(&["--pie"])
}

#[test]
fn footer() -> Result<()> {
    what_is_used_lies_together(&["--footer"])
}

#[test]
fn it_is_trained_anew_if_something_changed() -> Result<()> {
    let stage = Stage::new()?;
    stage.build(&["--refreeze", "--train", "7 197 100"])?;
    let bytes = fs::read(stage.made().join("notes"))?;
    let again = stage.build(&["--train", "7 197 100"])?;
    ensure!(again.stderr.contains(" Fresh notes\n") && !again.stderr.contains(" Training "), "{}", again.stderr);
    // Two runs know what both use, and one that uses nothing does not matter.
    let two = stage.build(&["--train", "7 197 50", "--train", "9857 197 50", "--train", "0 0 0"])?;
    ensure!(two.stderr.matches(" Training ").count() == 3, "{}", two.stderr);
    ensure!(look_up(&stage.made().join("notes"), TRAINED)?.pieces < 10);
    stage.build(&["--train", "7 197 100"])?;
    ensure!(fs::read(stage.made().join("notes"))? == bytes, "trained alike, and another binary");
    Ok(())
}

#[test]
fn runs_that_fail() -> Result<()> {
    let stage = Stage::new()?;
    let failed = stage.build(&["--refreeze", "--train", "7 197 100 exit"])?.stderr;
    ensure!(failed.contains("warning: called with `7 197 100 exit` the program ended with exit status: 3"), "{failed}");
    ensure!(look_up(&stage.made().join("notes"), TRAINED)?.pieces < 10, "what it used does not count");

    let aborted = stage.build(&["--train", "7 197 100 abort"])?.stderr;
    ensure!(aborted.contains("warning: ") && aborted.contains("nothing is known of what it used"), "{aborted}");
    ensure!(look_up(&stage.made().join("notes"), TRAINED)?.pieces > 60, "what is not known counts");
    Ok(())
}

#[test]
fn what_cannot_be() -> Result<()> {
    let stage = Stage::new()?;
    for (flags, expected) in [
        (
            &["--train", "'7 197"][..],
            "invalid value ''7 197' for '--train <ARGS>': a quotation mark has no counterpart",
        ),
        (&["--train", "7", "--cold"], "'--train <ARGS>' cannot be used with '--cold'"),
        (&["--train", "7", "--verbatim"], "'--train <ARGS>' cannot be used with '--verbatim'"),
    ] {
        let run = Run::of(stage.target.fastboot_build()?.args(["--package", "notes"]).args(flags))?;
        ensure!(!run.status.success() && run.stderr.contains(expected), "{flags:?}: {}", run.stderr);
    }
    // The program does not even thaw, so there is nothing to be learned.
    let mut build = stage.target.fastboot_build()?;
    build.args(["--package", "notes", "--refreeze", "--train", "7"]);
    let run = Run::of(build.env("FASTBOOT", "off"))?;
    ensure!(!run.status.success(), "it was trained all the same: {}", run.stderr);
    for said in ["does not say which pages it touched", "; leave out --train", "stays cold"] {
        ensure!(run.stderr.contains(said), "no `{said}`: {}", run.stderr);
    }
    Ok(())
}
