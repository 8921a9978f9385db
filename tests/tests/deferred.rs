//! Deferred fields in a frozen program: the same answers as without an image, and their bodies behind all else.

use anyhow::{Context, Result, ensure};
use fastboot_tests::programs::{Link, Program};
use fastboot_tests::runs::{self, Run};

fn bodies_lie_behind(program: &Program) -> Result<()> {
    let built = program.build()?;
    runs::require_same_result(&built)?;
    let run = Run::of(&mut runs::program(&built.embedded))?;
    let address = |name: &str| -> Result<u64> {
        let line = run.stderr.lines().find_map(|line| line.strip_prefix(name)).context("not said")?;
        let (_, address) = line.trim().split_once(" 0x").context("no address")?;
        Ok(u64::from_str_radix(address, 16)?)
    };
    let (hot, cold) = (address("hot ")?, address("cold ")?);
    ensure!(hot < cold && hot / 4096 != cold / 4096, "hot objects up to {hot:#x}, bodies from {cold:#x}");
    Ok(())
}

#[test]
fn non_pie() -> Result<()> {
    bodies_lie_behind(&Program::new("deferred"))
}

#[test]
fn pie() -> Result<()> {
    bodies_lie_behind(&Program::new("deferred").link(Link::Pie))
}
