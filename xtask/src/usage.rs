//! What a process cost: wall-clock time and page faults, as the kernel counts them.

use anyhow::{Context, Result, ensure};
use std::mem::MaybeUninit;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What one run cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    /// From before fork to after wait.
    pub(crate) time: Duration,
    /// Page faults that needed no disk.
    pub(crate) minor_faults: u64,
    /// Page faults that did.
    pub(crate) major_faults: u64,
}

/// Runs a command to its end, its output thrown away. It must succeed.
pub(crate) fn measure(command: &mut Command) -> Result<Usage> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let began = Instant::now();
    let child = command.spawn().with_context(|| format!("cannot run {command:?}"))?;
    let process = libc::pid_t::try_from(child.id()).context("a process id out of range")?;
    let mut status = 0;
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: both pointers are to variables that are valid for writes. The process is a child of this one that nobody
    // has waited for: `child` does not, unless asked to, and is not used any more.
    let waited = unsafe { libc::wait4(process, &raw mut status, 0, usage.as_mut_ptr()) };
    let time = began.elapsed();
    ensure!(waited == process, "cannot wait for {command:?}: {}", std::io::Error::last_os_error());
    ensure!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0, "{command:?} failed: {status:#x}");
    // SAFETY: `wait4` filled it in; and all its bytes were zero, which is a valid `rusage` too.
    let usage = unsafe { usage.assume_init() };
    Ok(Usage { time, minor_faults: usage.ru_minflt.unsigned_abs(), major_faults: usage.ru_majflt.unsigned_abs() })
}
