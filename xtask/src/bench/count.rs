//! What can be counted exactly, once: system calls, by strace if it is there, and instructions.

use super::rounds::Case;
use crate::step;
use crate::usage::measure;
use std::process::Command;

/// A case, run under a tool.
fn under(case: &Case, tool: &[&str]) -> Option<String> {
    let inner = case.made.command(&case.row.arguments());
    let (program, arguments) = tool.split_first()?;
    let mut command = Command::new(program);
    command.args(arguments).arg(inner.get_program()).args(inner.get_args());
    // The case's environment and no more: what is in cargo's makes the dynamic linker search many folders.
    command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    Some(measure(&mut command).ok()?.errors)
}

/// How many system calls there are, the first `execve` included.
pub(crate) fn system_calls(case: &Case) -> Option<u64> {
    let table = under(case, &["strace", "--follow-forks", "--summary-only"])?;
    // % time, seconds, microseconds a call, calls, perhaps errors, "total"
    let total = table.lines().find(|line| line.trim_end().ends_with(" total"))?;
    total.split_whitespace().nth(3)?.parse().ok()
}

/// How many instructions it takes, outside of the kernel; nothing if there are more than `most` and the processor does not
/// help: to count a million of them one by one takes a second or two.
pub(crate) fn instructions(case: &Case, most: u64) -> Option<u64> {
    let counter = under(case, &["perf", "stat", "--field-separator=,", "--event=instructions:u"]);
    let counted =
        |text: String| text.lines().find(|line| line.contains("instructions"))?.split(',').next()?.parse().ok();
    counter
        .and_then(counted)
        .or_else(|| step::instructions(&mut case.made.command(&case.row.arguments()), most).ok()?)
}
