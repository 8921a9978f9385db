//! What cannot be frozen or embedded: the error names the file or the root, the thing that is wrong, and the remedy, and
//! nothing that was there before is touched.

use anyhow::{Context, Result, ensure};
use fastboot_tests::programs::{Built, Program, TargetFolder, fastboot, line, succeed};
use fastboot_tests::runs::{self, Run};
use fastboot_tests::tools;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

/// What stands where a result would go, and must stand there still after an error.
const BEFORE: &[u8] = b"here before";

/// Requires that the command fails, as a command that knows what it is doing, and says all of this.
fn require_error(command: &mut Command, says: &[&str]) -> Result<()> {
    let run = Run::of(command)?;
    ensure!(!run.status.success(), "`{}` succeeded:\n{}", line(command), run.stderr);
    ensure!(run.status.code().is_some(), "`{}` was killed: {}", line(command), run.status);
    ensure!(!run.stderr.contains("panicked at cargo-fastboot"), "cargo-fastboot panicked:\n{}", run.stderr);
    ensure!(run.stderr.lines().any(|line| line.starts_with("error: ")), "no `error: ` line:\n{}", run.stderr);
    for text in says {
        ensure!(run.stderr.contains(text), "`{text}` is not in the error:\n{}", run.stderr);
    }
    Ok(())
}

/// Requires that building a binary of the package `bad` fails, says all of this, and writes nothing to `--out-dir`.
fn bad(bin: &str, options: &[&str], says: &[&str]) -> Result<()> {
    let target = TargetFolder::lock()?;
    let folder = tempfile::tempdir()?;
    let out = folder.path().join(bin);
    fs::write(&out, BEFORE)?;
    let mut build = target.fastboot_build()?;
    build.args(["--release", "--package", "bad", "--bin", bin]).args(options).arg("--out-dir").arg(folder.path());
    require_error(&mut build, says)?;
    ensure!(fs::read(&out)? == BEFORE, "--out-dir was written to");
    only(folder.path(), &[bin])
}

/// Requires that the folder holds these files and nothing else, such as half a temporary file.
fn only(folder: &Path, names: &[&str]) -> Result<()> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        found.push(entry?.file_name().to_string_lossy().into_owned());
    }
    found.sort();
    ensure!(found == names, "{} holds {found:?}", folder.display());
    Ok(())
}

#[test]
fn without_install() -> Result<()> {
    bad("no_install", &[], &["no_install", "fastboot_rt::install!()", "main.rs"])
}

#[test]
fn without_roots() -> Result<()> {
    bad("no_roots", &[], &["no_roots", "no roots", "frozen!"])
}

#[test]
fn a_root_that_panics() -> Result<()> {
    bad("panics", &[], &["panics", "bad/src/bin/panics.rs:", "BROKEN", "this root is broken"])
}

#[test]
fn a_root_that_exits() -> Result<()> {
    bad("exits", &[], &["exits::LEAVES", "exit status 7", "std::process::exit"])
}

#[test]
fn a_root_that_never_ends() -> Result<()> {
    bad("never_ends", &["--freeze-timeout", "0.5"], &["never_ends::ENDLESS", "--freeze-timeout"])
}

#[test]
fn a_root_that_needs_more_memory_than_there_is() -> Result<()> {
    bad("too_big", &["--freeze-memory", "64M"], &["too_big::EVERYTHING", "memory", "67.1 MB", "--freeze-memory"])
}

#[test]
fn roots_that_need_each_other() -> Result<()> {
    bad("cycle", &[], &["cycle of roots", "cycle::HEN", "cycle::EGG"])
}

#[test]
fn a_root_that_is_an_open_file() -> Result<()> {
    bad("open_file", &[], &["open_file::FILE", "left the file descriptor", "Cargo.toml", "open it where it is used"])
}

#[test]
fn a_root_that_is_a_socket() -> Result<()> {
    bad("listener", &[], &["listener::DOOR", "left the file descriptor", "socket:", "open it where it is used"])
}

#[test]
fn a_root_that_is_a_mapped_file() -> Result<()> {
    bad("mapping", &[], &["mapping::MAPPED", "left the mapped file", "Cargo.toml", "map it where it is used"])
}

#[test]
fn a_root_that_holds_a_running_thread() -> Result<()> {
    bad(
        "running_thread",
        &[],
        &["root `running_thread::WORKER` left the thread", "--allow-threads running_thread::WORKER"],
    )?;
    let says = ["running_thread::WORKER", "the address of a running thread", "keep it out of the root"];
    bad("running_thread", &["--allow-threads", "WORKER"], &says)
}

