//! Without cargo-fastboot the same source is a program like any other.

use anyhow::{Result, ensure};
use fastboot_tests::programs::{Program, TargetFolder, succeed};
use fastboot_tests::runs::{self, Run};

#[test]
fn cargo_build_makes_a_program_that_does_the_same() -> Result<()> {
    for package in ["small", "zoo"] {
        let embedded = Run::of(&mut runs::program(&Program::new(package).build()?.embedded))?;
        let target = TargetFolder::lock()?;
        succeed(target.cargo("build").args(["--release", "--package", package]))?;
        let plain = Run::of(runs::program(&target.path().join("release").join(package)).env("FASTBOOT_LOG", "1"))?;
        plain.require_cold()?;
        ensure!(plain.stderr.contains("fastboot: cold start: "), "it does not say why:\n{}", plain.stderr);
        runs::require_same(&embedded.stdout, &plain.stdout)?;
    }
    Ok(())
}

#[test]
fn cargo_test_tests_it() -> Result<()> {
    let target = TargetFolder::lock()?;
    let output = succeed(target.cargo("test").args(["--package", "small"]))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(said.contains("1 passed"), "{said}");
    Ok(())
}

#[test]
fn an_allocator_of_the_programs_own_is_kept() -> Result<()> {
    let built = Program::new("allocator").build()?;
    let cost = |run: &Run| {
        let line = run.stderr.lines().find_map(|line| line.strip_prefix("allocations for NAMES: "));
        line.and_then(|count| count.parse::<u64>().ok())
    };
    // What it prints on standard output, equal in both, has the cost of a clone in it: 10,001 allocations.
    let cold = runs::require_same_result(&built)?;
    ensure!(cold.stdout.contains("10000 for 10001 allocations"), "{}", cold.stdout);
    ensure!(cost(&cold).is_some_and(|count| count > 10_000), "{}", cold.stderr);
    let embedded = Run::of(&mut runs::program(&built.embedded))?;
    ensure!(cost(&embedded) == Some(0), "thawed roots cost allocations:\n{}", embedded.stderr);
    Ok(())
}
