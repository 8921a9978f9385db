//! Threads that were left running. The finished program has none of them: what hands them work, or waits for them, waits for
//! ever. So they are an error, unless the user allows it, or they are those of rayon's global pool, which is made anew at need.

use super::stages::Freezing;
use crate::carry::carried::Statics;
use crate::elf::names::means;
use crate::runs::capture::Capture;
use crate::say::remedy::listed;
use anyhow::{Result, bail};
use fastboot_format::protocol::Leftover;

/// Rayon's global pool: an `Option<Arc<Registry>>`.
const GLOBAL_POOL: &str = "rayon_core::registry::THE_REGISTRY";

impl Freezing<'_> {
    /// Refuses threads that were left running. `word_at` gives what stands at an address of an object, unless that object is in
    /// the image: then something in there relies on it.
    pub(super) fn judge_threads(
        &self,
        capture: &Capture,
        statics: &Statics,
        word_at: impl Fn(u64) -> Option<u64>,
    ) -> Result<()> {
        let threads = || capture.left_behind.iter().filter(|(_, kind, _)| *kind == Leftover::Thread);
        let Some((root, ..)) =
            threads().find(|(root, ..)| !self.options.allow_threads.iter().any(|name| means(name, root)))
        else {
            return Ok(());
        };
        let pool = statics.word_after(capture, GLOBAL_POOL).and_then(word_at).map_or(0, pool_threads);
        if threads().count() as u64 <= pool {
            self.shell
                .verbose("the threads of rayon's global pool were left running; the program makes it anew at need");
            return Ok(());
        }
        let own: Vec<&str> = threads().filter(|(of, ..)| of == root).map(|(.., what)| thread_name(what)).collect();
        let what = match own[..] {
            [name] => format!("the thread {name}"),
            _ => format!("{} threads, such as {},", own.len(), own.first().unwrap_or(&"")),
        };
        bail!(
            "root `{root}` left {what} running, and the embedded program has no such thread: a value that hands it work, or \
             waits for it, waits for ever. Let it end before the expression returns (drop the pool, join the thread); or, if \
             no value needs it, allow it: {}",
            listed("allow-threads", root)
        );
    }
}

/// How many threads a pool has, told by its count of references: one is the static's, and each thread holds another.
fn pool_threads(references: u64) -> u64 {
    // More than anyone has: it is no count.
    references.checked_sub(1).filter(|threads| *threads < 1 << 16).unwrap_or(0)
}

/// The name of a thread, as it was described: behind its number.
fn thread_name(what: &str) -> &str {
    what.split_once(' ').map_or(what, |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_told_by_their_names() {
        assert_eq!(thread_name("4711 `a worker`"), "`a worker`");
    }

    #[test]
    fn a_pool_has_one_reference_more_than_threads() {
        assert_eq!([0, 1, 2, 9, u64::MAX].map(pool_threads), [0, 0, 1, 8, 0]);
    }
}
