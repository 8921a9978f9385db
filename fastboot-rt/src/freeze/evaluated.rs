//! Evaluated: what a freeze run is about, and what came of it besides the values: what statics held before and after.

use super::observe::c_heap;
use crate::os::{headers, memory, time};
use core::ops::Range;
use fastboot_format::statics::Dump;

/// What a freeze run is about.
pub(crate) struct Settings {
    /// Whether it is a plan run.
    pub(crate) planning: bool,
    /// Whether it is to record who made each allocation.
    pub(crate) tracing: bool,
    /// Whether it is to write down what every block holds.
    pub(crate) holding_all: bool,
    /// The home address.
    pub(crate) home: usize,
    /// Address of the segment of the `fastboot` section, 0 if it has none of its own.
    pub(crate) section: usize,
    /// What statics are to hold before anything is evaluated: addresses as in the file, and bytes.
    pub(crate) presets: Vec<(u64, Vec<u8>)>,
}

/// What came of an evaluation.
pub(crate) struct Evaluated<'a> {
    /// Nanoseconds that each expression took.
    pub(crate) times: &'a [u64],
    /// Where the image's memory ended after each; 0 in a plan run, which has none.
    pub(crate) ends: &'a [usize],
    /// The clocks before the first of them and after the last one.
    pub(crate) clocks: [Clocks; 2],
    /// What the statics held before, and after.
    pub(crate) before: &'a Copies,
    pub(crate) after: &'a Copies,
    /// What the runtime changed itself before, addresses: its work allocates, so they are the allocator's.
    pub(crate) own: &'a [Range<u64>],
    /// Blocks of C's heap that came to be meanwhile, are in use, and the root that was evaluated then.
    pub(crate) c_blocks: &'a [(&'static str, c_heap::Block)],
    /// Whether an expression left anything open in the system.
    pub(crate) left_behind: bool,
}

/// What time it is, in nanoseconds.
#[derive(Clone, Copy)]
pub(crate) struct Clocks {
    /// Since 1970.
    pub(crate) real: u64,
    /// On the monotonic clock.
    pub(crate) monotonic: u64,
}

impl Clocks {
    pub(crate) fn now() -> Self {
        let since_1970 = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        Self { real: since_1970.as_nanos() as u64, monotonic: time::now() }
    }
}

/// What the executable's statics hold, and this thread's thread-locals: addresses and bytes.
pub(crate) struct Copies {
    pub(crate) statics: Vec<(usize, Vec<u8>)>,
    pub(crate) thread_locals: (usize, Vec<u8>),
}

impl Copies {
    /// Of now. `section`: where the segment of the `fastboot` section is, which holds none of them; 0 if it has none.
    pub(crate) fn now(section: usize) -> Self {
        Self { statics: copy_statics(section), thread_locals: headers::copy_thread_locals() }
    }
}

/// Addresses of the words of statics that changed from one copy to another.
pub(crate) fn changed(before: &Copies, after: &Copies) -> Vec<Range<u64>> {
    let pairs = before.statics.iter().zip(&after.statics);
    let dumps = pairs.map(|(before, after)| Dump { address: before.0 as u64, before: &before.1, after: &after.1 });
    dumps.flat_map(|dump| dump.changed(dump.range())).collect()
}

/// The statics of the executable, copied: address and bytes of each writable segment.
fn copy_statics(section: usize) -> Vec<(usize, Vec<u8>)> {
    // SAFETY: the segment is mapped and readable for as long as the process runs.
    let copy = |segment: Range<usize>| (segment.start, unsafe { memory::copy_memory(segment) });
    headers::writable_segments(Some(section)).map(copy).collect()
}
