//! Other people's tools on embedded binaries: they are ELF files like any other.

use anyhow::{Context, Result, ensure};
use fastboot_tests::programs::{Link, Program, fastboot, succeed};
use fastboot_tests::runs::{self, Run};
use fastboot_tests::tools;
use std::collections::BTreeSet;
use std::path::Path;

/// Requires that `tool ARGUMENTS IN OUT`-like commands leave an embedded binary that thaws as before.
fn still_thaws_after(tool: &str, arguments: impl Fn(&Path, &Path) -> Vec<std::ffi::OsString>) -> Result<()> {
    if tools::find(tool).is_none() {
        return Ok(());
    }
    for link in Link::ALL {
        let built = Program::new("small").link(link).build()?;
        let cold = runs::require_same_result(&built)?;
        let folder = tempfile::tempdir()?;
        let out = folder.path().join("small");
        let Some(mut command) = tools::find(tool) else { return Ok(()) };
        succeed(command.args(arguments(&built.embedded, &out)))?;
        runs::require_thaws(&out, cold.sources().len(), &cold.stdout).with_context(|| format!("{tool}, {link:?}"))?;
    }
    Ok(())
}

#[test]
fn strip() -> Result<()> {
    still_thaws_after("strip", |from, to| vec!["-o".into(), to.into(), from.into()])
}

#[test]
fn eu_strip() -> Result<()> {
    still_thaws_after("eu-strip", |from, to| vec!["-o".into(), to.into(), from.into()])
}

#[test]
fn objcopy() -> Result<()> {
    still_thaws_after("objcopy", |from, to| vec![from.into(), to.into()])
}

#[test]
fn objcopy_strips_debug_information() -> Result<()> {
    still_thaws_after("objcopy", |from, to| vec!["--strip-debug".into(), from.into(), to.into()])
}

#[test]
fn gdb_shows_a_backtrace() -> Result<()> {
    for link in Link::ALL {
        let Some(mut gdb) = tools::find("gdb") else { return Ok(()) };
        let built = Program::new("small").link(link).build()?;
        gdb.args(["-nx", "-batch", "-ex", "set debuginfod enabled off", "-ex", "run", "-ex", "bt", "--args"]);
        let run = Run::of(gdb.arg(&built.embedded).arg("abort").env("FASTBOOT_LOG", "1"))?;
        let said = format!("{}{}", run.stdout, run.stderr);
        for expected in ["stopping with 10000 words", "SIGABRT", "small::stop_here", "small::main", "thawed 5 roots"] {
            ensure!(said.contains(expected), "{link:?}: no `{expected}` in what gdb said:\n{said}");
        }
    }
    Ok(())
}

#[test]
fn gdb_shows_what_is_in_the_image_and_who_calls_through_it() -> Result<()> {
    for link in Link::ALL {
        let Some(mut gdb) = tools::find("gdb") else { return Ok(()) };
        let built = Program { profile: "debuginfo", ..Program::new("sources").link(link) }.build()?;
        // Numbers that a closure in the image owns, and where a root's value is.
        let commands = [
            "set debuginfod enabled off",
            "break sources::stop_here",
            "run",
            "print numbers.data_ptr",
            "print numbers.data_ptr[0] * 100 + numbers.data_ptr[2]",
            "bt",
            "set language c",
            "print 'sources::WORDS'.value",
        ];
        gdb.args(["-nx", "-batch"]).args(commands.iter().flat_map(|command| ["-ex", command])).arg("--args");
        let run = Run::of(gdb.arg(&built.embedded).arg("abort"))?;
        let said = format!("{}{}", run.stdout, run.stderr);
        let [numbers, sum, words] = ["$1 = ", "$2 = ", "$3 = "]
            .map(|start| said.lines().find_map(|line| line.strip_prefix(start)).unwrap_or_default());
        let in_image = |value: &str| value.contains("0x550000");
        ensure!(in_image(numbers) && sum == "103" && in_image(words), "{link:?}:\n{said}");
        for function in
            ["sources::stop_here", "sources::ADD::__fastboot_value::{closure#0}::{closure#0}", "sources::main"]
        {
            ensure!(said.contains(function), "{link:?}: no `{function}` in what gdb said:\n{said}");
        }
    }
    Ok(())
}

#[test]
fn valgrind_finds_no_error() -> Result<()> {
    // Not the static binaries: valgrind cannot replace their malloc, and reports glibc's own start-up code, cold or not.
    for link in [Link::NonPie, Link::Pie] {
        let built = Program::new("small").link(link).build()?;
        let cold = runs::require_same_result(&built)?;
        let Some(run) = under_valgrind("memcheck", &built.embedded)? else { return Ok(()) };
        run.require_success()?;
        runs::require_same(&cold.stdout, &run.stdout)?;
        // Valgrind's processor may lack features that this one has: see the next test.
        let lacking = run.stderr.contains("fastboot: cold start: the processor lacks ");
        ensure!(lacking || run.require_thawed(cold.sources().len()).is_ok(), "{link:?}:\n{}", run.stderr);
    }
    Ok(())
}

