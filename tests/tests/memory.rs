//! How much memory freezing takes: what is alive counts, not what was allocated.

use anyhow::{Context, Result, ensure};
use fastboot_tests::programs::{Program, fastboot, programs};
use fastboot_tests::runs::{self, Run};
use fastboot_tests::tools;
use std::path::Path;

/// Freezes a cold binary, and says how many bytes of memory the tool or a freeze run had at once, whichever had more.
fn freeze_and_weigh(cold: &Path, snapshot: &Path) -> Result<u64> {
    let mut command = runs::program(&tools::attack()?.0);
    command.arg("peak").arg(fastboot()?.get_program()).arg("freeze").arg("--binary").arg(cold);
    let run = Run::of(command.arg("-o").arg(snapshot).current_dir(programs()))?;
    run.require_success()?;
    let peak = run.stderr.lines().find_map(|line| line.strip_prefix("attack: peak "));
    Ok(peak.context("no peak")?.parse()?)
}

#[test]
#[ignore = "takes a while: `cargo xtask test --full` runs it"]
fn ten_gigabytes_in_all_with_a_hundred_megabytes_alive() -> Result<()> {
    const ALIVE: u64 = 100_000_000;
    let built = Program::new("churn").cold().build()?;
    let snapshot = built.folder().join("churn.snap");
    let peak = freeze_and_weigh(&built.cold, &snapshot)?;
    eprintln!("peak: {peak} bytes");
    // The tool compares two images. Less than one would mean that nothing was measured.
    ensure!((ALIVE..4 * ALIVE).contains(&peak), "{peak} bytes of memory at once");
    let length = snapshot.metadata()?.len();
    ensure!((ALIVE..ALIVE + ALIVE / 10).contains(&length), "the image has {length} bytes");

    let run = Run::of(runs::program(&built.cold).env("FASTBOOT_LOG", "1").env("FASTBOOT_SNAPSHOT", &snapshot))?;
    run.require_thawed_from("snapshot", 1)?;
    ensure!(run.stdout == "100000000 bytes of 10100000000, the last word 100123\n", "{}", run.stdout);
    Ok(())
}
