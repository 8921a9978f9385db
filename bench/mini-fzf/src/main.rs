//! Fuzzy search over a list of paths.
//!
//! The list is a root: built with `cargo fastboot build` it is part of the program, built with `cargo build` the very
//! same source makes it on first use.

mod arguments;
mod paths;
mod search;

use arguments::{Arguments, Task, USAGE};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::process::ExitCode;

fastboot_rt::install!();

fastboot_rt::frozen! {
    /// The paths that are searched.
    static PATHS: Vec<String> = paths::list();
}

fn main() -> ExitCode {
    let task = match Arguments::parse(std::env::args_os().skip(1)) {
        Ok(Arguments { task }) => task,
        Err(message) => {
            eprintln!("mini-fzf: {message}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let mut output = BufWriter::new(io::stdout().lock());
    match run(&task, &mut output).and_then(|found| output.flush().map(|()| found)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        // Whoever read the output, `head` for instance, has seen enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mini-fzf: cannot write the result: {error}");
            ExitCode::from(2)
        }
    }
}

/// Does it, and says whether anything was found.
fn run(task: &Task, output: &mut impl Write) -> io::Result<bool> {
    match task {
        Task::Help => {
            writeln!(output, "{USAGE}")?;
            Ok(true)
        }
        Task::Nothing => Ok(true),
        Task::Get { indices } => {
            let mut all = true;
            for index in indices {
                match PATHS.get(*index) {
                    Some(path) => writeln!(output, "{path}")?,
                    None => {
                        eprintln!("mini-fzf: there is no entry {index}, only {} entries", PATHS.len());
                        all = false;
                    }
                }
            }
            Ok(all)
        }
        Task::Search { query, count } => {
            let matches = search::best(&PATHS, query, *count);
            for found in &matches {
                writeln!(output, "{:>5}  {}", found.score, found.path)?;
            }
            Ok(!matches.is_empty())
        }
    }
}
