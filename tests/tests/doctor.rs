//! `cargo fastboot doctor`: well where building works, and where it does not, it says so and what to do.

use anyhow::{Result, ensure};
use fastboot_tests::programs::{fastboot, programs, workspace};
use fastboot_tests::tools;
use std::fs;
use std::process::Command;

/// What it printed, and whether it ended well.
fn doctor(prepare: impl FnOnce(&mut Command)) -> Result<(String, bool)> {
    let folder = tempfile::tempdir()?;
    let mut command = fastboot()?;
    command.arg("doctor").current_dir(folder.path());
    prepare(&mut command);
    let output = command.output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    Ok((text, output.status.success()))
}

#[test]
fn this_machine_can_build() -> Result<()> {
    let (said, well) = doctor(|_| ())?;
    ensure!(well && !said.contains("\nfail"), "{said}");
    for line in [
        "ok    rustc            1.",
        "ok    linker           LLD",
        "ok    home window ",
        "ok    --wrap ",
        "ok    --static ",
    ] {
        ensure!(said.contains(line), "no line `{line}`:\n{said}");
    }
    ensure!(said.contains("programs can be built here"), "{said}");
    Ok(())
}

#[test]
fn in_a_package_it_looks_at_the_runtime() -> Result<()> {
    // A workspace of its own, with nothing in it that has not been downloaded for the runtime.
    let folder = tempfile::tempdir()?;
    let runtime = workspace().join("fastboot-rt").canonicalize()?;
    let write = |more: &str| {
        let manifest = format!(
            "[package]\nname = \"here\"\nedition = \"2024\"\n[workspace]\n[dependencies]\n\
             fastboot-rt = {{ path = {runtime:?} }}\n{more}"
        );
        fs::write(folder.path().join("Cargo.toml"), manifest)
    };
    fs::create_dir(folder.path().join("src"))?;
    fs::write(folder.path().join("src/main.rs"), "fastboot_rt::install!();\nfn main() {}\n")?;
    let ask = || {
        doctor(|command| {
            command.current_dir(folder.path());
        })
    };
    write("")?;
    let (said, well) = ask()?;
    ensure!(well && said.contains("ok    this package     here, with fastboot-rt "), "{said}");
    // One that no cache has.
    write("fastboot-no-such-crate = \"1\"\n")?;
    let (said, well) = ask()?;
    ensure!(
        well && said.contains("warn  this package     here; which fastboot-rt") && said.contains("cargo fetch"),
        "{said}"
    );
    Ok(())
}

#[test]
fn linkers_that_take_no_scripts() -> Result<()> {
    for (linker, tool) in [("gold", "ld.gold"), ("mold", "mold")] {
        let Some(_) = tools::find(tool) else { return Ok(()) };
        let (said, well) = doctor(|command| {
            command.env("RUSTFLAGS", format!("-Clink-arg=-fuse-ld={linker}"));
        })?;
        ensure!(well && said.contains("warn  linker") && said.contains("`--footer`"), "{said}");
        ensure!(said.contains("-fuse-ld=bfd") && said.contains("ok    home window"), "{said}");
    }
    // What it says to do about it.
    let (said, well) = doctor(|command| {
        command.env("RUSTFLAGS", "-Clink-arg=-fuse-ld=gold -Clink-arg=-fuse-ld=bfd");
    })?;
    ensure!(well && said.contains("ok    linker           GNU ld"), "{said}");
    Ok(())
}

#[test]
fn no_linker_at_all() -> Result<()> {
    let (said, well) = doctor(|command| {
        command.env("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER", "no-such-linker");
    })?;
    ensure!(!well && said.contains("`no-such-linker` not found") && said.contains("gcc"), "{said}");
    Ok(())
}

#[test]
fn too_little_address_space() -> Result<()> {
    let (said, well) = doctor(|command| {
        let tool = command.get_program().to_owned();
        let mut shell = Command::new("sh");
        shell.args(["-c", "ulimit -v 40000000; exec \"$0\" doctor"]).arg(tool);
        shell.current_dir(command.get_current_dir().unwrap_or(programs())).env_remove("CARGO_TARGET_DIR");
        *command = shell;
    })?;
    ensure!(!well && said.contains("fail  home window") && said.contains("(temporaries): "), "{said}");
    ensure!(said.contains("ulimit -v unlimited"), "{said}");
    Ok(())
}

#[test]
fn addresses_that_are_not_randomised_can_be_again() -> Result<()> {
    let Some(mut setarch) = tools::find("setarch") else { return Ok(()) };
    let (said, well) = doctor(|command| {
        setarch.arg("--addr-no-randomize").arg(command.get_program()).arg("doctor");
        setarch.current_dir(command.get_current_dir().unwrap_or(programs())).env_remove("CARGO_TARGET_DIR");
        *command = setarch;
    })?;
    ensure!(well && said.contains("ok    randomization"), "{said}");
    Ok(())
}
