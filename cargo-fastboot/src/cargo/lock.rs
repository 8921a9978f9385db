//! Lock: builds in one folder of cargo's come one after the other. Cargo's own lock ends with cargo, but until its binary is
//! frozen and embedded, another build would put its own in the place.

use std::fs::{File, TryLockError};
use std::path::Path;

use anyhow::{Context, Result};

use crate::say::shell::Shell;

/// Held while a build may read or replace what is in a folder of cargo's. The system releases it at the end of the process,
/// however it ends, and where another program takes its place.
#[derive(Debug)]
pub(crate) struct BuildLock {
    _file: File,
}

impl BuildLock {
    /// Waits for the lock file at `path`, and says so, as cargo does. Where the file system has no locks there is none to wait
    /// for, as for cargo.
    pub(crate) fn acquire(path: &Path, shell: &Shell) -> Result<Self> {
        let cannot_lock = || format!("cannot lock {}; check that the folder may be written into", path.display());
        let file = File::options().create(true).append(true).open(path).with_context(cannot_lock)?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => {
                shell.status("Blocking", "waiting for file lock on build directory");
                file.lock().with_context(cannot_lock)?;
            }
            Err(TryLockError::Error(error)) => shell.verbose(format_args!("no lock on {}: {error}", path.display())),
            Ok(()) => {}
        }
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::say::shell::Verbosity;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn the_second_one_waits_for_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let shell = Shell::new(Verbosity::Quiet, anstream::ColorChoice::Never);
        let first = BuildLock::acquire(&path, &shell).unwrap();
        let has_it = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let _second = BuildLock::acquire(&path, &shell).unwrap();
                has_it.store(true, Ordering::Release);
            });
            std::thread::sleep(std::time::Duration::from_millis(50));
            assert!(!has_it.load(Ordering::Acquire));
            drop(first);
        });
        assert!(has_it.load(Ordering::Acquire));
    }
}
