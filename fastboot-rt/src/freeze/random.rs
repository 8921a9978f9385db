//! Random: the numbers that a freeze run has in place of random ones, the same in every run of one binary.

use crate::alloc::is_freezing;
use core::sync::atomic::{AtomicU64, Ordering};

/// What the random bytes of this run follow from.
static SEED: AtomicU64 = AtomicU64::new(0);
/// Whether random bytes are to be random in a freeze run too.
static REAL: AtomicU64 = AtomicU64::new(0);

/// Random bytes of this freeze run follow from `seed`, or are real.
pub(crate) fn set(seed: Option<u64>) {
    SEED.store(seed.unwrap_or(0), Ordering::Relaxed);
    REAL.store(u64::from(seed.is_none()), Ordering::Relaxed);
}

/// First state of the generator of the thread with this key. Each has one of its own: which of several threads asks first
/// is a matter of chance.
pub(crate) fn first_state(key: u64) -> u64 {
    SEED.load(Ordering::Relaxed) ^ key.wrapping_mul(0xff51_afd7_ed55_8ccd)
}

/// Whether random bytes are those of this module now.
pub(crate) fn is_fixed() -> bool {
    is_freezing() && REAL.load(Ordering::Relaxed) == 0
}

/// Fills a buffer with the next numbers of the SplitMix64 generator with this state (Steele, Lea, Flood: "Fast splittable pseudorandom
/// number generators", 2014).
///
/// # Safety
/// `length` bytes are writable at `buffer`.
pub(crate) unsafe fn fill(state: &AtomicU64, buffer: *mut u8, length: usize) {
    let mut at = 0;
    while at < length {
        let mut z = state.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let word = (z ^ (z >> 31)).to_le_bytes();
        let count = word.len().min(length - at);
        // SAFETY: `at + count` is at most `length`, which the caller promises to be writable.
        unsafe { core::ptr::copy_nonoverlapping(word.as_ptr(), buffer.add(at), count) };
        at += count;
    }
}
