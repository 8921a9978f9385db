//! The arena: every allocation one behind the other. All of a verbatim freeze, the overflow of a place run.
//!
//! ```text
//! home      home + 4096      start                     cursor          committed              reserved end
//! ├─ header ─┼─ placements ───┼── objects, dead ones too ──┼─ zero, writable ─┼── PROT_NONE, costs nothing ──┤
//! ```
//!
//! Only the last object is ever taken back or grown in place, so the arena keeps the place of what was freed. The cursor moves
//! only by compare-and-exchange: allocation needs no lock and works on every thread.

use super::super::tell;
use crate::os::memory;
use core::alloc::Layout;
use core::sync::atomic::{AtomicUsize, Ordering};
use fastboot_format::image::PAGE;

/// Address space that is made writable at a time, in bytes.
const STEP: usize = if cfg!(miri) { 64 << 10 } else { 32 << 20 };
/// From this size on, in bytes, the memory of a freed block is worth a system call.
const LARGE: usize = 64 << 10;

/// The home address.
static HOME: AtomicUsize = AtomicUsize::new(0);
/// Next free address.
static CURSOR: AtomicUsize = AtomicUsize::new(0);
/// Highest address the cursor has been at: memory above it is still zero.
static HIGH_WATER: AtomicUsize = AtomicUsize::new(0);
/// End of the memory that is writable.
static COMMITTED: AtomicUsize = AtomicUsize::new(0);
/// End of the memory that may become writable.
static LIMIT: AtomicUsize = AtomicUsize::new(0);

/// Reserves address space at `home` for `before` bytes of placements, made writable, and behind them the arena for
/// `limit` bytes. The header's page counts as the first of the placements.
///
/// # Errors
/// The `errno` of `mmap`; `EEXIST` when something is mapped there.
pub(crate) fn reserve(home: usize, before: usize, limit: usize) -> Result<(), i32> {
    let length = (before + limit).next_multiple_of(STEP);
    memory::reserve(home, length)?;
    memory::expect_dense_use(home..home + length);
    let start = home + before;
    HOME.store(home, Ordering::Relaxed);
    CURSOR.store(start, Ordering::Relaxed);
    HIGH_WATER.store(start, Ordering::Relaxed);
    COMMITTED.store(home, Ordering::Relaxed);
    LIMIT.store(start + limit, Ordering::Relaxed);
    if commit(start) { Ok(()) } else { Err(libc::ENOMEM) }
}

/// Next free address: the end of what was captured.
pub(crate) fn end() -> usize {
    CURSOR.load(Ordering::SeqCst)
}

/// The memory that is writable.
pub(crate) fn writable() -> core::ops::Range<usize> {
    HOME.load(Ordering::Relaxed)..COMMITTED.load(Ordering::Relaxed)
}

/// Makes memory writable up to `end`; `false` when the system refuses.
fn commit(end: usize) -> bool {
    loop {
        let committed = COMMITTED.load(Ordering::Acquire);
        if end <= committed {
            return true;
        }
        let new = end.next_multiple_of(STEP);
        // Two threads may do this at once; the second call changes nothing.
        // SAFETY: `reserve` reserved it: `end`, and so `new`, is at most where the arena ends, rounded up to a step.
        if unsafe { memory::make_writable(committed, new - committed) }.is_err() {
            return false;
        }
        COMMITTED.fetch_max(new, Ordering::AcqRel);
    }
}

/// A block, or null when the limit is reached.
pub(crate) fn alloc(layout: Layout, zeroed: bool) -> *mut u8 {
    let mut cursor = CURSOR.load(Ordering::Relaxed);
    let (start, end) = loop {
        let start = cursor.checked_add(layout.align() - 1).map(|start| start & !(layout.align() - 1));
        let end = start.and_then(|start| start.checked_add(layout.size()));
        let Some((start, end)) = start.zip(end).filter(|(_, end)| *end <= LIMIT.load(Ordering::Relaxed)) else {
            tell::out_of_memory(layout.size());
            return core::ptr::null_mut();
        };
        if !commit(end) {
            tell::out_of_memory(layout.size());
            return core::ptr::null_mut();
        }
        match CURSOR.compare_exchange_weak(cursor, end, Ordering::AcqRel, Ordering::Relaxed) {
            Ok(_) => break (start, end),
            Err(now) => cursor = now,
        }
    };
    let block = core::ptr::with_exposed_provenance_mut::<u8>(start);
    // Whoever had this memory before raised the high water first, so what lies above it was never used.
    let high_water = HIGH_WATER.fetch_max(end, Ordering::AcqRel);
    if zeroed && start < high_water {
        // SAFETY: `start..end` is writable (committed) and, since the cursor was moved over it, this thread's alone.
        unsafe { block.write_bytes(0, end.min(high_water) - start) };
    }
    let home = HOME.load(Ordering::Relaxed);
    tell::progress(cursor - home, end - home);
    block
}

