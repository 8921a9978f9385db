//! The verbs CI runs, for anyone to run: `cargo xtask VERB`.

mod bench;
mod check;
mod command;
mod demo;
mod step;
mod tidy;
mod usage;
mod workflows;

use anyhow::{Result, bail};
use std::process::ExitCode;

/// Something that can be asked for.
struct Verb {
    name: &'static str,
    /// The flags it knows.
    flags: &'static [&'static str],
    help: &'static str,
    run: fn(&[String]) -> Result<()>,
}

const VERBS: &[Verb] = &[
    Verb {
        name: "demo",
        flags: &[],
        help: "build mini-fzf with its list inside, and search it",
        run: |_| demo::demo(),
    },
    Verb {
        name: "test",
        flags: &["--full"],
        help: "unit and integration tests; --full adds those that take minutes",
        run: |flags| check::test(is_full(flags)),
    },
    Verb { name: "fmt", flags: &[], help: "format everything", run: |_| check::format() },
    Verb {
        name: "lint",
        flags: &["--full"],
        help: "formatting, clippy, rustdoc and workflows, without a warning; --full adds programs that take minutes",
        run: |flags| check::lint(is_full(flags)),
    },
    Verb {
        name: "tidy",
        flags: &[],
        help: "whether the code is laid out as docs/architecture.md says; a part of lint",
        run: |_| tidy::tidy(),
    },
    Verb {
        name: "miri",
        flags: &[],
        help: "what threads share in the runtime, under Miri of the nightly toolchain; a part of test --full",
        run: |_| check::miri(),
    },
    Verb { name: "ci", flags: &[], help: "lint, then test", run: |_| check::ci() },
    Verb {
        name: "bench",
        flags: &[
            "--quick",
            "--json",
            "--check",
            "--readme",
            "--strings",
            "--map",
            "--crates",
            "--scaling",
            "--freeze",
            "--allocator",
            "--rebuild",
        ],
        help: "start-up times against other formats, in target/bench; --quick: in minutes; --check: against the targets; \
               --readme: into README.md; --strings and so on: that part only",
        run: bench::bench,
    },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<()> {
    let Some((name, flags)) = arguments.split_first() else { bail!("name a verb\n\n{}", help()) };
    if name == "--help" || name == "help" {
        println!("{}", help());
        return Ok(());
    }
    let Some(verb) = VERBS.iter().find(|verb| verb.name == name) else { bail!("no verb `{name}`\n\n{}", help()) };
    if let Some(unknown) = flags.iter().find(|flag| !verb.flags.contains(&flag.as_str())) {
        bail!("`{name}` knows no flag `{unknown}`\n\n{}", help());
    }
    (verb.run)(flags)
}

fn is_full(flags: &[String]) -> bool {
    flags.iter().any(|flag| flag == "--full")
}

fn help() -> String {
    let lines = VERBS.iter().map(|verb| {
        let call = [&[verb.name], verb.flags].concat().join(" ");
        format!("\n  {call:<14}{}", verb.help)
    });
    format!("Usage: cargo xtask VERB\n{}", lines.collect::<String>())
}
