//! The scratch heap of a freeze run: where objects live that are not, or not yet, given a place in the image.
//!
//! A plan run puts everything here, a place run only what the plan calls temporary. It is a real allocator, so that
//! expressions that allocate far more than they keep do not need far more memory than they keep; and it knows of every
//! block which allocation it came from, which is what a plan is made of.
//!
//! ```text
//! slot │ header, 32 bytes │ block … │ slack │ next slot │ …
//!        number or next free, size, thread, trace, class, align, live, distance to the block
//! ```
//!
//! Threads have parts of the heap for themselves. The space behind one block and before the next is never empty, so an
//! address one past the end of a block belongs to that block and to no other.

use crate::freeze::identity::{self, Current, Number};
use crate::freeze::lock::Lock;
use crate::freeze::{prefault, tell};
use crate::os::memory;
use core::alloc::Layout;
use core::ops::Range;
use core::ptr;
use core::sync::atomic::{AtomicIsize, AtomicPtr, AtomicUsize, Ordering};
use fastboot_format::protocol::THREAD_STACKS;

#[repr(C)]
struct SlotHeader {
    /// Of a live slot. Of a free one the address of the next free one, or 0.
    index: u64,
    size: u64,
    thread: u32,
    trace: u32,
    class: u16,
    /// The exponent of 2.
    align: u8,
    live: u8,
    /// How far from this header the block begins: the four bytes before the block, also where alignment puts it further
    /// off.
    distance: u32,
}

const HEADER: usize = size_of::<SlotHeader>();
const _: () = assert!(HEADER == 32, "the header keeps blocks aligned to 16 bytes");

/// Up to here classes are 16 bytes apart, above there are four for each doubling.
const FINE: usize = 1024;
const CLASSES: usize = FINE / 16 + 1 + 4 * 30;
/// Nothing is aligned to more bytes than this. What is would lie too far from its slot's header.
const MOST_ALIGNED: usize = 1 << 31;
/// Slots from here on give their pages back to the system when they are freed.
const LARGE: usize = 128 << 10;
/// Of a larger one, in bytes, or of one that has more than a 64th of all memory, that is not made ready before it is used:
/// perhaps it never is.
const MOST_AHEAD: usize = 128 << 20;
/// Address space that is made writable at a time.
const STEP: usize = 32 << 20;
const PAGE: usize = fastboot_format::image::PAGE;

/// Number of the smallest class whose slots have `total` bytes.
fn class_of(total: usize) -> Option<usize> {
    if total <= FINE {
        return Some(total.div_ceil(16));
    }
    let doubling = (total - 1).ilog2() as usize; // 2^doubling < total ≤ 2^(doubling + 1)
    let quarter = (total - 1 - (1 << doubling)) >> (doubling - 2);
    let class = FINE / 16 + 1 + (doubling - 10) * 4 + quarter;
    (class < CLASSES).then_some(class)
}

/// Bytes of a slot of that class, a multiple of 16.
fn class_size(class: usize) -> usize {
    if class <= FINE / 16 {
        return class * 16;
    }
    let (doubling, quarter) = ((class - FINE / 16 - 1) / 4 + 10, (class - FINE / 16 - 1) % 4);
    (1 << doubling) + ((quarter + 1) << (doubling - 2))
}

/// A part of the scratch heap: address space of its own, and slots that are free. Zeros are one that was never used.
type Part = Lock<Heap>;

struct Heap {
    /// End of the slots made so far, as the distance from the part's first address.
    used: usize,
    /// The same for memory that is writable.
    committed: usize,
    free: [*mut SlotHeader; CLASSES],
    /// Bytes in free slots.
    idle: usize,
    /// What has to be added to [`LIVE`] to count the live slots of this part: bytes allocated since, minus bytes freed.
    drift: isize,
}

/// How far [`LIVE`] may be off by each part, in bytes.
const DRIFT: isize = 256 << 10;

