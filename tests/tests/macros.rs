//! The macros get along with whatever names a program has, and take expressions of every kind.

use anyhow::{Result, ensure};
use fastboot_tests::programs::{Program, cargo_here, workspace};
use fastboot_tests::runs::Run;
use std::fs;
use std::process::Command;

#[test]
fn a_program_may_have_the_names_that_macros_have() -> Result<()> {
    let built = Program::new("names").build()?;
    let cold = Run::of(&mut Command::new(&built.cold))?;
    ensure!(cold.stdout == "7 9 23 5 []\n", "{cold:?}");
    let embedded = Run::of(Command::new(&built.embedded).env("FASTBOOT_LOG", "1"))?;
    ensure!(embedded.stderr.contains("fastboot: thawed 4 roots"), "{}", embedded.stderr);
    ensure!(embedded.stdout == "7 9 23 5 [\"warmed\"]\n", "{embedded:?}");
    Ok(())
}

/// What the compiler says of a program with these lines before its `main`.
fn compile(lines: &str) -> Result<String> {
    let folder = tempfile::tempdir()?;
    let runtime = workspace().join("fastboot-rt");
    let manifest = format!(
        "[package]\nname = \"wrong\"\nedition = \"2024\"\n[dependencies]\nfastboot-rt.path = {:?}\n[workspace]\n",
        runtime.display().to_string()
    );
    fs::write(folder.path().join("Cargo.toml"), manifest)?;
    fs::create_dir(folder.path().join("src"))?;
    fs::write(folder.path().join("src/main.rs"), format!("{lines}\nfn main() {{}}\n"))?;
    let mut check = cargo_here("check");
    check.current_dir(folder.path()).args(["--offline", "--quiet"]);
    check.arg("--target-dir").arg(fastboot_tests::programs::workspace_target().join("programs"));
    let output = check.output()?;
    Ok(String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn what_install_does_not_take_is_said() -> Result<()> {
    ensure!(compile("fastboot_rt::install!();")?.is_empty(), "a program without mistakes");
    for (lines, says) in [
        ("fastboot_rt::install!(snapshot = \"a\", unsafe unchecked_snapshot = \"b\");", "takes one snapshot"),
        (
            "fastboot_rt::install!(cache = fastboot_rt::CacheDir::User, cache = fastboot_rt::CacheDir::User);",
            "takes one cache",
        ),
        ("fastboot_rt::install!(std::alloc::System, snapshots = \"a\");", "does not know `snapshots"),
        // Only the runtime may say that the program starts.
        ("fn again() { fastboot_rt::__private::start(todo!(), todo!(), todo!(), todo!(), todo!()) }", "E0133"),
    ] {
        let said = compile(lines)?;
        ensure!(said.contains(says), "{lines}: {said}");
    }
    Ok(())
}