#[test]
fn a_root_that_holds_memory_of_c() -> Result<()> {
    bad("c_memory", &[], &["c_memory::HANDLES", "that C code allocated with `malloc`", "keep it out of the root"])
}

#[test]
fn a_root_that_protects_its_memory() -> Result<()> {
    for options in [&[][..], &["--verbatim"], &["--pie"], &["--static"]] {
        bad("protected", options, &["root `protected::GUARDED`", "cannot be read", "`mprotect`", "in `main`"])?;
    }
    Ok(())
}

#[test]
fn a_root_that_is_code() -> Result<()> {
    for options in [&[][..], &["--verbatim"], &["--pie"], &["--static"]] {
        bad("executable", options, &["root `executable::ADD`", "can be executed", "`mprotect`", "in `main`"])?;
    }
    Ok(())
}

#[test]
fn a_root_that_a_constructor_uses() -> Result<()> {
    for options in [&[][..], &["--verbatim"], &["--pie"], &["--static"]] {
        for features in [&[][..], &["--features", "early"]] {
            bad(
                "used_by_constructor",
                &[options, features].concat(),
                &["root `used_by_constructor::TABLE` was used before `main`", "`.init_array`", "Use it in `main`"],
            )?;
        }
    }
    Ok(())
}

#[test]
fn a_root_that_points_to_a_thread_local() -> Result<()> {
    let says = ["points_to_local::ADDRESSES", "the thread-local `points_to_local::LOCAL`", "keep it out of the root"];
    bad("points_to_local", &[], &says)
}

#[test]
fn a_root_that_points_to_a_static_that_is_not_carried() -> Result<()> {
    let says = ["the static `crossbeam_epoch::", "lists the threads of the freeze run", "carry = [\"crossbeam_epoch::"];
    bad("points_to_skipped", &[], &says)
}

#[test]
fn a_root_that_differs_from_run_to_run() -> Result<()> {
    let way = ["differ from run to run", "root `process_id::IDS`, +0x8 → 8 bytes, +0x0 → 16 bytes, +0x8: 0x"];
    bad("process_id", &["--deny", "nondeterminism"], &way)?;
    let made = "root `process_id::IDS`, +0x8 → 8 bytes made by `process_id::IDS::__fastboot_value`, +0x0 → 16 bytes made by \
                `process_id::IDS::__fastboot_value`, +0x8: 0x";
    bad("process_id", &["--deny", "nondeterminism", "--trace"], &[made])
}

#[test]
fn several_binaries_and_none_named() -> Result<()> {
    let target = TargetFolder::lock()?;
    require_error(
        target.fastboot_build()?.args(["--release", "--package", "bad"]),
        &["bad", "several binaries", "no_roots", "panics", "--bin"],
    )
}

#[test]
fn no_such_binary() -> Result<()> {
    let target = TargetFolder::lock()?;
    require_error(
        target.fastboot_build()?.args(["--release", "--package", "bad", "--bin", "good"]),
        &["good", "no_roots", "panics"],
    )
}

#[test]
fn a_target_that_cannot_run_here() -> Result<()> {
    // Its standard library is not there either; whichever is noticed first, the error must name the target.
    let target = TargetFolder::lock()?;
    let mut build = target.fastboot_build()?;
    let run = Run::of(build.args(["--release", "--package", "small", "--target", "aarch64-unknown-linux-gnu"]))?;
    ensure!(!run.status.success(), "built and run for another processor?\n{}", run.stderr);
    ensure!(run.stderr.contains("aarch64-unknown-linux-gnu"), "the target is not in the error:\n{}", run.stderr);
    Ok(())
}

/// A program, its snapshot, and a folder with a file in it where results would go.
struct Stage {
    built: Arc<Built>,
    folder: tempfile::TempDir,
    snapshot: PathBuf,
    out: PathBuf,
}

impl Stage {
    fn set() -> Result<Self> {
        let built = Program::new("small").build()?;
        let folder = tempfile::tempdir()?;
        let snapshot = folder.path().join("small.snap");
        succeed(fastboot()?.arg("freeze").arg("--binary").arg(&built.cold).arg("-o").arg(&snapshot))?;
        let out = folder.path().join("out");
        fs::write(&out, BEFORE)?;
        Ok(Self { built, folder, snapshot, out })
    }

    fn embed(&self, binary: &Path, snapshot: &Path) -> Result<Command> {
        let mut command = fastboot()?;
        command.arg("embed").arg("--binary").arg(binary).arg("--snapshot").arg(snapshot).arg("-o").arg(&self.out);
        Ok(command)
    }

    fn freeze(&self, binary: &Path) -> Result<Command> {
        let mut command = fastboot()?;
        command.arg("freeze").arg("--binary").arg(binary).arg("-o").arg(&self.out);
        Ok(command)
    }

