//! Freeze mode: evaluates the roots, captures the memory they occupy, and ends the process.
//!
//! ```text
//! .init_array ─ request read ─ arena reserved ─┬─ freeze thread, stack at a fixed address ─ _exit
//!                                              │    every root evaluated, in the registry's order
//!                                              │    roots and memory written to the capture
//!                                              └─ waits
//! ```
//!
//! `main` never runs. For the tool the runtime only captures; what becomes of it is the tool's business. A program that
//! freezes itself ([`crate::first_run`]) has its roots evaluated here too, and makes of them what it needs.

use crate::entry::Placeholder;
use crate::freeze::heap::{arena, place, scratch};
use crate::freeze::observe::leftovers::Open;
use crate::freeze::observe::{c_heap, inputs_seen};
use crate::freeze::shims::random;
use crate::freeze::{identity, placements, prefault};
use crate::os::{cpuid_mask, environment, headers, memory, processes, threads, time};
use crate::roots::{RootRecord, evaluate};
use crate::start::section::Program;
use crate::{alloc, roots};

use super::write::{self, CaptureFile};
pub(crate) use super::write::{is_owner, progress, write_input, write_output};
use core::convert::Infallible;
use core::ffi::{CStr, c_void};
use core::ops::Range;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use fastboot_format::image::{HOME_WINDOW, PAGE};
use fastboot_format::protocol::{
    AGAIN, HOME_SHIFT, Leftover, Mode, PLAN_FILE, REQUEST_FILE, Request, SCRATCH_LEN, STACK_LEN, STACK_TOP, STACKS_LEN,
    is_well_apart,
};
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::sync::OnceLock;

/// Exit status of a freeze run that left a reason.
pub(crate) const FAILED: i32 = 101;

/// Takes what a freeze run has to say.
pub(crate) trait Listener: Sync {
    /// An expression is about to be evaluated: the one with this index.
    fn began(&self, record: &RootRecord, index: usize);
    /// An expression panicked. On any thread; with `panic = "abort"` nothing happens afterwards.
    fn panicked(&self, root: &str, message: &str, location: &str);
    /// There is no memory left. Must not allocate.
    fn out_of_memory(&self, root: &str, asked: u64, limit: u64);
    /// An expression left something open in the system: its kind, and what it is.
    fn left_behind(&self, root: &str, kind: Leftover, what: &str);
    /// The run cannot begin.
    fn refused(&self, reason: &str);
    /// All is evaluated. `false` if it could not be kept.
    fn ended(&self, evaluated: &Evaluated<'_>) -> bool;
}

/// Who listens to this run.
static LISTENER: OnceLock<&'static dyn Listener> = OnceLock::new();

fn listener() -> &'static dyn Listener {
    LISTENER.get().copied().unwrap_or(&CaptureFile)
}

/// What came of an evaluation.
pub(crate) struct Evaluated<'a> {
    /// Nanoseconds that each expression took.
    pub(super) times: &'a [u64],
    /// What the statics held before, and after.
    pub(crate) before: &'a Copies,
    pub(crate) after: &'a Copies,
    /// Blocks of C's heap that came to be meanwhile, are in use, and the root that was evaluated then.
    pub(crate) c_blocks: &'a [(&'static str, c_heap::Block)],
}

/// The home address of this run.
pub(super) static HOME: AtomicUsize = AtomicUsize::new(0);
/// Highest address of the stack for expressions.
static STACK: AtomicUsize = AtomicUsize::new(STACK_TOP[0] as usize);
/// Address of the `fastboot` section's segment, 0 if it has none of its own.
static SECTION: AtomicUsize = AtomicUsize::new(0);
/// The kernel's number of the freeze thread, or 0 before there is one.
static THREAD: AtomicI32 = AtomicI32::new(0);
/// Whether this is a plan run.
pub(super) static PLANNING: AtomicBool = AtomicBool::new(false);
/// Whether it is to record who made each allocation.
pub(super) static TRACING: AtomicBool = AtomicBool::new(false);
/// Whether it is to write down what every block holds.
pub(super) static HOLDING_ALL: AtomicBool = AtomicBool::new(false);
/// The root being evaluated: its record, or null.
static CURRENT: AtomicPtr<RootRecord> = AtomicPtr::new(core::ptr::null_mut());
/// Arena bytes that may be used, for the message when they are used up.
static LIMIT: AtomicU64 = AtomicU64::new(0);
/// Whether an expression left anything open in the system.
pub(super) static LEFT_BEHIND: AtomicBool = AtomicBool::new(false);
/// Whether a panic was recorded since the current root was begun.
static PANICKED: AtomicBool = AtomicBool::new(false);

