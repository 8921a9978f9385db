//! Trace: who made an allocation. Only in plan runs, and only if the tool asked for it.
//!
//! A trace is a list of return addresses, innermost first. Most allocations come from few places, so traces are kept
//! once each and known by where they stand:
//!
//! ```text
//! WORDS  │ 0 │ count │ address … │ count │ address … │ …        TABLE  hash → place in WORDS
//!              ▲ 1                 ▲ 1 + 1 + count
//! ```
//!
//! A traced run is to be like any other, or it would make another plan. So all of this lies where the scratch heap of a
//! proving run would be, which moves nothing else, and stacks are walked on a stack of their own: what a walk leaves on
//! a stack is found there by what is called next, and some of it gets into the unused parts of objects.

use crate::freeze::lock::Lock;
use crate::os::assembly::assembly_function;
use crate::os::{headers, memory};
use core::ffi::{c_int, c_void};
use core::hint::black_box;
use core::ops::Range;
use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering};
use fastboot_format::protocol::SCRATCH;

/// Return addresses of a trace that are kept.
const DEPTH: usize = 40;
/// Words for traces. What does not fit is not traced.
const WORDS: usize = 1 << 28;
/// Slots of the hash table.
const SLOTS: usize = 1 << 22;
/// Traces that there may be: the table never gets full.
const MOST: usize = SLOTS / 4 * 3;
/// Size in bytes of a stack that stacks are walked on.
const STACK_LEN: usize = 256 << 10;

/// Where the words, the table and the stacks lie.
const WORDS_AT: usize = SCRATCH[1] as usize;
const TABLE_AT: usize = WORDS_AT + WORDS * size_of::<u32>();
const STACKS_AT: usize = TABLE_AT + SLOTS * size_of::<u32>();

/// For how many threads there is room.
static THREADS: AtomicUsize = AtomicUsize::new(0);
/// Addresses of the executable; return addresses outside of it are left out.
static START: AtomicUsize = AtomicUsize::new(0);
static END: AtomicUsize = AtomicUsize::new(0);

struct Traces {
    /// [`WORDS`] of them, or null.
    words: *mut u32,
    /// Those in use; the first is never a trace's.
    used: usize,
    /// [`SLOTS`] of them: 0 or the place of a trace.
    table: *mut u32,
    count: usize,
}

// SAFETY: the pointers are to memory that is reached through them alone, and that any thread may use.
unsafe impl Send for Traces {}

static TRACES: Lock<Traces> = Lock::new(Traces { words: ptr::null_mut(), used: 1, table: ptr::null_mut(), count: 0 });

fn with<R>(body: impl FnOnce(&mut Traces) -> R) -> R {
    // SAFETY: `body` never calls `with` (nothing in this file does) and never unwinds.
    unsafe { TRACES.with(body) }
}

/// Makes room for the traces of so many threads.
///
/// # Errors
/// The `errno` of `mmap`.
pub(crate) fn begin(threads: usize) -> Result<(), i32> {
    memory::reserve(WORDS_AT, STACKS_AT - WORDS_AT + threads * STACK_LEN)?;
    // SAFETY: reserved just now.
    unsafe { memory::make_writable(WORDS_AT, STACKS_AT - WORDS_AT) }?;
    THREADS.store(threads, Ordering::Relaxed);
    let start = headers::executable_start();
    START.store(start, Ordering::Relaxed);
    END.store(headers::executable_end().min(start.saturating_add(u32::MAX as usize)), Ordering::Relaxed);
    with(|traces| {
        traces.words = ptr::with_exposed_provenance_mut(WORDS_AT);
        traces.table = ptr::with_exposed_provenance_mut(TABLE_AT);
    });
    // The unwinder may allocate from C's heap when it is first used: now, rather than while a root is evaluated.
    walk();
    Ok(())
}

/// The top of the stack on which the stack of the thread of this index is walked; `None` when there is no memory for
/// it.
pub(crate) fn stack(thread: usize) -> Option<usize> {
    let start = STACKS_AT + thread * STACK_LEN;
    if thread >= THREADS.load(Ordering::Relaxed) {
        return None;
    }
    // SAFETY: `begin` reserved it, for as many threads.
    unsafe { memory::make_writable(start, STACK_LEN) }.ok()?;
    Some(start + STACK_LEN)
}

/// The place of the trace of whoever called this; 0 if there is no room for it, or if `stack`, which otherwise
/// [`stack`] returned for this thread, is 0. Either way the stack below is the same afterwards.
#[inline]
pub(crate) fn record(stack: usize) -> u32 {
    let place = record_on(stack);
    scrub();
    place
}

#[inline(never)]
fn record_on(stack: usize) -> u32 {
    if stack == 0 {
        return 0;
    }
    // SAFETY: `stack` is the page-aligned end of `STACK_LEN` writable bytes that only this thread uses, and it does not
    // use them now: `walk` allocates nothing from Rust's allocator and so does not come here again.
    unsafe { on_stack(stack, walk) }
}

/// Overwrites what the function above left on the stack.
#[inline(never)]
fn scrub() {
    black_box(&mut [0u8; 512]);
}

/// All words: traces are known by where in them they begin. Only when no other thread allocates any more.
pub(crate) fn words() -> &'static [u32] {
    with(|traces| match traces.words.is_null() {
        true => &[][..],
        // SAFETY: `used` words were written; they are never unmapped, and nobody writes to them again.
        false => unsafe { core::slice::from_raw_parts(traces.words, traces.used) },
    })
}

