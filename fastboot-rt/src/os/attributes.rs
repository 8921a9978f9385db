//! Attributes: numbers that the kernel keeps of a process or a thread, and that a system call tells.

use super::kernel::raw_syscall;
use libc::{c_int, c_long};

/// Attributes that `prctl` returns.
const RETURNED: [(&str, c_int); 5] = [
    ("dumpable flag", libc::PR_GET_DUMPABLE),
    ("keepcaps flag", libc::PR_GET_KEEPCAPS),
    ("securebits", libc::PR_GET_SECUREBITS),
    ("flag that disables transparent huge pages", libc::PR_GET_THP_DISABLE),
    ("timer slack", libc::PR_GET_TIMERSLACK),
];
/// Attributes that `prctl` writes to a number.
const WRITTEN: [(&str, c_int); 2] =
    [("child subreaper flag", libc::PR_GET_CHILD_SUBREAPER), ("parent death signal", libc::PR_GET_PDEATHSIG)];
/// Attributes that a system call of their own returns: with what arguments.
const ASKED: [(&str, c_long, [c_long; 2]); 4] = [
    ("I/O priority", libc::SYS_ioprio_get, [IOPRIO_WHO_PROCESS, 0]),
    ("process group", libc::SYS_getpgid, [0, 0]),
    ("scheduling policy", libc::SYS_sched_getscheduler, [0, 0]),
    ("session", libc::SYS_getsid, [0, 0]),
];
const IOPRIO_WHO_PROCESS: c_long = 1;

/// Timers that there are once in each process.
const INTERVAL_TIMERS: [&str; 3] =
    ["interval timer ITIMER_REAL", "interval timer ITIMER_VIRTUAL", "interval timer ITIMER_PROF"];

/// `MEMBARRIER_CMD_GET_REGISTRATIONS`, since Linux 6.3.
const GET_REGISTRATIONS: c_long = 1 << 9;
/// The commands that only a registered process may give: `MEMBARRIER_CMD_PRIVATE_EXPEDITED` and that with `_SYNC_CORE`.
const EXPEDITED: [c_long; 2] = [1 << 3, 1 << 5];

/// What the kernel says of this thread and its process: names as the kernel's manuals have them, and numbers. What it does not
/// tell is -1.
pub(crate) fn all() -> impl Iterator<Item = (&'static str, i64)> {
    let own = [("nice value", nice_value()), ("personality", personality()), ("membarrier registration", membarrier())];
    let returned = RETURNED.into_iter().map(|(name, option)| (name, ask(libc::SYS_prctl, [option.into(), 0])));
    let written = WRITTEN.into_iter().map(|(name, option)| (name, written(option)));
    let asked = ASKED.into_iter().map(|(name, number, arguments)| (name, ask(number, arguments)));
    own.into_iter().chain(returned).chain(written).chain(asked)
}

/// The timers of which there is one in each process, and whether it is set.
pub(crate) fn interval_timers() -> impl Iterator<Item = (&'static str, bool)> {
    INTERVAL_TIMERS.into_iter().enumerate().map(|(which, name)| {
        let mut words = [0i64; 4];
        // SAFETY: the kernel writes an `itimerval`, which has this size and alignment.
        unsafe { raw_syscall(libc::SYS_getitimer, [which as c_long, words.as_mut_ptr().addr() as c_long, 0, 0, 0, 0]) };
        (name, words != [0; 4])
    })
}

/// A system call that reads and writes no memory, and changes nothing.
fn ask(number: c_long, [first, second]: [c_long; 2]) -> i64 {
    // SAFETY: the callers in this file give such a call: it tells an attribute, or refuses.
    unsafe { raw_syscall(number, [first, second, 0, 0, 0, 0]) }
}

/// getpriority(2): the system call returns 20 less the value.
fn nice_value() -> i64 {
    20 - ask(libc::SYS_getpriority, [libc::PRIO_PROCESS.into(), 0])
}

fn personality() -> i64 {
    ask(libc::SYS_personality, [0xffff_ffff, 0])
}

fn written(option: c_int) -> i64 {
    let mut value: c_int = -1;
    // SAFETY: with the options of `WRITTEN` the kernel writes an `int`, and nothing else.
    unsafe { raw_syscall(libc::SYS_prctl, [option.into(), (&raw mut value).addr() as c_long, 0, 0, 0, 0]) };
    value.into()
}

/// For which commands the process is registered, as a set of bits. A kernel that does not tell refuses these commands to a
/// process that is not registered, and else does what harms nobody: a barrier.
fn membarrier() -> i64 {
    let answer = ask(libc::SYS_membarrier, [GET_REGISTRATIONS, 0]);
    if answer >= 0 {
        return answer;
    }
    EXPEDITED.into_iter().filter(|command| ask(libc::SYS_membarrier, [*command, 0]) == 0).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(name: &str) -> i64 {
        all().find(|(other, _)| *other == name).unwrap().1
    }

    #[test]
    fn what_the_kernel_tells_is_what_was_set() {
        assert_eq!(value("process group"), ask(libc::SYS_getpgrp, [0, 0]));
        // Of this thread alone, which ends with the test.
        let before = value("timer slack");
        // SAFETY: sets an attribute of this thread.
        unsafe { raw_syscall(libc::SYS_prctl, [libc::PR_SET_TIMERSLACK.into(), before + 1, 0, 0, 0, 0]) };
        assert_eq!(value("timer slack"), before + 1);
        assert!(all().all(|(name, value)| name != "dumpable flag" || value >= 0));
    }

    #[test]
    fn a_process_is_registered_for_barriers_when_it_asked_for_it() {
        const REGISTER_PRIVATE_EXPEDITED: c_long = 1 << 4;
        // SAFETY: registers this process, which lets other processors wait for it when it asks for a barrier.
        unsafe { raw_syscall(libc::SYS_membarrier, [REGISTER_PRIVATE_EXPEDITED, 0, 0, 0, 0, 0]) };
        assert!(membarrier() > 0, "{}", membarrier());
    }

    #[test]
    fn timers_of_the_process_are_told_when_they_are_set() {
        let set = |which: usize| interval_timers().nth(which).unwrap().1;
        assert!(!set(1));
        let day = [0i64, 0, 86400, 0];
        let call = |words: &[i64; 4]| {
            // SAFETY: the kernel reads an `itimerval`, which has this size and alignment; a timer that counts the time of this
            // process, and ends a day later than this test.
            unsafe { raw_syscall(libc::SYS_setitimer, [1, words.as_ptr().addr() as c_long, 0, 0, 0, 0]) }
        };
        call(&day);
        assert!(set(1));
        call(&[0; 4]);
        assert!(!set(1));
    }
}
