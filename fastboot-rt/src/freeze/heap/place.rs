//! Place: where each allocation of a freeze run is born.
//!
//! ```text
//!             in the plan: placed     in the plan: temporary    not in the plan
//! verbatim                                                      arena
//! plan run                                                      scratch heap, numbered
//! place run   its placement           scratch heap              arena, behind the placements (overflow)
//! ```
//!
//! Objects are born where they will live. One that grows beyond its reservation for a while lives in the scratch heap
//! until it is small enough again to go home.

use super::super::identity::{self, Current, Number, PLACED, Planned};
use super::super::{placements, tell};
use super::{arena, scratch};
use crate::alloc::Hooks;
use core::alloc::Layout;
use core::ptr;
use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use fastboot_format::protocol::Mode;

/// What allocates in a freeze run.
pub(crate) static HOOKS: Hooks = Hooks { alloc, dealloc, realloc };

static MODE: AtomicU32 = AtomicU32::new(0);
static HOME: AtomicUsize = AtomicUsize::new(0);
/// Where placements end and the arena begins.
static PLACED_END: AtomicUsize = AtomicUsize::new(0);
/// Placements that hold their object now.
static PLACED_COUNT: Count = Count::new();
static OVERFLOWS: Count = Count::new();
/// Objects that are in the image now, and their bytes: what was allocated there and not freed.
static OBJECTS: Count = Count::new();
static LIVE: Count = Count::new();
/// The largest alignment of all that was not planned to be temporary.
static LARGEST_ALIGNMENT: AtomicU64 = AtomicU64::new(1);

/// A count that all threads add to: the freeze thread, which adds most of it, to a part of its own, where it need not keep
/// others away.
struct Count {
    own: AtomicU64,
    others: AtomicU64,
}

impl Count {
    const fn new() -> Self {
        Self { own: AtomicU64::new(0), others: AtomicU64::new(0) }
    }

    /// Adds a number, modulo 2^64.
    fn add(&self, number: u64) {
        match identity::current() {
            Current::First => self.own.store(self.own.load(Ordering::Relaxed).wrapping_add(number), Ordering::Relaxed),
            _ => _ = self.others.fetch_add(number, Ordering::Relaxed),
        }
    }

    fn sub(&self, number: u64) {
        self.add(number.wrapping_neg());
    }

    fn get(&self) -> u64 {
        self.own.load(Ordering::Relaxed).wrapping_add(self.others.load(Ordering::Relaxed))
    }
}

/// Sets how this run allocates.
pub(crate) fn set_mode(mode: Mode, home: usize, placed_end: usize) {
    MODE.store(mode as u32, Ordering::Relaxed);
    HOME.store(home, Ordering::Relaxed);
    PLACED_END.store(placed_end, Ordering::Relaxed);
}

fn mode() -> Mode {
    Mode::from_number(MODE.load(Ordering::Relaxed)).unwrap_or(Mode::Verbatim)
}

/// Threads that left their plan, objects placed as planned, allocations that overflowed; objects in the image, and their
/// bytes; the largest alignment of what may be in the image.
pub(crate) fn counts() -> [u64; 6] {
    let divergences = identity::divergences();
    let [placed, overflows, objects, live] = [&PLACED_COUNT, &OVERFLOWS, &OBJECTS, &LIVE].map(Count::get);
    [divergences, placed, overflows, objects, live, LARGEST_ALIGNMENT.load(Ordering::Relaxed)]
}

/// Counts a block of the image, unless it is null.
fn born(block: *mut u8, size: usize) -> *mut u8 {
    if !block.is_null() {
        OBJECTS.add(1);
        LIVE.add(size as u64);
    }
    block
}

/// Counts a block of the image that has another size now.
fn resized(old: usize, new: usize) {
    LIVE.add((new as u64).wrapping_sub(old as u64));
}

/// Counts a block of the image no longer.
fn died(size: usize) {
    OBJECTS.sub(1);
    LIVE.sub(size as u64);
}

fn in_placements(block: *const u8) -> bool {
    let home = HOME.load(Ordering::Relaxed);
    (home..PLACED_END.load(Ordering::Relaxed)).contains(&block.addr())
}

/// Memory of the scratch heap, or null, which is recorded.
fn temporary(layout: Layout, zeroed: bool, number: Number) -> *mut u8 {
    let block = scratch::alloc(layout, zeroed, number);
    if block.is_null() {
        tell::out_of_memory(layout.size());
    }
    block
}

/// An allocation of this layout may be in the image.
fn note_alignment(layout: Layout) {
    let align = layout.align() as u64;
    if align > LARGEST_ALIGNMENT.load(Ordering::Relaxed) {
        LARGEST_ALIGNMENT.fetch_max(align, Ordering::Relaxed);
    }
}

