//! What the page cache does to a start: the same file, written just now, read back from disk, and not there at all.

use super::programs::Workshop;
use super::rounds::{Case, Samples, middle, one, spread};
use super::rows::{FASTBOOT_STATIC, LOOK_UPS, Program, RKYV, Row};
use super::statistics::Spread;
use anyhow::{Context, Result, ensure};
use serde::Serialize;
use std::collections::HashMap;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

/// How often each state is measured; each time from a cold cache, as far as it matters.
const RUNS: usize = 15;

/// A program in a state of its file.
#[derive(Serialize)]
pub(crate) struct State {
    pub(crate) program: &'static str,
    pub(crate) state: &'static str,
    /// In microseconds.
    pub(crate) wall: Spread,
    pub(crate) faults: f64,
}

/// Measures programs of W1 with 100 look-ups, in all states.
pub(crate) fn page_cache(workshop: &mut Workshop) -> Result<Vec<State>> {
    let mut states = Vec::new();
    let embedded = Program::Fastboot { binary: "strings", flags: &["--static"] };
    let mapped = Program::Peer { binary: "rkyv", ending: "rkyv", checked: false };
    for (program, made_by) in [(FASTBOOT_STATIC, embedded), (RKYV, mapped)] {
        let case =
            Case { made: workshop.make(made_by, "strings")?, row: Row::new(program, "strings", made_by, LOOK_UPS) };
        let file = match made_by {
            Program::Fastboot { .. } => case.made.binary.clone(),
            _ => workshop.fresh().join("paths.rkyv"),
        };
        let mut measure = |state, before: &dyn Fn(usize) -> Result<()>| {
            let (mut samples, mut answers) = (Samples::new(), HashMap::new());
            for run in 0..RUNS {
                before(run)?;
                samples.push(Some(one(&case, &mut answers)?));
            }
            let faults = middle(&samples, |sample| sample.faults);
            states.push(State { program, state, wall: spread(&samples, |sample| sample.wall), faults });
            anyhow::Ok(())
        };
        rewrite(&file)?;
        measure("written just now, whole", &|_| Ok(()))?;
        measure("not in memory", &|_| evict(&file))?;
        // Reading ahead as programs do brings small pieces into the page cache, and they stay as they are.
        measure("read back by earlier runs", &|_| Ok(()))?;
        rewrite(&file)?;
    }
    Ok(states)
}

/// Writes a file anew, with one write.
fn rewrite(path: &Path) -> Result<()> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let permissions = path.metadata()?.permissions();
    let mut new = PathBuf::from(path);
    new.as_mut_os_string().push(".new");
    std::fs::write(&new, bytes).with_context(|| format!("cannot write {}", new.display()))?;
    std::fs::set_permissions(&new, permissions)?;
    std::fs::rename(&new, path).with_context(|| format!("cannot replace {}", path.display()))
}

/// Drops a file from the page cache. Nothing may have it mapped.
fn evict(path: &Path) -> Result<()> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    file.sync_all().with_context(|| format!("cannot write {} to disk", path.display()))?;
    // SAFETY: a system call on an open descriptor; it reads and writes no memory of this process.
    let refused = unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
    ensure!(refused == 0, "cannot drop {} from the page cache: errno {refused}", path.display());
    Ok(())
}
