//! Probe: the little program, built as `build` builds and run as freeze runs are.

use crate::cargo;
use crate::cargo::arguments::{linker_arguments, rustc_arguments};
use crate::cargo::platform::Platform;
use crate::cli::LinkFlags;
use crate::elf::binary::Elf;
use crate::link::wrapper::{self, Tasks};
use crate::options::Place;
use crate::runs::spare::spare_memory;
use crate::say::output;
use crate::say::shell::Shell;
use anyhow::{Context, Result, bail, ensure};
use cargo_metadata::Metadata;
use fastboot_format::image::DEFAULT_HOME;
use fastboot_format::protocol::{HOME_SHIFT, SCRATCH, SCRATCH_LEN, STACK_TOP, STACKS_LEN};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

const PROBE: &str = include_str!("../../../templates/probe.rs");

const PROBE_MANIFEST: &str = "\
[package]
name = \"fastboot-probe\"
edition = \"2024\"

[[bin]]
name = \"fastboot-probe\"
path = \"probe.rs\"

[workspace]
";

/// A folder for the probe: where binaries of this package are built, else where temporary files are.
pub(super) fn probe_folder(metadata: Option<&Metadata>) -> Result<tempfile::TempDir> {
    let target = metadata.map(|metadata| metadata.target_directory.as_std_path());
    let there = target.and_then(|target| target.ancestors().find(|folder| folder.is_dir()));
    output::temporary_folder(".fastboot-doctor-", there)
}

/// What came of building the probe.
pub(super) enum Probe {
    Built {
        path: PathBuf,
        linker: String,
    },
    /// With what the compiler or the linker said.
    Failed(String),
}

/// Builds the probe as `build` would, in the current folder's configuration, for an image in that place. It is a package
/// without dependencies.
pub(super) fn build_probe(
    folder: &Path,
    link: LinkFlags,
    place: Place,
    platform: &Platform,
    shell: &Shell,
) -> Result<Probe> {
    let cannot_write = || format!("cannot write into {}", folder.display());
    let script = folder.join("fastboot.ld");
    std::fs::write(folder.join("Cargo.toml"), PROBE_MANIFEST).with_context(cannot_write)?;
    std::fs::write(folder.join("probe.rs"), [PROBE, &wrappers()].concat()).with_context(cannot_write)?;
    std::fs::write(&script, fastboot_linker::SCRIPT).with_context(cannot_write)?;

    let mut command = Command::new(cargo::program());
    command.args([
        "rustc",
        "--offline",
        "--message-format=json-render-diagnostics",
        "--color=never",
        "--manifest-path",
    ]);
    command.arg(folder.join("Cargo.toml")).arg("--target-dir").arg(folder.join("target"));
    let high = !link.pie && !link.static_libc && platform.can_link_high();
    let tasks = Tasks { high, ..Tasks::default() };
    let linker = if high { wrapper::install(folder, platform.linker.as_deref(), tasks)? } else { None };
    command.arg("--").args(rustc_arguments(link, linker.is_some(), (place == Place::Section).then_some(&script)));
    command.args(linker.iter().flat_map(|linker| linker_arguments(linker)));
    // The linker says which one it is, and rustc passes that on.
    command.args(["-C", "link-arg=-Wl,-v", "-W", "linker-messages"]);
    shell.verbose(format_args!("running {command:?}"));
    let output = command.output().with_context(|| format!("cannot start {}", command.get_program().display()))?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Ok(Probe::Failed(what_is_wrong(&stderr)));
    }
    let path = output.stdout.split(|byte| *byte == b'\n').find_map(|line| {
        let message: serde_json::Value = serde_json::from_slice(line).ok()?;
        Some(PathBuf::from(message["executable"].as_str()?))
    });
    let path = path.context("cargo built the probe without naming the executable")?;
    let linked = if place == Place::Section { segment_of_its_own(&path) } else { Ok(()) };
    match linked {
        Ok(()) => Ok(Probe::Built { path, linker: linker_name(&stderr) }),
        Err(error) => Ok(Probe::Failed(format!("{}: {error:#}", linker_name(&stderr)))),
    }
}

