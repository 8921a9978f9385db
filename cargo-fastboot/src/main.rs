//! `cargo fastboot`: freezes a program's prepared values at build time and embeds them in its binary.
//!
//! # Reading order
//! A binary's way through this tool, by folder: `cli` (what was asked) → `command/build` (the pipeline) → `cargo/` (which
//! binaries, and the cold binary of each) → `freeze/fresh` and `runs/inputs` (is there anything to do?) → `elf/binary` (what an
//! ELF file says about itself) → `freeze/pipeline` → `runs/run` (runs it) → `runs/capture` (reads what the run left) → `plan/`
//! (where objects go) → `prove/` (what words are) → `carry/` (which statics travel) → `contents/` (whose and from whom objects
//! are) → `image/` (makes the image) → `embed/` (puts it into the binary) → `freeze/train` (learns what is used, to freeze
//! again) → `inspect/` (shows it). `say/` says things and writes files for all of them. Beside that way, in `command/`: `new` (a
//! program to begin with), `doctor` (can this machine build?), `completions` and `man` (of the command line).
//!
//! # Invariants
//! - The tool makes the image; the runtime only captures.
//! - A file is replaced whole or not at all.
//! - Standard output carries only cargo's messages and what `inspect`, `doctor` and `completions` print.

#![forbid(unsafe_code)]

mod cli;

mod command;

mod cargo;
mod inspect;

mod freeze;

mod embed;
mod image;

mod contents;

mod carry;
mod plan;
mod prove;

mod link;
mod migrate;
mod options;
mod runs;

mod elf;
mod say;

use std::process::ExitCode;

use cli::{Cli, Command};
use command::{build, completions, doctor, man, new};
use say::shell::Shell;

fn main() -> ExitCode {
    if let Some(code) = link::wrapper::called_as_linker() {
        return code;
    }
    let cli = Cli::parse_as_subcommand();
    let shell = Shell::new(cli.output().verbosity(), cli.output().color());
    match execute(&cli.command, &shell) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => match error.downcast_ref::<cargo::CargoFailed>() {
            Some(failed) => ExitCode::from(failed.0),
            None => {
                shell.error(&error);
                ExitCode::FAILURE
            }
        },
    }
}

fn execute(command: &Command, shell: &Shell) -> anyhow::Result<()> {
    match command {
        Command::Build(flags) => build::build(flags, shell),
        Command::Run(flags) => build::run(flags, shell).map(|never| match never {}),
        Command::Freeze(flags) => build::freeze_alone(flags, shell),
        Command::Embed(flags) => command::embed::embed(flags, shell),
        Command::Verify(flags) => build::verify_alone(flags, shell),
        Command::Inspect(flags) => command::inspect::inspect(flags, shell),
        Command::New(flags) => new::new(flags, shell),
        Command::Doctor(flags) => doctor::doctor(flags, shell),
        Command::Completions(flags) => completions::print(flags.shell),
        Command::Man(flags) => man::write(&flags.folder, shell),
    }
}
