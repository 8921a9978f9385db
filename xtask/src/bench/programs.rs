//! Makes the programs and the data, and puts them where nothing but the bench touches them.

use super::Size;
use super::rows::{Program, baked_counts};
use crate::command::{cargo, root, run, target};
use anyhow::{Context, Result};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// A program that can be run.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) binary: PathBuf,
    /// Comes before all other arguments.
    workload: Option<&'static str>,
    environment: Vec<(&'static str, PathBuf)>,
    /// Bytes of the binary's file.
    pub(crate) binary_bytes: u64,
    /// Bytes of the data file.
    pub(crate) data_bytes: u64,
    /// Seconds from changed source to finished program and data, where that was measured.
    pub(crate) build: Option<f64>,
}

impl Made {
    /// A binary that was made in another way, with a folder of data of its own.
    pub(crate) fn elsewhere(binary: PathBuf, workload: Option<&'static str>, data: PathBuf) -> Self {
        let environment = vec![("BENCH_DATA", data)];
        Self { binary, workload, environment, binary_bytes: 0, data_bytes: 0, build: None }
    }

    /// With another variable in its environment, in place of one of the same name.
    pub(crate) fn with(mut self, name: &'static str, value: PathBuf) -> Self {
        self.environment.retain(|(other, _)| *other != name);
        self.environment.push((name, value));
        self
    }

    /// The program, called with these arguments.
    pub(crate) fn command(&self, arguments: &[String]) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(self.workload).args(arguments).env_clear();
        command.envs(self.environment.iter().map(|(name, value)| (*name, value)));
        command
    }
}

/// Where programs and data are made.
pub(crate) struct Workshop {
    /// What the bench leaves.
    pub(crate) folder: PathBuf,
    size: Size,
    tool: PathBuf,
    made: HashMap<String, Made>,
}

impl Workshop {
    /// Builds the tool, what makes the data, and the data.
    pub(crate) fn open(size: Size) -> Result<Self> {
        let folder = std::path::absolute(target().join("bench"))?;
        for folder in ["bin", "data", "fresh"].map(|name| folder.join(name)) {
            std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        }
        run(cargo("build").args(["--release", "--locked", "--package", "cargo-fastboot"]))?;
        let workshop = Self { folder, size, tool: target().join("release/cargo-fastboot"), made: HashMap::new() };
        if size == Size::Full {
            workshop.forget_builds()?;
        }
        run(workshop.suite(&mut cargo("build")).args(["--release", "--locked", "--package", "workloads"]))?;
        run(workshop.data(workshop.built("make-data")).arg("text"))?;
        let (strings, words) = baked_counts(size);
        run(workshop.data(workshop.built("make-data")).args(["sources", &strings.to_string(), &words.to_string()]))?;
        workshop.copy_patterns()?;
        for text in ["paths.txt", "postings.txt", "regexes.yaml"] {
            workshop.freshen(text)?;
        }
        Ok(workshop)
    }

