//! Linker: the real one is called, and what its arguments and its map say.

use anyhow::{Context, Result};
use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};

/// Calls the linker.
pub(super) fn call(real: &OsStr, arguments: &[OsString], more: &[OsString], quiet: bool) -> Result<ExitStatus> {
    let mut command = Command::new(real);
    command.args(arguments).args(more);
    if quiet {
        command.stdout(Stdio::null()).stderr(Stdio::null());
    }
    command.status().with_context(|| cannot_start(real))
}

/// Calls the linker, and keeps what it says.
pub(super) fn call_quietly(real: &OsStr, arguments: &[OsString], more: &[OsString]) -> Result<Output> {
    Command::new(real).args(arguments).args(more).stdin(Stdio::null()).output().with_context(|| cannot_start(real))
}

fn cannot_start(real: &OsStr) -> String {
    format!("cannot start the linker {}", real.display())
}

/// The argument that asks for a link map.
pub(super) fn ask_for_map(path: &Path) -> OsString {
    let mut ask = OsString::from("-Wl,-Map=");
    ask.push(path);
    ask
}

/// The file that is linked; `None` if that is not among the arguments.
pub(super) fn output_of(arguments: &[OsString]) -> Option<PathBuf> {
    let at = arguments.iter().position(|argument| argument == "-o")?;
    Some(PathBuf::from(arguments.get(at + 1)?))
}

/// Reads a link map, once.
pub(super) fn read_map(path: &Path) -> Result<String> {
    let text = std::fs::read_to_string(path).context("the linker writes no map");
    let _ = std::fs::remove_file(path);
    text
}

/// The names that the arguments have wrapped.
pub(super) fn wrapped(arguments: &[OsString]) -> BTreeSet<&str> {
    let options = arguments.iter().filter_map(|argument| argument.to_str()?.strip_prefix("-Wl,"));
    let mut names = BTreeSet::new();
    for option in options {
        let mut parts = option.split(',');
        while let Some(part) = parts.next() {
            match part.trim_start_matches('-').strip_prefix("wrap") {
                Some("") => names.extend(parts.next()),
                Some(rest) => names.extend(rest.strip_prefix('=')),
                None => {}
            }
        }
    }
    names
}
