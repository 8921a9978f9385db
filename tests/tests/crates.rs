//! Roots of well-known crates: `tests/programs/crates` has a program for each. With its image it does what it does without,
//! the verification finds it equal to a fresh one, and where that is to be expected the image is dense.
//!
//! CI runs those that are quick and differ most in what they ask of an image: a hash table that needs a carried static
//! (hashbrown, ahash), a large engine that is warm (syntect), code by address (closures), several threads. The others run
//! with `cargo xtask test --full`: they need minutes, most of them for compiling.

use anyhow::{Context, Result, bail, ensure};
use fastboot_format::image::{CARRIED_LEN, HEADER_LEN, HeaderPage, Table, TableKind, digest};
use fastboot_tests::programs::{Link, Program, TargetFolder, fastboot, succeed};
use fastboot_tests::runs::{self, Run};
use fastboot_tests::tools;
use std::fs;
use std::ops::Range;
use std::path::Path;
use std::process::Command;

/// A program, and what is expected of its image.
#[derive(Clone, Copy, Debug)]
struct Case {
    bin: &'static str,
    /// Whether it needs crates that take long to compile.
    full: bool,
    /// Whether the image has to be dense: hardly any bytes but those of the objects, all of them placed as planned.
    dense: bool,
}

/// Of the image data, at least so much are bytes of live objects.
const DENSITY: f64 = 0.97;
/// Of the planned objects, at least so many lie where the plan says.
const PLACED: f64 = 0.999;

const fn dense(bin: &'static str) -> Case {
    Case { bin, full: false, dense: true }
}

const fn dense_full(bin: &'static str) -> Case {
    Case { bin, full: true, dense: true }
}

/// Small images, where pages and alignment weigh more than the objects do, and threads that take turns.
const fn full(bin: &'static str) -> Case {
    Case { bin, full: true, dense: false }
}

const QUICK: [Case; 6] = [
    dense("ahash_map"),
    dense("closures"),
    dense("hashbrown_map"),
    dense("highlighter"),
    // Has to be planned twice.
    dense("regex_set"),
    dense("threads"),
];

const OTHERS: [Case; 23] = [
    dense("automaton"),
    dense("btree_map"),
    dense("document"),
    dense("index_map"),
    dense("regexes"),
    dense("std_map"),
    dense("strings"),
    dense_full("script"),
    dense_full("segmenter"),
    dense_full("templates"),
    full("atoms"),
    full("blocker"),
    full("buffers"),
    full("cells"),
    full("dash_map"),
    full("interner"),
    full("jinja"),
    full("locks"),
    full("small_vectors"),
    full("speller"),
    full("swaps"),
    full("tokenizer"),
    full("user_agents"),
];

impl Case {
    fn program(self, link: Link) -> Program {
        Program { full: self.full, ..Program::new("crates").bin(self.bin).link(link) }
    }

    fn check(self, link: Link) -> Result<()> {
        let built = self.program(link).build_alone()?;
        let cold = runs::require_same_result(&built)?;
        require_verified(&built.embedded, cold.sources().len())?;
        if self.dense {
            require_dense(&built.embedded)?;
        }
        Ok(())
    }
}

/// Goes through all of them, and says of each what is wrong with it.
fn check_all(cases: &[Case], link: Link) -> Result<()> {
    let failure = |case: &Case| Some(format!("{}: {:#}", case.bin, case.check(link).err()?));
    let failures: Vec<String> = cases.iter().filter_map(failure).collect();
    ensure!(failures.is_empty(), "{}", failures.join("\n"));
    Ok(())
}

fn verify(path: &Path) -> Result<Command> {
    let mut command = fastboot()?;
    command.arg("verify").arg(path);
    Ok(command)
}

fn require_verified(path: &Path, roots: usize) -> Result<()> {
    let said = succeed(&mut verify(path)?)?.stderr;
    let said = String::from_utf8_lossy(&said);
    let all = format!("{roots} root{} equal", if roots == 1 { "" } else { "s" });
    ensure!(said.lines().any(|line| line.trim() == format!("Verified {all}")), "not all were compared: {said}");
    Ok(())
}

