//! Completions, asked for as the shells ask for them, and manual pages.

use anyhow::{Result, ensure};
use fastboot_tests::programs::{fastboot, succeed};
use fastboot_tests::tools;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// The script for `shell`, in a folder of its own.
fn script(shell: &str, name: &str) -> Result<(tempfile::TempDir, PathBuf)> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join(name);
    fs::write(&path, succeed(fastboot()?.args(["completions", shell]))?.stdout)?;
    Ok((folder, path))
}

fn lines(command: &mut Command) -> Result<Vec<String>> {
    let output = succeed(command)?;
    Ok(String::from_utf8(output.stdout)?.lines().map(str::to_owned).collect())
}

#[test]
fn bash() -> Result<()> {
    let (_folder, path) = script("bash", "cargo-fastboot")?;
    // What bash does when a line is to be completed, with a completion of cargo's own that says which words it saw.
    let complete = |line: &str| {
        let run = "_cargo() { COMPREPLY=(\"cargo saw ${COMP_WORDS[*]}\"); }; source \"$0\"; COMP_WORDS=($1); \
                   COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); function=$(complete -p \"${COMP_WORDS[0]}\"); \
                   function=${function#* -F }; ${function%% *} \"${COMP_WORDS[0]}\" \"${COMP_WORDS[-1]}\" \
                   \"${COMP_WORDS[-2]}\"; printf '%s\\n' \"${COMPREPLY[@]}\"";
        lines(Command::new("bash").args(["--norc", "-c", run]).arg(&path).arg(line))
    };
    ensure!(complete("cargo fastboot ins")? == ["inspect"]);
    ensure!(complete("cargo-fastboot ins")? == ["inspect"]);
    ensure!(complete("cargo fastboot build --sta")? == ["--static"]);
    ensure!(complete("cargo fastboot completions f")? == ["fish"]);
    ensure!(complete("cargo bu")? == ["cargo saw cargo bu"]);
    ensure!(complete("cargo fast")? == ["cargo saw cargo fast"]);
    Ok(())
}

#[test]
fn fish() -> Result<()> {
    let Some(_) = tools::find("fish") else { return Ok(()) };
    let (folder, path) = script("fish", "cargo-fastboot.fish")?;
    let complete = |line: &str| {
        let mut command = Command::new("fish");
        command.env("HOME", folder.path()).args([
            "--no-config",
            "-c",
            "source $argv[1]; complete --do-complete $argv[2]",
        ]);
        lines(command.arg(&path).arg(line))
    };
    for line in ["cargo fastboot ins", "cargo-fastboot ins"] {
        let found = complete(line)?;
        ensure!(found.len() == 1 && found[0].starts_with("inspect\t"), "`{line}`: {found:?}");
    }
    let found = complete("cargo fastboot build --sta")?;
    ensure!(found.len() == 1 && found[0].starts_with("--static\t"), "{found:?}");
    Ok(())
}

#[test]
fn zsh() -> Result<()> {
    let Some(_) = tools::find("zsh") else { return Ok(()) };
    let (folder, path) = script("zsh", "_cargo-fastboot")?;
    // Cargo's own completion calls the function `_cargo-NAME` for a subcommand that it does not know.
    let run = "fpath=($1 $fpath); autoload -Uz compinit; compinit -u -D; print $_comps[cargo-fastboot]; \
               autoload -Uz +X _cargo-fastboot && print loaded";
    let found =
        lines(Command::new("zsh").env("HOME", folder.path()).args(["-f", "-c", run, "zsh"]).arg(folder.path()))?;
    ensure!(found == ["_cargo-fastboot", "loaded"], "{found:?}");
    let text = fs::read_to_string(path)?;
    ensure!(text.starts_with("#compdef cargo-fastboot\n") && text.contains("'--static["), "{text}");
    Ok(())
}

#[test]
fn manual_pages() -> Result<()> {
    let folder = tempfile::tempdir()?;
    succeed(fastboot()?.arg("man").arg(folder.path()))?;
    let mut names: Vec<_> = fs::read_dir(folder.path())?.map(|entry| Ok(entry?.file_name())).collect::<Result<_>>()?;
    names.sort();
    for name in ["cargo-fastboot.1", "cargo-fastboot-build.1", "cargo-fastboot-new.1", "cargo-fastboot-doctor.1"] {
        ensure!(names.iter().any(|found| found == name), "no {name}: {names:?}");
    }
    ensure!(!names.iter().any(|name| name.to_string_lossy().contains("-man")), "hidden, but has a page: {names:?}");
    let page = fs::read_to_string(folder.path().join("cargo-fastboot-build.1"))?;
    ensure!(page.contains(".TH cargo-fastboot-build 1") && page.contains("\\-\\-static"), "{page}");
    let top = fs::read_to_string(folder.path().join("cargo-fastboot.1"))?;
    ensure!(top.contains("cargo\\-fastboot\\-inspect(1)"), "{top}");
    Ok(())
}