    /// Requires that freezing this file, embedding into it and inspecting it fail and say all of this.
    fn require_unusable(&self, binary: &Path, says: &[&str]) -> Result<()> {
        require_error(&mut self.freeze(binary)?, says).context("freeze")?;
        require_error(&mut self.embed(binary, &self.snapshot)?, says).context("embed")?;
        require_error(fastboot()?.arg("inspect").arg(binary), says).context("inspect")?;
        self.require_untouched()
    }

    fn require_untouched(&self) -> Result<()> {
        ensure!(fs::read(&self.out)? == BEFORE, "the output was written to");
        Ok(())
    }

    fn file(&self, name: &str, bytes: &[u8]) -> Result<PathBuf> {
        use std::os::unix::fs::PermissionsExt;
        let path = self.folder.path().join(name);
        fs::write(&path, bytes)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        Ok(path)
    }
}

#[test]
fn freezing_a_binary_that_is_embedded_already() -> Result<()> {
    let stage = Stage::set()?;
    let embedded = &stage.built.embedded;
    let path = embedded.to_string_lossy().into_owned();
    require_error(&mut stage.freeze(embedded)?, &[&path, "embedded already", "freeze the cold binary"])?;
    stage.require_untouched()
}

#[test]
fn a_file_that_is_not_there() -> Result<()> {
    let stage = Stage::set()?;
    let missing = stage.folder.path().join("missing");
    stage.require_unusable(&missing, &["missing", "No such file"])?;
    require_error(&mut stage.embed(&stage.built.cold, &missing)?, &["missing", "No such file"])?;
    stage.require_untouched()
}

#[test]
fn a_file_that_is_not_elf() -> Result<()> {
    let stage = Stage::set()?;
    for (name, bytes) in [("script", b"#!/bin/sh\n".as_slice()), ("empty", b""), ("short", b"\x7fELF")] {
        stage.require_unusable(&stage.file(name, bytes)?, &[name, "ELF"])?;
    }
    Ok(())
}

#[test]
fn a_binary_without_the_section() -> Result<()> {
    let stage = Stage::set()?;
    let without = std::env::current_exe()?;
    let name = without.file_name().unwrap_or_default().to_string_lossy().into_owned();
    stage.require_unusable(&without, &[&name, "no `fastboot` section", "install!()", "cargo fastboot build"])
}

#[test]
fn a_truncated_binary() -> Result<()> {
    let stage = Stage::set()?;
    for (name, whole) in [("cold", &stage.built.cold), ("embedded", &stage.built.embedded)] {
        let whole = fs::read(whole)?;
        for length in [63, 64, 200, 4096, whole.len() / 2, whole.len() - 1] {
            let name = format!("{name}-{length}");
            let cut = stage.file(&name, &whole[..length])?;
            stage.require_unusable(&cut, &[&name]).with_context(|| name.clone())?;
        }
    }
    Ok(())
}

#[test]
fn a_snapshot_that_is_none() -> Result<()> {
    let stage = Stage::set()?;
    let whole = fs::read(&stage.snapshot)?;
    let mut damaged = whole.clone();
    // In the tables, which lie behind the header.
    damaged[300] ^= 0x10;
    for (name, bytes) in [("text", b"no image".as_slice()), ("cut", &whole[..whole.len() / 2]), ("bent", &damaged)] {
        let snapshot = stage.file(name, bytes)?;
        require_error(&mut stage.embed(&stage.built.cold, &snapshot)?, &[name]).with_context(|| name.to_owned())?;
        require_error(fastboot()?.arg("inspect").arg(&snapshot), &[name]).with_context(|| name.to_owned())?;
    }
    stage.require_untouched()
}

#[test]
fn names_that_mean_nothing() -> Result<()> {
    let stage = Stage::set()?;
    for (list, name, says) in [
        ("--skip", "WITNES", "-v lists the roots"),
        ("--carry", "sall::WORDS", "`small::WORDS`"),
        ("--skip", "OWNER", "is a root"),
        ("--allow-foreign", "INDX", "`small::INDEX`"),
        ("--allow-nondeterminism", "app::WORDS", "`small::WORDS`"),
    ] {
        let mut freeze = fastboot()?;
        freeze.arg("freeze").arg("--binary").arg(&stage.built.cold).arg("-o").arg(&stage.snapshot);
        require_error(freeze.args([list, name]), &[&format!("`{name}` in the list `{}`", &list[2..]), says])?;
    }
    stage.require_untouched()
}

