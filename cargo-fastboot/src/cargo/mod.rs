//! Cargo: one `cargo rustc` per binary, and the other calls of it.

pub(crate) mod arguments;
pub(crate) mod environment;
pub(crate) mod lock;
pub(crate) mod messages;
mod overrides;
pub(crate) mod platform;
pub(crate) mod select;

use crate::cargo::arguments::{ArgumentList, cargo_arguments, linker_arguments, rustc_arguments, script_argument};
use crate::cargo::messages::{Messages, read_messages};
use crate::cargo::select::{Selected, installs_runtime};
use crate::cli::{BuildFlags, NewFlags};
use crate::say::shell::Shell;
use anyhow::{Context, Result};
use cargo_metadata::{Metadata, MetadataCommand, Package, PackageId};
use std::ffi::{OsStr, OsString};
use std::io::BufReader;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Cargo said itself why it failed; only its exit code is left to pass on.
#[derive(Debug)]
pub(crate) struct CargoFailed(pub(crate) u8);

impl std::fmt::Display for CargoFailed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "cargo failed with exit code {}", self.0)
    }
}

impl std::error::Error for CargoFailed {}

/// The cargo that called us, else the one on the path.
pub(crate) fn program() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// Packages and targets of the workspace, as cargo sees them from here. Only what this target needs: packages for other
/// platforms need not have been downloaded, as they need not for `cargo build --offline`.
pub(crate) fn metadata(flags: &BuildFlags, triple: &str) -> Result<Metadata> {
    let manifest = &flags.manifest;
    let mut options: Vec<String> = ["--filter-platform", triple].map(str::to_owned).into();
    for (set, flag) in [(manifest.locked, "--locked"), (manifest.offline, "--offline"), (manifest.frozen, "--frozen")] {
        options.extend(set.then(|| flag.to_owned()));
    }
    options.extend(manifest.config.iter().flat_map(|value| ["--config".to_owned(), value.clone()]));
    options.extend(manifest.unstable.iter().flat_map(|flag| ["-Z".to_owned(), flag.clone()]));
    options.extend(flags.output.color_name().map(|when| format!("--color={when}")));
    let mut command = MetadataCommand::new();
    command.cargo_path(program()).other_options(options);
    if let Some(path) = &manifest.manifest_path {
        command.manifest_path(path);
    }
    let mut command = command.cargo_command();
    let output = command.stderr(Stdio::inherit()).output().with_context(|| cannot_start(command.get_program()))?;
    if !output.status.success() {
        return Err(CargoFailed(exit_code(output.status)).into());
    }
    let text = std::str::from_utf8(&output.stdout).context("`cargo metadata` printed something that is not UTF-8")?;
    MetadataCommand::parse(text).context("cannot read what `cargo metadata` printed")
}

/// `cargo new`, which says itself what it makes and what is wrong with a name.
pub(crate) fn new_package(flags: &NewFlags) -> Result<()> {
    let mut arguments = ArgumentList::default();
    arguments.flag("--bin", true);
    arguments.pairs("--name", flags.name.as_ref());
    arguments.pairs("--vcs", flags.vcs.as_ref());
    arguments.flag("--quiet", flags.output.quiet);
    arguments.pairs("--color", flags.output.color_name());
    let mut command = Command::new(program());
    command.arg("new").args(arguments.0).arg("--").arg(&flags.path);
    let status = command.status().with_context(|| cannot_start(command.get_program()))?;
    if status.success() { Ok(()) } else { Err(CargoFailed(exit_code(status)).into()) }
}

/// What came of one `cargo rustc`.
#[derive(Debug)]
pub(crate) struct ColdBuild {
    /// Where cargo put the binary.
    pub(crate) executable: PathBuf,
    /// What it is: read while cargo was there, because afterwards another cargo may put another one in its place.
    pub(crate) bytes: Vec<u8>,
    /// What the package's build script, if any, left for the program's run.
    pub(crate) environment: Vec<(OsString, OsString)>,
    /// Folders of shared libraries that build scripts left in the target folder.
    pub(crate) libraries: Vec<PathBuf>,
    /// The packages whose build scripts link a library, which is one of C.
    pub(crate) binding: Vec<PackageId>,
    /// Whether the profile strips, so that the finished binary has to be stripped.
    pub(crate) stripped: bool,
}

/// What the final crate is linked with.
#[derive(Clone, Debug)]
pub(crate) struct Linking {
    /// The linker script.
    pub(crate) script: PathBuf,
    /// The one for executables that get a footer. A linker that does not take it is called without it by the wrapper.
    pub(crate) start_script: PathBuf,
    /// What to call in place of the linker.
    pub(crate) linker: Option<PathBuf>,
    /// Whether that makes an executable for one, high address of a position-independent one.
    pub(crate) high: bool,
}