/// Takes `block` back if it is the last one. Of a large one the memory is given back in any case, and the image has zeros
/// there.
///
/// # Safety
/// [`alloc`] returned it, it has this size, and nobody uses it any more.
pub(crate) unsafe fn dealloc(block: *mut u8, size: usize) {
    let start = block.addr();
    if size >= LARGE {
        let first = start.next_multiple_of(PAGE);
        // SAFETY: whole pages of the block, which nobody uses any more, as the caller promises.
        unsafe { memory::forget_pages(first, (start + size) / PAGE * PAGE - first) };
    }
    let _ = CURSOR.compare_exchange(start + size, start, Ordering::AcqRel, Ordering::Relaxed);
}

/// Gives `block` the size `new` where it stands, if it is the last one.
///
/// # Safety
/// [`alloc`] returned it, it has the size `old`, and it is the caller's.
pub(crate) unsafe fn grow(block: *mut u8, old: usize, new: usize) -> bool {
    let start = block.addr();
    let Some(end) = start.checked_add(new).filter(|end| *end <= LIMIT.load(Ordering::Relaxed)) else { return false };
    if CURSOR.load(Ordering::Relaxed) != start + old || !commit(end) {
        return false;
    }
    if CURSOR.compare_exchange(start + old, end, Ordering::AcqRel, Ordering::Relaxed).is_err() {
        return false;
    }
    HIGH_WATER.fetch_max(end, Ordering::AcqRel);
    let home = HOME.load(Ordering::Relaxed);
    tell::progress(start + old - home, end - home);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Somewhere nobody else is.
    fn home(length: usize) -> usize {
        if !cfg!(miri) {
            return 0x5520_0000_0000;
        }
        // SAFETY: the layout has a size.
        unsafe { std::alloc::alloc_zeroed(Layout::from_size_align(length, STEP).unwrap()) }.expose_provenance()
    }

    #[test]
    fn blocks_are_apart_aligned_and_zero_where_asked() {
        let home = home(4 * STEP);
        reserve(home, PAGE, STEP + PAGE).unwrap();
        let start = home + PAGE;
        let layout = |size, align| Layout::from_size_align(size, align).unwrap();
        // Several threads at once.
        let blocks = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..3u8)
                .map(|thread| {
                    scope.spawn(move || {
                        let sizes = [1, 24, 100, 7];
                        sizes.map(|size| {
                            let block = alloc(layout(size, 8), false);
                            // SAFETY: a block of `size` bytes, of this thread's.
                            unsafe { block.write_bytes(thread, size) };
                            (block.addr(), size, thread)
                        })
                    })
                })
                .collect();
            let mut blocks: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
            blocks.sort_unstable();
            blocks
        });
        assert!(blocks.windows(2).all(|pair| pair[0].0 + pair[0].1 <= pair[1].0), "{blocks:x?}");
        for (address, size, thread) in &blocks {
            assert!(*address >= start && address % 8 == 0 && address + size <= end());
            let block = core::ptr::with_exposed_provenance::<u8>(*address);
            // SAFETY: a block of `size` bytes that nobody writes to any more.
            let bytes = unsafe { core::slice::from_raw_parts(block, *size) };
            assert!(bytes.iter().all(|byte| byte == thread));
        }

        let last = alloc(layout(64, 64), false);
        assert!(last.addr() % 64 == 0);
        // SAFETY: `last` has 64 bytes, then 128, and is this test's, as are those that come in its place.
        unsafe {
            last.write_bytes(0xee, 64);
            assert!(grow(last, 64, 128), "it is the last one");
            assert_eq!(end(), last.addr() + 128);
            dealloc(last, 128);
            let again = alloc(layout(128, 64), true);
            assert_eq!(again, last);
            assert!(core::slice::from_raw_parts(again, 128).iter().all(|byte| *byte == 0), "it was used before");
            let behind = alloc(layout(1, 1), false);
            assert!(!behind.is_null() && !grow(again, 128, 129), "there is one behind it");
        }
        assert!(alloc(layout(STEP + 2 * PAGE, 1), false).is_null(), "over the limit");
    }
}
