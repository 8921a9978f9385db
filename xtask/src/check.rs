//! Tests and lints.

use crate::command::{cargo, root, run, target};
use anyhow::Result;
use std::process::Command;

/// The integration tests, which need the tool and build programs of their own.
const INTEGRATION: &str = "fastboot-tests";

/// What several threads share in the runtime, under Miri, with a few orders of what they do: evaluation of roots, the arena,
/// the lock. Where the nightly toolchain has no Miri, it says so.
pub(crate) fn miri() -> Result<()> {
    let miri = || {
        // The cargo that runs this is one of a certain toolchain.
        let mut cargo = Command::new("cargo");
        cargo.current_dir(root()).env_remove("RUSTC").env_remove("RUSTUP_TOOLCHAIN").args(["+nightly", "miri"]);
        cargo
    };
    if !miri().arg("--version").output().is_ok_and(|output| output.status.success()) {
        eprintln!("xtask: no Miri; `rustup component add --toolchain nightly miri` installs it");
        return Ok(());
    }
    let mut test = miri();
    // What lives as long as the process is meant to be left behind.
    test.env("MIRIFLAGS", "-Zmiri-permissive-provenance -Zmiri-ignore-leaks -Zmiri-many-seeds=0..4");
    test.args([
        "test",
        "--locked",
        "--package",
        "fastboot-rt",
        "--lib",
        "--",
        "roots::evaluate",
        "heap::arena",
        "freeze::lock",
    ]);
    run(&mut test)
}

/// Unit tests of all crates, then the integration tests.
pub(crate) fn test(full: bool) -> Result<()> {
    run(cargo("test").args(["--locked", "--workspace", "--exclude", INTEGRATION]))?;
    if full {
        miri()?;
        run(cargo("test").args(["--locked", "--package", "cargo-fastboot", "--bins", "--", "--ignored"]))?;
        run(cargo("test").args(["--locked", "--package", "fastboot-format", "--lib", "--", "--ignored"]))?;
    }
    run(cargo("build").args(["--locked", "--package", "cargo-fastboot"]))?;
    let mut integration = cargo("test");
    integration.env("CARGO_FASTBOOT", target().join("debug/cargo-fastboot"));
    integration.args(["--locked", "--package", INTEGRATION, "--no-fail-fast"]);
    if full {
        integration.args(["--", "--include-ignored"]);
    }
    run(&mut integration)
}

/// Formats everything.
pub(crate) fn format() -> Result<()> {
    run(cargo("fmt").arg("--all"))?;
    run(cargo("fmt").arg("--all").current_dir(programs()))?;
    run(cargo("fmt").arg("--all").current_dir(measured()))
}

/// Layout, formatting, clippy, rustdoc, and what looks at workflows: none may have anything to say. Programs whose crates take
/// minutes to compile are looked at if it is to be `full`.
pub(crate) fn lint(full: bool) -> Result<()> {
    crate::tidy::tidy()?;
    crate::workflows::lint()?;
    let clippy = ["--locked", "--workspace", "--all-targets", "--", "--deny", "warnings"];
    run(cargo("fmt").args(["--all", "--check"]))?;
    run(cargo("clippy").args(clippy))?;
    run(cargo("doc").args(["--locked", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "--deny warnings"))?;

    run(cargo("fmt").args(["--all", "--check"]).current_dir(programs()))?;
    // Not compiled here: it takes minutes, and `bench` does.
    run(cargo("fmt").args(["--all", "--check"]).current_dir(measured()))?;
    // Where the integration tests build them, for what they have in common.
    let mut programs_clippy = cargo("clippy");
    programs_clippy.current_dir(programs()).env("CARGO_TARGET_DIR", target().join("programs"));
    run(programs_clippy.arg("--release").args(full.then_some("--features=crates/full")).args(clippy))
}

/// What CI runs.
pub(crate) fn ci() -> Result<()> {
    lint(false)?;
    test(false)
}

/// The programs that `bench` measures.
fn measured() -> std::path::PathBuf {
    root().join("bench/suite")
}

/// The programs that the integration tests run.
fn programs() -> std::path::PathBuf {
    root().join("tests/programs")
}
