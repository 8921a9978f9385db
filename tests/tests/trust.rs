//! Which files a program takes an image from: an image is code.

use anyhow::{Context, Result, ensure};
use fastboot_tests::places::{Places, embed, forge, freeze};
use fastboot_tests::programs::{Link, Program, succeed};
use fastboot_tests::runs::{self, Run};
use fastboot_tests::tools;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;

/// How many roots the program has.
const ROOTS: usize = 7;

fn set_mode(path: &Path, mode: u32) -> Result<()> {
    fs::set_permissions(path, Permissions::from_mode(mode)).with_context(|| path.display().to_string())
}

fn with_snapshot(program: &Path, snapshot: &Path) -> Result<Run> {
    Run::of(runs::program(program).env("FASTBOOT_LOG", "1").env("FASTBOOT_SNAPSHOT", snapshot))
}

#[test]
fn files_that_others_could_have_written() -> Result<()> {
    let built = Program::new("sources").link(Link::Static).build()?;
    let places = Places::of(&built)?;
    let (program, snapshot) = (&places.cold, &places.snapshot);
    let thaws = || with_snapshot(program, snapshot)?.require_thawed_from("snapshot", ROOTS);
    let refused = |path: &Path, reason: &str| with_snapshot(program, path)?.require_cold_because(reason);
    thaws()?;

    for mode in [0o664, 0o646, 0o666, 0o622] {
        set_mode(snapshot, mode)?;
        refused(snapshot, "others may write to it").with_context(|| format!("{mode:o}"))?;
    }
    for mode in [0o600, 0o644, 0o444, 0o755] {
        set_mode(snapshot, mode)?;
        thaws().with_context(|| format!("{mode:o}"))?;
    }

    // Folders: the one it is in, and all above.
    let inner = places.folder().join("a/b/c");
    fs::create_dir_all(&inner)?;
    let deep = inner.join("deep.snap");
    fs::copy(snapshot, &deep)?;
    with_snapshot(program, &deep)?.require_thawed_from("snapshot", ROOTS)?;
    for folder in [inner.as_path(), &places.folder().join("a/b"), &places.folder().join("a"), places.folder()] {
        set_mode(folder, 0o777)?;
        refused(&deep, "it is in a folder that everyone may write to").with_context(|| folder.display().to_string())?;
        // However it is reached.
        let link = places.folder().join("cold/link");
        symlink(&inner, &link)?;
        refused(&link.join("deep.snap"), "it is in a folder that everyone may write to")?;
        fs::remove_file(&link)?;
        set_mode(folder, 0o1777)?;
        with_snapshot(program, &deep)?.require_thawed_from("snapshot", ROOTS).context("sticky")?;
        set_mode(folder, 0o755)?;
    }

    // Things that are no files, or not the file.
    let other = places.folder().join("other.snap");
    symlink(snapshot, &other)?;
    refused(&other, "it is a symbolic link")?;
    refused(places.folder(), "it is not a regular file")?;
    refused(Path::new("/dev/zero"), "it is not a regular file")?;
    fs::remove_file(&other)?;
    succeed(Command::new("mkfifo").arg(&other))?;
    refused(&other, "it is not a regular file").context("a pipe that nobody writes into")?;

    if !tools::is_root() {
        eprintln!("skipped: only root may give files away");
        return Ok(());
    }
    chown(snapshot, Some(65534), None)?;
    refused(snapshot, "it belongs to another user")?;
    // That user may use it, and root's.
    let attack = tools::attack()?.0;
    set_mode(places.folder(), 0o755)?;
    let launcher = places.folder().join("attack");
    fs::copy(attack, &launcher)?;
    let as_nobody = |snapshot: &Path| {
        let mut command = runs::program(&launcher);
        command.arg("nobody").arg(program).env("FASTBOOT_LOG", "1").env("FASTBOOT_SNAPSHOT", snapshot);
        Run::of(&mut command)
    };
    as_nobody(snapshot)?.require_thawed_from("snapshot", ROOTS)?;
    as_nobody(&deep)?.require_thawed_from("snapshot", ROOTS)?;
    chown(&deep, Some(12345), None)?;
    as_nobody(&deep)?.require_cold_because("it belongs to another user")
}

#[test]
fn a_program_with_privileges_looks_at_no_file_and_no_variable() -> Result<()> {
    if !tools::is_root() {
        eprintln!("skipped: only root can make a program that runs as root for others");
        return Ok(());
    }
    let launcher = tools::attack()?.0;
    for link in Link::ALL {
        let built = Program::new("sources").link(link).build()?;
        let places = Places::of(&built)?;
        let expected = Run::of(&mut runs::program(&places.cold))?.stdout;
        set_mode(places.folder(), 0o755)?;
        let attack = places.folder().join("attack");
        fs::copy(&launcher, &attack)?;
        for (source, path) in places.programs() {
            set_mode(path, 0o4755)?;
            let mut command = runs::program(&attack);
            command.arg("nobody").arg(path).env("FASTBOOT_LOG", "1").env("FASTBOOT_SNAPSHOT", &places.snapshot);
            // Neither does it freeze, check, or train, for whoever asks.
            let report = places.folder().join("report");
            command.env("FASTBOOT_CHECK", &report).env("FASTBOOT_FREEZE", places.folder());
            command.env("FASTBOOT_TRAIN", &report);
            let run = Run::of(&mut command)?;
            let told = || format!("{link:?}, {source}:\n{}", run.stderr);
            run.require_success().with_context(told)?;
            ensure!(
                run.log().is_none(),
                "it read FASTBOOT_LOG: is it on a file system that is mounted `nosuid`? {}",
                told()
            );
            let expected_source = if source == "section" { "section" } else { "evaluated" };
            ensure!(run.sources().iter().all(|(_, found)| *found == expected_source), "{}", told());
            ensure!(!report.exists(), "{}", told());
            runs::require_same(&expected, &run.stdout)?;
        }
    }
    Ok(())
}

