//! New: a program to begin with. `cargo new` makes the package, as the user's cargo does it; what makes it a fastboot
//! program is added.

use crate::cargo;
use crate::cargo::select::RUNTIME;
use crate::cli::NewFlags;
use crate::say::output;
use crate::say::shell::Shell;
use anyhow::{Context, Result, ensure};
use fastboot_format::protocol::RUNTIME_VERSION;
use std::io::Write;
use std::path::Path;

/// The source of the program.
const MAIN: &str = include_str!("../../templates/main.rs");
/// The data that it freezes.
const DATA: &str = include_str!("../../templates/capitals.txt");
/// Where in the package the data is.
const DATA_PATH: &str = "data/capitals.txt";

/// `cargo fastboot new`.
pub(crate) fn new(flags: &NewFlags, shell: &Shell) -> Result<()> {
    // What can be wrong with the flags comes before anything is made.
    let dependency = dependency(flags.fastboot_rt_path.as_deref())?;
    cargo::new_package(flags)?;

    let manifest = flags.path.join("Cargo.toml");
    let text = std::fs::read_to_string(&manifest).with_context(|| format!("cannot read {}", manifest.display()))?;
    let text = with_dependency(&text, &dependency)
        .with_context(|| format!("`cargo new` wrote {} without [dependencies]", manifest.display()))?;
    write(&manifest, &text)?;
    let data = flags.path.join(DATA_PATH);
    if let Some(folder) = data.parent() {
        std::fs::create_dir_all(folder).with_context(|| {
            format!("cannot create {}; check that {} may be written into", folder.display(), flags.path.display())
        })?;
    }
    write(&data, DATA)?;
    write(&flags.path.join("src/main.rs"), MAIN)?;
    shell.status("Added", format_args!("{RUNTIME}, and a table that is frozen from {DATA_PATH}"));
    shell.status("Next", format_args!("cd {} && cargo fastboot run --release -- France", flags.path.display()));
    Ok(())
}

/// The line of the manifest that names the runtime: in this folder, or else the published one that fits this tool.
fn dependency(folder: Option<&Path>) -> Result<String> {
    let Some(folder) = folder else {
        return Ok(format!("{RUNTIME} = \"={RUNTIME_VERSION}\" # the same version as cargo-fastboot\n"));
    };
    let absolute = folder
        .canonicalize()
        .with_context(|| format!("cannot find {}, given with `--fastboot-rt-path`", folder.display()))?;
    let manifest = std::fs::read_to_string(absolute.join("Cargo.toml")).unwrap_or_default();
    ensure!(
        manifest.contains(&format!("name = \"{RUNTIME}\"")),
        "{} is not the folder of the crate {RUNTIME}; give `--fastboot-rt-path` the one with its Cargo.toml",
        folder.display()
    );
    let path = absolute.to_str().with_context(|| {
        format!("{} is not UTF-8, and a manifest is; give `--fastboot-rt-path` another path", absolute.display())
    })?;
    // Escapes of a JSON string are escapes of a TOML string.
    Ok(format!("{RUNTIME} = {{ path = {} }}\n", serde_json::to_string(path)?))
}

/// The manifest with one more dependency, the first of its table.
fn with_dependency(manifest: &str, dependency: &str) -> Option<String> {
    const TABLE: &str = "[dependencies]\n";
    let at = manifest.find(TABLE)? + TABLE.len();
    Some([&manifest[..at], dependency, &manifest[at..]].concat())
}

fn write(path: &Path, text: &str) -> Result<()> {
    output::replace(path, None, |file| Ok(file.write_all(text.as_bytes())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dependency_goes_into_its_table() {
        let manifest = "[package]\nname = \"a\"\n\n[dependencies]\n\n[lints]\nworkspace = true\n";
        let with = with_dependency(manifest, "b = \"1\"\n").expect("there is a table");
        assert_eq!(with, "[package]\nname = \"a\"\n\n[dependencies]\nb = \"1\"\n\n[lints]\nworkspace = true\n");
        assert_eq!(with_dependency("[package]\n", "b = \"1\"\n"), None);
    }

    #[test]
    fn a_folder_that_is_not_the_runtime_is_refused() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let refused = dependency(Some(folder.path())).expect_err("an empty folder");
        assert!(refused.to_string().contains("--fastboot-rt-path"), "{refused}");
        assert!(dependency(None).is_ok_and(|line| line.contains(RUNTIME_VERSION)));
    }
}