/// Runs freeze mode with the files in `folder`. Called before `main`, when there is one thread.
pub(crate) fn run(folder: &CStr, placeholder: &'static Placeholder) -> ! {
    let folder = Path::new(OsStr::from_bytes(folder.to_bytes())).to_path_buf();
    let Err(reason) = begin(&folder, placeholder);
    CaptureFile.refused(&reason);
    processes::exit(FAILED)
}

fn begin(folder: &Path, placeholder: &'static Placeholder) -> Result<Infallible, String> {
    let path = folder.join(REQUEST_FILE);
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let request = Request::decode(&text)?;
    if let Some(randomize) = request.randomize {
        execute_again(randomize);
    }
    let bias = headers::program_headers().map_or(0, |(_, bias)| bias as u64);
    if request.apart.is_some_and(|other| !is_well_apart(bias.wrapping_sub(other))) {
        processes::exit(AGAIN);
    }
    processes::die_with_parent();
    // Child processes of the build expressions may be fastboot programs too.
    environment::remove_variable(c"FASTBOOT_FREEZE");

    write::begin(folder)?;

    let program = Program::find(placeholder).map_err(|reason| reason.to_string())?;
    if program.is_embedded() {
        return Err("it is embedded already; freeze the cold binary it was made from".to_owned());
    }
    inputs_seen::begin();
    evaluate(&request, folder, &program, &CaptureFile)
}

/// Evaluates the roots as the request says, whose files are in `folder`, and ends the process. Called before `main`, when
/// there is one thread.
pub(crate) fn evaluate(
    request: &Request,
    folder: &Path,
    program: &Program,
    listener: &'static dyn Listener,
) -> Result<Infallible, String> {
    let _ = LISTENER.set(listener);
    SECTION.store(program.segment.as_ref().map_or(0, |segment| segment.address), Ordering::Relaxed);
    if request.cpu != u64::MAX {
        cpuid_mask::show_only(request.cpu).map_err(|errno| {
            let error = io::Error::from_raw_os_error(errno);
            format!(
                "this machine cannot hide features of its processor ({error}): that takes a processor with CPUID \
                 faulting (`cpuid_fault` in /proc/cpuinfo); leave out --cpu and freeze on an older machine"
            )
        })?;
    }
    reserve(request, folder)?;
    STACK.store(request.stack as usize, Ordering::Relaxed);
    random::set_random(request.seed);
    record_panics();
    on_large_stack(freeze_thread)?;
    Err("the freeze thread ended early: a root's expression ended its thread".to_owned())
}

/// Runs `body` on a thread of its own, with a stack of 1 GiB that begins at an address that does not depend on chance.
pub(crate) fn on_large_stack(body: extern "C" fn(*mut c_void) -> *mut c_void) -> Result<(), String> {
    let top = STACK.load(Ordering::Relaxed);
    let stack = top - STACK_LEN as usize..top;
    // One more page below it that stays without access: running over the end is a fault, not corruption.
    let reserved = memory::reserve(stack.start - PAGE, STACK_LEN as usize + PAGE);
    reserved
        .and_then(|()| memory::make_writable(stack.start, STACK_LEN as usize))
        .map_err(|errno| format!("cannot map a stack of 1 GiB: {}", io::Error::from_raw_os_error(errno)))?;
    // SAFETY: the range was reserved and made writable above, for this alone.
    unsafe { threads::run_on_stack(stack, body, help) }
        .map_err(|errno| format!("cannot start a thread: {}", io::Error::from_raw_os_error(errno)))
}

/// What the main thread does while a plan run's expressions are evaluated.
fn help() {
    if PLANNING.load(Ordering::Relaxed) {
        let thread = || THREAD.load(Ordering::Acquire);
        prefault::serve(|| thread() == 0 || threads::is_there(thread()));
    }
}

