//! Identity: the n-th allocation of a thread is the same allocation in every freeze run, and has a number.
//!
//! That is what plans are made of. Threads are told apart by how they came about: the freeze thread, its first child, its
//! second, the first child of its second... `cargo fastboot` links with `--wrap=pthread_create`, so that every thread
//! that Rust code creates passes through here. A thread that came about otherwise has no plan.

use super::{placements, random, tell, trace};
use crate::alloc;
use crate::os::memory;
use core::alloc::Layout;
use core::cell::Cell;
use core::ffi::c_void;
use core::ops::Range;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use fastboot_format::image::PAGE;
use fastboot_format::protocol::{NOTES_LEN, THREAD_STACK_LEN, THREAD_STACKS};

/// Which allocation of which thread a block came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Number {
    /// Index of the thread in the registry.
    pub(crate) thread: u32,
    /// Place of its trace in [`trace`], or 0.
    pub(crate) trace: u32,
    /// Counted from 0 for each thread.
    pub(crate) index: u64,
}

/// [`Number::thread`] of blocks of unknown threads: those that were not started through the wrapped `pthread_create`, such
/// as a shared library's.
pub(crate) const UNKNOWN: u32 = u32::MAX;
/// [`Number::thread`] of blocks that have a place in the image but had to leave it; the index is the placement's.
pub(crate) const PLACED: u32 = u32::MAX - 1;

impl Number {
    /// Of a block that has this placement, but is not there.
    pub(crate) fn placed(placement: u32) -> Self {
        Self { thread: PLACED, trace: 0, index: u64::from(placement) }
    }
}

/// Most threads a freeze run can tell apart.
const MAX_THREADS: usize = 1 << 16;
/// Most allocations of one thread that can be planned.
const MAX_LOGGED: usize = 1 << 30;
/// Key of the freeze thread.
const FIRST_KEY: u64 = 1;

pub(crate) type StartRoutine = extern "C-unwind" fn(*mut c_void) -> *mut c_void;

/// How many threads did not ask for what the plan says.
static DIVERGENCES: AtomicU64 = AtomicU64::new(0);

/// How many threads left their plan.
pub(crate) fn divergences() -> u64 {
    DIVERGENCES.load(Ordering::Relaxed)
}

/// What is known of a thread. Never freed; written to by that thread alone, but for `start` and `argument`.
pub(crate) struct Thread {
    pub(crate) key: u64,
    index: u32,
    children: AtomicU32,
    /// Allocations so far.
    count: AtomicU64,
    /// In a plan run: what was asked for, allocation by allocation.
    log: *mut u32,
    /// In a plan run with traces: the top of a stack for [`trace::record`], or 0.
    trace_stack: usize,
    /// In a place run: the plan for this thread.
    plan: &'static [u64],
    /// What was asked for was not what the plan says: its numbers mean nothing any more.
    diverged: AtomicBool,
    /// What it runs, and with what.
    pub(crate) start: Option<StartRoutine>,
    pub(crate) argument: *mut c_void,
    /// Its `pthread_t`, for threads that were created while freezing.
    handle: AtomicU64,
    /// State of its generator of random bytes.
    random: AtomicU64,
    /// Which of the places for threads it has.
    place: Option<usize>,
}

impl Thread {
    /// The `pthread_t` of the thread, 0 for the freeze thread.
    pub(crate) fn handle(&self) -> u64 {
        self.handle.load(Ordering::Relaxed)
    }

    /// Notes it.
    pub(crate) fn set_handle(&self, handle: u64) {
        self.handle.store(handle, Ordering::Relaxed);
    }

    /// Where its stack is to be, if it has a place: reserved for it, and for nobody else.
    pub(crate) fn stack(&self) -> Option<Range<usize>> {
        self.place.map(|place| parts_of(place).1)
    }
}

std::thread_local! {
    static CURRENT: Cell<*const Thread> = const { Cell::new(ptr::null()) };
}

/// Array of `MAX_THREADS` pointers; null before [`begin`].
static REGISTRY: AtomicPtr<*const Thread> = AtomicPtr::new(ptr::null_mut());
static REGISTERED: AtomicUsize = AtomicUsize::new(0);
static LOGGING: AtomicBool = AtomicBool::new(false);
static TRACING: AtomicBool = AtomicBool::new(false);

/// Starts counting, with this thread as the first. Called once, when there is one thread that allocates.
///
/// # Errors
/// The `errno` of `mmap`.
pub(crate) fn begin(logging: bool, tracing: bool) -> Result<(), i32> {
    let registry = note_space(MAX_THREADS * size_of::<*const Thread>())?;
    REGISTRY.store(registry.cast(), Ordering::Release);
    LOGGING.store(logging, Ordering::Relaxed);
    if tracing {
        trace::begin(MAX_THREADS)?;
        TRACING.store(true, Ordering::Relaxed);
    }
    let thread = register(FIRST_KEY, None).ok_or(libc::ENOMEM)?;
    CURRENT.set(thread);
    Ok(())
}

