//! Finds the data that two of the crates carry with them but do not compile in, for `include_str!`.

use std::env;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if env::var_os("CARGO_FEATURE_FULL").is_none() {
        return;
    }
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let metadata = Command::new(cargo).args(["metadata", "--format-version=1", "--all-features", "--locked"]).output();
    let metadata = metadata.expect("cargo runs").stdout;
    let metadata = String::from_utf8(metadata).expect("cargo writes UTF-8");
    for (package, variable) in [("spellbook", "SPELLBOOK"), ("uaparser", "UAPARSER")] {
        println!("cargo::rustc-env={variable}={}", folder(&metadata, package));
    }
}

/// The folder of a package, from cargo's description of the workspace.
fn folder<'a>(metadata: &'a str, package: &str) -> &'a str {
    let paths = metadata.split("\"manifest_path\":\"").filter_map(|rest| rest.split_once("/Cargo.toml\""));
    let mut folders = paths.map(|(folder, _)| folder);
    let found = folders.find(|folder| {
        let name = folder.rsplit('/').next().unwrap_or_default();
        name.strip_prefix(package).is_some_and(|version| version.starts_with('-'))
    });
    found.unwrap_or_else(|| panic!("cargo knows no folder of {package}"))
}
