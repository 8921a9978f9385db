//! Programs of the system that tests use. On a developer's machine some may be missing; in CI none may.

use crate::programs::{TargetFolder, succeed};
use anyhow::Result;
use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;

/// A command for the tool `name`, or `None`, and a word about it, if there is none and this is not CI.
///
/// # Panics
/// In CI (`CI` is set), if there is no such tool.
pub fn find(name: &str) -> Option<Command> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    match std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file()) {
        Some(file) => Some(command(file)),
        None => {
            skip(&format!("{name} not found"));
            None
        }
    }
}

fn command(file: PathBuf) -> Command {
    let mut command = Command::new(file);
    command.env_remove("LD_LIBRARY_PATH").env_remove("FASTBOOT").env_remove("FASTBOOT_LOG").env("LC_ALL", "C");
    command
}

/// Says that a test, or a part of it, did not run, and why.
///
/// # Panics
/// In CI.
pub fn skip(reason: &str) {
    assert!(std::env::var_os("CI").is_none(), "in CI nothing is skipped, but {reason}");
    eprintln!("skipped: {reason}");
}

/// Whether this process is root's, to whom permissions mean nothing.
pub fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// The test program `attack`: its launcher, and its library to be preloaded.
pub fn attack() -> Result<(PathBuf, PathBuf)> {
    static BUILT: LazyLock<Result<PathBuf, String>> = LazyLock::new(|| {
        let build = || -> Result<PathBuf> {
            let target = TargetFolder::lock()?;
            succeed(target.cargo("build").args(["--release", "--package", "attack"]))?;
            Ok(target.path().join("release"))
        };
        build().map_err(|error| format!("{error:#}"))
    });
    let folder = BUILT.as_ref().map_err(|error| anyhow::anyhow!("{error}"))?;
    Ok((folder.join("attack"), folder.join("libattack.so")))
}
