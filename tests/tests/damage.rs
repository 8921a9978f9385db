//! Damaged images: whatever byte of header and tables is wrong, the program answers as it would without an image.

use anyhow::{Context, Result, ensure};
use fastboot_tests::programs::{Link, Program};
use fastboot_tests::runs::Run;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::process::Command;

/// Size in bytes of the header, and of a table's entry in the directory behind it: docs/image-format.md.
const HEADER: usize = 128;
const DIRECTORY_ENTRY: usize = 32;
/// Offset in the header of the number of tables.
const TABLE_COUNT: usize = 56;

/// Flips every `step`-th byte of header page in turn, runs the program, and flips it back.
fn flip(link: Link, step: usize) -> Result<()> {
    let built = Program::new("small").link(link).build()?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("small");
    fs::copy(&built.embedded, &path)?;
    let bytes = fs::read(&path)?;
    // The image is appended at a multiple of 2 MiB.
    let starts = (0..bytes.len()).step_by(2 << 20).rev();
    let image = starts.into_iter().find(|start| bytes[*start..].starts_with(b"fastboot")).context("no image")?;
    let tables = bytes[image + TABLE_COUNT] as usize;
    let checked = HEADER + tables * DIRECTORY_ENTRY;

    let run = || Run::of(Command::new(&path).env("FASTBOOT_LOG", "1"));
    let whole = run()?;
    ensure!(whole.stderr.contains("fastboot: thawed"), "{link:?}: {}", whole.stderr);
    let mut refused = 0;
    for at in (0..1024).step_by(step) {
        let offset = image + at;
        // Reopened each time: a file that is open for writing cannot be executed.
        let write = |byte: u8| -> Result<()> {
            Ok(File::options().write(true).open(&path)?.write_all_at(&[byte], offset as u64)?)
        };
        write(bytes[offset] ^ 0x55)?;
        let run = run()?;
        ensure!(run.status.success(), "{link:?}: byte {at} flipped: {}\n{}", run.status, run.stderr);
        ensure!(run.stdout == whole.stdout, "{link:?}: byte {at} flipped: another answer\n{}", run.stdout);
        let cold = run.stderr.contains("fastboot: cold start: ");
        ensure!(cold || run.stderr.contains("fastboot: thawed"), "{link:?}: byte {at}: no reason\n{}", run.stderr);
        ensure!(cold || at >= checked, "{link:?}: byte {at} of the header or its directory went unnoticed");
        refused += usize::from(cold);
        write(bytes[offset])?;
    }
    ensure!(
        refused > checked / step,
        "{link:?}: only {refused} were refused: the tables behind the directory are not checked"
    );
    ensure!(run()?.stderr.contains("fastboot: thawed"), "{link:?}: whole again, but it does not thaw");
    Ok(())
}

#[test]
fn every_byte_of_header_and_tables_non_pie() -> Result<()> {
    flip(Link::NonPie, 1)
}

#[test]
fn bytes_of_header_and_tables_static() -> Result<()> {
    flip(Link::Static, 5)
}

#[test]
fn bytes_of_header_and_tables_pie() -> Result<()> {
    flip(Link::Pie, 5)
}
