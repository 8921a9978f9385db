//! What `cargo fastboot` says and returns before anything is frozen: selection, refusals, exit codes.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// A package in a folder of its own, with these binaries; `extra` is added to its manifest.
fn package(binaries: &[(&str, &str)], extra: &str) -> tempfile::TempDir {
    // A space and a letter outside ASCII, as users have them.
    let folder = tempfile::Builder::new().prefix("fastboot cli ü ").tempdir().expect("a temporary folder");
    let manifest =
        format!("[package]\nname = \"demo\"\nversion = \"0.1.0\"\nedition = \"2024\"\n{extra}\n[workspace]\n");
    fs::write(folder.path().join("Cargo.toml"), manifest).expect("a manifest");
    fs::create_dir_all(folder.path().join("src/bin")).expect("a folder for binaries");
    fs::write(folder.path().join("src/lib.rs"), "").expect("a library");
    // Stands in for the runtime where nothing gets as far as linking.
    fs::create_dir_all(folder.path().join("rt/src")).expect("a folder for the stand-in");
    let runtime = "[package]\nname = \"fastboot-rt\"\nversion = \"0.1.0\"\nedition = \"2024\"\n";
    fs::write(folder.path().join("rt/Cargo.toml"), runtime).expect("its manifest");
    fs::write(folder.path().join("rt/src/lib.rs"), "").expect("its source");
    for (name, source) in binaries {
        fs::write(folder.path().join(format!("src/bin/{name}.rs")), source).expect("a binary");
    }
    folder
}

fn fastboot(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cargo-fastboot"))
        .args(arguments)
        .current_dir(folder)
        .env("CARGO_TARGET_DIR", folder.join("target"))
        .env("CARGO_NET_OFFLINE", "true")
        .env_remove("CARGO_BUILD_TARGET")
        .output()
        .expect("cargo-fastboot starts")
}

/// Runs it, requires failure with `code`, and returns what it said.
fn refusal(folder: &Path, arguments: &[&str], code: i32) -> String {
    let output = fastboot(folder, arguments);
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
    said
}

/// For `extra`: the package depends on the runtime.
const RUNTIME: &str = "[dependencies]\nfastboot-rt = { path = \"rt\" }\n";

const EMPTY: &str = "fn main() {}";

#[test]
fn several_binaries_and_none_named() {
    let package = package(&[("one", EMPTY), ("two", EMPTY)], "");
    let said = refusal(package.path(), &["build"], 1);
    assert!(said.contains("one, two") && said.contains("--bin NAME") && said.contains("--bins"), "{said}");
    let said = refusal(package.path(), &["fastboot", "run"], 1);
    assert!(said.contains("default-run"), "{said}");
    assert!(!package.path().join("target").exists(), "nothing may be built");
}

#[test]
fn targets_that_do_not_exist() {
    let package = package(&[("one", EMPTY)], "");
    let said = refusal(package.path(), &["build", "--bin", "nine"], 1);
    assert!(said.contains("`nine`") && said.contains("there are: one"), "{said}");
    let said = refusal(package.path(), &["build", "-p", "other"], 1);
    assert!(said.contains("`other`") && said.contains("demo"), "{said}");
}

#[test]
fn a_package_without_binaries() {
    let package = package(&[], "");
    let said = refusal(package.path(), &["build"], 1);
    assert!(said.contains("`demo` has no binary"), "{said}");
}

#[test]
fn binaries_whose_features_are_off_do_not_count() {
    let extra = "[features]\nmore = []\n[[bin]]\nname = \"two\"\nrequired-features = [\"more\"]";
    let package = package(&[("one", "fn main() { wrong }"), ("two", EMPTY)], &format!("{RUNTIME}{extra}"));
    // Only `one` is left, and cargo says what is wrong with it.
    assert!(refusal(package.path(), &["build"], 101).contains("wrong"));
    assert!(refusal(package.path(), &["build", "-F", "more"], 1).contains("one, two"));
}

#[test]
fn targets_that_cannot_be_frozen_are_refused_before_building() {
    let package = package(&[("one", EMPTY)], "");
    let said = refusal(package.path(), &["build", "--target", "aarch64-unknown-linux-gnu"], 1);
    assert!(said.contains("aarch64-unknown-linux-gnu") && said.contains("docs/limits.md"), "{said}");
    assert!(!package.path().join("target").exists(), "nothing may be built");
}

#[test]
fn cargo_speaks_for_itself_when_it_fails() {
    let package = package(&[("one", "fn main() { let _: u32 = \"text\"; /* install! */ }")], RUNTIME);
    let said = refusal(package.path(), &["build"], 101);
    assert!(said.contains("mismatched types"), "{said}");
    assert_eq!(said.matches("error: ").count(), 1, "only cargo's own error line: {said}");
    refusal(package.path(), &["build", "--profile", "nonesuch"], 101);
}

#[test]
fn standard_output_is_cargos() {
    let package = package(&[("one", "fn main() { wrong }")], RUNTIME);
    let output = fastboot(package.path(), &["build", "--message-format", "json"]);
    let lines: Vec<serde_json::Value> = String::from_utf8(output.stdout)
        .expect("UTF-8")
        .lines()
        .map(|line| serde_json::from_str(line).expect("only JSON"))
        .collect();
    let ends: Vec<_> = lines.iter().filter(|line| line["reason"] == "build-finished").collect();
    assert_eq!(ends.len(), 1);
    assert_eq!(ends[0]["success"], false);
    assert!(fastboot(package.path(), &["build", "-q"]).stdout.is_empty());
}

#[test]
fn a_program_without_fastboot_is_not_built() {
    let package = package(&[("one", EMPTY)], "");
    let said = refusal(package.path(), &["build"], 1);
    assert!(said.contains("install!") && said.contains("cargo add fastboot-rt"), "{said}");
    assert!(!package.path().join("target").exists(), "nothing may be built");
}

#[test]
fn help_and_version() {
    let here = Path::new(".");
    for arguments in [["fastboot", "--version"], ["--help", ""], ["run", "--help"]] {
        let arguments: Vec<&str> = arguments.into_iter().filter(|argument| !argument.is_empty()).collect();
        assert!(fastboot(here, &arguments).status.success(), "{arguments:?}");
    }
}
