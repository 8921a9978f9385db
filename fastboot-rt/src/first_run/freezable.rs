//! Freezable: whether a program can freeze itself, and why not.

use super::cache_folder::Failure;
use crate::os::headers;
use crate::roots;
use crate::start::path::Path;
use crate::start::reason::{Errno, Reason};
use crate::start::section::Program;
use core::fmt;

/// Why a program does not freeze itself.
pub(crate) enum Why {
    /// `install!` names no cache.
    NoCache,
    /// The values in it need a proof that takes several runs.
    PositionIndependent,
    /// Nobody wrote down which statics have to be carried.
    NotBuiltForIt,
    /// There is nothing to freeze.
    NoRoots,
    /// A loader or an emulator runs it, and would be executed in its place.
    NotItself,
    /// The process would become the parent of the one in the background.
    AdoptsOrphans,
    /// Somebody else has the lock.
    Busy,
    /// It was tried not long ago.
    Failed(Failure),
    /// The folder or a file in it cannot be used.
    Cache(Reason),
    /// No process can be started.
    Start { errno: i32 },
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCache => f.write_str("`install!` names no cache"),
            Self::PositionIndependent => f.write_str("a position-independent executable cannot freeze itself"),
            Self::NotBuiltForIt => f.write_str("the program was not built with `cargo fastboot build --cold`"),
            Self::NoRoots => f.write_str("it has no roots"),
            Self::NotItself => f.write_str("/proc/self/exe is not this program"),
            Self::AdoptsOrphans => f.write_str("this process adopts orphans (it is the first of its container)"),
            Self::Busy => f.write_str("another process is freezing"),
            Self::Failed(failure) => write!(f, "{failure}"),
            Self::Cache(reason) => write!(f, "{reason}"),
            Self::Start { errno } => write!(f, "no process can be started: {}", Errno(*errno)),
        }
    }
}

/// What a start that has no image does about it.
pub(crate) enum Begun {
    /// A process in the background freezes: the path of the snapshot to be.
    Freezing(Path),
    /// Nothing.
    Not(Why),
}

/// Whether this program could freeze itself.
pub(super) fn require_freezable(program: &Program) -> Result<(), Why> {
    if program.exe_base != 0 {
        return Err(Why::PositionIndependent);
    }
    if program.cold_tables().is_none() {
        return Err(Why::NotBuiltForIt);
    }
    if roots::all().chain(roots::warm_ups()).next().is_none() {
        return Err(Why::NoRoots);
    }
    if !headers::is_executed_itself() {
        return Err(Why::NotItself);
    }
    Ok(())
}
