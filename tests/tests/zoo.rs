//! Roots of every kind: frozen, thawed, then mutated, cloned, grown and dropped, with each way of linking.

use anyhow::Result;
use fastboot_tests::programs::{Link, Program};
use fastboot_tests::runs;

/// Names that every list of answers must hold, so that a program that asks nothing cannot pass.
const ASKED: [&str; 6] = ["LINES", "GRAPH", "PUT_OFF", "HIGHLIGHTER", "QUEUE", "zoo_lib::PRIMES"];

fn zoo(program: &Program) -> Result<()> {
    let cold = runs::require_same_result(&*program.build()?)?;
    for root in ASKED {
        assert!(cold.stdout.lines().any(|line| line.starts_with(&format!("{root}: "))), "{root} was not asked");
        assert!(cold.evaluated().contains(&root), "{root} was not evaluated");
    }
    Ok(())
}

#[test]
fn non_pie() -> Result<()> {
    zoo(&Program::new("zoo"))
}

#[test]
fn static_libc() -> Result<()> {
    zoo(&Program::new("zoo").link(Link::Static))
}

#[test]
fn pie() -> Result<()> {
    zoo(&Program::new("zoo").link(Link::Pie))
}

#[test]
#[ignore = "takes minutes: `cargo xtask test --full` runs it"]
fn fat_lto() -> Result<()> {
    Link::ALL.into_iter().try_for_each(|link| zoo(&Program { profile: "fat", ..Program::new("zoo").link(link) }))
}
