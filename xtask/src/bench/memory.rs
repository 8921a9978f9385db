//! Memory of processes that are alive at the same time.

use super::rounds::Case;
use anyhow::{Context, Result, ensure};
use serde::Serialize;
use std::io::{BufRead, BufReader};
use std::os::fd::AsRawFd;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// How long all of them may take until the last one has answered. The slow ones need a second each.
const PATIENCE: Duration = Duration::from_secs(300);

/// What one of the processes has, in bytes.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Memory {
    /// Its own: anonymous memory, and copies of pages it has written to.
    pub(crate) private: u64,
    /// Its share of everything: what `n` processes share counts one `n`-th for each.
    pub(crate) share: u64,
}

/// Starts `count` processes that answer and wait, and looks at the last one's memory.
pub(crate) fn memory(case: &Case, count: usize) -> Result<Memory> {
    let mut arguments = case.row.arguments();
    arguments.push("--wait".to_owned());
    let mut children: Vec<Child> = Vec::new();
    let until = Instant::now() + PATIENCE;
    let looked = (|| {
        for _ in 0..count {
            let mut command = case.made.command(&arguments);
            let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
            children.push(child.with_context(|| format!("cannot run {command:?}"))?);
        }
        for child in &mut children {
            await_answer(child, until).with_context(|| format!("{count} processes of `{}`", case.row.name))?;
        }
        look(children.last().context("no process")?.id())
    })();
    if looked.is_err() {
        // They may not be waiting for anything.
        children.iter_mut().for_each(|child| drop(child.kill()));
    }
    children.into_iter().try_for_each(end)?;
    looked
}

/// Waits for the line with the answer.
fn await_answer(child: &mut Child, until: Instant) -> Result<()> {
    let output = child.stdout.as_mut().context("no standard output")?;
    let mut ready = libc::pollfd { fd: output.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let left = until.saturating_duration_since(Instant::now()).as_millis();
    // SAFETY: the pointer is to one structure, a variable that is valid for writes.
    let count = unsafe { libc::poll(&raw mut ready, 1, libc::c_int::try_from(left)?) };
    ensure!(count == 1, "no answer within {} s", PATIENCE.as_secs());
    let length = BufReader::new(output).read_line(&mut String::new())?;
    ensure!(length > 0, "it ended without an answer");
    Ok(())
}

fn look(process: u32) -> Result<Memory> {
    let field = |file: &str, name: &str| {
        let path = format!("/proc/{process}/{file}");
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        kilobytes(&text, name).with_context(|| format!("{path} says nothing of {name}"))
    };
    Ok(Memory { private: field("status", "RssAnon:")? * 1024, share: field("smaps_rollup", "Pss:")? * 1024 })
}

/// The number in the line `NAME: number kB`.
fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Lets a process go on, and waits for its end.
fn end(mut child: Child) -> Result<()> {
    drop(child.stdin.take());
    child.wait()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_of_proc() {
        let text = "Rss:                1912 kB\nPss:                 117 kB\n";
        assert_eq!(kilobytes(text, "Pss:"), Some(117));
        assert_eq!(kilobytes(text, "Swap:"), None);
    }
}
