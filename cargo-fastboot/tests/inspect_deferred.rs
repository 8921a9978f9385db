//! `cargo fastboot inspect` of deferred files: what it lists, and what `--verify` finds.

use fastboot_defer::{Defer, DeferVec, SaveOptions};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A folder with the file `pages.defer`: 1000 strict titles, a text, and a list of numbers in chunks.
fn saved(options: &SaveOptions) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::Builder::new().prefix("fastboot inspect ü ").tempdir().expect("a temporary folder");
    let path = folder.path().join("pages.defer");
    let titles: Vec<String> = (0..1000).map(|number| format!("Page {number}")).collect();
    let numbers: DeferVec<u64> = (0..100_000).collect();
    options.save(&path, &(titles, Defer::new("a text ".repeat(1000)), numbers)).expect("saved");
    (folder, path)
}

fn inspect(path: &Path, flags: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cargo-fastboot"));
    command.args(["fastboot", "inspect"]).arg(path).args(flags).output().expect("cargo-fastboot starts")
}

/// What it printed, and what it said, with this exit code.
fn said(output: Output, code: i32) -> (String, String) {
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    let (stdout, stderr) = (text(output.stdout), text(output.stderr));
    assert_eq!(output.status.code(), Some(code), "{stdout}{stderr}");
    (stdout, stderr)
}

fn json(output: Output, code: i32) -> Value {
    serde_json::from_str(&said(output, code).0).expect("JSON")
}

#[test]
fn blocks_sizes_and_shares() {
    let (_folder, path) = saved(&SaveOptions::new().version(3));
    let (stdout, _) = said(inspect(&path, &[]), 0);
    for part in ["pages.defer: deferred file", "version 3 of its types, with checksums", "compression   none"] {
        assert!(stdout.contains(part), "{part}: {stdout}");
    }
    assert!(stdout.contains("more; --json lists them all"), "{stdout}");

    let found = json(inspect(&path, &["--json"]), 0);
    let number = |name: &str| found[name].as_u64().expect(name);
    assert_eq!((found["kind"].as_str(), number("version")), (Some("deferred"), 3));
    assert_eq!(number("length"), fs::metadata(&path).expect("its length").len());
    assert_eq!(number("length"), 64 + number("strict_length") + number("deferred_length"));
    let share = number("strict_length") as f64 / (number("length") - 64) as f64;
    assert!((found["strict_share"].as_f64().expect("a share") - share).abs() < 1e-9);
    assert!(found.get("damage").is_none(), "nothing was verified");

    let blocks = found["blocks"].as_array().expect("blocks");
    let in_file = |name: &str| blocks.iter().map(|block| block[name].as_u64().expect(name)).sum::<u64>();
    assert_eq!(in_file("stored") + 32 * blocks.len() as u64, number("length") - 64);
    assert_eq!(in_file("raw"), number("raw_length"));
    assert_eq!(blocks[0]["kind"], "root");
    assert!(blocks[1..].iter().all(|block| block["kind"] == "part" && block["compression"] == "none"));
}

#[test]
fn compression_is_counted() {
    let (_folder, path) = saved(&SaveOptions::new().zstd(3));
    let found = json(inspect(&path, &["--json", "--verify"]), 0);
    assert_eq!(found["damage"], Value::Array(Vec::new()));
    let blocks = found["blocks"].as_array().expect("blocks");
    assert!(
        blocks.iter().any(|block| block["compression"] == "zstd" && block["stored"].as_u64() < block["raw"].as_u64())
    );
    let (stdout, _) = said(inspect(&path, &["--verify"]), 0);
    assert!(stdout.contains(" bytes stored as ") && stdout.contains("all whole"), "{stdout}");
}

#[test]
fn every_damage_is_named() {
    let (_folder, path) = saved(&SaveOptions::new());
    let found = json(inspect(&path, &["--json"]), 0);
    let mut bytes = fs::read(&path).expect("the file");
    let damaged = [2, 4];
    for number in damaged {
        let offset = found["blocks"][number]["offset"].as_u64().expect("an offset") as usize;
        bytes[offset + 32 + 5] ^= 1;
    }
    fs::write(&path, &bytes).expect("damaged");
    // The contents are not read.
    said(inspect(&path, &[]), 0);

    let (stdout, stderr) = said(inspect(&path, &["--verify"]), 1);
    let lines: Vec<_> = stdout.lines().filter(|line| line.trim_start().starts_with("damage")).collect();
    assert_eq!(lines.len(), 2, "{stdout}");
    assert!(stderr.contains("damaged in 2 places"), "{stderr}");
    let found = json(inspect(&path, &["--json", "--verify"]), 1);
    for (damage, number) in found["damage"].as_array().expect("damage").iter().zip(damaged) {
        let offset = found["blocks"][number]["offset"].to_string();
        assert!(damage.as_str().expect("text").contains(&offset), "{damage} does not name offset {offset}");
    }
}

#[test]
fn cut_off_and_not_ours() {
    let (folder, path) = saved(&SaveOptions::new());
    let bytes = fs::read(&path).expect("the file");
    fs::write(&path, &bytes[..bytes.len() - 1]).expect("cut off");
    for flags in [&["--verify"][..], &["--json"], &[]] {
        let (_, stderr) = said(inspect(&path, flags), 1);
        assert!(stderr.contains("pages.defer"), "{stderr}");
    }
    let other = folder.path().join("other");
    for contents in ["", "fbdefer", "text"] {
        fs::write(&other, contents).expect("another file");
        let (_, stderr) = said(inspect(&other, &["--verify"]), 1);
        assert!(stderr.contains("nor a deferred file"), "{stderr}");
    }
    said(inspect(&folder.path().join("missing"), &[]), 1);
    let tool = Path::new(env!("CARGO_BIN_EXE_cargo-fastboot"));
    let (_, stderr) = said(inspect(tool, &["--verify"]), 1);
    assert!(!stderr.contains("panicked"), "{stderr}");
}