/// Reserves the memory that objects will live in, as the request says.
fn reserve(request: &Request, folder: &Path) -> Result<(), String> {
    let (home, limit) = (request.home as usize, (request.limit as usize).min(HOME_SHIFT as usize));
    let scratch = request.scratch as usize..(request.scratch + SCRATCH_LEN) as usize;
    let inside = |range: &Range<usize>| {
        HOME_WINDOW.contains(&(range.start as u64))
            && HOME_WINDOW.contains(&(range.end as u64))
            && range.start.is_multiple_of(PAGE)
    };
    let stacks = request.stack.saturating_sub(STACKS_LEN) as usize..request.stack as usize;
    if ![&(home..home + limit), &scratch, &stacks].into_iter().all(inside) {
        return Err(format!("the request has addresses outside of the home window: {request:x?}"));
    }
    LIMIT.store(limit as u64, Ordering::Relaxed);
    HOME.store(home, Ordering::Relaxed);
    PLANNING.store(request.mode == Mode::Plan, Ordering::Relaxed);
    TRACING.store(request.mode == Mode::Plan && request.trace, Ordering::Relaxed);
    HOLDING_ALL.store(request.hold_all, Ordering::Relaxed);
    identity::reserve(stacks.start)
        .map_err(|errno| format!("cannot reserve stacks: {}", io::Error::from_raw_os_error(errno)))?;
    let mut placed_end = PAGE;
    if request.mode == Mode::Place {
        let path = folder.join(PLAN_FILE);
        let file = File::open(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let header = memory::map_file(&file).and_then(placements::set).ok_or("the plan is damaged")?;
        placed_end = header.end as usize;
    }
    let told = |what: &str, errno| {
        let error = io::Error::from_raw_os_error(errno);
        format!("cannot reserve memory for {what}: {error}; `cargo fastboot doctor` says what to do")
    };
    if request.mode != Mode::Plan {
        arena::reserve(home, placed_end, limit).map_err(|errno| told(&format!("the home address {home:#x}"), errno))?;
    }
    if request.mode == Mode::Plan {
        prefault::begin();
    }
    if request.mode != Mode::Verbatim {
        scratch::reserve(scratch, limit).map_err(|errno| told("temporaries", errno))?;
    }
    place::set_mode(request.mode, home, home + placed_end);
    // All of it lies in the home window, and nothing else does.
    alloc::set_image(HOME_WINDOW.start as usize, (HOME_WINDOW.end - HOME_WINDOW.start) as usize);
    Ok(())
}

/// Executes this program again with the same arguments, its addresses random or not. Returns if that is so already or is
/// not to be had, as in some containers: then images are the same, only not equal to the byte in every run.
fn execute_again(randomize: bool) {
    if !processes::set_randomization(randomize) {
        return;
    }
    let Ok(arguments) = std::fs::read("/proc/self/cmdline") else { return };
    let arguments = arguments.split_inclusive(|byte| *byte == 0);
    let arguments: Vec<_> = arguments.filter_map(|argument| CStr::from_bytes_with_nul(argument).ok()).collect();
    processes::execute_itself(&arguments);
}

/// Has every panic heard of: the last one is why the run failed, if it fails. With `panic = "abort"` nothing runs after the
/// hook.
fn record_panics() {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        PANICKED.store(true, Ordering::Relaxed);
        let message = info.payload_as_str().unwrap_or("(a payload that is not a string)");
        let location = info.location().map(ToString::to_string).unwrap_or_default();
        listener().panicked(current_name(), message, &location);
        before(info);
    }));
}

/// What the executable's statics hold, and this thread's thread-locals: addresses and bytes.
pub(crate) struct Copies {
    pub(crate) statics: Vec<(usize, Vec<u8>)>,
    pub(super) thread_locals: (usize, Vec<u8>),
}

impl Copies {
    fn now() -> Self {
        Self { statics: copy_statics(), thread_locals: headers::copy_thread_locals() }
    }
}

