//! What a process cost: wall-clock time and page faults, as the kernel counts them; and what it printed.

use anyhow::{Context, Result, ensure};
use std::io::Read;
use std::mem::MaybeUninit;
use std::process::{Command, Stdio};

/// What one run cost.
#[derive(Clone, Debug)]
pub(crate) struct Usage {
    /// Before fork, in nanoseconds on the monotonic clock, which all processes share.
    pub(crate) began: u64,
    /// After wait.
    pub(crate) ended: u64,
    /// Page faults, with and without reading from disk.
    pub(crate) faults: u64,
    /// Standard output.
    pub(crate) output: String,
    /// Standard error.
    pub(crate) errors: String,
}

impl Usage {
    /// From before fork to after wait, in microseconds.
    pub(crate) fn wall(&self) -> f64 {
        micro(self.began, self.ended)
    }
}

/// The time between two moments in nanoseconds, in microseconds.
pub(crate) fn micro(from: u64, to: u64) -> f64 {
    to.saturating_sub(from) as f64 / 1000.0
}

/// Runs a command to its end. It must succeed, and print less than a pipe holds (64 KiB): nobody reads until it is done.
pub(crate) fn measure(command: &mut Command) -> Result<Usage> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let began = now();
    let mut child = command.spawn().with_context(|| format!("cannot run {command:?}"))?;
    let process = libc::pid_t::try_from(child.id()).context("a process id out of range")?;
    let mut status = 0;
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: both pointers are to variables that are valid for writes. The process is a child of this one that nobody
    // has waited for: `child` does not, unless asked to, and is not asked to.
    let waited = unsafe { libc::wait4(process, &raw mut status, 0, usage.as_mut_ptr()) };
    let ended = now();
    ensure!(waited == process, "cannot wait for {command:?}: {}", std::io::Error::last_os_error());
    let (mut output, mut errors) = (String::new(), String::new());
    child.stdout.take().context("no standard output")?.read_to_string(&mut output)?;
    child.stderr.take().context("no standard error")?.read_to_string(&mut errors)?;
    let succeeded = libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0;
    ensure!(succeeded, "{command:?} failed: {status:#x}\n{errors}");
    // SAFETY: `wait4` filled it in; and all its bytes were zero, which is a valid `rusage` too.
    let usage = unsafe { usage.assume_init() };
    let faults = usage.ru_minflt.unsigned_abs() + usage.ru_majflt.unsigned_abs();
    Ok(Usage { began, ended, faults, output, errors })
}

/// Nanoseconds on the monotonic clock.
fn now() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a variable that is valid for writes.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}
