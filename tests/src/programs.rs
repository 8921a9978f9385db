//! Builds the test programs. One build at a time, in one target folder, and each distinct one once per test process:
//! the results are copied out before the next build overwrites them.

use anyhow::{Context, Result, ensure};
use std::collections::HashMap;
use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use tempfile::TempDir;

/// The target that images exist for.
pub const TARGET: &str = "x86_64-unknown-linux-gnu";

/// How the binary is linked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Link {
    /// At a fixed address, with the system's C library: what `build` does by default.
    NonPie,
    /// At a fixed address, with the C library inside: `--static`.
    Static,
    /// Position-independent: `--pie`.
    Pie,
}

impl Link {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::NonPie, Self::Static, Self::Pie];

    /// The flag that asks for it.
    pub fn flag(self) -> Option<&'static str> {
        match self {
            Self::NonPie => None,
            Self::Static => Some("--static"),
            Self::Pie => Some("--pie"),
        }
    }
}

/// Which linker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Linker {
    /// rust-lld, which rustc uses by default.
    Lld,
    /// GNU ld, the C compiler's default.
    Gnu,
}

/// What a compiler can add to a program to find mistakes when it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sanitizer {
    /// AddressSanitizer, which includes LeakSanitizer.
    Address,
    /// LeakSanitizer alone.
    Leak,
    /// ThreadSanitizer.
    Thread,
}

impl Sanitizer {
    /// What the target's folder of libraries calls its runtime.
    pub fn runtime(self) -> &'static str {
        match self {
            Self::Address => "_rt.asan.a",
            Self::Leak => "_rt.lsan.a",
            Self::Thread => "_rt.tsan.a",
        }
    }

    /// Flags for the compiler. The standard library is the one that comes with it, which knows of no sanitizer.
    fn flags(self) -> &'static str {
        match self {
            Self::Address => "-Zsanitizer=address",
            Self::Leak => "-Zsanitizer=leak",
            Self::Thread => "-Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer",
        }
    }
}

/// A binary to be built.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Program {
    /// The package.
    pub package: &'static str,
    /// The binary, which has the name of the package if it is the only one.
    pub bin: &'static str,
    /// Whether it is built with the feature `full` of its package.
    pub full: bool,
    /// The profile.
    pub profile: &'static str,
    /// How it is linked.
    pub link: Link,
    /// By which linker.
    pub linker: Linker,
    /// Whether it is left cold.
    pub cold: bool,
    /// What is added.
    pub sanitizer: Option<Sanitizer>,
}

impl Program {
    /// `package` as `cargo fastboot build --release` builds it.
    pub fn new(package: &'static str) -> Self {
        Self {
            package,
            bin: package,
            full: false,
            profile: "release",
            link: Link::NonPie,
            linker: Linker::Lld,
            cold: false,
            sanitizer: None,
        }
    }

    /// Another binary of the package.
    #[must_use]
    pub fn bin(self, bin: &'static str) -> Self {
        Self { bin, ..self }
    }

    /// The same, linked in another way.
    #[must_use]
    pub fn link(self, link: Link) -> Self {
        Self { link, ..self }
    }

    /// The same with `--cold`: the finished binary freezes itself, if it is told where to.
    #[must_use]
    pub fn cold(self) -> Self {
        Self { cold: true, ..self }
    }

    /// Builds it, unless this process already has.
    pub fn build(&self) -> Result<Arc<Built>> {
        static BUILT: LazyLock<Mutex<HashMap<Program, Arc<Built>>>> = LazyLock::new(Mutex::default);
        // Locked while it builds: whoever wants the same one waits for it instead of building it again.
        let mut all = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(built) = all.get(self) {
            return Ok(Arc::clone(built));
        }
        let built = Arc::new(self.build_alone()?);
        all.insert(self.clone(), Arc::clone(&built));
        Ok(built)
    }

    /// Builds it for the caller alone, who is done with it soon: such as one of many large ones.
    pub fn build_alone(&self) -> Result<Built> {
        self.build_now().with_context(|| format!("cannot build {self}"))
    }

    fn build_now(&self) -> Result<Built> {
        let target = TargetFolder::lock()?;
        let mut command = target.fastboot_build()?;
        command.args(["--package", self.package, "--bin", self.bin, "--profile", self.profile]);
        command.args(self.link.flag()).args(self.full.then_some("--features=full")).args(self.cold.then_some("--cold"));
        if self.linker == Linker::Gnu {
            // What rustc itself offers for going back to the linker of the C compiler, on this target, since 1.90.
            command.env("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS", "-Clinker-features=-lld");
        }
        let mut made = target.path().to_owned();
        if let Some(sanitizer) = self.sanitizer {
            // Flags of the compiler that are unstable, in whichever compiler there is. With a target, build scripts and
            // macros are built without them.
            command.env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", sanitizer.flags()).args(["--target", TARGET]);
            made.push(TARGET);
        }
        made.push(self.profile);
        succeed(&mut command)?;

        let folder = tempfile::tempdir()?;
        let copy = |from: &Path, name: &str| {
            let to = folder.path().join(name);
            fs::copy(from, &to).with_context(|| format!("cannot copy {}", from.display()))?;
            anyhow::Ok(to)
        };
        Ok(Built {
            embedded: copy(&made.join(self.bin), self.bin)?,
            cold: copy(&cold_path(&made, self.bin), &format!("{}.cold", self.bin))?,
            folder,
        })
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { package, bin, profile, link, linker, .. } = self;
        write!(f, "`{bin}` of `{package}` with profile `{profile}`, {link:?}, {linker:?}")?;
        if let Some(sanitizer) = self.sanitizer {
            write!(f, ", {sanitizer:?}Sanitizer")?;
        }
        f.write_str(if self.cold { ", cold" } else { "" })
    }
}