    /// Build times are those of a build after a change: the dependencies stay built, the last crates and images do not.
    fn forget_builds(&self) -> Result<()> {
        let mut clean = cargo("clean");
        for package in ["frozen", "peers", "baked"] {
            clean.args(["--package", package]);
        }
        run(self.suite(&mut clean).arg("--release"))?;
        match std::fs::remove_dir_all(self.built("fastboot")) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).context("cannot forget images"),
            _ => Ok(()),
        }
    }

    /// The patterns of `uaparser`, which it has in its package but not in its library.
    fn copy_patterns(&self) -> Result<()> {
        let mut metadata = cargo("metadata");
        let output = self.suite(&mut metadata).args(["--format-version=1", "--locked"]).output()?;
        let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).context("cargo metadata")?;
        let packages = metadata["packages"].as_array().context("cargo metadata lists no packages")?;
        let package = packages.iter().find(|package| package["name"] == "uaparser").context("no package uaparser")?;
        let manifest = Path::new(package["manifest_path"].as_str().context("uaparser has no manifest")?);
        let patterns = manifest.with_file_name("src/core/regexes.yaml");
        std::fs::copy(&patterns, self.folder.join("data/regexes.yaml"))
            .with_context(|| format!("cannot copy {}", patterns.display()))?;
        Ok(())
    }

    /// Makes a program, unless it was made before.
    pub(crate) fn make(&mut self, program: Program, workload: &'static str) -> Result<Made> {
        let name = file_name(program, workload);
        if let Some(made) = self.made.get(&name) {
            return Ok(made.clone());
        }
        let began = Instant::now();
        let mut made =
            Made { environment: Vec::new(), ..Made::elsewhere(self.copy_of(program, workload), None, PathBuf::new()) };
        self.fill(&mut made, program, workload)?;
        let timed = self.size == Size::Full && !matches!(program, Program::Plain(_) | Program::Cold { .. });
        made.build = timed.then(|| began.elapsed().as_secs_f64());
        made.binary_bytes = length(&made.binary)?;
        self.made.insert(name, made.clone());
        Ok(made)
    }

    /// Makes the files of a program.
    fn fill(&mut self, made: &mut Made, program: Program, workload: &'static str) -> Result<()> {
        match program {
            Program::Empty(flags) => {
                let mut cargo = cargo("rustc");
                run(cargo.args(["--release", "--locked", "--package", "minimal", "--"]).args(flags))?;
                copy(&target().join("release/minimal"), &made.binary)?;
            }
            Program::Plain(binary) => copy(&self.built(binary), &made.binary)?,
            Program::Peer { binary, ending, checked } => {
                self.build("peers", binary)?;
                copy(&self.built(binary), &made.binary)?;
                run(self.data(made.binary.clone()).args([workload, "--save"]))?;
                let file = if workload == "strings" { "paths" } else { "postings" };
                let file = format!("{file}.{ending}");
                self.freshen(&file)?;
                made.data_bytes = length(&self.folder.join("data").join(file))?;
                made.workload = Some(workload);
                made.environment.push(("BENCH_DATA", self.fresh()));
                if checked {
                    made.environment.push(("RKYV_CHECK", "1".into()));
                }
            }
            Program::Baked(binary) => {
                self.build("baked", binary)?;
                copy(&self.built(binary), &made.binary)?;
            }
            Program::Fastboot { binary, flags } => {
                let mut command = self.tool("build");
                command.args(["--release", "--locked", "--package", "frozen", "--bin", binary]).args(flags);
                // The answers of all programs are compared with each other anyway.
                command.args((self.size == Size::Quick).then_some("--no-verify"));
                run(&mut command)?;
                copy(&self.built(binary), &made.binary)?;
                let cold = self.built("fastboot").join(format!("{binary}.cold"));
                copy(&cold, &self.copy_of(Program::Cold { binary, flags }, workload))?;
            }
            Program::Cold { binary, flags } => {
                self.make(Program::Fastboot { binary, flags }, workload)?;
                made.environment.push(("BENCH_DATA", self.fresh()));
            }
            Program::Snapshot { binary, flags } => {
                made.binary = self.make(Program::Cold { binary, flags }, workload)?.binary;
                let snapshot = self.fresh().join(file_name(program, workload));
                let mut freeze = self.tool("freeze");
                run(freeze.arg("--binary").arg(&made.binary).arg("--output").arg(&snapshot))?;
                made.data_bytes = length(&snapshot)?;
                made.environment.push(("FASTBOOT_SNAPSHOT", snapshot));
            }
        }
        Ok(())
    }

    /// Copies a file of the data for the runs, so that the page cache has it as it has the binaries. The original is only
    /// read when something is made of it, and stays as old as it is: cargo would compile it in again.
    fn freshen(&self, file: &str) -> Result<()> {
        copy(&self.folder.join("data").join(file), &self.fresh().join(file))
    }

    /// The data for the runs.
    pub(crate) fn fresh(&self) -> PathBuf {
        self.folder.join("fresh")
    }

    /// Where the copy of a binary is.
    fn copy_of(&self, program: Program, workload: &str) -> PathBuf {
        self.folder.join("bin").join(file_name(program, workload))
    }

    fn build(&self, package: &str, binary: &str) -> Result<()> {
        let mut command = cargo("build");
        let command = self.suite(&mut command);
        run(command.args(["--release", "--locked", "--package", package, "--bin", binary]))
    }

    /// `cargo-fastboot`.
    pub(crate) fn tool_path(&self) -> &Path {
        &self.tool
    }

    /// `cargo fastboot VERB`, in the workspace of the measured programs.
    pub(crate) fn tool(&self, verb: &str) -> Command {
        let mut command = Command::new(&self.tool);
        command.args([verb, "--quiet"]);
        self.suite(&mut command);
        command
    }

    /// A command in the workspace of the measured programs, with the target folder and the data of the bench.
    fn suite<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let suite = target().join("bench-suite");
        let suite = std::path::absolute(&suite).unwrap_or(suite);
        command.current_dir(root().join("bench/suite")).env("CARGO_TARGET_DIR", suite);
        command.env("BENCH_DATA", self.folder.join("data"))
    }

    /// A command that reads and writes data.
    pub(crate) fn data(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env("BENCH_DATA", self.folder.join("data"));
        command
    }

    /// Where cargo puts a binary of the measured programs.
    pub(crate) fn built(&self, binary: &str) -> PathBuf {
        target().join("bench-suite/release").join(binary)
    }
}

/// The name of the copy of a binary, or of its snapshot.
pub(crate) fn file_name(program: Program, workload: &str) -> String {
    let flags = |flags: &[&str]| flags.concat().replace("--", "-").replace(' ', "-");
    match program {
        Program::Empty([]) => "empty".to_owned(),
        Program::Empty(_) => "empty-static".to_owned(),
        Program::Plain(binary) => binary.to_owned(),
        Program::Peer { binary, checked, .. } => {
            format!("{binary}-{workload}{}", if checked { "-checked" } else { "" })
        }
        Program::Baked(binary) => format!("baked-{binary}"),
        Program::Fastboot { binary, flags: given } => format!("fastboot-{binary}{}", flags(given)),
        Program::Snapshot { binary, flags: given } => format!("{binary}{}.snap", flags(given)),
        Program::Cold { binary, flags: given } => format!("fastboot-{binary}{}-cold", flags(given)),
    }
}

pub(crate) fn length(path: &Path) -> Result<u64> {
    Ok(path.metadata().with_context(|| format!("cannot find {}", path.display()))?.len())
}

/// Copies whole and at once, as the tool writes: the page cache then keeps the file in large folios.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let bytes = std::fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
    write_like(from, to, &bytes)
}

/// Writes a file whole and at once, with the permissions of another.
pub(crate) fn write_like(from: &Path, to: &Path, bytes: &[u8]) -> Result<()> {
    let _ = std::fs::remove_file(to);
    std::fs::write(to, bytes).with_context(|| format!("cannot write {}", to.display()))?;
    std::fs::set_permissions(to, std::fs::metadata(from)?.permissions())
        .with_context(|| format!("cannot give {} its permissions", to.display()))
}
