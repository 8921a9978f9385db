//! Counts the instructions of a process by stepping through it one by one: exact, possible on every machine, and slow
//! (about a million a second). Performance counters are missing in many virtual machines, and under an emulator such as
//! valgrind's an image made for the real processor is not used.

use anyhow::{Context, Result, bail};
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// Where the instruction pointer is in what `PTRACE_PEEKUSER` reads.
const RIP: usize = std::mem::offset_of!(libc::user_regs_struct, rip);

/// How many instructions a program takes, outside of the kernel; nothing if there are more than `most`.
pub(crate) fn instructions(command: &mut Command, most: u64) -> Result<Option<u64>> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // Addresses are not random, because what is done with them may take an instruction more or less.
    // SAFETY: the closure runs in the child between fork and exec and makes two system calls, which allocate nothing.
    unsafe {
        command.pre_exec(|| {
            libc::personality(libc::ADDR_NO_RANDOMIZE as libc::c_ulong);
            request(libc::PTRACE_TRACEME, 0, 0, 0).map(drop)
        })
    };
    let mut child = command.spawn().with_context(|| format!("cannot run {command:?}"))?;
    let process = libc::pid_t::try_from(child.id()).context("a process id out of range")?;
    let counted = step_through(process, most).with_context(|| format!("cannot step through {command:?}"));
    // Ends it if it is still there.
    let _ = child.kill();
    let _ = child.wait();
    counted
}

/// The process is stopped behind its `execve`, or about to be.
fn step_through(process: libc::pid_t, most: u64) -> Result<Option<u64>> {
    let (mut count, mut last) = (0, 0);
    while count <= most {
        let mut status = 0;
        // SAFETY: the pointer is to a variable that is valid for writes.
        if unsafe { libc::waitpid(process, &raw mut status, 0) } != process {
            return Err(io::Error::last_os_error().into());
        }
        if libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0 {
            return Ok(Some(count));
        }
        if !libc::WIFSTOPPED(status) {
            bail!("it failed: {status:#x}");
        }
        let signal = match libc::WSTOPSIG(status) {
            libc::SIGTRAP => 0,
            other => other,
        };
        // An instruction that repeats itself stops after each time; it counts once.
        let at = request(libc::PTRACE_PEEKUSER, process, RIP, 0)?;
        count += u64::from(at != last);
        last = at;
        request(libc::PTRACE_SINGLESTEP, process, 0, signal)?;
    }
    Ok(None)
}

/// One request to `ptrace`, of those whose arguments are plain numbers.
fn request(kind: libc::c_uint, process: libc::pid_t, address: usize, data: libc::c_int) -> io::Result<u64> {
    // A word that is read may be -1 as well; only `errno` tells.
    // SAFETY: `errno` is this thread's own variable.
    unsafe { *libc::__errno_location() = 0 };
    // SAFETY: for the requests above, `ptrace` reads and writes no memory of this process: the arguments are numbers.
    let word = unsafe { libc::ptrace(kind, process, address, libc::c_long::from(data)) };
    let error = io::Error::last_os_error();
    if word == -1 && error.raw_os_error() != Some(0) { Err(error) } else { Ok(word as u64) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn true_takes_some_instructions() -> Result<()> {
        let count = instructions(&mut Command::new("true"), 10_000_000)?;
        assert!(count.is_some_and(|count| count > 1000), "{count:?}");
        Ok(())
    }

    #[test]
    fn too_many_are_not_counted() -> Result<()> {
        assert_eq!(instructions(&mut Command::new("true"), 10)?, None);
        Ok(())
    }

    #[test]
    fn what_fails_is_an_error() {
        assert!(instructions(&mut Command::new("false"), 10_000_000).is_err());
    }
}
