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

use crate::freeze::heap::scratch::Number;
use crate::freeze::heap::{arena, scratch};
pub(crate) use crate::freeze::identity::is_exempt;
use crate::freeze::identity::{Current, PLACED, Planned};
use crate::freeze::{identity, placements, run};
use core::alloc::Layout;
use core::ptr;
use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use fastboot_format::protocol::Mode;

static MODE: AtomicU32 = AtomicU32::new(0);
static HOME: AtomicUsize = AtomicUsize::new(0);
/// Where placements end and the arena begins.
static PLACED_END: AtomicUsize = AtomicUsize::new(0);
static DIVERGENCES: Count = Count::new();
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

pub(crate) fn count_divergence() {
    DIVERGENCES.add(1);
}

/// Threads that left their plan, objects placed as planned, allocations that overflowed; objects in the image, and their
/// bytes; the largest alignment of what may be in the image.
pub(crate) fn counts() -> [u64; 6] {
    let [divergences, placed, overflows, objects, live] =
        [&DIVERGENCES, &PLACED_COUNT, &OVERFLOWS, &OBJECTS, &LIVE].map(Count::get);
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
        run::out_of_memory(layout.size());
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

pub(crate) fn alloc(layout: Layout, zeroed: bool) -> *mut u8 {
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

/// Takes back a block that [`alloc`] or [`realloc`] returned.
pub(crate) fn dealloc(block: *mut u8, size: usize) {
    if scratch::contains(block) {
        scratch::dealloc(block);
        return;
    }
    died(size);
    if in_placements(block) {
        // It stays empty: it was freed against the plan, and nothing else fits the plan there.
        PLACED_COUNT.sub(1);
    } else {
        arena::dealloc(block, size);
    }
}

/// # Safety
/// That of [`core::alloc::GlobalAlloc::realloc`], for a block that [`alloc`] or this function returned.
pub(crate) unsafe fn realloc(block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
    // SAFETY: the caller promises that `new_size`, rounded up to the alignment, does not overflow; the alignment is that
    // of a valid layout.
    let new_layout = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
    let new = if scratch::contains(block) {
        let number = scratch::number_of(block);
        let home = if number.thread == PLACED { home_of(number.index as u32) } else { None };
        match home {
            Some((home, reserved)) if new_size <= reserved => {
                PLACED_COUNT.add(1);
                born(home, new_size)
            }
            _ if scratch::resize(block, new_size) => return block,
            _ => temporary(new_layout, false, number),
        }
    } else if in_placements(block) {
        let offset = block.addr() - HOME.load(Ordering::Relaxed);
        let placement = placements::placement_at(offset as u64);
        match placement.and_then(|number| Some((number, placements::placement(number)?))) {
            Some((_, placement)) if new_size as u64 <= placement.reserved => {
                resized(layout.size(), new_size);
                return block;
            }
            Some((number, _)) => temporary(new_layout, false, Number::placed(number)),
            None => born(arena::alloc(new_layout, false), new_size),
        }
    } else if arena::grow(block, layout.size(), new_size) {
        resized(layout.size(), new_size);
        return block;
    } else {
        born(arena::alloc(new_layout, false), new_size)
    };
    if !new.is_null() {
        // SAFETY: `block` holds `layout.size()` bytes, `new` has `new_size`, and they are different blocks: a placement
        // is empty while its object is in the scratch heap.
        unsafe { ptr::copy_nonoverlapping(block, new, layout.size().min(new_size)) };
        if in_placements(block) {
            // Left empty, so that what is read of it later is not an old copy; it may come home again.
            // SAFETY: the block was the caller's, and is not any more.
            unsafe { block.write_bytes(0, layout.size()) };
        }
        dealloc(block, layout.size());
    }
    new
}
