//! The global allocator: decides where a freeze run's memory lies, and leaves thawed memory alone.
//!
//! ```text
//!                  alloc                dealloc              realloc
//! freeze run       `place`              `place`              `place`
//! memory of image  (never)              nothing              anew and copied
//! all other        inner allocator      inner allocator      inner allocator
//! ```

use core::alloc::{GlobalAlloc, Layout};
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::alloc::System;

/// The global allocator of a program that can be frozen; [`install!`](crate::install) makes it that.
///
/// Wraps another allocator, by default the system's, and adds to it one comparison for each call.
#[derive(Clone, Copy, Debug, Default)]
pub struct FastbootAlloc<A = System> {
    inner: A,
}

impl FastbootAlloc {
    /// Wraps the system's allocator.
    pub const fn new() -> Self {
        Self { inner: System }
    }
}

impl<A> FastbootAlloc<A> {
    /// Wraps `inner`.
    pub const fn with(inner: A) -> Self {
        Self { inner }
    }
}

/// Whether this is a freeze run whose roots are being evaluated.
static FREEZING: AtomicBool = AtomicBool::new(false);
/// First address of the image (in a freeze run: of all that `place` hands out).
static START: AtomicUsize = AtomicUsize::new(0);
/// Its length in bytes; 0 when there is none.
static LENGTH: AtomicUsize = AtomicUsize::new(0);

// All three are written before the program has a second thread (by `.init_array`, before `main`), so `Relaxed` is enough:
// creating a thread makes them visible to it. `FREEZING` is cleared once more at the end of a freeze run.

/// Whether `address` lies in the image that was thawed (in a freeze run: in memory that `place` handed out).
pub(crate) fn in_image(address: *const u8) -> bool {
    address.addr().wrapping_sub(START.load(Ordering::Relaxed)) < LENGTH.load(Ordering::Relaxed)
}

/// Whether an image was thawed.
pub(crate) fn has_image() -> bool {
    LENGTH.load(Ordering::Relaxed) != 0 && !FREEZING.load(Ordering::Relaxed)
}

/// From now on `address..address + length` is memory of the image.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub(crate) fn set_image(address: usize, length: usize) {
    START.store(address, Ordering::Relaxed);
    LENGTH.store(length, Ordering::Relaxed);
}

/// Whether this is a freeze run whose roots are being evaluated.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub(crate) fn is_freezing() -> bool {
    FREEZING.load(Ordering::Relaxed)
}

/// From now on allocations come (or no longer come) from the arena.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub(crate) fn set_freezing(freezing: bool) {
    FREEZING.store(freezing, Ordering::SeqCst);
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
use crate::place;

/// Never reached where there is no freeze mode.
#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
mod place {
    use core::alloc::Layout;
    pub(crate) fn alloc(_: Layout, _: bool) -> *mut u8 {
        core::ptr::null_mut()
    }
    pub(crate) fn is_exempt() -> bool {
        false
    }
    pub(crate) fn dealloc(_: *mut u8, _: usize) {}
    pub(crate) unsafe fn realloc(_: *mut u8, _: Layout, _: usize) -> *mut u8 {
        core::ptr::null_mut()
    }
}

// SAFETY: memory comes from `inner` or from the arena, both of which hand out blocks of the layout asked for that overlap
// nothing. A block goes back where it came from: `inner` never hands out an address of the image, because the image (or
// arena) is mapped by nobody else while it is the image, so the range tells the two apart. Blocks of the image are never
// handed out again. Nothing here unwinds.
unsafe impl<A: GlobalAlloc> GlobalAlloc for FastbootAlloc<A> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if FREEZING.load(Ordering::Relaxed) && !place::is_exempt() {
            return place::alloc(layout, false);
        }
        // SAFETY: the caller's promise, passed on.
        unsafe { self.inner.alloc(layout) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if FREEZING.load(Ordering::Relaxed) && !place::is_exempt() {
            return place::alloc(layout, true);
        }
        // SAFETY: the caller's promise, passed on.
        unsafe { self.inner.alloc_zeroed(layout) }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if in_image(block) {
            if FREEZING.load(Ordering::Relaxed) {
                place::dealloc(block, layout.size());
            }
            return;
        }
        // SAFETY: the caller's promise, passed on; the block is not the image's, hence `inner`'s.
        unsafe { self.inner.dealloc(block, layout) }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        if in_image(block) {
            // SAFETY: the caller's promise, passed on.
            return unsafe { self.move_out(block, layout, new_size) };
        }
        // SAFETY: the caller's promise, passed on; the block is not the image's, hence `inner`'s.
        unsafe { self.inner.realloc(block, layout, new_size) }
    }
}

impl<A: GlobalAlloc> FastbootAlloc<A> {
    /// `realloc` for a block of the image.
    ///
    /// # Safety
    /// That of [`GlobalAlloc::realloc`].
    #[cold]
    unsafe fn move_out(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        if FREEZING.load(Ordering::Relaxed) {
            // SAFETY: the caller's promise, passed on: in a freeze run the range holds only what `place` allocated.
            return unsafe { place::realloc(block, layout, new_size) };
        }
        // SAFETY: the caller promises that `new_size`, rounded up to the alignment, does not overflow `isize`, and that
        // it is not zero; the alignment is that of a valid layout.
        let moved = unsafe { self.alloc(Layout::from_size_align_unchecked(new_size, layout.align())) };
        if !moved.is_null() {
            // SAFETY: `block` holds `layout.size()` bytes and `moved` has `new_size`; a new block overlaps no other.
            unsafe { ptr::copy_nonoverlapping(block, moved, layout.size().min(new_size)) };
        }
        moved
    }
}