fn require_dense(path: &Path) -> Result<()> {
    let json = succeed(fastboot()?.arg("inspect").arg("--json").arg(path))?.stdout;
    let json: serde_json::Value = serde_json::from_slice(&json).context("inspect --json is not JSON")?;
    let number = |name: &str| json["image"][name].as_f64().with_context(|| format!("no {name} in {json:#}"));
    let density = number("density")?;
    ensure!(density >= DENSITY, "density {density:.4}");
    let (placed, planned) = (number("placed")?, number("planned")?);
    ensure!(placed >= PLACED * planned && placed <= planned, "{placed} of {planned} objects placed as planned");
    Ok(())
}

#[test]
fn quick_ones() -> Result<()> {
    check_all(&QUICK, Link::NonPie)
}

#[test]
#[ignore = "takes minutes: `cargo xtask test --full` runs it"]
fn all_others() -> Result<()> {
    check_all(&OTHERS, Link::NonPie)
}

#[test]
#[ignore = "takes minutes: `cargo xtask test --full` runs it"]
fn all_with_static_libc() -> Result<()> {
    check_all(&[&QUICK[..], &OTHERS].concat(), Link::Static)
}

#[test]
#[ignore = "takes minutes: `cargo xtask test --full` runs it"]
fn all_as_pie() -> Result<()> {
    // Threads that take turns allocate in another order in each run, which a PIE must not.
    let cases = [&QUICK[..], &OTHERS].concat().into_iter().filter(|case| case.bin != "locks");
    check_all(&cases.collect::<Vec<_>>(), Link::Pie)
}

/// Requires that a program is refused because its root holds memory of the C library.
fn require_refused(bin: &str, feature: &str, root: &str) -> Result<()> {
    let target = TargetFolder::lock()?;
    let mut build = target.fastboot_build()?;
    build.args(["--release", "--package", "crates", "--bin", bin, "--features", feature]);
    let run = Run::of(&mut build)?;
    ensure!(!run.status.success(), "it was frozen:\n{}", run.stderr);
    for says in
        ["a value of a C library", "`onig_sys`", "that C code allocated with `malloc`", &format!("in root `{root}`")]
    {
        ensure!(run.stderr.contains(says), "`{says}` is not in the error:\n{}", run.stderr);
    }
    Ok(())
}

#[test]
#[ignore = "takes minutes: `cargo xtask test --full` runs it"]
fn regular_expressions_of_a_c_library_are_refused() -> Result<()> {
    require_refused("highlighter", "onig", "highlighter::HIGHLIGHTER")
}

#[test]
#[ignore = "takes minutes: `cargo xtask test --full` runs it"]
fn strings_from_another_allocator_are_refused() -> Result<()> {
    require_refused("names", "full", "names::NAMES")
}

/// Where a static of an executable lies: the only one whose symbol has these words in it.
fn addresses_of(executable: &Path, words: &[&str]) -> Result<Option<Range<u64>>> {
    let Some(mut readelf) = tools::find("readelf") else { return Ok(None) };
    let table = succeed(readelf.arg("--symbols").arg("--wide").arg(executable))?.stdout;
    let table = String::from_utf8_lossy(&table).into_owned();
    let found = table.lines().filter(|line| line.contains(" OBJECT ") && words.iter().all(|word| line.contains(word)));
    let found: Vec<Vec<&str>> = found.map(|line| line.split_ascii_whitespace().collect()).collect();
    let [symbol] = found.as_slice() else { bail!("{words:?} are in the symbols {found:?}") };
    let start = u64::from_str_radix(symbol[1], 16)?;
    Ok(Some(start..start + symbol[2].parse::<u64>()?))
}

/// Takes a static out of the list of those that a snapshot carries.
fn remove_carried(snapshot: &Path, addresses: &Range<u64>) -> Result<()> {
    let mut bytes = fs::read(snapshot)?;
    let page = HeaderPage::decode(&bytes)?;
    let table = page.entry(TableKind::Carried).context("nothing is carried")?;
    let start = usize::try_from(table.offset)?;
    let entries = bytes[start..start + usize::try_from(table.length)?].as_chunks::<CARRIED_LEN>().0;
    let address = |entry: &[u8; CARRIED_LEN]| entry.first_chunk().copied().map(u64::from_le_bytes);
    let kept: Vec<_> =
        entries.iter().filter(|entry| !address(entry).is_some_and(|at| addresses.contains(&at))).collect();
    ensure!(kept.len() < entries.len(), "nothing at {addresses:x?} is carried");
    let kept: Vec<u8> = kept.into_iter().flatten().copied().collect();

    let shorter = Table { length: kept.len() as u64, digest: digest(&kept), ..table };
    let tables = page.tables().map(|table| if table.kind == TableKind::Carried { shorter } else { table });
    let directory: Vec<u8> = tables.flat_map(|table| table.encode()).collect();
    let header = page.header.encode(&directory);
    bytes[start..start + kept.len()].copy_from_slice(&kept);
    bytes[..HEADER_LEN].copy_from_slice(&header);
    bytes[HEADER_LEN..HEADER_LEN + directory.len()].copy_from_slice(&directory);
    Ok(fs::write(snapshot, bytes)?)
}

