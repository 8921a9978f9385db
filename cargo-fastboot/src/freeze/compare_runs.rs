//! Compare runs: the finished program is run without its image and with it, as the user asked, and has to do the same.
//!
//! ```text
//! FASTBOOT=off app ARGS < FILE   ─▶ standard output, exit status, perhaps standard error ─┐
//!              app ARGS < FILE   ─▶ the same                                             ─┴▶ equal, or an error with the
//!                                                                                            first line that differs
//! ```
//! `verify` compares values, as far as they can be compared. This compares what the program makes of them.

use crate::freeze::verify;
use crate::options::{CompareRun, FreezeOptions};
use crate::runs::why::ending;
use crate::say::shell::Shell;
use anyhow::{Context, Result, bail, ensure};
use std::fs::File;
use std::io::{Read, Seek};
use std::path::Path;
use std::process::{ExitStatus, Stdio};

/// Asks the runtime to say on standard error what became of the image.
const LOG_VARIABLE: &str = "FASTBOOT_LOG";
/// How the line begins that it says.
const LOGGED: &[u8] = b"fastboot: ";
/// How that line goes on if there is an image.
const THAWED: &[u8] = b"fastboot: thawed ";
/// How many characters of a line are shown.
const SHOWN: usize = 200;

/// What a run of the program did.
struct Done {
    status: ExitStatus,
    output: Vec<u8>,
    /// Without the runtime's line.
    errors: Vec<u8>,
    /// The runtime's line.
    log: Vec<u8>,
}

/// What is to be compared, in short: if it is the same for a program that was compared, so would the outcome be.
pub(crate) fn key(options: &FreezeOptions) -> Result<Option<String>> {
    if options.compare.is_empty() {
        return Ok(None);
    }
    let mut hash = blake3::Hasher::new();
    for run in &options.compare {
        hash.update(format!("{:?} {}\n", run.arguments.words, run.errors).as_bytes());
        if let Some(path) = &run.stdin {
            let cannot_read = || format!("cannot read {}, which `--stdin` names", path.display());
            hash.update(&std::fs::read(path).with_context(cannot_read)?);
        }
    }
    Ok(Some(hash.finalize().to_hex().to_string()))
}

/// Runs the finished program at `path` as the user asked, without its image and with it.
///
/// # Errors
/// If the two do not do the same, or if a run starts cold.
pub(crate) fn compare_runs(path: &Path, options: &FreezeOptions, shell: &Shell) -> Result<()> {
    let path = std::path::absolute(path).with_context(|| format!("cannot find {}", path.display()))?;
    for run in &options.compare {
        shell.status("Comparing", run);
        let cold = once(&path, run, false, options, shell)?;
        let thawed = once(&path, run, true, options, shell)?;
        ensure!(
            thawed.log.starts_with(THAWED),
            "called with {run} the program starts cold, so there is nothing to compare: {}",
            String::from_utf8_lossy(&thawed.log).trim_end()
        );
        let Some(difference) = difference(run, &cold, &thawed) else { continue };
        if let Some(by_itself) = self::difference(run, &cold, &once(&path, run, false, options, shell)?) {
            bail!(
                "called with {run} the program does not do the same in every run, with an image or without one ({by_itself}), \
                 so that it cannot be compared; leave this out of --compare-run"
            );
        }
        bail!("called with {run} the program does something else with its image than without: {difference}");
    }
    Ok(())
}