/// The statics of the executable, copied: address and bytes of each writable segment.
fn copy_statics() -> Vec<(usize, Vec<u8>)> {
    // SAFETY: the segment is mapped and readable for as long as the process runs.
    let copy = |segment: Range<usize>| (segment.start, unsafe { memory::copy_memory(segment) });
    headers::writable_segments(Some(SECTION.load(Ordering::Relaxed))).map(copy).collect()
}

/// Overwrites what earlier calls left on the stack below. Unused parts of objects keep what stood there, and what differs
/// from run to run there, such as what this module left when it looked at the process, would differ in images too.
#[inline(never)]
fn scrub_stack() {
    core::hint::black_box(&mut [0u8; 256 << 10]);
}

/// Evaluates a root; `false` if that panicked. What this thread has in registers is kept out of the frames below, for the
/// same reason.
fn evaluate_root(record: &'static RootRecord) -> bool {
    extern "C" fn call(evaluation: *mut c_void) {
        // SAFETY: the address of the variable below, which nobody uses meanwhile.
        let (record, ended) = unsafe { &mut *evaluation.cast::<(&'static RootRecord, bool)>() };
        *ended = panic::catch_unwind(AssertUnwindSafe(|| record.evaluate())).is_ok();
    }
    let mut evaluation = (record, false);
    // SAFETY: `call` takes the address of `evaluation` and does not unwind.
    unsafe { threads::call_with_cleared_registers(call, (&raw mut evaluation).cast()) };
    evaluation.1
}

extern "C" fn freeze_thread(_: *mut c_void) -> *mut c_void {
    THREAD.store(threads::thread_id(), Ordering::Release);
    // None of what is allocated here can be in an image: the allocator does not freeze yet, or no longer.
    let mut times = Vec::with_capacity(roots::all().chain(roots::warm_ups()).count());
    if let Err(errno) = identity::begin(PLANNING.load(Ordering::Relaxed), TRACING.load(Ordering::Relaxed)) {
        listener().refused(&format!("cannot count allocations: {}", io::Error::from_raw_os_error(errno)));
        processes::exit(FAILED);
    }
    evaluate::reserve();
    let before = Copies::now();
    let mut open = Open::now();
    let mut c_blocks = Vec::new();
    alloc::set_freezing(true);
    for (index, record) in roots::all().chain(roots::warm_ups()).enumerate() {
        CURRENT.store(core::ptr::from_ref(record).cast_mut(), Ordering::Relaxed);
        PANICKED.store(false, Ordering::Relaxed);
        listener().began(record, index);
        let old_blocks = identity::exempt(c_heap::in_use);
        let began = time::now();
        scrub_stack();
        if !evaluate_root(record) {
            if !PANICKED.load(Ordering::Relaxed) {
                listener().panicked(record.name(), "(without a message)", "");
            }
            processes::exit(FAILED);
        }
        times.push(time::now() - began);
        identity::exempt(|| {
            let new = c_heap::in_use().into_iter().filter(|block| old_blocks.binary_search(block).is_err());
            c_blocks.extend(new.map(|block| (record.name(), block)));
            let now = Open::settled(&open);
            for (kind, what) in now.since(&open) {
                LEFT_BEHIND.store(true, Ordering::Relaxed);
                listener().left_behind(record.name(), kind, &what);
            }
            open = now;
        });
    }
    alloc::set_freezing(false);
    let after = Copies::now();
    let still = c_heap::in_use();
    c_blocks.retain(|(_, block)| still.binary_search(block).is_ok());
    CURRENT.store(core::ptr::null_mut(), Ordering::Relaxed);
    let kept = listener().ended(&Evaluated { times: &times, before: &before, after: &after, c_blocks: &c_blocks });
    processes::exit(if kept { 0 } else { FAILED })
}

/// The name of the root being evaluated.
pub(super) fn current_name() -> &'static str {
    let record = CURRENT.load(Ordering::Relaxed);
    // SAFETY: null, or the address of a record in the registry: a static.
    unsafe { record.as_ref() }.map_or("", RootRecord::name)
}

/// Records that the arena is full. The allocation fails; what the program makes of that is its business.
#[cold]
pub(crate) fn out_of_memory(asked: usize) {
    listener().out_of_memory(current_name(), asked as u64, LIMIT.load(Ordering::Relaxed));
}