/// The parts: [`PARTS_LEN`] of them, or null before [`reserve`]. The first is the freeze thread's alone, which so needs no lock;
/// the second is everybody's; the others are *lanes*, one for each place that [`crate::freeze::identity`] has for a thread.
///
/// Which of two threads allocates first is a matter of chance, but it does not decide about the addresses in their lanes.
/// Addresses of what is gone remain in images as garbage, and garbage that looks alive keeps objects.
static PARTS: AtomicPtr<Part> = AtomicPtr::new(ptr::null_mut());
const PARTS_LEN: usize = LANES + THREAD_STACKS;
/// Number of the freeze thread's part.
const OWN: usize = 0;
/// Number of the part that is everybody's. Threads that need more than they have get it from there.
const SHARED: usize = 1;
/// Number of the first lane.
const LANES: usize = 2;
/// A lane has this part of the address space, and the freeze thread a quarter of what the lanes leave.
const LANE_SHARE: usize = 8 * THREAD_STACKS;

static START: AtomicUsize = AtomicUsize::new(0);
static END: AtomicUsize = AtomicUsize::new(0);
/// Bytes in live slots, not quite, and how many there may be.
static LIVE: AtomicIsize = AtomicIsize::new(0);
static LIMIT: AtomicUsize = AtomicUsize::new(0);

/// Number of the part that the current thread allocates from.
fn own_part() -> usize {
    match identity::current() {
        Current::First => OWN,
        Current::InPlace(place) => LANES + place,
        Current::Other => SHARED,
    }
}

/// The addresses of a part, which come in the order of their numbers.
fn range_of(part: usize) -> Range<usize> {
    let (start, end) = (START.load(Ordering::Relaxed), END.load(Ordering::Relaxed));
    let lane = ((end - start) / LANE_SHARE) & !(PAGE - 1);
    let lanes = end - THREAD_STACKS * lane;
    let shared = start + (((lanes - start) / 4) & !(PAGE - 1));
    match part {
        OWN => start..shared,
        SHARED => shared..lanes,
        lane_of => lanes + (lane_of - LANES) * lane..lanes + (lane_of - LANES + 1) * lane,
    }
}

/// Runs `body` with a part, locked, and its addresses; `None` before [`reserve`].
fn with<R>(part: usize, body: impl FnOnce(&mut Heap, Range<usize>) -> R) -> Option<R> {
    let parts = PARTS.load(Ordering::Acquire);
    if parts.is_null() {
        return None;
    }
    debug_assert!(part < PARTS_LEN);
    // SAFETY: `reserve` mapped zeros for as many parts, and zeros are a part: null pointers, numbers, a lock that is open.
    // What changes in them does so under the lock, or in the first one by the freeze thread alone.
    let (heap, range) = (unsafe { &*parts.add(part) }, range_of(part));
    if part == OWN {
        // SAFETY: `own_part` gives it to the freeze thread alone, which is also the only one that asks for all parts, in `live`
        // and `for_each_live`. `body` never calls `with` (nothing in this file does).
        return Some(unsafe { heap.alone(|heap| body(heap, range)) });
    }
    // SAFETY: `body` never calls `with` and never unwinds.
    Some(unsafe { heap.with(|heap| body(heap, range)) })
}

/// Reserves `range` for the heap, which may hold `limit` bytes of live blocks.
///
/// # Errors
/// The `errno` of `mmap`.
pub(crate) fn reserve(range: Range<usize>, limit: usize) -> Result<(), i32> {
    memory::reserve(range.start, range.len())?;
    let parts = identity::note_space(PARTS_LEN * size_of::<Part>())?;
    START.store(range.start, Ordering::Relaxed);
    END.store(range.end, Ordering::Relaxed);
    LIMIT.store(limit, Ordering::Relaxed);
    PARTS.store(parts.cast(), Ordering::Release);
    // Not the lanes: a thread may need little, and there may be many.
    memory::expect_dense_use(range_of(OWN).start..range_of(SHARED).end);
    Ok(())
}

/// The addresses of the heap.
pub(crate) fn range() -> Range<usize> {
    START.load(Ordering::Relaxed)..END.load(Ordering::Relaxed)
}