/// Makes a thread known; `None` when there is no memory for that, or there are too many.
fn register(key: u64, place: Option<usize>) -> Option<*mut Thread> {
    let registry = REGISTRY.load(Ordering::Acquire);
    let index = REGISTERED.fetch_add(1, Ordering::AcqRel);
    if registry.is_null() || index >= MAX_THREADS {
        return None;
    }
    let log = if LOGGING.load(Ordering::Relaxed) {
        memory::map_anonymous(MAX_LOGGED * size_of::<u32>()).ok()?.cast()
    } else {
        ptr::null_mut()
    };
    let trace_stack = if TRACING.load(Ordering::Relaxed) { trace::stack(index).unwrap_or(0) } else { 0 };
    let thread: *mut Thread = match place.map(|place| parts_of(place).0) {
        Some(page) => {
            // SAFETY: `reserve` reserved the places, and this one was taken for this thread alone.
            unsafe { memory::make_writable(page, PAGE) }.ok()?;
            ptr::with_exposed_provenance_mut(page)
        }
        None => note_space(size_of::<Thread>()).ok()?.cast(),
    };
    // SAFETY: `thread` is fresh memory, page-aligned and large enough; `registry` has `MAX_THREADS` entries, of which
    // entry `index` is this call's alone.
    unsafe {
        thread.write(Thread {
            key,
            index: index as u32,
            children: AtomicU32::new(0),
            count: AtomicU64::new(0),
            log,
            trace_stack,
            plan: placements::of_thread(key),
            diverged: AtomicBool::new(false),
            start: None,
            argument: ptr::null_mut(),
            handle: AtomicU64::new(0),
            random: AtomicU64::new(random::first_state(key)),
            place,
        });
        registry.add(index).write(thread);
    }
    Some(thread)
}

/// The threads that were seen, in the order of [`Number::thread`], with what each asked for (in a plan run).
pub(crate) fn threads() -> impl Iterator<Item = (&'static Thread, &'static [u32])> {
    let registry = REGISTRY.load(Ordering::Acquire);
    let count = if registry.is_null() { 0 } else { REGISTERED.load(Ordering::Acquire).min(MAX_THREADS) };
    (0..count).filter_map(move |index| {
        // SAFETY: the registry has `MAX_THREADS` entries, null or the address of a thread that is never freed.
        let thread = unsafe { (*registry.add(index)).as_ref() }?;
        if thread.log.is_null() {
            return Some((thread, &[][..]));
        }
        let logged = (thread.count.load(Ordering::Relaxed) as usize).min(MAX_LOGGED);
        // SAFETY: the log has `MAX_LOGGED` entries, zero until written; entries below `count` are not written again.
        Some((thread, unsafe { core::slice::from_raw_parts(thread.log, logged) }))
    })
}

/// What a thread asks for, as a number that is compared with the plan's; never 0.
pub(crate) fn fingerprint(layout: Layout) -> u32 {
    let size = layout.size() as u64;
    ((size ^ (size >> 32)) as u32).wrapping_mul(0x9e37_79b1) ^ (layout.align() as u32) | 1
}

/// What the plan says of an allocation.
pub(crate) enum Planned {
    /// Nothing: there is no plan, or it has proved wrong.
    No(Number),
    /// It will be freed again.
    Temporary(Number),
    /// It has this placement.
    Placed(u32),
}

/// Counts an allocation of the current thread.
pub(crate) fn next(layout: Layout) -> Planned {
    // SAFETY: null, or the address of a thread that is never freed.
    let Some(thread) = (unsafe { CURRENT.get().as_ref() }) else {
        return Planned::No(Number { thread: UNKNOWN, trace: 0, index: 0 });
    };
    let index = thread.count.load(Ordering::Relaxed);
    thread.count.store(index + 1, Ordering::Relaxed);
    let mut number = Number { thread: thread.index, trace: 0, index };
    if !thread.log.is_null() {
        number.trace = trace::record(thread.trace_stack);
        if (index as usize) < MAX_LOGGED {
            // SAFETY: inside the log, which only this thread writes to.
            unsafe { thread.log.add(index as usize).write(fingerprint(layout)) };
        }
    }
    if thread.diverged.load(Ordering::Relaxed) {
        return Planned::No(number);
    }
    let Some(entry) = thread.plan.get(index as usize) else { return Planned::No(number) };
    if *entry as u32 != fingerprint(layout) {
        thread.diverged.store(true, Ordering::Relaxed);
        DIVERGENCES.fetch_add(1, Ordering::Relaxed);
        tell::write_strayed(thread.key, index, layout);
        return Planned::No(number);
    }
    match (*entry >> 32) as u32 {
        0 => Planned::Temporary(number),
        placement => Planned::Placed(placement - 1),
    }
}