fn alloc(layout: Layout, zeroed: bool) -> *mut u8 {
    match mode() {
        Mode::Verbatim => {
            note_alignment(layout);
            born(arena::alloc(layout, zeroed), layout.size())
        }
        Mode::Plan => match identity::next(layout) {
            Planned::No(number) | Planned::Temporary(number) => temporary(layout, zeroed, number),
            Planned::Placed(_) => ptr::null_mut(),
        },
        Mode::Place => match identity::next(layout) {
            Planned::Temporary(number) => temporary(layout, zeroed, number),
            Planned::Placed(placement) => {
                note_alignment(layout);
                match home_of(placement) {
                    // A placement is only ever used by the allocation it was made for, so its memory is still zero.
                    Some((block, reserved)) if layout.size() <= reserved => {
                        PLACED_COUNT.add(1);
                        born(block, layout.size())
                    }
                    _ => temporary(layout, zeroed, Number::placed(placement)),
                }
            }
            Planned::No(_) => {
                note_alignment(layout);
                OVERFLOWS.add(1);
                born(arena::alloc(layout, zeroed), layout.size())
            }
        },
    }
}

/// Address and size of a placement.
fn home_of(placement: u32) -> Option<(*mut u8, usize)> {
    let placement = placements::placement(placement)?;
    let address = HOME.load(Ordering::Relaxed) + placement.offset as usize;
    Some((ptr::with_exposed_provenance_mut(address), placement.reserved as usize))
}

/// Takes back a block.
///
/// # Safety
/// [`alloc`] or [`realloc`] returned it, it has this size, and nobody uses it any more.
unsafe fn dealloc(block: *mut u8, size: usize) {
    if scratch::contains(block) {
        // SAFETY: the caller's promise; what is in the scratch heap came from there.
        unsafe { scratch::dealloc(block) };
        return;
    }
    died(size);
    if in_placements(block) {
        // It stays empty: it was freed against the plan, and nothing else fits the plan there.
        PLACED_COUNT.sub(1);
    } else {
        // SAFETY: the caller's promise; it is in neither of the other two places, so the arena handed it out.
        unsafe { arena::dealloc(block, size) };
    }
}

/// What becomes of a block that is to have another size.
enum Resized {
    /// It stays where it is.
    Here,
    /// It moves here; null if there is no memory.
    Moved(*mut u8),
}

/// Gives a block another size.
///
/// # Safety
/// That of [`core::alloc::GlobalAlloc::realloc`], for a block that [`alloc`] or this function returned.
unsafe fn realloc(block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
    // SAFETY: the caller promises that `new_size`, rounded up to the alignment, does not overflow; the alignment is that
    // of a valid layout.
    let new_layout = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
    // SAFETY: the caller's promise: each is told of a block that it handed out, of this layout.
    let resized = unsafe {
        if scratch::contains(block) {
            resize_in_scratch(block, new_layout)
        } else if in_placements(block) {
            resize_in_placement(block, layout, new_layout)
        } else {
            resize_in_arena(block, layout, new_layout)
        }
    };
    let new = match resized {
        Resized::Here => return block,
        Resized::Moved(new) if new.is_null() => return new,
        Resized::Moved(new) => new,
    };
    // SAFETY: `block` holds `layout.size()` bytes, `new` has `new_size`, and they are different blocks: a placement is
    // empty while its object is in the scratch heap. The block was the caller's, and is not any more: one in a placement is
    // left empty, so that what is read of it later is not an old copy; it may come home again.
    unsafe {
        ptr::copy_nonoverlapping(block, new, layout.size().min(new_size));
        if in_placements(block) {
            block.write_bytes(0, layout.size());
        }
        dealloc(block, layout.size());
    }
    new
}

/// [`realloc`] of a block in the scratch heap, which goes home if it has a placement that it fits.
///
/// # Safety
/// That of [`realloc`], and it is there.
unsafe fn resize_in_scratch(block: *mut u8, new: Layout) -> Resized {
    // SAFETY: the caller's promise.
    let number = unsafe { scratch::number_of(block) };
    let home = if number.thread == PLACED { home_of(number.index as u32) } else { None };
    match home {
        Some((home, reserved)) if new.size() <= reserved => {
            PLACED_COUNT.add(1);
            Resized::Moved(born(home, new.size()))
        }
        // SAFETY: the caller's promise.
        _ if unsafe { scratch::resize(block, new.size()) } => Resized::Here,
        _ => Resized::Moved(temporary(new, false, number)),
    }
}

/// The same of a block in its placement, which leaves it if it grows too large.
///
/// # Safety
/// That of [`realloc`], and it is there.
unsafe fn resize_in_placement(block: *mut u8, old: Layout, new: Layout) -> Resized {
    let offset = block.addr() - HOME.load(Ordering::Relaxed);
    let placement = placements::placement_at(offset as u64);
    match placement.and_then(|number| Some((number, placements::placement(number)?))) {
        Some((_, placement)) if new.size() as u64 <= placement.reserved => {
            resized(old.size(), new.size());
            Resized::Here
        }
        Some((number, _)) => Resized::Moved(temporary(new, false, Number::placed(number))),
        None => Resized::Moved(born(arena::alloc(new, false), new.size())),
    }
}

/// The same of a block in the arena.
///
/// # Safety
/// That of [`realloc`], and it is there.
unsafe fn resize_in_arena(block: *mut u8, old: Layout, new: Layout) -> Resized {
    // SAFETY: the caller's promise.
    if unsafe { arena::grow(block, old.size(), new.size()) } {
        resized(old.size(), new.size());
        return Resized::Here;
    }
    Resized::Moved(born(arena::alloc(new, false), new.size()))
}
