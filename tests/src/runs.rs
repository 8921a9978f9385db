//! Runs the test programs and compares the runs.

use crate::programs::{Built, line};
use anyhow::{Context, Result, ensure};
use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::Duration;

/// What a run printed and how it ended.
#[derive(Clone, Debug)]
pub struct Run {
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// How it ended.
    pub status: ExitStatus,
}

impl Run {
    /// Runs `command` to its end.
    pub fn of(command: &mut Command) -> Result<Self> {
        let mut output = command.output();
        for _ in 0..1000 {
            // A child that another test is starting has, until it executes its own program, every file open that this
            // process has open for writing.
            if !output.as_ref().is_err_and(|error| error.kind() == ErrorKind::ExecutableFileBusy) {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
            output = command.output();
        }
        let output = output.with_context(|| format!("cannot run `{}`", line(command)))?;
        Ok(Self {
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            status: output.status,
        })
    }

    /// The roots whose build expressions ran in this process, sorted.
    pub fn evaluated(&self) -> Vec<&str> {
        let mut roots: Vec<_> = self.stderr.lines().filter_map(|line| line.strip_prefix("evaluated ")).collect();
        roots.sort_unstable();
        roots
    }

    /// The roots and where their values came from, sorted.
    pub fn sources(&self) -> Vec<(&str, &str)> {
        let lines = self.stderr.lines().filter_map(|line| line.strip_prefix("source "));
        let mut sources: Vec<_> = lines.filter_map(|line| line.rsplit_once(' ')).collect();
        sources.sort_unstable();
        sources
    }

    /// Requires that it ended well, evaluated each of its roots itself, and each of them once.
    pub fn require_cold(&self) -> Result<()> {
        self.require_success()?;
        let sources = self.sources();
        ensure!(!sources.is_empty(), "it has no roots:\n{}", self.stderr);
        ensure!(sources.iter().all(|(_, source)| *source == "evaluated"), "not evaluated: {sources:?}");
        let roots: Vec<_> = sources.iter().map(|(root, _)| *root).collect();
        ensure!(self.evaluated() == roots, "evaluated {:?}, the roots are {roots:?}", self.evaluated());
        Ok(())
    }

    /// Requires that it ended well, evaluated nothing, and has all of its `roots` from the section.
    pub fn require_thawed(&self, roots: usize) -> Result<()> {
        self.require_thawed_from("section", roots)
    }

    /// The same for another source.
    pub fn require_thawed_from(&self, source: &str, roots: usize) -> Result<()> {
        self.require_success()?;
        ensure!(self.evaluated().is_empty(), "build expressions ran: {:?}\n{}", self.evaluated(), self.stderr);
        let sources = self.sources();
        ensure!(
            sources.iter().all(|(_, found)| *found == source),
            "not from the {source}: {sources:?}\n{}",
            self.stderr
        );
        ensure!(sources.len() == roots, "{} roots are known, {roots} expected", sources.len());
        let thawed = format!("fastboot: thawed {roots} root");
        let from = format!(" from {source}, ");
        let logged = self.log().is_some_and(|line| line.starts_with(&thawed) && line.contains(&from));
        ensure!(logged, "FASTBOOT_LOG did not report `{thawed}s{from}..`:\n{}", self.stderr);
        Ok(())
    }

    /// Requires that it ended well, evaluated all of its roots, and gave this as the reason.
    pub fn require_cold_because(&self, reason: &str) -> Result<()> {
        self.require_cold()?;
        let logged = self.log().is_some_and(|line| line.starts_with("fastboot: cold start: ") && line.contains(reason));
        ensure!(logged, "FASTBOOT_LOG did not report `cold start: ..{reason}`:\n{}", self.stderr);
        Ok(())
    }

    /// The line that FASTBOOT_LOG asks for.
    pub fn log(&self) -> Option<&str> {
        self.stderr.lines().find(|line| line.starts_with("fastboot: "))
    }

    /// Requires that it ended well.
    pub fn require_success(&self) -> Result<()> {
        ensure!(self.status.success(), "{}:\n{}{}", self.status, self.stdout, self.stderr);
        Ok(())
    }
}

/// The program at `path`, with a clean environment as far as fastboot is concerned.
pub fn program(path: &Path) -> Command {
    let mut command = Command::new(path);
    let own = ["FASTBOOT", "FASTBOOT_LOG", "FASTBOOT_FREEZE", "FASTBOOT_FREEZE_CACHE", "FASTBOOT_SNAPSHOT"];
    for name in own.into_iter().chain(["RUST_BACKTRACE"]) {
        command.env_remove(name);
    }
    command
}

/// Requires that the embedded binary at `path` thaws its `roots` and prints `stdout`.
pub fn require_thaws(path: &Path, roots: usize, stdout: &str) -> Result<()> {
    let thawed = Run::of(program(path).env("FASTBOOT_LOG", "1"))?;
    thawed.require_thawed(roots).with_context(|| path.display().to_string())?;
    require_same(stdout, &thawed.stdout)
}

/// Requires that the program does with its image what it does without, and that the image is the reason why no build
/// expression runs. Returns the cold run.
pub fn require_same_result(built: &Built) -> Result<Run> {
    let cold = Run::of(&mut program(&built.cold))?;
    cold.require_cold().context("the cold binary")?;
    let roots = cold.sources().len();

    require_thaws(&built.embedded, roots, &cold.stdout).context("the embedded binary")?;

    let off = Run::of(program(&built.embedded).env("FASTBOOT", "off").env("FASTBOOT_LOG", "1"))?;
    off.require_cold().context("the embedded binary with FASTBOOT=off")?;
    ensure!(off.stderr.contains("fastboot: cold start: FASTBOOT=off"), "no word of it:\n{}", off.stderr);
    require_same(&cold.stdout, &off.stdout).context("with FASTBOOT=off")?;

    let quiet = Run::of(&mut program(&built.embedded))?;
    ensure!(!quiet.stderr.contains("fastboot:"), "it speaks without FASTBOOT_LOG:\n{}", quiet.stderr);
    Ok(cold)
}

/// Requires that two runs printed the same; the error shows the first line that differs.
pub fn require_same(expected: &str, found: &str) -> Result<()> {
    let differing = expected.lines().zip(found.lines()).find(|(expected, found)| expected != found);
    if let Some((expected, found)) = differing {
        anyhow::bail!("the output differs\nexpected: {expected}\n   found: {found}");
    }
    ensure!(expected == found, "one output is longer: {} and {} bytes", expected.len(), found.len());
    Ok(())
}
