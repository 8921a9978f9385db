//! The global allocator: decides where a freeze run's memory lies, and leaves thawed memory alone.
//!
//! ```text
//!                  alloc                dealloc              realloc
//! freeze run       `Hooks`              `Hooks`              `Hooks`
//! memory of image  (never)              nothing              anew and copied
//! all other        inner allocator      inner allocator      inner allocator
//! ```

use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use std::alloc::System;

/// The global allocator of a program that can be frozen; [`install!`](crate::install) makes it that.
///
/// Wraps another allocator, by default the system's, and adds to it one comparison of addresses for each block that is freed
/// or resized. Around the system's, nothing is added to a plain allocation.
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
/// creating a thread makes it visible to that thread. `plain` is set once more at the end of a freeze run.
#[doc(hidden)]
#[derive(Debug)]
pub struct State {
    /// First address of the image (in a freeze run: of all that the [`Hooks`] hand out).
    start: AtomicUsize,
    /// The address behind it; 0 when there is none.
    end: AtomicUsize,
    /// Alignments up to this one go straight to the inner allocator: [`PLAIN`], or none of them, that is 0, in a freeze run
    /// whose roots are being evaluated.
    plain: AtomicUsize,
}

/// The largest alignment that the system's allocator has for every block. It compares each alignment with this number. So
/// a comparison with a smaller or equal one, which also tells a freeze run, takes the place of that: it costs nothing.
const PLAIN: usize = 16;

impl State {
    const fn new() -> Self {
        Self { start: AtomicUsize::new(0), end: AtomicUsize::new(0), plain: AtomicUsize::new(PLAIN) }
    }

    /// The end comes first, because most blocks lie behind it: everything that the system maps of its own accord does, and
    /// so does the heap in executables that are loaded above the image or have it as their last segment. And without an
    /// image every block does.
    #[inline(always)]
    fn holds(&self, address: *const u8) -> bool {
        address.addr() < self.end.load(Ordering::Relaxed) && address.addr() >= self.start.load(Ordering::Relaxed)
    }

    /// Whether an allocation needs no second look.
    #[inline(always)]
    fn is_plain(&self, layout: Layout) -> bool {
        let plain = self.plain.load(Ordering::Relaxed);
        // SAFETY: the field is private to this module, which only ever stores 0 and `PLAIN` in it.
        unsafe { core::hint::assert_unchecked(plain <= PLAIN) };
        layout.align() <= plain
    }

    fn is_freezing(&self) -> bool {
        self.plain.load(Ordering::Relaxed) == 0
    }

    /// What allocates for the program now, if it freezes.
    fn freezing_hooks(&self) -> Option<&'static Hooks> {
        if self.is_freezing() && !is_exempt() { hooks() } else { None }
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
    installed().is_some_and(|state| state.end.load(Ordering::Relaxed) != 0 && !state.is_freezing())
}

/// From now on `address..address + length` is memory of the image (in a freeze run: of the [`Hooks`]).
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub(crate) fn set_image(address: usize, length: usize) {
    if let Some(state) = installed() {
        state.start.store(address, Ordering::Relaxed);
        state.end.store(address + length, Ordering::Relaxed);
    }
}

/// Whether this is a freeze run whose roots are being evaluated.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub(crate) fn is_freezing() -> bool {
    installed().is_some_and(State::is_freezing)
}

/// What allocates while roots are evaluated. The code that evaluates them says so itself, because this module is part of
/// programs that never do.
#[cfg_attr(not(all(target_os = "linux", target_arch = "x86_64")), expect(dead_code, reason = "nothing freezes there"))]
pub(crate) struct Hooks {
    /// As [`GlobalAlloc::alloc`]; zeroed if asked for.
    pub(crate) alloc: fn(Layout, bool) -> *mut u8,
    /// As [`GlobalAlloc::dealloc`], with the size alone.
    pub(crate) dealloc: unsafe fn(*mut u8, usize),
    /// As [`GlobalAlloc::realloc`].
    pub(crate) realloc: unsafe fn(*mut u8, Layout, usize) -> *mut u8,
}

/// What allocates in this freeze run; null otherwise.
static HOOKS: AtomicPtr<Hooks> = AtomicPtr::new(ptr::null_mut());

fn hooks() -> Option<&'static Hooks> {
    // SAFETY: null, or the address of the static that `begin_freezing` was given.
    unsafe { HOOKS.load(Ordering::Relaxed).as_ref() }
}

/// From now on these allocate.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub(crate) fn begin_freezing(hooks: &'static Hooks) {
    HOOKS.store(ptr::from_ref(hooks).cast_mut(), Ordering::SeqCst);
    if let Some(state) = installed() {
        state.plain.store(0, Ordering::SeqCst);
    }
}

/// From now on the inner allocator does again.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub(crate) fn end_freezing() {
    if let Some(state) = installed() {
        state.plain.store(PLAIN, Ordering::SeqCst);
    }
}

