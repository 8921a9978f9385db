//! The demo: a search in a million paths that were there before the program started.

use crate::command::{cargo, run, target};
use anyhow::Result;
use std::process::Command;

/// What is searched for.
const QUERY: &str = "kernel parser rs";

/// Builds mini-fzf, its list inside, and runs it, letting it say where the list came from.
pub(crate) fn demo() -> Result<()> {
    run(cargo("fastboot").args(["build", "--release", "--locked", "--package", "mini-fzf"]))?;
    run(Command::new(target().join("release/mini-fzf")).arg(QUERY).env("FASTBOOT_LOG", "1"))?;
    eprintln!("xtask: the same program, evaluating its list at start:");
    run(Command::new(target().join("release/mini-fzf")).arg(QUERY).env("FASTBOOT", "off").env("FASTBOOT_LOG", "1"))
}
