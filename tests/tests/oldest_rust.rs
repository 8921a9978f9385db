//! The oldest Rust that the runtime's manifest promises: a program that uses it compiles with that one, and is frozen as with
//! any other.

use anyhow::{Context, Result, ensure};
use fastboot_tests::programs::{TargetFolder, cold_path, fastboot, succeed, workspace};
use fastboot_tests::runs::{self, Run};
use std::fs;
use std::process::Command;

/// What a manifest says of the oldest Rust.
fn promised(package: &str) -> Result<String> {
    let path = workspace().join(package).join("Cargo.toml");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let version = text.lines().find_map(|line| line.strip_prefix("rust-version = \"")?.strip_suffix('"'));
    Ok(version.with_context(|| format!("{} promises no Rust", path.display()))?.to_owned())
}

#[test]
fn what_a_program_is_made_of_promises_the_same() -> Result<()> {
    let runtime = promised("fastboot-rt")?;
    for package in ["fastboot-rt/format", "fastboot-rt/defer"] {
        ensure!(promised(package)? == runtime, "{package} promises {}, the runtime {runtime}", promised(package)?);
    }
    Ok(())
}

#[test]
fn a_program_is_built_and_frozen_with_it() -> Result<()> {
    let version = format!("{}.0", promised("fastboot-rt")?);
    // rustup's `cargo` takes the toolchain's name; what runs this test may be another cargo.
    let chosen = |command: &mut Command| {
        command.env("RUSTUP_TOOLCHAIN", &version).env_remove("RUSTC").env_remove("CARGO");
    };
    let mut rustc = Command::new("rustc");
    chosen(rustc.arg("--version"));
    let said = rustc.output().map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    if !said.starts_with(&format!("rustc {version} ")) {
        // Also in CI, which cannot get it everywhere.
        eprintln!("skipped: there is no Rust {version}; `rustup toolchain install {version}` installs it");
        return Ok(());
    }
    let target = TargetFolder::lock()?;
    // A folder of its own: for the other one all that is there would be compiled anew.
    let folder = target.path().join("oldest");
    for package in ["small", "deferred"] {
        let mut command = fastboot()?;
        chosen(&mut command);
        command.args(["build", "--release", "--locked", "--package", package, "--target-dir"]).arg(&folder);
        succeed(&mut command)?;
        let made = folder.join("release");
        let cold = Run::of(&mut runs::program(&cold_path(&made, package)))?;
        cold.require_cold().with_context(|| format!("`{package}`, cold"))?;
        runs::require_thaws(&made.join(package), cold.sources().len(), &cold.stdout)?;
    }
    Ok(())
}
