//! What the thaw asks of the kernel: nothing for the section of a non-PIE binary, two calls in a PIE, a few more for files.

use anyhow::{Context, Result, ensure};
use fastboot_tests::places::Places;
use fastboot_tests::programs::{Link, Program, TargetFolder, succeed};
use fastboot_tests::tools;
use std::path::Path;

/// How strace writes the home address.
const HOME: &str = "0x550000000000";

/// The system calls of a run that touches no root, each as strace writes it; `None` without strace.
fn trace(binary: &Path, fastboot: &str) -> Result<Option<Vec<String>>> {
    let Some(mut strace) = tools::find("strace") else { return Ok(None) };
    let folder = tempfile::tempdir()?;
    let log = folder.path().join("log");
    strace.arg("-f").arg("-o").arg(&log).arg(binary).arg("nothing");
    succeed(strace.env("FASTBOOT", fastboot).env_remove("FASTBOOT_LOG"))?;
    let text = std::fs::read_to_string(&log).context("strace wrote no log")?;
    // `PID CALL(ARGUMENTS) = RESULT`
    let calls = text.lines().filter_map(|line| line.split_once(' ')).map(|(_, call)| call.trim_start().to_owned());
    Ok(Some(calls.filter(|call| call.contains('(')).collect()))
}

fn name(call: &str) -> &str {
    call.split('(').next().unwrap_or_default()
}

/// Requires that a thaw makes exactly these calls at the home address, and no call elsewhere that a cold start does not.
fn thaw_calls(link: Link, expected: &[&str]) -> Result<()> {
    let built = Program::new("small").link(link).build()?;
    let (Some(thawed), Some(cold)) = (trace(&built.embedded, "on")?, trace(&built.embedded, "off")?) else {
        return Ok(());
    };
    let (home, elsewhere): (Vec<_>, Vec<_>) = thawed.iter().partition(|call| call.contains(HOME));
    let home: Vec<_> = home.into_iter().map(|call| name(call)).collect();
    ensure!(home == expected, "{link:?}: at the home address {home:?} was called, not {expected:?}");
    let elsewhere: Vec<_> = elsewhere.into_iter().map(|call| name(call)).collect();
    let cold: Vec<_> = cold.iter().map(|call| name(call)).collect();
    ensure!(elsewhere == cold, "{link:?}: elsewhere it called\n{elsewhere:?}\nand cold\n{cold:?}");
    Ok(())
}

#[test]
fn non_pie_makes_none() -> Result<()> {
    thaw_calls(Link::NonPie, &[])
}

#[test]
fn static_makes_none() -> Result<()> {
    thaw_calls(Link::Static, &[])
}

#[test]
fn pie_moves() -> Result<()> {
    file_calls(&Program::new("small").link(Link::Pie).build()?.embedded, &["mremap", "munmap"])
}

/// Requires that a thaw makes exactly these calls, one behind the other, that a cold start does not.
fn file_calls(binary: &Path, expected: &[&str]) -> Result<()> {
    let (Some(thawed), Some(cold)) = (trace(binary, "on")?, trace(binary, "off")?) else { return Ok(()) };
    // The C library's `fstat` is one or the other. It reads /proc/self/maps later on, which a mapping makes longer.
    let names = |calls: &[String]| -> Vec<String> {
        calls.iter().map(|call| name(call).replace("newfstatat", "fstat")).filter(|name| name != "read").collect()
    };
    let (thawed, cold) = (names(&thawed), names(&cold));
    let are_added = |start: usize| {
        let end = start + expected.len();
        thawed.get(start..end).is_some_and(|calls| calls == expected)
            && [&thawed[..start], &thawed[end..]].concat() == cold
    };
    ensure!((0..thawed.len()).any(are_added), "it called\n{thawed:?}\nand cold\n{cold:?}");
    Ok(())
}

#[test]
fn a_footer_is_opened_read_and_mapped() -> Result<()> {
    for link in Link::ALL {
        let places = Places::of(&*Program::new("sources").link(link).build()?)?;
        // What is read: the footer, the header.
        let expected = ["openat", "fstat", "pread64", "pread64", "mmap", "close"];
        file_calls(&places.footer, &expected).with_context(|| format!("{link:?}"))?;
    }
    Ok(())
}

#[test]
fn a_snapshot_is_opened_in_its_folder_read_and_mapped() -> Result<()> {
    for link in Link::ALL {
        let places = Places::of(&*Program::new("sources").link(link).build()?)?;
        let folder = places.cold.canonicalize()?.parent().context("a folder")?.components().count();
        // Every folder up to the root, and the root once more as its own parent.
        let folders = [["readlink", "openat"].as_slice(), &vec!["fstat"; folder + 1]].concat();
        let file = ["openat", "fstat", "close", "pread64", "mmap", "close"].as_slice();
        file_calls(&places.cold, &[folders.as_slice(), file].concat()).with_context(|| format!("{link:?}"))?;
    }
    Ok(())
}

#[test]
fn a_program_that_was_never_stamped_looks_for_no_file() -> Result<()> {
    let target = TargetFolder::lock()?;
    succeed(target.cargo("build").args(["--release", "--package", "sources"]))?;
    file_calls(&target.path().join("release/sources"), &[])
}