/// Bytes in live slots: more than those blocks have.
pub(crate) fn live() -> usize {
    let drift = |part| with(part, |heap, _| heap.drift).unwrap_or(0);
    let live = LIVE.load(Ordering::Relaxed) + (0..PARTS_LEN).map(drift).sum::<isize>();
    live.max(0).unsigned_abs()
}

/// The memory that is writable: of the freeze thread's part, and of everybody's. Called by that thread only.
pub(crate) fn writable() -> [Range<usize>; 2] {
    [OWN, SHARED].map(|part| with(part, |heap, range| range.start..range.start + heap.committed).unwrap_or_default())
}

/// Whether `address` lies in the heap.
pub(crate) fn contains(address: *const u8) -> bool {
    let start = START.load(Ordering::Relaxed);
    address.addr().wrapping_sub(start) < END.load(Ordering::Relaxed) - start
}

impl Heap {
    /// Counts bytes in live slots: for everybody only now and then, because that takes longer.
    fn count(&mut self, bytes: isize) {
        self.drift += bytes;
        if self.drift.abs() > DRIFT {
            // Negative, if what was freed here was allocated in another part, which has not added it yet.
            let before = LIVE.fetch_add(self.drift, Ordering::Relaxed);
            let bytes = |live: isize| live.max(0).unsigned_abs();
            tell::progress(bytes(before), bytes(before + self.drift));
            self.drift = 0;
        }
    }

    /// A slot of a class, and whether its memory beyond the first page is still zero. `range`: the part's addresses.
    fn take(&mut self, class: usize, range: &Range<usize>) -> Option<(*mut SlotHeader, bool)> {
        let slot = self.free[class];
        if !slot.is_null() {
            // SAFETY: slots in the free list are slots of this heap, committed, and nobody else's.
            self.free[class] = ptr::with_exposed_provenance_mut(unsafe { (*slot).index } as usize);
            self.idle -= class_size(class);
            return Some((slot, false));
        }
        let used = self.used.checked_add(class_size(class)).filter(|used| *used <= range.len())?;
        if used > self.committed {
            let committed = used.next_multiple_of(STEP).min(range.len());
            // SAFETY: `reserve` reserved it: `range` is a part of the heap, and this ends within it.
            unsafe { memory::make_writable(range.start + self.committed, committed - self.committed) }.ok()?;
            self.committed = committed;
        }
        let slot = ptr::with_exposed_provenance_mut::<SlotHeader>(range.start + self.used);
        self.used = used;
        Some((slot, true))
    }
}

/// A slot of a class, from the current thread's part, else from the first one. `filled`: most of it will be used at once.
fn take(class: usize, filled: bool) -> Option<(*mut SlotHeader, bool)> {
    let size = class_size(class);
    let from = |part| {
        with(part, |heap, range| {
            let live = (LIVE.load(Ordering::Relaxed) + heap.drift).max(0).unsigned_abs();
            if live.checked_add(size)? > LIMIT.load(Ordering::Relaxed) {
                return None;
            }
            let (slot, fresh) = heap.take(class, &range)?;
            heap.count(size as isize);
            if fresh && filled && part == OWN {
                prefault::expect(slot.addr(), slot.addr() + size);
            }
            Some((slot, fresh))
        })
        .flatten()
    };
    let own = own_part();
    from(own).or_else(|| if own == SHARED { None } else { from(SHARED) })
}

