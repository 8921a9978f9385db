//! Constructors run before the roots are evaluated, frozen or not.

use anyhow::{Result, ensure};
use fastboot_tests::programs::{Link, Program};
use fastboot_tests::runs::Run;
use std::process::Command;

#[test]
fn roots_see_what_constructors_did() -> Result<()> {
    for link in Link::ALL {
        let built = Program::new("constructor").link(link).build()?;
        let cold = Run::of(&mut Command::new(&built.cold))?;
        let embedded = Run::of(Command::new(&built.embedded).env("FASTBOOT_LOG", "1"))?;
        ensure!(embedded.stderr.contains("fastboot: thawed 1 root"), "{link:?}: {}", embedded.stderr);
        ensure!(cold.stdout == "seen 1, registered 1\n", "{link:?}, cold: {}", cold.stdout);
        ensure!(embedded.stdout == cold.stdout, "{link:?}, embedded: {}", embedded.stdout);
    }
    Ok(())
}
