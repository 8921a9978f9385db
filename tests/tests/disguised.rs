//! Addresses that a program keeps in another form: followed where an address comes of the word alone, else refused.

use anyhow::{Context, Result, ensure};
use fastboot_tests::programs::{Link, Program, TargetFolder};
use fastboot_tests::runs::{self, Run};

#[test]
fn shifted_and_rotated_addresses_are_followed() -> Result<()> {
    for link in Link::ALL {
        let built = Program::new("disguised").link(link).build()?;
        runs::require_same_result(&built).with_context(|| format!("{link:?}"))?;
    }
    Ok(())
}

/// Requires that building a binary fails, or not, and says all of this.
fn build(bin: &str, options: &[&str], succeeds: bool, says: &[&str]) -> Result<()> {
    let target = TargetFolder::lock()?;
    let mut build = target.fastboot_build()?;
    build.args(["--release", "--refreeze", "--package", "disguised", "--bin", bin]).args(options);
    let run = Run::of(&mut build)?;
    ensure!(run.status.success() == succeeds, "{bin} {options:?}: {}\n{}", run.status, run.stderr);
    for text in says {
        ensure!(run.stderr.contains(text), "{bin} {options:?}: `{text}` is not in:\n{}", run.stderr);
    }
    ensure!(!run.stderr.contains("clocks"), "they are no clocks:\n{}", run.stderr);
    let says_differ = run.stderr.contains("differ from run to run");
    ensure!(!says_differ, "{bin} {options:?}: it is not nondeterminism:\n{}", run.stderr);
    if succeeds {
        let path = target.path().join("release").join(bin);
        let [embedded, cold] = ["", "off"].map(|value| Run::of(runs::program(&path).env("FASTBOOT", value)));
        let (embedded, cold) = (embedded?, cold?);
        embedded.require_success()?;
        runs::require_same(&cold.stdout, &embedded.stdout)?;
    }
    Ok(())
}

#[test]
fn xored_addresses_are_refused() -> Result<()> {
    let says =
        ["an object in another form (XORed with something, in root `xored::SECRETS`", "--verbatim", "20 such words"];
    build("xored", &[], false, &says)?;
    build("xored", &["--pie"], false, &["root `xored::SECRETS`", "--verbatim and without --pie"])?;
    // Every object is in such an image.
    build("xored", &["--verbatim"], true, &[])
}

#[test]
fn xored_neighbours_are_refused() -> Result<()> {
    let says = ["an object in another form (XORed with something, in root `neighbours::LIST`", "--verbatim"];
    build("neighbours", &[], false, &says)?;
    build("neighbours", &["--verbatim"], true, &[])
}

#[test]
fn shifted_addresses_of_statics_are_right_or_refused() -> Result<()> {
    build("table", &[], true, &[])?;
    build("table", &["--static"], true, &[])?;
    let says = ["an address of the executable in another form", "root `table::SHIFTED`", "build without --pie"];
    build("table", &["--pie"], false, &says)
}