/// A block, or null when the limit is reached.
pub(crate) fn alloc(layout: Layout, zeroed: bool, number: Number) -> *mut u8 {
    if layout.align() > MOST_ALIGNED {
        return ptr::null_mut();
    }
    let slack = if layout.align() <= 16 { 0 } else { layout.align() };
    // As many bytes as its alignment, so that no address with a tag, in bits that the alignment leaves free, means the
    // next block.
    let total = layout.size().max(slack).checked_add(HEADER + slack + 1);
    let Some(class) = total.and_then(class_of) else { return ptr::null_mut() };
    let most = MOST_AHEAD.min(LIMIT.load(Ordering::Relaxed) / 64);
    let filled = layout.size() < LARGE || !zeroed && layout.size() <= most;
    let Some((slot, fresh)) = take(class, filled) else { return ptr::null_mut() };
    let first = slot.addr() + HEADER;
    let address = if slack == 0 { first } else { first.next_multiple_of(layout.align()) };
    let distance = address - slot.addr();
    let block = slot.cast::<u8>().wrapping_add(distance);
    // SAFETY: the slot has room for its header and, behind it, for the block at any of the possible distances; it is
    // committed and this thread's alone. The four bytes before the block lie in the header or in the slack.
    unsafe {
        slot.write(SlotHeader {
            index: number.index,
            size: layout.size() as u64,
            thread: number.thread,
            trace: number.trace,
            class: class as u16,
            align: layout.align().ilog2() as u8,
            live: 1,
            distance: distance as u32,
        });
        block.cast::<u32>().sub(1).write(distance as u32);
        if zeroed && !fresh {
            block.write_bytes(0, layout.size());
        }
    }
    block
}

/// The header of a live block.
///
/// # Safety
/// It is the address of a live block of this heap.
unsafe fn header(block: *mut u8) -> *mut SlotHeader {
    // SAFETY: the caller's promise; the four bytes before the block were written by `alloc`: how far its header, which is in
    // the heap too, stands before it. Both are aligned to more than that.
    unsafe { block.sub(block.cast::<u32>().sub(1).read() as usize).cast() }
}

/// Takes a block back.
///
/// # Safety
/// It is the address of a live block of this heap, and nobody uses it any more.
pub(crate) unsafe fn dealloc(block: *mut u8) {
    // SAFETY: the caller's promise.
    let slot = unsafe { header(block) };
    // SAFETY: the block is live, hence its slot is this thread's alone.
    let class = unsafe {
        (*slot).live = 0;
        (*slot).class as usize
    };
    let size = class_size(class);
    if size >= LARGE {
        let first = (slot.addr() + HEADER).next_multiple_of(PAGE);
        let last = (slot.addr() + size) & !(PAGE - 1);
        // SAFETY: whole pages of the slot behind its header; the block is not used any more, as the caller promises.
        unsafe { memory::forget_pages(first, last - first) };
    }
    let put = |part| {
        with(part, |heap, range| {
            let fits = part < LANES || heap.idle + size <= range.len();
            if fits {
                // SAFETY: as above; from here on the slot is the heap's.
                unsafe { (*slot).index = heap.free[class].expose_provenance() as u64 };
                heap.free[class] = slot;
                heap.idle += size;
                heap.count(-(size as isize));
            }
            fits
        })
    };
    // Whatever part it comes from, the slot goes to the thread that freed it, which by itself does the same in every run;
    // unless that thread frees much more than it allocates.
    if put(own_part()) == Some(false) {
        put(SHARED);
    }
}

/// Which allocation a live block came from.
///
/// # Safety
/// It is the address of a live block of this heap, and the caller's.
pub(crate) unsafe fn number_of(block: *mut u8) -> Number {
    // SAFETY: the caller's promise.
    let slot = unsafe { header(block) };
    // SAFETY: the block is live, so its slot's header is initialised and nobody writes to it now.
    unsafe { Number { thread: (*slot).thread, trace: (*slot).trace, index: (*slot).index } }
}

/// Gives a live block another size where it stands, if its slot has room.
///
/// # Safety
/// It is the address of a live block of this heap, and the caller's.
pub(crate) unsafe fn resize(block: *mut u8, new_size: usize) -> bool {
    // SAFETY: the caller's promise.
    let slot = unsafe { header(block) };
    // SAFETY: as in `number_of`; the caller owns the block.
    unsafe {
        let end = slot.addr() + class_size((*slot).class as usize);
        // One byte stays free, so that the end of the block is not the start of the next slot.
        if block.addr().checked_add(new_size).is_none_or(|new_end| new_end >= end) {
            return false;
        }
        (*slot).size = new_size as u64;
    }
    true
}

/// A live block, as the tool wants to hear of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block {
    pub(crate) address: usize,
    pub(crate) size: u64,
    pub(crate) align: u32,
    pub(crate) number: Number,
}