#[test]
fn a_file_that_should_be_under_fs_verity_and_is_not() -> Result<()> {
    let places = Places::of(&*Program::new("sources").build()?)?;
    let mut bytes = fs::read(&places.snapshot)?;
    forge(&mut bytes, |header| header.flags |= fastboot_format::image::FLAG_VERITY)?;
    fs::write(&places.snapshot, bytes)?;
    with_snapshot(&places.cold, &places.snapshot)?
        .require_cold_because("it is to be protected by fs-verity, and is not")?;
    // The flag is about the file: an executable with the image in it has another one.
    let (section, footer) = (places.folder().join("in-section"), places.folder().join("in-footer"));
    embed(&places.cold, &places.snapshot, &section, &[])?;
    embed(&places.cold, &places.snapshot, &footer, &["--footer"])?;
    ensure!(fs::read(&section)? == fs::read(&places.section)? && fs::read(&footer)? == fs::read(&places.footer)?);
    Ok(())
}

#[test]
fn freezing_with_fs_verity() -> Result<()> {
    let places = Places::of(&*Program::new("sources").link(Link::Static).build()?)?;
    let folder = places.folder().join("verity");
    fs::create_dir(&folder)?;
    let snapshot = folder.join("it.snap");
    match freeze(&places.cold, &snapshot, &["--fs-verity"]) {
        Ok(()) => {
            with_snapshot(&places.cold, &snapshot)?.require_thawed_from("snapshot", ROOTS)?;
            let written = fs::OpenOptions::new().write(true).open(&snapshot);
            ensure!(written.is_err(), "a file under fs-verity can be written to");
            let copy = folder.join("copy.snap");
            fs::copy(&snapshot, &copy)?;
            with_snapshot(&places.cold, &copy)?.require_cold_because("it is to be protected by fs-verity, and is not")
        }
        Err(error) => {
            // Few machines have it switched on; then the error says what is missing, and leaves nothing behind.
            let said = format!("{error:#}");
            for text in ["it.snap", "fs-verity cannot be turned on", "CONFIG_FS_VERITY", "os error"] {
                ensure!(said.contains(text), "`{text}` is not in the error: {said}");
            }
            ensure!(fs::read_dir(&folder)?.next().is_none(), "something was left behind");
            Ok(())
        }
    }
}

#[test]
fn a_read_only_image_is_used_and_a_write_is_loud() -> Result<()> {
    for link in Link::ALL {
        let reading = Program::new("small").link(link).build()?;
        let expected = Run::of(&mut runs::program(&reading.cold))?.stdout;
        let places = Places::of(&reading)?;
        let writing = Program::new("sources").link(link).build()?;
        let writing = Places::of(&writing)?;
        for (places, name) in [(&places, "small"), (&writing, "sources")] {
            let snapshot = places.snapshot.clone();
            embed(&places.cold, &snapshot, &places.section, &["--read-only"])?;
            embed(&places.cold, &snapshot, &places.footer, &["--footer", "--read-only"])?;
            freeze(&places.cold, &snapshot, &["--read-only"]).with_context(|| name.to_owned())?;
        }
        for ((source, reading), (_, writing)) in places.programs().into_iter().zip(writing.programs()) {
            let told = || format!("{link:?}, {source}");
            let run = with_snapshot(reading, &places.snapshot)?;
            run.require_thawed_from(source, 5).with_context(told)?;
            runs::require_same(&expected, &run.stdout).with_context(told)?;

            let mut command = runs::program(writing);
            let run = Run::of(command.arg("write").env("FASTBOOT_LOG", "1"))?;
            let signal = run.status.signal();
            ensure!(signal == Some(11), "{}: a write into a read-only image: {}\n{}", told(), run.status, run.stderr);
            ensure!(run.stderr.contains("fastboot: thawed 7 roots"), "{}:\n{}", told(), run.stderr);
            // Elsewhere, too, once its pointers are right.
            let mut command = runs::program(writing);
            let run = Run::of(command.arg("write").env("SOURCES_OCCUPY", "1").env("FASTBOOT_LOG", "1"))?;
            ensure!(run.status.signal() == Some(11), "{}, relocated: {}\n{}", told(), run.status, run.stderr);
        }
    }
    Ok(())
}
