//! Freezing for older processors: what chooses its code by processor chooses other code.

use anyhow::{Context, Result, ensure};
use fastboot_tests::places::{Places, freeze};
use fastboot_tests::programs::{Program, TargetFolder, fastboot, succeed};
use fastboot_tests::runs::{self, Run};
use fastboot_tests::tools;
use std::fs;
use std::path::Path;

/// Whether the processor has this flag.
fn processor_has(flag: &str) -> Result<bool> {
    let info = fs::read_to_string("/proc/cpuinfo")?;
    let flags = info.lines().find(|line| line.starts_with("flags")).context("no flags in /proc/cpuinfo")?;
    Ok(flags.split_whitespace().any(|word| word == flag))
}

/// The features in the header of a snapshot.
fn features(snapshot: &Path) -> Result<Vec<String>> {
    let output = succeed(fastboot()?.arg("inspect").arg(snapshot).arg("--json"))?;
    let json: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let features = json["image"]["cpu_features"].as_array().context("features")?;
    Ok(features.iter().filter_map(|feature| Some(feature.as_str()?.to_owned())).collect())
}

/// Whether an image holds the address of this function of the binary, which is no PIE.
fn holds_address_of(function: &str, image: &[u8], binary: &Path) -> Result<Option<bool>> {
    let Some(mut nm) = tools::find("nm") else { return Ok(None) };
    let symbols = String::from_utf8(succeed(nm.arg("--demangle").arg(binary))?.stdout)?;
    let line = symbols.lines().find(|line| line.contains(function)).with_context(|| format!("no {function}"))?;
    let address = u64::from_str_radix(line.split(' ').next().unwrap_or_default(), 16)?;
    Ok(Some(image.as_chunks::<8>().0.contains(&address.to_le_bytes())))
}

#[test]
fn a_level_decides_what_is_chosen() -> Result<()> {
    let places = Places::of(&*Program::new("dispatch").build()?)?;
    let cold = Run::of(runs::program(&places.cold).env("FASTBOOT", "off"))?;
    if !processor_has("cpuid_fault")? {
        let error = freeze(&places.cold, &places.snapshot, &["--cpu", "x86-64-v2"]).err().context("it froze")?;
        let said = format!("{error:#}");
        ensure!(said.contains("cannot hide features") && said.contains("leave out --cpu"), "{said}");
        return Ok(());
    }
    let [avx2, avx512] = [processor_has("avx2")?, processor_has("avx512f")?];
    for (level, avx2, avx512) in [("x86-64-v2", false, false), ("x86-64-v3", avx2, false), ("native", avx2, avx512)] {
        freeze(&places.cold, &places.snapshot, &["--cpu", level])?;
        let mut program = runs::program(&places.cold);
        let run = Run::of(program.env("FASTBOOT_LOG", "1").env("FASTBOOT_SNAPSHOT", &places.snapshot))?;
        let told = || format!("{level}:\n{}", run.stderr);
        run.require_thawed_from("snapshot", 4).with_context(told)?;
        runs::require_same(&cold.stdout, &run.stdout).with_context(told)?;

        let expected = format!("(\"avx2\", {avx2}), (\"avx512f\", {avx512})");
        ensure!(run.stderr.contains(&expected), "no {expected}: {}", told());
        ensure!(run.stderr.contains(&format!("avx elsewhere: {avx2}")), "a thread saw something else: {}", told());
        // aho-corasick's packed searcher, and memchr's.
        ensure!(run.stderr.contains(&format!("packed: {}", if avx2 { "AVX2" } else { "SSSE3" })), "{}", told());
        let image = fs::read(&places.snapshot)?;
        for (function, there) in [("searcher_kind_avx2", avx2), ("searcher_kind_sse2", !avx2)] {
            let found = holds_address_of(function, &image, &places.cold)?;
            ensure!(found.is_none_or(|found| found == there), "{function}, {found:?}: {}", told());
        }
        let features = features(&places.snapshot)?;
        for (name, there) in [("sse4.2", true), ("avx2", avx2), ("avx512f", avx512)] {
            ensure!(features.iter().any(|feature| feature == name) == there, "{level}: {name} in {features:?}");
        }
        ensure!(level == "native" || features.iter().all(|feature| feature != "aes"), "{level}: {features:?}");
    }
    Ok(())
}

#[test]
fn what_is_frozen_for_a_level_is_verified_for_it() -> Result<()> {
    if !processor_has("cpuid_fault")? {
        eprintln!("skipped: this processor cannot hide features");
        return Ok(());
    }
    // The roots hold what was detected: evaluated again without the mask, they would differ.
    let target = TargetFolder::lock()?;
    let mut build = target.fastboot_build()?;
    succeed(build.args(["--release", "--package", "dispatch", "--cpu", "x86-64-v2", "--verify"]))?;
    Ok(())
}

#[test]
fn a_level_that_there_is_not() -> Result<()> {
    let run = Run::of(fastboot()?.args(["freeze", "--binary", "x", "-o", "y", "--cpu", "x86-64-v9"]))?;
    ensure!(!run.status.success() && run.stderr.contains("x86-64-v2, x86-64-v3, x86-64-v4"), "{}", run.stderr);
    Ok(())
}