#[test]
fn a_snapshot_of_another_binary() -> Result<()> {
    let stage = Stage::set()?;
    let other = Program::new("allocator").build()?;
    let says = ["small.snap", "another binary", "allocator.cold", "freeze this binary again"];
    require_error(&mut stage.embed(&other.cold, &stage.snapshot)?, &says)?;
    stage.require_untouched()
}

#[test]
fn the_input_survives_a_failed_embedding_in_place() -> Result<()> {
    let stage = Stage::set()?;
    let other = Program::new("allocator").build()?;
    let binary = stage.file("binary", &fs::read(&other.cold)?)?;
    let mut command = fastboot()?;
    command.arg("embed").arg("--binary").arg(&binary).arg("--snapshot").arg(&stage.snapshot).arg("-o").arg(&binary);
    require_error(&mut command, &["another binary"])?;
    ensure!(fs::read(&binary)? == fs::read(&other.cold)?, "the input was changed");
    Ok(())
}

#[test]
fn an_output_folder_that_may_not_be_written_to() -> Result<()> {
    let stage = Stage::set()?;
    let locked = stage.folder.path().join("locked");
    fs::create_dir(&locked)?;
    let out = locked.join("out");
    fs::write(&out, BEFORE)?;
    let command = fastboot()?;
    let mut command = if tools::is_root() {
        // Permissions mean nothing to root: another user runs it, who may read everything else.
        let Some(mut setpriv) = tools::find("setpriv") else { return Ok(()) };
        for path in [stage.folder.path(), stage.built.folder()] {
            set_mode(path, 0o755)?;
        }
        setpriv.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]);
        // Its own folders may be closed to that user, so the tool is put where it may be run.
        let tool = stage.file("cargo-fastboot", &fs::read(command.get_program())?)?;
        setpriv.arg(tool).current_dir(stage.folder.path());
        setpriv
    } else {
        command
    };
    set_mode(&locked, 0o555)?;
    command.arg("embed").arg("--binary").arg(&stage.built.cold).arg("--snapshot").arg(&stage.snapshot);
    let result = require_error(command.arg("-o").arg(&out), &["locked", "Permission denied"]);
    set_mode(&locked, 0o755)?;
    result?;
    ensure!(fs::read(&out)? == BEFORE, "the output was written to");
    only(&locked, &["out"])
}

fn set_mode(path: &Path, mode: u32) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(mode))?)
}

#[test]
fn no_space_left() -> Result<()> {
    let stage = Stage::set()?;
    let folder = stage.folder.path().join("full");
    fs::create_dir(&folder)?;
    if !tools::is_root() {
        eprintln!("skipped: only root may mount a small file system");
        return Ok(());
    }
    let (Some(mut mount), Some(mut umount)) = (tools::find("mount"), tools::find("umount")) else { return Ok(()) };
    if Run::of(mount.args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"]).arg(&folder))?.require_success().is_err() {
        eprintln!("skipped: this root may not mount");
        return Ok(());
    }
    let result = full_folder(&stage, &folder);
    succeed(umount.arg(&folder))?;
    result
}

fn full_folder(stage: &Stage, folder: &Path) -> Result<()> {
    let out = folder.join("out");
    fs::write(&out, BEFORE)?;
    let mut embed = fastboot()?;
    embed.arg("embed").arg("--binary").arg(&stage.built.cold).arg("--snapshot").arg(&stage.snapshot);
    require_error(embed.arg("-o").arg(&out), &["full", "No space left"]).context("embed")?;
    let mut freeze = fastboot()?;
    freeze.arg("freeze").arg("--binary").arg(&stage.built.cold);
    require_error(freeze.arg("-o").arg(&out), &["full", "No space left"]).context("freeze")?;
    ensure!(fs::read(&out)? == BEFORE, "the output was written to");
    only(folder, &["out"])
}

#[test]
fn a_failed_build_leaves_the_embedded_binary_of_before() -> Result<()> {
    // A program that can be frozen with enough memory, and then cannot with too little.
    let target = TargetFolder::lock()?;
    let folder = tempfile::tempdir()?;
    let build = |memory: &str| -> Result<_> {
        let mut build = target.fastboot_build()?;
        build.args(["--release", "--package", "small", "--refreeze", "--freeze-memory", memory]);
        build.arg("--out-dir").arg(folder.path());
        Ok(build)
    };
    succeed(&mut build("64M")?)?;
    let out = folder.path().join("small");
    let before = fs::read(&out)?;
    require_error(&mut build("64K")?, &["root `small::", "memory", "--freeze-memory"])?;
    ensure!(fs::read(&out)? == before, "the finished binary of before was changed");
    runs::require_thaws(&out, 5, &Run::of(runs::program(&out).env("FASTBOOT", "off"))?.stdout)
}
