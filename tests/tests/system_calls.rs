//! What the thaw asks of the kernel: nothing in a non-PIE binary, two calls in a PIE.

use anyhow::{Context, Result, ensure};
use fastboot_tests::programs::{Link, Program, succeed};
use fastboot_tests::tools;
use std::path::Path;

/// How strace writes the home address.
const HOME: &str = "0x550000000000";

/// The system calls of a run that touches no root, each as strace writes it; `None` without strace.
fn trace(binary: &Path, fastboot: &str) -> Result<Option<Vec<String>>> {
    let Some(mut strace) = tools::find("strace") else { return Ok(None) };
    let folder = tempfile::tempdir()?;
    let log = folder.path().join("log");
    strace.arg("-f").arg("-o").arg(&log).arg(binary).arg("nothing");
    succeed(strace.env("FASTBOOT", fastboot).env_remove("FASTBOOT_LOG"))?;
    let text = std::fs::read_to_string(&log).context("strace wrote no log")?;
    // `PID CALL(ARGUMENTS) = RESULT`
    let calls = text.lines().filter_map(|line| line.split_once(' ')).map(|(_, call)| call.trim_start().to_owned());
    Ok(Some(calls.filter(|call| call.contains('(')).collect()))
}

fn name(call: &str) -> &str {
    call.split('(').next().unwrap_or_default()
}

/// Requires that a thaw makes exactly these calls at the home address, and no call elsewhere that a cold start does not.
fn thaw_calls(link: Link, expected: &[&str]) -> Result<()> {
    let built = Program::new("small").link(link).build()?;
    let (Some(thawed), Some(cold)) = (trace(&built.embedded, "on")?, trace(&built.embedded, "off")?) else {
        return Ok(());
    };
    let (home, elsewhere): (Vec<_>, Vec<_>) = thawed.iter().partition(|call| call.contains(HOME));
    let home: Vec<_> = home.into_iter().map(|call| name(call)).collect();
    ensure!(home == expected, "{link:?}: at the home address {home:?} was called, not {expected:?}");
    let elsewhere: Vec<_> = elsewhere.into_iter().map(|call| name(call)).collect();
    let cold: Vec<_> = cold.iter().map(|call| name(call)).collect();
    ensure!(elsewhere == cold, "{link:?}: elsewhere it called\n{elsewhere:?}\nand cold\n{cold:?}");
    Ok(())
}

#[test]
fn non_pie_makes_none() -> Result<()> {
    thaw_calls(Link::NonPie, &[])
}

#[test]
fn static_makes_none() -> Result<()> {
    thaw_calls(Link::Static, &[])
}

#[test]
fn pie_reserves_and_moves() -> Result<()> {
    thaw_calls(Link::Pie, &["mmap", "mremap"])
}