std::thread_local! {
    static EXEMPT: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread allocates for the runtime at the moment, and not for an expression of the program.
pub(crate) fn is_exempt() -> bool {
    EXEMPT.get()
}

/// Runs `body` with this thread's allocations left out of the freeze; other threads go on freezing.
pub(crate) fn exempt<R>(body: impl FnOnce() -> R) -> R {
    struct Ending(bool);
    impl Drop for Ending {
        fn drop(&mut self) {
            EXEMPT.set(self.0);
        }
    }
    let _ending = Ending(EXEMPT.replace(true));
    body()
}

// SAFETY: memory comes from `inner` or from the arena, both of which hand out blocks of the layout asked for that overlap
// nothing. A block goes back where it came from: `inner` never hands out an address of the image, because the image (or
// arena) is mapped by nobody else while it is the image, so the range tells the two apart. Blocks of the image are never
// handed out again. Nothing here unwinds.
unsafe impl<A: GlobalAlloc> GlobalAlloc for FastbootAlloc<A> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !self.state.is_plain(layout) {
            // SAFETY: the caller's promise, passed on.
            return unsafe { Self::alloc_aside(layout, self) };
        }
        // SAFETY: the caller's promise, passed on.
        unsafe { self.inner.alloc(layout) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if !self.state.is_plain(layout) {
            // SAFETY: the caller's promise, passed on.
            return unsafe { Self::alloc_zeroed_aside(layout, self) };
        }
        // SAFETY: the caller's promise, passed on.
        unsafe { self.inner.alloc_zeroed(layout) }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if self.state.holds(block) {
            return dealloc_held(block, layout.size(), &self.state);
        }
        // SAFETY: the caller's promise, passed on; the block is not the image's, hence `inner`'s.
        unsafe { self.inner.dealloc(block, layout) }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        if self.state.holds(block) {
            // SAFETY: the caller's promise, passed on.
            return unsafe { Self::move_out(block, layout, new_size, self) };
        }
        // SAFETY: the caller's promise, passed on; the block is not the image's, hence `inner`'s.
        unsafe { self.inner.realloc(block, layout, new_size) }
    }
}

// Out of line, so that what every call pays is a load, a comparison and a jump. The allocator comes last, so that all other
// arguments are in the registers that they came in.

#[cold]
#[inline(never)]
fn dealloc_held(block: *mut u8, size: usize, state: &State) {
    if let (true, Some(hooks)) = (state.is_freezing(), hooks()) {
        // SAFETY: in a freeze run the range holds only what they allocated, and it is the caller's to free.
        unsafe { (hooks.dealloc)(block, size) };
    }
}

impl<A: GlobalAlloc> FastbootAlloc<A> {
    /// `alloc` in a freeze run, and of large alignments.
    ///
    /// # Safety
    /// That of [`GlobalAlloc::alloc`].
    #[cold]
    #[inline(never)]
    unsafe fn alloc_aside(layout: Layout, this: &Self) -> *mut u8 {
        if let Some(hooks) = this.state.freezing_hooks() {
            return (hooks.alloc)(layout, false);
        }
        // SAFETY: the caller's promise, passed on.
        unsafe { this.inner.alloc(layout) }
    }

    /// The same of `alloc_zeroed`.
    ///
    /// # Safety
    /// That of [`GlobalAlloc::alloc_zeroed`].
    #[cold]
    #[inline(never)]
    unsafe fn alloc_zeroed_aside(layout: Layout, this: &Self) -> *mut u8 {
        if let Some(hooks) = this.state.freezing_hooks() {
            return (hooks.alloc)(layout, true);
        }
        // SAFETY: the caller's promise, passed on.
        unsafe { this.inner.alloc_zeroed(layout) }
    }

    /// `realloc` for a block of the image.
    ///
    /// # Safety
    /// That of [`GlobalAlloc::realloc`].
    #[cold]
    #[inline(never)]
    unsafe fn move_out(block: *mut u8, layout: Layout, new_size: usize, this: &Self) -> *mut u8 {
        if let (true, Some(hooks)) = (this.state.is_freezing(), hooks()) {
            // SAFETY: the caller's promise, passed on: in a freeze run the range holds only what they allocated.
            return unsafe { (hooks.realloc)(block, layout, new_size) };
        }
        // SAFETY: the caller promises that `new_size`, rounded up to the alignment, does not overflow `isize`, and that
        // it is not zero; the alignment is that of a valid layout.
        let moved = unsafe { this.alloc(Layout::from_size_align_unchecked(new_size, layout.align())) };
        if !moved.is_null() {
            // SAFETY: `block` holds `layout.size()` bytes and `moved` has `new_size`; a new block overlaps no other.
            unsafe { ptr::copy_nonoverlapping(block, moved, layout.size().min(new_size)) };
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_holds_what_is_between_its_ends() {
        let state = State::new();
        let holds = |state: &State, address| state.holds(ptr::without_provenance(address));
        assert!([0, 1, usize::MAX].iter().all(|address| !holds(&state, *address)), "there is none yet");
        state.start.store(0x1000, Ordering::Relaxed);
        state.end.store(0x3000, Ordering::Relaxed);
        assert!([0x1000, 0x2fff].iter().all(|address| holds(&state, *address)));
        assert!([0, 0xfff, 0x3000, usize::MAX].iter().all(|address| !holds(&state, *address)));
    }

    #[test]
    fn nothing_is_plain_while_freezing() {
        let state = State::new();
        let aligned = |align| Layout::from_size_align(64, align).unwrap();
        assert!(state.is_plain(aligned(1)) && state.is_plain(aligned(PLAIN)) && !state.is_plain(aligned(2 * PLAIN)));
        assert!(!state.is_freezing());
        state.plain.store(0, Ordering::Relaxed);
        assert!(!state.is_plain(aligned(1)) && state.is_freezing());
    }
}