unsafe extern "C" {
    /// Calls `body` with `top` as the top of its stack. The frame is described for the unwinder, which so finds its way
    /// from one stack to the other.
    ///
    /// # Safety
    /// `top` is a multiple of 16 and the end of a writable range that is large enough for `body` and used by nothing else.
    #[link_name = "fastboot_on_stack"]
    fn on_stack(top: usize, body: extern "C" fn() -> u32) -> u32;
}

assembly_function!("fastboot_on_stack" in ".text.fastboot_on_stack", [
    ".cfi_startproc",
    "push rbp",
    ".cfi_def_cfa_offset 16",
    ".cfi_offset rbp, -16",
    "mov rbp, rsp",
    ".cfi_def_cfa_register rbp",
    "mov rsp, rdi",
    "call rsi",
    "mov rsp, rbp",
    "pop rbp",
    ".cfi_def_cfa rsp, 8",
    "ret",
    ".cfi_endproc",
]);

/// A frame, to the unwinder that the standard library uses too.
#[repr(C)]
struct Context {
    _private: [u8; 0],
}

unsafe extern "C" {
    fn _Unwind_Backtrace(each: extern "C" fn(*mut Context, *mut c_void) -> c_int, argument: *mut c_void) -> c_int;
    fn _Unwind_GetIP(context: *mut Context) -> usize;
}

/// `_Unwind_Reason_Code`: go on, and any other one.
const GO_ON: c_int = 0;
const STOP: c_int = 5;

struct Walked {
    /// Distances from where the executable begins.
    addresses: [u32; DEPTH],
    count: usize,
    executable: Range<usize>,
}

/// Walks the stack and finds or keeps the trace.
extern "C" fn walk() -> u32 {
    let executable = START.load(Ordering::Relaxed)..END.load(Ordering::Relaxed);
    let mut walked = Walked { addresses: [0; DEPTH], count: 0, executable };
    // SAFETY: `each` gets the argument it expects, and `walked` is not used elsewhere until this returns.
    unsafe { _Unwind_Backtrace(each, (&raw mut walked).cast()) };
    let Walked { addresses, count, .. } = &walked;
    with(|traces| traces.place_of(&addresses[..*count]))
}

extern "C" fn each(context: *mut Context, walked: *mut c_void) -> c_int {
    // SAFETY: `walk` passed a `Walked` that only this call uses now.
    let walked = unsafe { &mut *walked.cast::<Walked>() };
    // SAFETY: the unwinder passes a frame that is valid during this call.
    let address = unsafe { _Unwind_GetIP(context) };
    if walked.executable.contains(&address) {
        walked.addresses[walked.count] = (address - walked.executable.start) as u32;
        walked.count += 1;
    }
    if walked.count < DEPTH { GO_ON } else { STOP }
}

impl Traces {
    /// Where this trace stands, put there if it is new.
    fn place_of(&mut self, trace: &[u32]) -> u32 {
        if self.words.is_null() || trace.is_empty() {
            return 0;
        }
        let hash = trace.iter().fold(0x9e37_79b9_7f4a_7c15_u64, |hash, address| {
            (hash ^ u64::from(*address)).wrapping_mul(0xff51_afd7_ed55_8ccd).rotate_left(29)
        });
        let mut slot = hash as usize % SLOTS;
        loop {
            // SAFETY: the table has `SLOTS` entries, zero or written by this function.
            match unsafe { self.table.add(slot).read() } as usize {
                0 => break,
                place if self.is_at(place, trace) => return place as u32,
                _ => slot = (slot + 1) % SLOTS,
            }
        }
        let (place, end) = (self.used, self.used + 1 + trace.len());
        if end > WORDS || self.count == MOST {
            return 0;
        }
        // SAFETY: `place..end` lies in the words, behind those in use; `slot` in the table.
        unsafe {
            self.words.add(place).write(trace.len() as u32);
            ptr::copy_nonoverlapping(trace.as_ptr(), self.words.add(place + 1), trace.len());
            self.table.add(slot).write(place as u32);
        }
        self.used = end;
        self.count += 1;
        place as u32
    }

    fn is_at(&self, place: usize, trace: &[u32]) -> bool {
        // SAFETY: the table holds places of traces only: a count, and behind it as many words.
        unsafe {
            let count = self.words.add(place).read() as usize;
            core::slice::from_raw_parts(self.words.add(place + 1), count) == trace
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[inline(never)]
    fn here(stack: usize, depth: usize) -> u32 {
        let place = if depth == 0 { record(stack) } else { here(stack, depth - 1) };
        // Not a tail call, which would leave no frame.
        black_box(place)
    }

    #[test]
    fn traces_are_kept_once_each() {
        begin(2).unwrap();
        let stack = stack(1).unwrap();
        let [shallow, deep, deeper] = [0, 3, 3 * DEPTH].map(|depth| here(stack, depth));
        let again: Vec<u32> = (0..3).map(|_| here(stack, 3)).collect();
        assert!(again.windows(2).all(|pair| pair[0] == pair[1]), "{again:?}");
        let trace = |place: u32| {
            let words = &words()[place as usize..];
            words[1..][..words[0] as usize].to_vec()
        };
        assert_ne!(trace(shallow), trace(deep));
        assert_eq!(record(0), 0);
        assert_eq!(trace(deeper).len(), DEPTH);
        // A recursion: the same return address again and again.
        let repeated = trace(deeper).windows(2).filter(|pair| pair[0] == pair[1]).count();
        assert!(repeated > DEPTH / 2, "{:x?}", trace(deeper));
        assert!(trace(deep).len() > 3, "the walk ends where the stacks meet: {:x?}", trace(deep));
    }
}
