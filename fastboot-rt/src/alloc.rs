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
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use std::alloc::System;

/// The global allocator of a program that can be frozen; [`install!`](crate::install) makes it that.
///
/// Wraps another allocator, by default the system's, and adds to it one comparison for each call.
#[derive(Debug)]
pub struct FastbootAlloc<A = System> {
    inner: A,
    state: State,
}

impl FastbootAlloc {
    /// Wraps the system's allocator.
    pub const fn new() -> Self {
        Self::with(System)
    }
}

impl Default for FastbootAlloc {
    fn default() -> Self {
        Self::new()
    }
}

impl<A> FastbootAlloc<A> {
    /// Wraps `inner`.
    pub const fn with(inner: A) -> Self {
        Self { inner, state: State::new() }
    }

    /// For [`install!`](crate::install) only.
    #[doc(hidden)]
    pub const fn __state(&self) -> &State {
        &self.state
    }
}

/// What the allocator knows. It is part of the allocator, that is, a static of the binary itself, so that each call
/// reaches it without detours.
///
/// Everything is written before the program has a second thread (by `.init_array`, before `main`), so `Relaxed` is enough:
/// creating a thread makes it visible to that thread. `freezing` is cleared once more at the end of a freeze run.
#[doc(hidden)]
#[derive(Debug)]
pub struct State {
    /// First address of the image (in a freeze run: of all that `place` hands out).
    start: AtomicUsize,
    /// Its length in bytes; 0 when there is none.
    length: AtomicUsize,
    /// Whether this is a freeze run whose roots are being evaluated.
    freezing: AtomicBool,
}

impl State {
    const fn new() -> Self {
        Self { start: AtomicUsize::new(0), length: AtomicUsize::new(0), freezing: AtomicBool::new(false) }
    }

    #[inline(always)]
    fn holds(&self, address: *const u8) -> bool {
        address.addr().wrapping_sub(self.start.load(Ordering::Relaxed)) < self.length.load(Ordering::Relaxed)
    }

    #[inline(always)]
    fn is_freezing(&self) -> bool {
        self.freezing.load(Ordering::Relaxed)
    }
}

/// The state of the program's allocator.
static INSTALLED: AtomicPtr<State> = AtomicPtr::new(ptr::null_mut());

fn installed() -> Option<&'static State> {
    // SAFETY: null, or the address of the static that `install` was given. All fields are atomic.
    unsafe { INSTALLED.load(Ordering::Relaxed).as_ref() }
}

/// Makes this the state of the program's allocator. Before there is a second thread.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub(crate) fn install(state: &'static State) {
    INSTALLED.store(ptr::from_ref(state).cast_mut(), Ordering::Relaxed);
}

/// Whether `address` lies in the image that was thawed.
pub(crate) fn in_image(address: *const u8) -> bool {
    installed().is_some_and(|state| state.holds(address) && !state.is_freezing())
}

/// Whether an image was thawed.
pub(crate) fn has_image() -> bool {
    installed().is_some_and(|state| state.length.load(Ordering::Relaxed) != 0 && !state.is_freezing())
}

/// From now on `address..address + length` is memory of the image (in a freeze run: of `place`).
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub(crate) fn set_image(address: usize, length: usize) {
    if let Some(state) = installed() {
        state.start.store(address, Ordering::Relaxed);
        state.length.store(length, Ordering::Relaxed);
    }
}

/// Whether this is a freeze run whose roots are being evaluated.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub(crate) fn is_freezing() -> bool {
    installed().is_some_and(State::is_freezing)
}

/// From now on allocations come (or no longer come) from `place`.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub(crate) fn set_freezing(freezing: bool) {
    if let Some(state) = installed() {
        state.freezing.store(freezing, Ordering::SeqCst);
    }
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub(crate) use crate::number::exempt;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
use crate::place;

/// Where there is no freeze mode, nothing has to be exempt from it.
#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
pub(crate) fn exempt<R>(body: impl FnOnce() -> R) -> R {
    body()
}

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
        if self.state.is_freezing() {
            // SAFETY: the caller's promise, passed on.
            return unsafe { self.alloc_freezing(layout, false) };
        }
        // SAFETY: the caller's promise, passed on.
        unsafe { self.inner.alloc(layout) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if self.state.is_freezing() {
            // SAFETY: the caller's promise, passed on.
            return unsafe { self.alloc_freezing(layout, true) };
        }
        // SAFETY: the caller's promise, passed on.
        unsafe { self.inner.alloc_zeroed(layout) }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if self.state.holds(block) {
            return self.state.dealloc(block, layout.size());
        }
        // SAFETY: the caller's promise, passed on; the block is not the image's, hence `inner`'s.
        unsafe { self.inner.dealloc(block, layout) }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        if self.state.holds(block) {
            // SAFETY: the caller's promise, passed on.
            return unsafe { self.move_out(block, layout, new_size) };
        }
        // SAFETY: the caller's promise, passed on; the block is not the image's, hence `inner`'s.
        unsafe { self.inner.realloc(block, layout, new_size) }
    }
}

// Out of line, so that what every call pays is a load, a comparison and a jump.

impl State {
    #[cold]
    #[inline(never)]
    fn dealloc(&self, block: *mut u8, size: usize) {
        if self.is_freezing() {
            place::dealloc(block, size);
        }
    }
}

impl<A: GlobalAlloc> FastbootAlloc<A> {
    /// `alloc` in a freeze run.
    ///
    /// # Safety
    /// That of [`GlobalAlloc::alloc`].
    #[cold]
    #[inline(never)]
    unsafe fn alloc_freezing(&self, layout: Layout, zeroed: bool) -> *mut u8 {
        if !place::is_exempt() {
            return place::alloc(layout, zeroed);
        }
        // SAFETY: the caller's promise, passed on.
        unsafe { if zeroed { self.inner.alloc_zeroed(layout) } else { self.inner.alloc(layout) } }
    }

    /// `realloc` for a block of the image.
    ///
    /// # Safety
    /// That of [`GlobalAlloc::realloc`].
    #[cold]
    #[inline(never)]
    unsafe fn move_out(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        if self.state.is_freezing() {
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
