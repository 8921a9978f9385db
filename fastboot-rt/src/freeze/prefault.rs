//! Prefault: the main thread of a plan run, which has nothing else to do, makes memory ready before it is needed.
//!
//! To get new memory from the kernel is dear: it has to be cleared, and in a virtual machine the host may have to be asked
//! for it. The freeze thread would spend a third of its time on that.

use crate::os::memory::LARGE_PAGE;
use crate::os::{memory, threads};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

/// How far ahead of what is used, in bytes.
const AHEAD: usize = 8 << 20;

/// Whether this is to be done at all.
static ON: AtomicBool = AtomicBool::new(false);
/// From here, up to there: addresses.
static FROM: AtomicUsize = AtomicUsize::new(0);
static TO: AtomicUsize = AtomicUsize::new(0);
/// Changes whenever those do. What waits, waits for that.
static CHANGES: AtomicU32 = AtomicU32::new(0);

/// Has memory made ready from now on, if another processor can do that.
pub(crate) fn begin() {
    ON.store(std::thread::available_parallelism().is_ok_and(|processors| processors.get() > 1), Ordering::Relaxed);
}

/// The memory from `start` to `end` is about to be used, and then most likely what lies behind it.
pub(crate) fn expect(start: usize, end: usize) {
    if ON.load(Ordering::Relaxed) && (start / LARGE_PAGE != end / LARGE_PAGE || FROM.load(Ordering::Relaxed) == 0) {
        FROM.store(start, Ordering::Relaxed);
        TO.store(end + AHEAD, Ordering::Relaxed);
        CHANGES.fetch_add(1, Ordering::Release);
        threads::wake(&CHANGES);
    }
}

/// Makes memory ready as long as `goes_on` says so.
pub(crate) fn serve(goes_on: impl Fn() -> bool) {
    let mut done = 0;
    while goes_on() {
        let seen = CHANGES.load(Ordering::Acquire);
        let (from, to) = (FROM.load(Ordering::Relaxed), TO.load(Ordering::Relaxed));
        // What lies before `from` is in use already, or will never be.
        done = (from & !(LARGE_PAGE - 1)).max(done);
        while done < to && CHANGES.load(Ordering::Relaxed) == seen && memory::make_ready(done, LARGE_PAGE) {
            done += LARGE_PAGE;
        }
        threads::wait(&CHANGES, seen);
    }
}
