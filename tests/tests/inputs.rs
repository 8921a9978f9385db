//! What makes a build fresh: nothing is frozen again unless the program or something that its roots read has changed.

use anyhow::{Context, Result, ensure};
use fastboot_tests::programs::{Link, TargetFolder, succeed};
use fastboot_tests::runs::{self, Run};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The roots of the program, sorted.
const ROOTS: [&str; 7] = ["C", "DECLARED", "MANY", "SEEN", "THREAD", "TREE", "WRITTEN"];

/// The program, the folder with what it reads, and its target folder, which stays locked.
struct Stage {
    target: TargetFolder,
    folder: tempfile::TempDir,
}

impl Stage {
    /// With every file that the program reads; it was frozen from none of them.
    fn new() -> Result<Self> {
        let stage = Self { target: TargetFolder::lock()?, folder: tempfile::tempdir()? };
        fs::create_dir_all(stage.path("tree/deep"))?;
        fs::create_dir(stage.path("listed"))?;
        for name in ["declared.txt", "tree/deep/leaf.txt", "seen.txt", "thread.txt", "c.txt"] {
            stage.write(name, name)?;
        }
        Ok(stage)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        fs::write(self.path(name), text).with_context(|| format!("cannot write {name}"))
    }

    fn command(&self, flags: &[&str]) -> Result<Command> {
        let mut build = self.target.fastboot_build()?;
        build.args(["--package", "inputs"]).args(flags).env("INPUTS_FOLDER", self.folder.path());
        build.env_remove("INPUTS_SEEN").env_remove("INPUTS_DECLARED");
        Ok(build)
    }

    /// Builds, and requires that the roots were evaluated, or that they were not.
    fn require(&self, freezes: bool, flags: &[&str]) -> Result<Run> {
        require(&mut self.command(flags)?, freezes)
    }

    /// Requires that another build freezes, and that the one after it does not.
    fn require_once(&self) -> Result<()> {
        self.require(true, &[])?;
        self.require(false, &[]).map(drop)
    }

    fn made(&self, name: &str) -> PathBuf {
        self.target.path().join("debug").join(name)
    }

    /// What was kept of the last build: in the folder with the cold binary that is kept as the latest one.
    fn kept(&self, name: &str) -> Result<PathBuf> {
        let all = self.made("fastboot");
        let latest = fs::read(all.join("inputs.cold"))?;
        for entry in fs::read_dir(&all)? {
            let folder = entry?.path();
            if fs::read(folder.join("inputs.cold")).is_ok_and(|cold| cold == latest) {
                return Ok(folder.join(name));
            }
        }
        anyhow::bail!("no folder in {} has the latest cold binary", all.display())
    }
}

fn require(command: &mut Command, freezes: bool) -> Result<Run> {
    let run = Run::of(command)?;
    run.require_success()?;
    let said = &run.stderr;
    ensure!(said.contains(" Fresh inputs\n") != freezes, "whether it is fresh is not said:\n{said}");
    ensure!(said.contains(" Freezing inputs\n") == freezes, "whether it is frozen is not said:\n{said}");
    ensure!(run.evaluated() == if freezes { &ROOTS[..] } else { &[] }, "it evaluated {:?}", run.evaluated());
    Ok(run)
}

/// What the finished program prints.
fn prints(program: &Path) -> Result<String> {
    let run = Run::of(runs::program(program).env("FASTBOOT_LOG", "1"))?;
    run.require_thawed(ROOTS.len())?;
    Ok(run.stdout)
}

#[test]
fn without_a_change_nothing_is_frozen() -> Result<()> {
    let stage = Stage::new()?;
    stage.require(true, &["--refreeze"])?;
    let program = stage.made("inputs");
    let (bytes, printed) = (fs::read(&program)?, prints(&program)?);
    runs::require_same("declared.txt|tree/deep/leaf.txt|seen.txt[]|thread.txt|true|7|0\n", &printed)?;
    let again = stage.require(false, &[])?;
    ensure!(!again.stderr.contains("warning: "), "{}", again.stderr);
    // Cargo has put the cold binary there meanwhile.
    ensure!(fs::read(&program)? == bytes, "the finished binary is another one");
    succeed(stage.target.cargo("build").args(["--package", "inputs"]))?;
    ensure!(fs::read(&program)? != bytes, "cargo left it alone");
    stage.require(false, &[])?;
    ensure!(fs::read(&program)? == bytes, "the finished binary was not put back");
    let folder = tempfile::tempdir()?;
    let out = folder.path().to_str().context("a path that is not UTF-8")?;
    stage.require(false, &["--out-dir", out])?;
    ensure!(fs::read(folder.path().join("inputs"))? == bytes, "the copy is another one");
    Ok(())
}

#[test]
fn every_input_counts() -> Result<()> {
    let stage = Stage::new()?;
    stage.require(true, &["--refreeze"])?;
    for name in ["declared.txt", "tree/deep/leaf.txt", "seen.txt", "thread.txt", "c.txt"] {
        stage.write(name, "another")?;
        stage.require_once().with_context(|| format!("{name} changed"))?;
    }
    for name in ["listed/new.txt", "tree/deep/new.txt", "many 0.txt"] {
        stage.write(name, "new")?;
        stage.require_once().with_context(|| format!("{name} appeared"))?;
    }
    fs::remove_file(stage.path("thread.txt"))?;
    stage.require_once().context("thread.txt disappeared")?;
    runs::require_same("another|another|another[\"new.txt\"]||true|7|1\n", &prints(&stage.made("inputs"))?)?;

    for variable in ["INPUTS_SEEN", "INPUTS_DECLARED"] {
        for (value, freezes) in [("set", true), ("set", false), ("changed", true)] {
            require(stage.command(&[])?.env(variable, value), freezes)
                .with_context(|| format!("{variable}={value}"))?;
        }
        stage.require_once().with_context(|| format!("{variable} is not set any more"))?;
    }
    Ok(())
}