/// Builds the cold binary of `selected`, one of `selection`.
pub(crate) fn build_cold(
    selected: Selected<'_>,
    selection: &[Selected<'_>],
    flags: &BuildFlags,
    linking: &Linking,
    messages: &Messages,
    shell: &Shell,
) -> Result<ColdBuild> {
    let mut built = link(selected, selection, flags, linking, messages, false, shell)?;
    let as_usual = Linking { high: false, ..linking.clone() };
    let mut linking = linking;
    if linking.high && crate::elf::binary::is_position_independent(&built.bytes) {
        shell.verbose(format_args!("linking again, for low addresses: flags for rustc name another linker"));
        linking = &as_usual;
        built = link(selected, selection, flags, linking, messages, false, shell)?;
    }
    if crate::elf::strip::has_symbols(&built.bytes).unwrap_or(true) {
        return Ok(built);
    }
    // The symbols name the statics that the image has to carry.
    let built = link(selected, selection, flags, linking, messages, true, shell)?;
    Ok(ColdBuild { stripped: true, ..built })
}

/// One call of cargo; `symbols`: even if the profile strips.
fn link(
    selected: Selected<'_>,
    selection: &[Selected<'_>],
    flags: &BuildFlags,
    linking: &Linking,
    messages: &Messages,
    symbols: bool,
    shell: &Shell,
) -> Result<ColdBuild> {
    let mut command = Command::new(program());
    command.arg("rustc").args(cargo_arguments(selected, selection, flags));
    command.arg("--message-format").arg(&messages.format);
    command.arg("--").args(rustc_arguments(flags.link, linking.high, (!flags.place.footer).then_some(&linking.script)));
    command.args(linking.linker.iter().flat_map(|linker| linker_arguments(linker)));
    if linking.linker.is_some() && flags.place.footer {
        command.arg("-C").arg(script_argument(&linking.start_script));
    }
    if symbols {
        command.args(["-C", "strip=none"]);
    }
    if flags.migrate && flags.compilation.is_optimized() {
        // With several, how the crate is cut follows from all of it, and so does the machine code of what the roots use.
        command.args(["-C", "codegen-units=1"]);
    }
    shell.verbose(format_args!("running {command:?}"));
    let mut child = command.stdout(Stdio::piped()).spawn().with_context(|| cannot_start(command.get_program()))?;
    let stream = child.stdout.take().context("cargo has no standard output")?;
    let artifacts = read_messages(BufReader::new(stream), selected, messages);
    // Even when its messages cannot be read, cargo must not be left running.
    let status = child.wait().with_context(|| format!("cannot wait for {command:?}"))?;
    let artifacts = artifacts?;
    if !status.success() {
        advise(selected, shell);
        return Err(CargoFailed(exit_code(status)).into());
    }
    let (executable, bytes) = artifacts.executable.with_context(|| {
        format!(
            "cargo built `{}` without naming the executable; is it of another crate type than `bin`?",
            selected.name()
        )
    })?;
    Ok(ColdBuild {
        executable,
        bytes,
        environment: artifacts.environment,
        libraries: artifacts.libraries,
        binding: artifacts.binding,
        stripped: false,
    })
}

/// Says what may be the cause of an error of rustc or of the linker that has to do with fastboot.
fn advise(selected: Selected<'_>, shell: &Shell) {
    if let Some(path) = has_allocator(selected.package) {
        shell.warn(format_args!(
            "if rustc says that there are two global allocators: `install!` sets it, and {} does; remove its \
             `#[global_allocator]`, and keep the allocator with `fastboot_rt::install!(ITS_TYPE);` (docs/adding.md)",
            path.display()
        ));
    }
    // The package depends on the runtime, but a dependency that no source mentions is not linked.
    if !installs_runtime(selected.target) {
        shell.warn(format_args!(
            "if the linker misses `__wrap_...`: `{}` does not use fastboot-rt; put `fastboot_rt::install!();` into {}",
            selected.name(),
            selected.target.src_path
        ));
    }
}

/// The first source file of a package that sets the global allocator by itself.
fn has_allocator(package: &Package) -> Option<PathBuf> {
    let mut folders = vec![package.manifest_path.parent()?.join("src").into_std_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs")
                && std::fs::read_to_string(&path).is_ok_and(|text| text.contains("#[global_allocator]"))
            {
                return Some(path);
            }
        }
    }
    None
}

fn cannot_start(program: &OsStr) -> String {
    format!("cannot start {}; is cargo installed, and does `CARGO`, if set, name it?", program.display())
}

/// The exit code to pass on; a cargo that was killed counts as one that failed.
fn exit_code(status: std::process::ExitStatus) -> u8 {
    status.code().and_then(|code| u8::try_from(code).ok()).filter(|code| *code != 0).unwrap_or(101)
}
