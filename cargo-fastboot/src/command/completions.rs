//! Completions: of `cargo-fastboot ..`, made from the command line's definition, and of `cargo fastboot ..`, for which
//! each shell's completion of cargo has another way in, or none:
//!
//! - zsh: cargo's calls `_cargo-NAME` for a subcommand that it does not know. That is what ours is called.
//! - bash: cargo's knows its own subcommands only. A function that stands in front of it takes the lines that are ours.
//! - fish: completions of one command add up. One more for `cargo` asks for those of `cargo-fastboot`.

use crate::cli::{Cli, CompletionShell};
use anyhow::{Context, Result};
use clap::CommandFactory;
use std::io::Write;

/// What makes the scripts for bash and fish serve `cargo fastboot ..` too.
const BASH: &str = include_str!("../../templates/completions.bash");
const FISH: &str = include_str!("../../templates/completions.fish");

/// Prints the script for `shell`.
pub(crate) fn print(shell: CompletionShell) -> Result<()> {
    let (generator, name, addition) = match shell {
        // In bash, clap_complete 4.6 finds no subcommand of a command that has a hyphen in its name.
        CompletionShell::Bash => (clap_complete::Shell::Bash, "cargo_fastboot", BASH),
        CompletionShell::Fish => (clap_complete::Shell::Fish, "cargo-fastboot", FISH),
        CompletionShell::Zsh => (clap_complete::Shell::Zsh, "cargo-fastboot", ""),
    };
    let mut script = Vec::new();
    clap_complete::generate(generator, &mut Cli::command().name(name), name, &mut script);
    script.extend(addition.as_bytes());
    match std::io::stdout().lock().write_all(&script) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write to standard output"),
    }
}