#[test]
fn what_is_no_input_does_not_count() -> Result<()> {
    let stage = Stage::new()?;
    stage.require(true, &["--refreeze"])?;
    stage.write("unread.txt", "new")?;
    stage.write("written.txt", "by somebody else")?;
    require(stage.command(&[])?.env("INPUTS_UNREAD", "1").env("RUST_BACKTRACE", "1"), false)?;
    Ok(())
}

#[test]
fn another_way_of_freezing_counts() -> Result<()> {
    let stage = Stage::new()?;
    stage.require(true, &["--refreeze"])?;
    stage.require(true, &["--verbatim"])?;
    stage.require(false, &["--verbatim"])?;
    stage.require(true, &[])?;
    stage.require(false, &["--freeze-timeout", "600"])?;
    stage.require(true, &["--real-random"])?;
    stage.require(true, &["--real-random"])?;
    stage.require_once()
}

#[test]
fn what_was_not_verified_is_verified_when_that_is_asked_for() -> Result<()> {
    let stage = Stage::new()?;
    let verified = |run: &Run| run.stderr.contains(" Verified 7 roots equal");
    ensure!(!verified(&stage.require(true, &["--refreeze"])?), "verified without --verify");
    ensure!(verified(&stage.require(false, &["--verify"])?), "not verified with --verify");
    ensure!(!verified(&stage.require(false, &["--verify"])?), "verified again");
    Ok(())
}

#[test]
fn damage_means_to_freeze_anew() -> Result<()> {
    let stage = Stage::new()?;
    stage.require(true, &["--refreeze"])?;
    let record = stage.kept("inputs.inputs")?;
    for text in ["", "{}", "no record"] {
        fs::write(&record, text)?;
        stage.require_once().with_context(|| format!("the record {text:?}"))?;
    }
    let finished = stage.kept("inputs.embedded")?;
    let mut bytes = fs::read(&finished)?;
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&finished, bytes)?;
    stage.require_once()?;
    runs::require_same(
        "declared.txt|tree/deep/leaf.txt|seen.txt[]|thread.txt|true|7|0\n",
        &prints(&stage.made("inputs"))?,
    )
}

#[test]
fn what_is_not_declared_is_named_once() -> Result<()> {
    let stage = Stage::new()?;
    let flags = [vec!["--refreeze"], vec!["--refreeze", "--static"], vec!["--refreeze", "--pie"]];
    for (link, flags) in Link::ALL.into_iter().zip(flags) {
        let run = require(stage.command(&flags)?.env("INPUTS_SEEN", "set"), true)?;
        let path = |name: &str| format!("{:?}", stage.path(name));
        let expected = [
            ("SEEN", "input_env(\"INPUTS_SEEN\")".to_owned()),
            ("SEEN", format!("input({})", path("seen.txt"))),
            ("SEEN", format!("input({})", path("listed"))),
            ("THREAD", format!("input({})", path("thread.txt"))),
            ("C", format!("input({})", path("c.txt"))),
        ];
        let warnings: Vec<_> = run.stderr.lines().filter(|line| line.starts_with("warning: ")).collect();
        for (root, call) in &expected {
            let says = |line: &&&str| line.contains(&format!("root `inputs::{root}`")) && line.contains(call);
            let count = warnings.iter().filter(says).count();
            ensure!(count == 1, "{link:?}: {count} warnings of {call} in {root}:\n{}", run.stderr);
        }
        ensure!(warnings.len() == expected.len(), "{link:?}:\n{}", run.stderr);
    }
    Ok(())
}

#[test]
fn only_some_of_many_are_named() -> Result<()> {
    let stage = Stage::new()?;
    for number in 0..9 {
        stage.write(&format!("many {number}.txt"), "")?;
    }
    let count = |run: &Run| run.stderr.lines().filter(|line| line.starts_with("warning: ")).count();
    let run = stage.require(true, &["--refreeze"])?;
    ensure!(count(&run) == 6 && run.stderr.contains("warning: 8 more inputs are not declared"), "{}", run.stderr);
    let run = stage.require(true, &["--refreeze", "-v"])?;
    ensure!(count(&run) == 13, "{} warnings:\n{}", count(&run), run.stderr);
    Ok(())
}

#[test]
fn what_is_not_declared_can_be_refused() -> Result<()> {
    let stage = Stage::new()?;
    let run = Run::of(&mut stage.command(&["--refreeze", "--deny", "undeclared"])?)?;
    ensure!(!run.status.success() && run.stderr.contains("error: "), "{}", run.stderr);
    ensure!(run.stderr.contains("which is not declared"), "{}", run.stderr);
    for name in ["seen.txt", "thread.txt", "c.txt"] {
        fs::remove_file(stage.path(name))?;
    }
    fs::remove_dir(stage.path("listed"))?;
    stage.require(true, &["--refreeze", "--deny", "undeclared"])?;
    Ok(())
}