/// The functions that `--wrap` leads calls to, each of which passes them on.
fn wrappers() -> String {
    let names = fastboot_linker::WRAP.iter().filter_map(|option| option.strip_prefix("--wrap="));
    let each = |name| {
        format!(
            "std::arch::global_asm!(\".globl __wrap_{name}\", \".type __wrap_{name}, @function\", \"__wrap_{name}:\", \
             \"jmp __real_{name}@PLT\");\n"
        )
    };
    names.map(each).collect()
}

/// Whether the linker did what the linker script says.
fn segment_of_its_own(path: &Path) -> Result<()> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let found = Elf::parse(&bytes)?.fastboot_section(bytes.len());
    ensure!(found.is_ok(), "it took the linker script, but the section `fastboot` has no segment of its own");
    Ok(())
}

/// The linker, as it calls itself.
fn linker_name(stderr: &str) -> String {
    let said =
        stderr.lines().filter_map(|line| line.split_once("linker stdout: ").or(line.split_once("linker stderr: ")));
    let mut said = said.map(|(_, name)| name.trim());
    let Some(name) = said.find(|name| ["LLD", "GNU", "mold", "Wild"].iter().any(|known| name.starts_with(known)))
    else {
        return "a linker that does not say which one it is".to_owned();
    };
    // LLD's has the place and the revision it was built from in it.
    name.split_once(" (/").map_or(name, |(name, _)| name).to_owned()
}

/// What rustc and the linker complained of, without the commands that were run.
fn what_is_wrong(stderr: &str) -> String {
    let lines =
        stderr.lines().map(|line| line.trim().trim_start_matches("= note:").trim_start_matches("= help:").trim());
    let complaint = |line: &&str| {
        let about = ["error", "fatal", "cannot find", "not found", "may not be installed", "consider"];
        about.iter().any(|word| line.contains(word)) && line.len() < 300
    };
    let repeated =
        |line: &&str| ["error: aborting", "error: could not compile"].iter().any(|start| line.starts_with(start));
    let lines: Vec<&str> = lines.filter(complaint).filter(|line| !repeated(line)).take(5).collect();
    if lines.is_empty() { "cargo failed; -v shows the command".to_owned() } else { lines.join("\n") }
}

/// What a freeze run reserves, with what it is for; `set` is 0 for the usual addresses, 1 for those of the third run.
pub(super) fn ranges(set: usize) -> [(&'static str, u64, u64); 3] {
    let home = DEFAULT_HOME + [0, HOME_SHIFT][set];
    [
        ("image", home, spare_memory().min(HOME_SHIFT)),
        ("temporaries", SCRATCH[set], SCRATCH_LEN),
        ("stacks", STACK_TOP[set] - STACKS_LEN, STACKS_LEN),
    ]
}

/// What the probe printed, run as two freeze runs are: with other addresses the second time.
pub(super) fn run_probe(path: &Path, runner: &[OsString]) -> Result<String> {
    let mut said = String::new();
    for set in [0, 1] {
        let mut words = runner.iter().map(OsString::as_os_str).chain([path.as_os_str()]);
        let mut command = Command::new(words.next().unwrap_or(path.as_os_str()));
        command.args(words);
        for (_, address, length) in ranges(set) {
            command.arg(format!("{address:x}")).arg(format!("{length:x}"));
        }
        let output = command.output().context("the program that was built cannot be run")?;
        if !output.status.success() {
            let said = format!("{}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
            bail!("the program that was built failed: {}", said.trim());
        }
        said += &String::from_utf8_lossy(&output.stdout);
    }
    Ok(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_linkers_say() {
        let stderr = "warning: linker stdout: LLD 22.1.2 (/checkout/src 1cb4e) (compatible with GNU linkers)\n";
        assert_eq!(linker_name(stderr), "LLD 22.1.2");
        assert_eq!(linker_name("warning: linker stdout: GNU ld (GNU Binutils) 2.40\n"), "GNU ld (GNU Binutils) 2.40");
        let failed = "error: linking with `cc` failed: exit status: 1\n  |\n  = note:  \"cc\" \"-m64\" \"-o\"\n  = note: mold: \
                      fatal: fastboot.ld: unknown file type\n          collect2: error: ld returned 1 exit status\n";
        assert_eq!(
            what_is_wrong(failed),
            "error: linking with `cc` failed: exit status: 1\nmold: fatal: fastboot.ld: unknown file type\ncollect2: \
             error: ld returned 1 exit status"
        );
    }
}
