//! Linkers × ways of linking × profiles.

use anyhow::{Context, Result, ensure};
use fastboot_tests::programs::{Link, Linker, Program};
use fastboot_tests::runs::{self, Run};

const PROFILES: [&str; 4] = ["release", "fat", "stripped", "debuginfo"];

/// What CI has time for: every linker with every way of linking, and every profile with every linker or more.
const DIAGONAL: [(Linker, Link, &str); 8] = [
    (Linker::Lld, Link::NonPie, "release"),
    (Linker::Lld, Link::NonPie, "debuginfo"),
    (Linker::Lld, Link::Static, "fat"),
    (Linker::Lld, Link::Pie, "stripped"),
    (Linker::Gnu, Link::NonPie, "fat"),
    (Linker::Gnu, Link::NonPie, "stripped"),
    (Linker::Gnu, Link::Static, "debuginfo"),
    (Linker::Gnu, Link::Pie, "release"),
];

fn everything() -> impl Iterator<Item = (Linker, Link, &'static str)> {
    let linkers = [Linker::Lld, Linker::Gnu].into_iter();
    let links = linkers.flat_map(|linker| Link::ALL.map(|link| (linker, link)));
    links.flat_map(|(linker, link)| PROFILES.map(|profile| (linker, link, profile)))
}

fn thaws(linker: Linker, link: Link, profile: &'static str) -> Result<()> {
    let program = Program { profile, linker, ..Program::new("small").link(link) };
    let built = program.build()?;
    // The linker asked for is the linker used: lld leaves its name in .comment, which `strip = true` may take out.
    if profile != "stripped" {
        let bytes = std::fs::read(&built.cold)?;
        let by_lld = bytes.windows(12).any(|window| window == b"Linker: LLD ");
        ensure!(by_lld == (linker == Linker::Lld), "{program} was linked by another linker");
    }
    runs::require_same_result(&built).with_context(|| program.to_string())?;
    Ok(())
}

#[test]
fn the_diagonal_thaws() -> Result<()> {
    DIAGONAL.into_iter().try_for_each(|(linker, link, profile)| thaws(linker, link, profile))
}

#[test]
fn early_memory_of_a_static_c_library_is_no_part_of_the_image() -> Result<()> {
    for linker in [Linker::Lld, Linker::Gnu] {
        let built = Program { linker, ..Program::new("small").link(Link::Static) }.build()?;
        // It copies the value of this variable before it has a heap.
        let tuned = Run::of(runs::program(&built.embedded).env("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0"))?;
        tuned.require_success().with_context(|| format!("{linker:?}"))?;
        ensure!(tuned.evaluated().is_empty(), "{linker:?}: {}", tuned.stderr);
    }
    Ok(())
}

#[test]
#[ignore = "takes minutes: `cargo xtask test --full` runs it"]
fn everything_thaws() -> Result<()> {
    everything().try_for_each(|(linker, link, profile)| thaws(linker, link, profile))
}
