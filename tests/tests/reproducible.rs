//! The same source in the same folder gives the same binary, to the byte.

use anyhow::{Context, Result, ensure};
use fastboot_tests::programs::{Link, TargetFolder, cold_path, succeed};
use fastboot_tests::runs::{self, Run};
use std::fs;

/// How often a binary is frozen anew. What differs by chance may be the same twice.
const TIMES: usize = 4;

fn require_equal(expected: &[u8], found: &[u8]) -> Result<()> {
    let differing = expected.iter().zip(found).filter(|(a, b)| a != b).count();
    ensure!(
        expected == found,
        "{} bytes, then {}; {differing} of them differ, the first at {:?}",
        expected.len(),
        found.len(),
        expected.iter().zip(found).position(|(a, b)| a != b)
    );
    Ok(())
}

/// Builds the program and the runtime from nothing; returns the cold binary and the finished one.
fn build_clean(target: &TargetFolder) -> Result<[Vec<u8>; 2]> {
    let made = target.path().join("release");
    succeed(target.cargo("clean").args(["--release", "--package", "maps", "--package", "fastboot-rt"]))?;
    let kept = made.join("fastboot");
    if kept.exists() {
        fs::remove_dir_all(&kept).with_context(|| format!("cannot remove {}", kept.display()))?;
    }
    let said = succeed(target.fastboot_build()?.args(["--release", "--package", "maps"]))?;
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    ensure!(said.contains("Compiling maps") && said.contains("Freezing maps"), "that was no clean build:\n{said}");
    let cold = Run::of(&mut runs::program(&cold_path(&made, "maps")))?;
    cold.require_cold()?;
    runs::require_thaws(&made.join("maps"), cold.sources().len(), &cold.stdout)?;
    Ok([fs::read(cold_path(&made, "maps"))?, fs::read(made.join("maps"))?])
}

#[test]
fn two_clean_builds_are_equal() -> Result<()> {
    let target = TargetFolder::lock()?;
    let [cold, embedded] = build_clean(&target)?;
    let [cold_again, embedded_again] = build_clean(&target)?;
    require_equal(&cold, &cold_again).context("the cold binaries")?;
    require_equal(&embedded, &embedded_again).context("the embedded binaries")
}

#[test]
fn so_are_all_freezes_of_one_binary() -> Result<()> {
    let target = TargetFolder::lock()?;
    let program = target.path().join("release/maps");
    for link in Link::ALL {
        let mut first = None;
        for time in 0..TIMES {
            let mut command = target.fastboot_build()?;
            command.args(["--release", "--no-verify", "--refreeze", "--package", "maps"]).args(link.flag());
            // As on another day, in another terminal.
            succeed(command.env("MAPS_UNUSED", "x".repeat(1000 * time)))?;
            let bytes = fs::read(&program)?;
            require_equal(first.get_or_insert_with(|| bytes.clone()), &bytes)
                .with_context(|| format!("{link:?}, freeze {time}"))?;
        }
    }
    Ok(())
}

#[test]
fn real_random_bytes_make_them_differ() -> Result<()> {
    let target = TargetFolder::lock()?;
    let mut all = Vec::new();
    for _ in 0..2 {
        let mut command = target.fastboot_build()?;
        succeed(command.args(["--release", "--no-verify", "--real-random", "--package", "maps"]))?;
        all.push(fs::read(target.path().join("release/maps"))?);
    }
    ensure!(all[0] != all[1], "two builds with --real-random are equal");
    Ok(())
}