/// Which places are taken. A place is a stack and a part of the scratch heap for one thread. Which one a thread gets follows
/// from its key: the freeze thread's first child, for example, gets the first place in every run. A place is never given to
/// a second thread, because its parts may still be in use after the first one has ended. A thread that finds all of them
/// taken has the stack that the C library gives it.
static TAKEN: [AtomicBool; THREAD_STACKS] = [const { AtomicBool::new(false) }; THREAD_STACKS];
/// First address of the places.
static PLACES: AtomicUsize = AtomicUsize::new(0);
/// The rest of the memory for notes: first address, end.
static NOTES: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];

/// Reserves the address space for notes and for the stacks of threads, from `start` on.
///
/// # Errors
/// The `errno` of `mmap`.
pub(crate) fn reserve(start: usize) -> Result<(), i32> {
    let places = start + NOTES_LEN as usize;
    // Without the last page, which guards the freeze thread's stack.
    memory::reserve(start, NOTES_LEN as usize + THREAD_STACKS * THREAD_STACK_LEN as usize - PAGE)?;
    // SAFETY: reserved just now.
    unsafe { memory::make_writable(start, NOTES_LEN as usize) }?;
    PLACES.store(places, Ordering::Relaxed);
    NOTES[1].store(places, Ordering::Relaxed);
    NOTES[0].store(start, Ordering::Relaxed);
    Ok(())
}

/// Zeroed memory for the rest of the process, among the notes as long as there is room.
///
/// # Errors
/// The `errno` of `mmap`.
pub(crate) fn note_space(length: usize) -> Result<*mut u8, i32> {
    let length = length.next_multiple_of(PAGE);
    let start = NOTES[0].fetch_add(length, Ordering::Relaxed);
    if start + length > NOTES[1].load(Ordering::Relaxed) {
        return memory::map_anonymous(length);
    }
    Ok(ptr::with_exposed_provenance_mut(start))
}

/// A place for the thread with this key, which is its parent's `number`-th child.
fn take_place(parent: &Thread, number: u32, key: u64) -> Option<usize> {
    // Children of the freeze thread begin at the front, in order; others somewhere in the second half, where they hardly
    // meet each other.
    const HALF: usize = THREAD_STACKS / 2;
    let first = if parent.key == FIRST_KEY {
        number as usize
    } else {
        HALF + (key.wrapping_mul(0xff51_afd7_ed55_8ccd) >> 32) as usize % HALF
    };
    (0..THREAD_STACKS)
        .map(|attempt| (first + attempt) % THREAD_STACKS)
        .find(|place| !TAKEN[*place].swap(true, Ordering::Relaxed))
}

/// What a place is made of: a page to note who is there, and address space for the stack. There is a page without access
/// at either end of that.
fn parts_of(place: usize) -> (usize, Range<usize>) {
    let start = PLACES.load(Ordering::Relaxed) + place * THREAD_STACK_LEN as usize;
    (start, start + 2 * PAGE..start + THREAD_STACK_LEN as usize - PAGE)
}

/// Which thread is running.
pub(crate) enum Current {
    /// The freeze thread.
    First,
    /// One that has this place.
    InPlace(usize),
    /// One that has none, or that is unknown.
    Other,
}

/// The current thread.
pub(crate) fn current() -> Current {
    // SAFETY: null, or the address of a thread that is never freed.
    match unsafe { CURRENT.get().as_ref() } {
        Some(Thread { place: Some(place), .. }) => Current::InPlace(*place),
        // Numbers are given once; `begin` took this one.
        Some(Thread { index: 0, .. }) => Current::First,
        _ => Current::Other,
    }
}

/// The state of the current thread's generator of random bytes; `None` for an unknown thread.
pub(crate) fn random_state() -> Option<&'static AtomicU64> {
    // SAFETY: null, or the address of a thread that is never freed.
    unsafe { CURRENT.get().as_ref() }.map(|thread| &thread.random)
}

/// Makes a thread known that the current one is about to start. `None` outside of a freeze run, if the current thread is
/// itself unknown, and if there are too many.
pub(crate) fn new_child() -> Option<*mut Thread> {
    // SAFETY: null, or the address of a thread that is never freed.
    let parent = unsafe { CURRENT.get().as_ref() }.filter(|_| alloc::is_freezing())?;
    let number = parent.children.fetch_add(1, Ordering::Relaxed);
    let key = (parent.key.wrapping_mul(0x1000_0000_01b3) ^ u64::from(number)).wrapping_add(0x9e37_79b9);
    register(key, take_place(parent, number, key))
}

/// The current thread is this one, which [`new_child`] made known.
pub(crate) fn become_thread(thread: *const Thread) {
    CURRENT.set(thread);
}