/// Removes a static that a program needs from its image, by hand. The verification must notice.
fn without_static(case: Case, words: &[&str]) -> Result<()> {
    let built = case.program(Link::NonPie).build_alone()?;
    let Some(addresses) = addresses_of(&built.cold, words)? else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let (snapshot, out) = (folder.path().join("snapshot"), folder.path().join(case.bin));
    succeed(fastboot()?.arg("freeze").arg("--binary").arg(&built.cold).arg("-o").arg(&snapshot))?;
    let embed_and_verify = || -> Result<Run> {
        let mut embed = fastboot()?;
        embed.arg("embed").arg("--binary").arg(&built.cold).arg("--snapshot").arg(&snapshot).arg("-o").arg(&out);
        succeed(&mut embed)?;
        Run::of(&mut verify(&out)?)
    };
    embed_and_verify()?.require_success().context("with the static")?;
    remove_carried(&snapshot, &addresses)?;
    let without = embed_and_verify()?;
    let root = format!("root `{}::", case.bin);
    ensure!(without.status.code() == Some(1), "without the static: {}\n{}", without.status, without.stderr);
    ensure!(without.stderr.contains(&root), "`{root}` is not in the error:\n{}", without.stderr);
    Ok(())
}

#[test]
fn hashbrown_needs_the_seed_of_foldhash() -> Result<()> {
    without_static(dense("hashbrown_map"), &["foldhash", "GLOBAL_SEED_STORAGE"])
}

#[test]
fn ahash_needs_its_seeds() -> Result<()> {
    without_static(dense("ahash_map"), &["ahash", "get_fixed_seeds", "SEEDS"])
}

#[test]
fn syntect_needs_its_scopes() -> Result<()> {
    without_static(dense("highlighter"), &["syntect", "SCOPE_REPO"])
}

#[test]
#[ignore = "takes minutes: `cargo xtask test --full` runs it"]
fn rhai_needs_the_seeds_of_ahash() -> Result<()> {
    without_static(dense_full("script"), &["ahash", "get_fixed_seeds", "SEEDS"])
}

/// How often the allocator was called for something, by what the program says on standard error.
fn allocations(run: &Run, what: &str) -> Result<u64> {
    let said = format!("allocations for the {what}: ");
    let count = run.stderr.lines().find_map(|line| line.strip_prefix(&said));
    count.and_then(|count| count.parse().ok()).with_context(|| format!("no `{said}` in {}", run.stderr))
}

#[test]
fn what_was_warmed_needs_no_construction() -> Result<()> {
    let built = Program::new("crates").bin("warmed").build_alone()?;
    let cold = Run::of(&mut runs::program(&built.cold))?;
    let warm = Run::of(runs::program(&built.embedded).env("FASTBOOT_LOG", "1"))?;
    cold.require_success()?;
    warm.require_success()?;
    ensure!(warm.stderr.contains("fastboot: thawed 0 roots from section"), "not thawed:\n{}", warm.stderr);
    runs::require_same(&cold.stdout, &warm.stdout)?;
    for what in ["line", "date"] {
        let (first, second) = (format!("first {what}"), format!("second {what}"));
        let usual = allocations(&cold, &second)?;
        ensure!(allocations(&cold, &first)? > 100 * (usual + 1), "{what}: nothing is constructed at all");
        // Not one more than in a process that has done it before.
        let found = allocations(&warm, &first)?;
        ensure!(found == usual, "{first}: {found} allocations, {usual} for the second in a cold process");
    }
    Ok(())
}
