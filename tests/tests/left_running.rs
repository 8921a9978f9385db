//! Threads that are left running are an error, unless they are rayon's own or the user allows them. And what a check or the
//! runs find fault with is told with its root, and with what was being done.

use anyhow::{Result, ensure};
use fastboot_tests::programs::{TargetFolder, fastboot};
use fastboot_tests::runs::{self, Run};

/// Builds a binary of the package; it must succeed or not, and say all of this. Returns what it said.
fn build(bin: &str, options: &[&str], succeeds: bool, says: &[&str]) -> Result<String> {
    let target = TargetFolder::lock()?;
    let mut build = target.fastboot_build()?;
    build.args(["--release", "--refreeze", "--package", "left-running", "--bin", bin]).args(options);
    let run = Run::of(&mut build)?;
    ensure!(run.status.success() == succeeds, "{bin} {options:?}: {}\n{}", run.status, run.stderr);
    for text in says {
        ensure!(run.stderr.contains(text), "{bin} {options:?}: `{text}` is not in:\n{}", run.stderr);
    }
    if succeeds {
        let path = target.path().join("release").join(bin);
        let embedded = Run::of(runs::program(&path).arg("quiet").env("FASTBOOT_LOG", "1"))?;
        embedded.require_success()?;
        ensure!(embedded.stderr.contains("fastboot: thawed"), "{bin}: it is not thawed: {}", embedded.stderr);
        let cold = Run::of(runs::program(&path).arg("quiet").env("FASTBOOT", "off"))?;
        runs::require_same(&cold.stdout, &embedded.stdout)?;
    }
    Ok(run.stderr)
}

#[test]
fn a_pool_in_a_root_is_refused() -> Result<()> {
    let remedy = "--allow-threads own_pool::POOL";
    for options in [&[][..], &["--static"], &["--pie"]] {
        let said =
            build("own_pool", options, false, &["root `own_pool::POOL` left 2 threads", remedy, "drop the pool"])?;
        ensure!(said.matches("left 2 threads").count() == 1, "told more than once:\n{said}");
    }
    let said = build("both_pools", &[], false, &["root `both_pools::", "running"])?;
    ensure!(!said.contains("made anew"), "{said}");
    Ok(())
}

#[test]
fn the_global_pool_of_rayon_needs_no_permission() -> Result<()> {
    for options in [&[][..], &["--static"], &["--pie"], &["--verbatim"]] {
        let said = build("global_pool", options, true, &[])?;
        ensure!(!said.contains("warning"), "{options:?}:\n{said}");
    }
    build("global_pool", &["-v"], true, &["rayon's global pool"]).map(drop)
}

#[test]
fn threads_are_refused_by_name_or_allowed() -> Result<()> {
    let says = ["root `worker::COUNTER` left the thread `counts` running", "allow-threads = [\"worker::COUNTER\"]"];
    build("worker", &[], false, &says)?;
    build("worker", &["--allow-threads", "COUNTER"], true, &[])?;
    build("worker", &["--allow-threads", "OTHER"], false, &["OTHER"])?;
    let root = "warm! in left-running/src/bin/warmed_worker.rs:";
    build("warmed_worker", &[], false, &[root, "running, and the embedded program has no such thread"]).map(drop)
}

#[test]
fn a_check_that_dies_is_told_with_signal_root_and_stage() -> Result<()> {
    let says =
        ["root `dies_when_compared::VALUE`: the program was ended by SIGABRT while the thawed value was compared with"];
    build("dies_when_compared", &[], false, &says)?;
    let says = ["root `dies_again::VALUE`: the program was ended by SIGABRT while its expression was evaluated again"];
    build("dies_again", &[], false, &says)?;
    build("dies_again", &["--no-verify"], true, &[]).map(drop)
}

#[test]
fn sizes_that_depend_on_addresses_are_told_with_their_root() -> Result<()> {
    build("sizes", &[], true, &[])?;
    let says = ["came out differently in root `sizes::SIZES`", "sizes depend on addresses", "build without --pie"];
    build("sizes", &["--pie"], false, &says).map(drop)
}

#[test]
fn what_was_compared_is_said() -> Result<()> {
    let said = build("global_pool", &[], true, &["Verified 1 root equal\n"])?;
    ensure!(!said.contains("thawed only"), "{said}");
    let path = {
        let target = TargetFolder::lock()?;
        let mut build = target.fastboot_build()?;
        build.args(["--release", "--package", "left-running", "--bin", "worker", "--allow-threads", "COUNTER"]);
        let run = Run::of(build.arg("--refreeze"))?;
        let told = "Thawed 1 root, none compared (no PartialEq: add check = ..)";
        ensure!(run.stderr.contains(told) && !run.stderr.contains("Verified"), "{}", run.stderr);
        target.path().join("release/worker")
    };
    let run = Run::of(fastboot()?.arg("verify").arg(&path))?;
    ensure!(run.status.success() && !run.stderr.contains("Verified"), "{}", run.stderr);
    Ok(())
}