/// Calls `each` for every live block, in order of addresses. Only when no other thread allocates any more: blocks that
/// come or go meanwhile may be missed.
pub(crate) fn for_each_live(mut each: impl FnMut(Block)) {
    for part in 0..PARTS_LEN {
        let (mut at, end) = with(part, |heap, range| (range.start, range.start + heap.used)).unwrap_or_default();
        while at < end {
            let slot = ptr::with_exposed_provenance::<SlotHeader>(at);
            // SAFETY: slots lie back to back from the part's beginning to `end`; each has had its header written since
            // `take` made it (or, if another thread is between the two, a class of 0 and ends the walk).
            let header = unsafe { slot.read() };
            if header.class == 0 {
                break;
            }
            if header.live == 1 {
                let first = at + HEADER;
                let align = 1usize << header.align;
                each(Block {
                    address: if align <= 16 { first } else { first.next_multiple_of(align) },
                    size: header.size,
                    align: align as u32,
                    number: Number { thread: header.thread, trace: header.trace, index: header.index },
                });
            }
            at += class_size(header.class as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_hold_what_they_are_for_and_waste_little() {
        for total in (49..5000).chain([1 << 20, (1 << 20) + 1, (3 << 30) + 7]) {
            let class = class_of(total).unwrap();
            let size = class_size(class);
            assert!(size >= total && size % 16 == 0, "{total} in class {class} of {size}");
            assert!(size <= total + 16 + total / 4, "{total} wastes too much in {size}");
        }
        assert_eq!(class_of(usize::MAX), None);
    }

    #[test]
    fn the_heap_keeps_its_books() {
        // Where no other test of this process has anything.
        let start = 0x5550_0000_0000;
        reserve(start..start + (1 << 30), 1 << 29).unwrap();
        let number = |index| Number { thread: 0, trace: 0, index };
        let layout = |size, align| Layout::from_size_align(size, align).unwrap();
        let mut blocks = Vec::new();
        for (index, (size, align)) in [
            (1, 1),
            (24, 8),
            (1000, 64),
            (5000, 4096),
            (300_000, 16),
            (0, 1),
            (77, 32),
            (3, 256),
            (2, 512),
            (4, 1024),
            (1, 1),
        ]
        .into_iter()
        .enumerate()
        {
            let block = alloc(layout(size, align), false, number(index as u64));
            assert!(!block.is_null() && block.addr() % align == 0 && contains(block));
            // SAFETY: a block of `size` bytes, just allocated.
            unsafe { block.write_bytes(0xee, size) };
            blocks.push((block, size, align));
        }
        let mut seen = Vec::new();
        for_each_live(|block| {
            seen.push((block.address, block.size as usize, block.align as usize, block.number.index))
        });
        let expected: Vec<_> = blocks.iter().enumerate().map(|(i, (b, s, a))| (b.addr(), *s, *a, i as u64)).collect();
        assert_eq!(seen, expected);
        let mut neighbours = seen.windows(2);
        assert!(
            neighbours.all(|pair| pair[0].0 + pair[0].1.max(pair[0].2) < pair[1].0),
            "tags reach a neighbour: {seen:?}"
        );

        let (big, ..) = blocks[4];
        // SAFETY: a live block, not used any more.
        unsafe { dealloc(big) };
        let again = alloc(layout(300_000, 16), true, number(9));
        assert_eq!(again, big, "a freed slot is used again");
        // SAFETY: 300,000 bytes, just allocated with zeros.
        assert!(unsafe { core::slice::from_raw_parts(again, 300_000) }.iter().all(|byte| *byte == 0));
        // SAFETY: live blocks of this test's: `again` is where `big` was.
        unsafe {
            assert_eq!(number_of(again).index, 9);
            assert!(resize(again, 300_001) && !resize(again, 3_000_000));
            for (block, ..) in blocks {
                dealloc(block);
            }
        }
        assert_eq!(live(), 0);
        assert!(alloc(layout(1 << 30, 1), false, number(0)).is_null(), "over the limit");
    }
}
