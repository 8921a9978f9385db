//! Which runs of the finished program are to be compared, by the flags and by the package's metadata.

use crate::cli::BuildFlags;
use crate::options::CompareRun;
use anyhow::{Context, Result};
use cargo_metadata::Package;
use std::path::PathBuf;

/// The files of `--stdin`, wherever the program will run.
pub(super) fn stdin_files(flags: &BuildFlags) -> Result<Vec<PathBuf>> {
    let absolute = |path: &PathBuf| {
        std::path::absolute(path).with_context(|| format!("cannot find {}, which `--stdin` names", path.display()))
    };
    flags.stdin.iter().map(absolute).collect()
}

/// A run in `compare-run` of `[package.metadata.fastboot]`: its arguments, or a table.
#[derive(serde::Deserialize)]
#[serde(untagged)]
enum MetadataRun {
    Arguments(String),
    Table(MetadataTable),
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct MetadataTable {
    #[serde(default)]
    args: String,
    /// From the package's folder.
    stdin: Option<PathBuf>,
    #[serde(default)]
    stderr: bool,
}

/// The runs that are to be compared: those of the package's metadata, and those of the flags, each with each of the files.
pub(super) fn compare_runs(package: &Package, flags: &BuildFlags) -> Result<Vec<CompareRun>> {
    let wrong = || {
        format!(
            "{}: `compare-run` in [package.metadata.fastboot] must be a list of arguments, or of tables such as \
             `{{ args = \"search\", stdin = \"queries.txt\", stderr = true }}`",
            package.manifest_path
        )
    };
    let value = &package.metadata["fastboot"]["compare-run"];
    let listed: Vec<MetadataRun> =
        if value.is_null() { Vec::new() } else { serde_json::from_value(value.clone()).with_context(wrong)? };
    let folder = package.manifest_path.parent().map(|folder| folder.as_std_path().to_owned()).unwrap_or_default();
    let mut runs = Vec::new();
    for run in listed {
        let MetadataTable { args, stdin, stderr } = match run {
            MetadataRun::Arguments(args) => MetadataTable { args, stdin: None, stderr: false },
            MetadataRun::Table(table) => table,
        };
        let arguments = args.parse().map_err(|error| anyhow::anyhow!("`{args}`: {error}")).with_context(wrong)?;
        let stdin = stdin.map(|path| folder.join(path));
        runs.push(CompareRun { arguments, stdin, errors: stderr || flags.compare_stderr });
    }
    let files = stdin_files(flags)?;
    for arguments in &flags.compare_run {
        let run = |stdin| CompareRun { arguments: arguments.clone(), stdin, errors: flags.compare_stderr };
        runs.extend(files.iter().cloned().map(|file| run(Some(file))));
        runs.extend(files.is_empty().then(|| run(None)));
    }
    Ok(runs)
}