fn once(path: &Path, run: &CompareRun, thaw: bool, options: &FreezeOptions, shell: &Shell) -> Result<Done> {
    let cannot_make = || "cannot make a temporary file for what the program prints";
    let (mut output, mut errors) =
        (tempfile::tempfile().with_context(cannot_make)?, tempfile::tempfile().with_context(cannot_make)?);
    let mut command = options.command(path);
    command.args(&run.arguments.words).env(LOG_VARIABLE, "1").env_remove("FASTBOOT_SNAPSHOT");
    if thaw {
        command.env_remove("FASTBOOT");
    } else {
        command.env("FASTBOOT", "off");
    }
    command.stdin(run.stdin()?);
    command.stdout(Stdio::from(output.try_clone().with_context(cannot_make)?));
    command.stderr(Stdio::from(errors.try_clone().with_context(cannot_make)?));
    let status = verify::wait(&mut command, "Comparing", options, path, shell)?;
    let printed = |file: &mut File| {
        let mut bytes = Vec::new();
        file.rewind().and_then(|()| file.read_to_end(&mut bytes)).context("cannot read what the program printed")?;
        anyhow::Ok(bytes)
    };
    let (log, errors) = without_log(&printed(&mut errors)?);
    Ok(Done { status, output: printed(&mut output)?, errors, log })
}

/// The first line of the runtime's, and all but its lines.
fn without_log(errors: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let lines = || errors.split_inclusive(|byte| *byte == b'\n');
    let log = lines().find(|line| line.starts_with(LOGGED)).unwrap_or_default();
    (log.to_vec(), lines().filter(|line| !line.starts_with(LOGGED)).flatten().copied().collect())
}

/// What differs, for people.
fn difference(run: &CompareRun, cold: &Done, thawed: &Done) -> Option<String> {
    if cold.status != thawed.status {
        let why = |done: &Done| match done.errors.split(|byte| *byte == b'\n').find(|line| !line.is_empty()) {
            Some(line) => format!("{} (`{}`)", ending(done.status), shown(line)),
            None => ending(done.status),
        };
        return Some(format!("it {} without, and {} with it", why(cold), why(thawed)));
    }
    let outputs = Some(("standard output", &cold.output, &thawed.output));
    let errors = run.errors.then_some(("standard error", &cold.errors, &thawed.errors));
    outputs.into_iter().chain(errors).find_map(|(stream, cold, thawed)| first_difference(stream, cold, thawed))
}

/// The first line that differs.
fn first_difference(stream: &str, cold: &[u8], thawed: &[u8]) -> Option<String> {
    if cold == thawed {
        return None;
    }
    let lines = |bytes: &[u8]| -> Vec<Vec<u8>> { bytes.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect() };
    let (cold, thawed) = (lines(cold), lines(thawed));
    let number = cold.iter().zip(&thawed).take_while(|(cold, thawed)| cold == thawed).count();
    let line = |lines: &[Vec<u8>]| match lines.get(number) {
        Some(line) => format!("`{}`", shown(line)),
        None => "nothing more".to_owned(),
    };
    Some(format!("line {} of {stream} is\n  {} without,\n  {} with it", number + 1, line(&cold), line(&thawed)))
}

fn shown(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_differs_is_shown() {
        let said = |cold: &str, thawed: &str| first_difference("standard output", cold.as_bytes(), thawed.as_bytes());
        assert_eq!(said("a\nb\n", "a\nb\n"), None);
        let expected = "line 2 of standard output is\n  `b` without,\n  `c` with it";
        assert_eq!(said("a\nb\nx\n", "a\nc\ny\n").as_deref(), Some(expected));
        assert!(
            said("a", "a\nb")
                .unwrap()
                .ends_with("line 2 of standard output is\n  nothing more without,\n  `b` with it")
        );
        assert!(said("a\n", "a").unwrap().contains("  `` without,\n  nothing more with it"));
        assert!(said(&"ä".repeat(1000), "b").unwrap().contains(&format!("`{}…` without", "ä".repeat(SHOWN))));
    }

    #[test]
    fn the_line_of_the_runtime_is_not_the_programs() {
        let (log, errors) = without_log(b"one\nfastboot: thawed 1 root\ntwo");
        assert_eq!((log.as_slice(), errors.as_slice()), (&b"fastboot: thawed 1 root\n"[..], &b"one\ntwo"[..]));
    }
}