/// Where `build` keeps the cold binary that it made `name` in the folder `made` from.
pub fn cold_path(made: &Path, name: &str) -> PathBuf {
    made.join("fastboot").join(format!("{name}.cold"))
}

/// A program that was built: copies of its binaries, in a folder of their own.
#[derive(Debug)]
pub struct Built {
    /// The finished binary; with `--cold` not embedded, but with what it needs to freeze itself.
    pub embedded: PathBuf,
    /// The cold binary that it was made from.
    pub cold: PathBuf,
    folder: TempDir,
}

impl Built {
    /// The folder of the binaries, deleted in the end: a place for what else a test makes of them. Shared by the tests
    /// that use this program.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// The target folder of the test programs, locked against everyone else who builds them.
#[derive(Debug)]
pub struct TargetFolder {
    path: PathBuf,
    _process: MutexGuard<'static, ()>,
    _machine: File,
}

impl TargetFolder {
    /// Waits until nobody else builds.
    pub fn lock() -> Result<Self> {
        static PROCESS: Mutex<()> = Mutex::new(());
        let process = PROCESS.lock().unwrap_or_else(PoisonError::into_inner);
        let path = workspace_target().join("programs");
        fs::create_dir_all(&path).with_context(|| format!("cannot create {}", path.display()))?;
        let machine = File::create(path.join(".fastboot-tests-lock"))?;
        machine.lock().context("cannot lock the target folder of the test programs")?;
        Ok(Self { path, _process: process, _machine: machine })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `cargo fastboot build` for the workspace of the test programs, into this folder.
    pub fn fastboot_build(&self) -> Result<Command> {
        let mut command = fastboot()?;
        command.arg("build").arg("--target-dir").arg(&self.path).arg("--locked");
        Ok(command)
    }

    /// `cargo VERB` for the workspace of the test programs, into this folder.
    pub fn cargo(&self, verb: &str) -> Command {
        let mut command = cargo();
        command.current_dir(programs()).arg(verb).arg("--target-dir").arg(&self.path).arg("--locked");
        command
    }
}

/// `cargo fastboot`, to be run in the workspace of the test programs.
///
/// It is the binary that `CARGO_FASTBOOT` names, else the one of this workspace, built if need be.
pub fn fastboot() -> Result<Command> {
    static TOOL: LazyLock<Result<PathBuf, String>> = LazyLock::new(|| {
        if let Some(path) = std::env::var_os("CARGO_FASTBOOT") {
            return Ok(path.into());
        }
        let mut command = cargo();
        command.current_dir(workspace()).args(["build", "--package", "cargo-fastboot", "--locked", "--target-dir"]);
        succeed(command.arg(workspace_target())).map_err(|error| format!("{error:#}"))?;
        Ok(workspace_target().join("debug/cargo-fastboot"))
    });
    let tool = TOOL.as_ref().map_err(|error| anyhow::anyhow!("{error}"))?;
    let mut command = Command::new(tool);
    command.current_dir(programs()).env("CARGO_TERM_COLOR", "never");
    without_test_variables(&mut command);
    Ok(command)
}

/// Runs a command that must succeed; the error holds what it printed.
pub fn succeed(command: &mut Command) -> Result<Output> {
    let output = command.output().with_context(|| format!("cannot run `{}`", line(command)))?;
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    ensure!(output.status.success(), "`{}`: {}\n{stdout}{stderr}", line(command), output.status);
    Ok(output)
}

/// A command as one would type it, without its environment.
pub fn line(command: &Command) -> String {
    let words = [command.get_program()].into_iter().chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// `cargo VERB` in the root of the workspace.
pub fn cargo_here(verb: &str) -> Command {
    let mut command = cargo();
    command.current_dir(workspace()).arg(verb);
    command
}

/// `cargo`, without what it told this test about the test.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.env("CARGO_TERM_COLOR", "never");
    without_test_variables(&mut command);
    command
}

/// Cargo describes the package under test to the tests in variables; what a test runs is no part of that package.
fn without_test_variables(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") || text.starts_with("FASTBOOT") {
            command.env_remove(&name);
        }
    }
    for name in ["CARGO_TARGET_DIR", "LD_LIBRARY_PATH", "RUST_BACKTRACE"] {
        command.env_remove(name);
    }
}

/// The root of the workspace.
pub fn workspace() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The folder of the workspace of the test programs.
pub fn programs() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/programs"))
}

/// The target folder of the workspace.
pub fn workspace_target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), |folder| workspace().join(folder))
}
