//! Why: a run left no complete capture, and what to do about it.

use crate::runs::capture::Failure;
use crate::say::shell::megabytes;
use anyhow::anyhow;
use fastboot_format::protocol::{Phase, Status};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

/// Why a run left no complete capture, and what to do about it.
pub(super) fn explain(failure: &Failure, exit: ExitStatus, status: Option<Status>) -> anyhow::Error {
    let phase = status.as_ref().map_or(Phase::Starting, |status| status.phase);
    let current = status.map(|status| status.root).unwrap_or_default();
    let ending = ending(exit);
    match failure {
        Failure::Refused { reason } => anyhow!("{reason}"),
        Failure::OutOfMemory { root, asked, limit } => anyhow!(
            "root `{root}` needs more memory than there is: {} more were asked for when the limit of {} was reached; \
             give it more with --freeze-memory",
            megabytes(*asked),
            megabytes(*limit)
        ),
        Failure::Panic { root, message, location } if exit.code() == Some(101) || exit.signal().is_some() => {
            anyhow!("root `{root}` panicked{}: {message}", at(location))
        }
        // A panic that was caught, and then something else.
        Failure::Panic { .. } | Failure::Unfinished => match phase {
            Phase::Starting if exit.success() => anyhow!(
                "the program ran, but not in freeze mode: is `fastboot_rt::install!();` in its main.rs, \
                 and does its runner (if any) pass the environment on?"
            ),
            Phase::Starting => anyhow!("the program {ending} before freeze mode began"),
            Phase::Evaluating if exit.signal() == Some(11) => anyhow!(
                "root `{current}`: the program {ending} while it was evaluated: memory it must not touch, \
                 or a recursion deeper than the 1 GiB stack"
            ),
            Phase::Evaluating if exit.signal().is_some() => {
                anyhow!("root `{current}`: the program {ending} while it was evaluated")
            }
            Phase::Evaluating => anyhow!(
                "root `{current}`: the program {ending} while it was evaluated; \
                 a root's expression must return its value, and not call `std::process::exit`"
            ),
            Phase::Writing | Phase::Done if matches!(exit.signal(), Some(7 | 11)) => anyhow!(
                "the capture could not be written: the program {ending} when the memory of its roots was read. Has an \
                 expression protected or unmapped memory that was allocated for it (`mprotect`, `munmap`), or left a thread or \
                 a signal handler that touched memory it must not?"
            ),
            Phase::Writing | Phase::Done => {
                anyhow!("the capture could not be written: the program {ending}; is there space left on the disk?")
            }
        },
    }
}

/// How a program ended, as a sentence about it goes on.
pub(crate) fn ending(exit: ExitStatus) -> String {
    match (exit.signal(), exit.code()) {
        (Some(signal), _) => format!("was ended by {}", signal_name(signal)),
        (None, Some(code)) => format!("ended with exit status {code}"),
        (None, None) => "ended".to_owned(),
    }
}

fn at(location: &str) -> String {
    if location.is_empty() { String::new() } else { format!(" at {location}") }
}

fn signal_name(signal: i32) -> String {
    let name = match signal {
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL (was the machine out of memory?)",
        11 => "SIGSEGV",
        15 => "SIGTERM",
        24 => "SIGXCPU",
        31 => "SIGSYS",
        _ => return format!("signal {signal}"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_cannot_be_read_is_no_full_disk() {
        let said = |signal| {
            let status = Status { bytes: 0, done: 1, total: 1, phase: Phase::Writing, root: String::new() };
            explain(&Failure::Unfinished, ExitStatus::from_raw(signal), Some(status)).to_string()
        };
        assert!(
            said(11).contains("SIGSEGV") && said(11).contains("`mprotect`") && !said(11).contains("disk"),
            "{}",
            said(11)
        );
        assert!(said(7).contains("SIGBUS") && said(7).contains("`munmap`"), "{}", said(7));
        assert!(said(9).contains("space left on the disk"), "{}", said(9));
    }
}