#[test]
fn what_is_for_every_processor_thaws_under_valgrind() -> Result<()> {
    // The large one leaves a hole where it was mapped when it goes home in a position-independent executable.
    for (name, link) in [("plain", Link::NonPie), ("plain", Link::Static), ("large", Link::Pie)] {
        let built = Program::new("world").bin(name).link(link).build()?;
        let cold = Run::of(runs::program(&built.embedded).env("FASTBOOT", "off"))?;
        let Some(run) = under_valgrind("none", &built.embedded)? else { return Ok(()) };
        ensure!(run.stderr.contains("fastboot: thawed "), "{link:?}:\n{}", run.stderr);
        runs::require_same(&cold.stdout, &run.stdout)?;
    }
    Ok(())
}

#[test]
fn what_is_frozen_under_valgrind_thaws_under_valgrind() -> Result<()> {
    for (link, tool) in [(Link::NonPie, "memcheck"), (Link::Static, "none")] {
        let built = Program::new("small").link(link).build()?;
        let cold = runs::require_same_result(&built)?;
        if tools::find("valgrind").is_none() || tools::find("setarch").is_none() {
            return Ok(());
        }
        // setarch: a freeze run turns address randomisation off by executing itself again, which valgrind cannot follow.
        let runner = "setarch --addr-no-randomize valgrind --tool=none --quiet";
        let folder = tempfile::tempdir()?;
        let (snapshot, out) = (folder.path().join("small.snap"), folder.path().join("small"));
        let mut freeze = fastboot()?;
        freeze.env("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER", runner);
        succeed(freeze.arg("freeze").arg("--binary").arg(&built.cold).arg("-o").arg(&snapshot))?;
        let mut embed = fastboot()?;
        embed.arg("embed").arg("--binary").arg(&built.cold).arg("--snapshot").arg(&snapshot).arg("-o").arg(&out);
        succeed(&mut embed)?;
        let Some(run) = under_valgrind(tool, &out)? else { return Ok(()) };
        run.require_thawed(cold.sources().len()).with_context(|| format!("{link:?}"))?;
        runs::require_same(&cold.stdout, &run.stdout)?;
    }
    Ok(())
}

/// Runs a binary under a tool of valgrind; any error that it finds is the exit status.
fn under_valgrind(tool: &str, binary: &Path) -> Result<Option<Run>> {
    let Some(mut valgrind) = tools::find("valgrind") else { return Ok(None) };
    valgrind.arg(format!("--tool={tool}")).arg("--quiet");
    if tool == "memcheck" {
        valgrind.arg("--error-exitcode=99");
    }
    Run::of(valgrind.arg(binary).env("FASTBOOT_LOG", "1")).map(Some)
}

#[test]
fn perf_records() -> Result<()> {
    let Some(mut probe) = tools::find("perf") else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("perf.data");
    let events = ["record", "--quiet", "--event", "cpu-clock", "--output"];
    if !probe.args(events).arg(&data).args(["--", "true"]).output()?.status.success() {
        // Not a missing package but a matter of the kernel's settings, over which CI may have no say.
        eprintln!("skipped: perf may not record on this machine");
        return Ok(());
    }
    for link in Link::ALL {
        let Some(mut perf) = tools::find("perf") else { return Ok(()) };
        let built = Program::new("small").link(link).build()?;
        let cold = runs::require_same_result(&built)?;
        let run = Run::of(perf.args(events).arg(&data).arg("--").arg(&built.embedded).env("FASTBOOT_LOG", "1"))?;
        run.require_thawed(cold.sources().len()).with_context(|| format!("{link:?} under perf"))?;
        let Some(mut report) = tools::find("perf") else { return Ok(()) };
        let output = succeed(report.args(["script", "--show-mmap-events", "--input"]).arg(&data))?;
        ensure!(String::from_utf8_lossy(&output.stdout).contains("small"), "perf script does not know the program");
    }
    Ok(())
}

#[test]
fn elflint_reports_nothing_new() -> Result<()> {
    for link in Link::ALL {
        let built = Program::new("small").link(link).build()?;
        let (Some(cold), Some(embedded)) = (lint(&built.cold)?, lint(&built.embedded)?) else { return Ok(()) };
        let new: Vec<_> = embedded.difference(&cold).collect();
        ensure!(new.is_empty(), "{link:?}: eu-elflint reports of the embedded binary only: {new:#?}");
    }
    Ok(())
}

/// The lines that eu-elflint reports of a binary.
fn lint(binary: &Path) -> Result<Option<BTreeSet<String>>> {
    let Some(mut elflint) = tools::find("eu-elflint") else { return Ok(None) };
    let output = elflint.arg("--gnu-ld").arg(binary).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    Ok(Some(text.lines().map(str::to_owned).collect()))
}
