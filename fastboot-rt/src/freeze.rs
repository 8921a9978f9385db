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

use crate::capture::{
    AGAIN, BLOCK_LEN, CAPTURE_FILE, HELD, HOME_SHIFT, InputKind, Leftover, Mode, PLAN_FILE, Payload, Phase,
    REQUEST_FILE, Request, SCRATCH_LEN, STACK_LEN, STACK_TOP, STACKS_LEN, STATUS_BYTES, STATUS_DONE, STATUS_FILE,
    STATUS_LEN, STATUS_NAME, STATUS_PHASE, STATUS_TOTAL, Tag, is_well_apart, may_lead_somewhere,
};
use crate::format::{HOME_WINDOW, PAGE};
use crate::left::Open;
use crate::roots::RootRecord;
use crate::section::Program;
use crate::start::Placeholder;
use crate::{ahead, alloc, arena, c_heap, cold, mask, number, place, plan, roots, scratch, sys, trace, watch, wrap};
use core::convert::Infallible;
use core::ffi::{CStr, c_void};
use core::ops::Range;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufWriter, Write};
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
    times: &'a [u64],
    /// What the statics held before, and after.
    pub(crate) before: &'a Copies,
    pub(crate) after: &'a Copies,
    /// Blocks of C's heap that came to be meanwhile, are in use, and the root that was evaluated then.
    pub(crate) c_blocks: &'a [(&'static str, c_heap::Block)],
}

/// The listener of the tool's runs: everything goes into the capture.
struct CaptureFile;

impl Listener for CaptureFile {
    fn began(&self, record: &RootRecord, index: usize) {
        status_name(record.name());
        status_u32(STATUS_DONE, index as u32);
        status_u32(STATUS_PHASE, Phase::Evaluating as u32);
    }

    fn panicked(&self, root: &str, message: &str, location: &str) {
        write_record(Tag::Panic, &[&string(root), &string(message), &string(location)]);
    }

    fn out_of_memory(&self, root: &str, asked: u64, limit: u64) {
        // The fields are on the stack.
        let length = (root.len() as u32).to_le_bytes();
        write_record(Tag::OutOfMemory, &[&length, root.as_bytes(), &word(asked), &word(limit)]);
    }

    fn left_behind(&self, root: &str, kind: Leftover, what: &str) {
        write_record(Tag::LeftBehind, &[&string(root), &word(kind as u64), &string(what)]);
    }

    fn refused(&self, reason: &str) {
        if CAPTURE.get().is_none() {
            let _ = writeln!(io::stderr(), "fastboot: cannot freeze: {reason}");
        }
        write_record(Tag::Refused, &[&string(reason)]);
    }

    fn ended(&self, evaluated: &Evaluated<'_>) -> bool {
        status_name("");
        status_u32(STATUS_DONE, evaluated.times.len() as u32);
        status_u32(STATUS_PHASE, Phase::Writing as u32);
        let written = write_capture(evaluated);
        if written {
            status_u32(STATUS_PHASE, Phase::Done as u32);
        }
        written
    }
}

/// The capture.
static CAPTURE: OnceLock<File> = OnceLock::new();
/// The kernel's number of the thread that is writing a record, or 0. One at a time, so that records never mix: the freeze
/// thread writes them, and whichever thread opens a file, panics or runs out of memory.
static WRITER: AtomicI32 = AtomicI32::new(0);
/// The process that writes it. A child that was forked is another one.
static OWNER: AtomicU32 = AtomicU32::new(0);
/// The status page, or null.
static STATUS: AtomicPtr<u8> = AtomicPtr::new(core::ptr::null_mut());
/// The home address of this run.
static HOME: AtomicUsize = AtomicUsize::new(0);
/// Highest address of the stack for expressions.
static STACK: AtomicUsize = AtomicUsize::new(STACK_TOP[0] as usize);
/// Address of the `fastboot` section's segment, 0 if it has none of its own.
static SECTION: AtomicUsize = AtomicUsize::new(0);
/// The kernel's number of the freeze thread, or 0 before there is one.
static THREAD: AtomicI32 = AtomicI32::new(0);
/// Whether this is a plan run.
static PLANNING: AtomicBool = AtomicBool::new(false);
/// Whether it is to record who made each allocation.
static TRACING: AtomicBool = AtomicBool::new(false);
/// The root being evaluated: its record, or null.
static CURRENT: AtomicPtr<RootRecord> = AtomicPtr::new(core::ptr::null_mut());
/// Arena bytes that may be used, for the message when they are used up.
static LIMIT: AtomicU64 = AtomicU64::new(0);
/// Whether an expression left anything open in the system.
static LEFT_BEHIND: AtomicBool = AtomicBool::new(false);
/// Whether a panic was recorded since the current root was begun.
static PANICKED: AtomicBool = AtomicBool::new(false);

/// Runs freeze mode with the files in `folder`. Called before `main`, when there is one thread.
pub(crate) fn run(folder: &CStr, placeholder: &'static Placeholder) -> ! {
    let folder = Path::new(OsStr::from_bytes(folder.to_bytes())).to_path_buf();
    let Err(reason) = begin(&folder, placeholder);
    CaptureFile.refused(&reason);
    sys::exit(FAILED)
}

fn begin(folder: &Path, placeholder: &'static Placeholder) -> Result<Infallible, String> {
    let path = folder.join(REQUEST_FILE);
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let request = Request::decode(&text)?;
    if let Some(randomize) = request.randomize {
        execute_again(randomize);
    }
    let bias = sys::program_headers().map_or(0, |(_, bias)| bias as u64);
    if request.apart.is_some_and(|other| !is_well_apart(bias.wrapping_sub(other))) {
        sys::exit(AGAIN);
    }
    sys::die_with_parent();
    // Child processes of the build expressions may be fastboot programs too.
    sys::remove_variable(c"FASTBOOT_FREEZE");

    let path = folder.join(CAPTURE_FILE);
    let capture = File::options().append(true).create(true).open(&path);
    let _ = CAPTURE.set(capture.map_err(|error| format!("{}: {error}", path.display()))?);
    OWNER.store(std::process::id(), Ordering::Relaxed);
    let path = folder.join(STATUS_FILE);
    if let Ok(file) = File::options().read(true).write(true).open(&path)
        && file.metadata().is_ok_and(|meta| meta.len() >= STATUS_LEN as u64)
        && let Some(page) = sys::map_shared(&file, STATUS_LEN)
    {
        STATUS.store(page, Ordering::Release);
    }
    status_u32(STATUS_TOTAL, roots::all().chain(roots::warm_ups()).count() as u32);

    let program = Program::find(placeholder).map_err(|reason| reason.to_string())?;
    if program.is_embedded() {
        return Err("it is embedded already; freeze the cold binary it was made from".to_owned());
    }
    watch::begin();
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
        mask::show_only(request.cpu).map_err(|errno| {
            let error = io::Error::from_raw_os_error(errno);
            format!(
                "this machine cannot hide features of its processor ({error}): that takes a processor with CPUID \
                 faulting (`cpuid_fault` in /proc/cpuinfo); leave out --cpu and freeze on an older machine"
            )
        })?;
    }
    reserve(request, folder)?;
    STACK.store(request.stack as usize, Ordering::Relaxed);
    wrap::set_random(request.seed);
    record_panics();
    on_large_stack(freeze_thread)?;
    Err("the freeze thread ended early: a root's expression ended its thread".to_owned())
}

/// Runs `body` on a thread of its own, with a stack of 1 GiB that begins at an address that does not depend on chance.
pub(crate) fn on_large_stack(body: extern "C" fn(*mut c_void) -> *mut c_void) -> Result<(), String> {
    let top = STACK.load(Ordering::Relaxed);
    let stack = top - STACK_LEN as usize..top;
    // One more page below it that stays without access: running over the end is a fault, not corruption.
    let reserved = sys::reserve(stack.start - PAGE, STACK_LEN as usize + PAGE);
    reserved
        .and_then(|()| sys::make_writable(stack.start, STACK_LEN as usize))
        .map_err(|errno| format!("cannot map a stack of 1 GiB: {}", io::Error::from_raw_os_error(errno)))?;
    // SAFETY: the range was reserved and made writable above, for this alone.
    unsafe { sys::run_on_stack(stack, body, help) }
        .map_err(|errno| format!("cannot start a thread: {}", io::Error::from_raw_os_error(errno)))
}

/// What the main thread does while a plan run's expressions are evaluated.
fn help() {
    if PLANNING.load(Ordering::Relaxed) {
        let thread = || THREAD.load(Ordering::Acquire);
        ahead::serve(|| thread() == 0 || sys::is_there(thread()));
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
    number::reserve(stacks.start)
        .map_err(|errno| format!("cannot reserve stacks: {}", io::Error::from_raw_os_error(errno)))?;
    let mut placed_end = PAGE;
    if request.mode == Mode::Place {
        let path = folder.join(PLAN_FILE);
        let file = File::open(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let header = sys::map_file(&file).and_then(plan::set).ok_or("the plan is damaged")?;
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
        ahead::begin();
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
    if !sys::set_randomization(randomize) {
        return;
    }
    let Ok(arguments) = std::fs::read("/proc/self/cmdline") else { return };
    let arguments = arguments.split_inclusive(|byte| *byte == 0);
    let arguments: Vec<_> = arguments.filter_map(|argument| CStr::from_bytes_with_nul(argument).ok()).collect();
    sys::execute_itself(&arguments);
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
    thread_locals: (usize, Vec<u8>),
}

impl Copies {
    fn now() -> Self {
        Self { statics: copy_statics(), thread_locals: sys::copy_thread_locals() }
    }
}

/// The statics of the executable, copied: address and bytes of each writable segment.
fn copy_statics() -> Vec<(usize, Vec<u8>)> {
    // SAFETY: the segment is mapped and readable for as long as the process runs.
    let copy = |segment: Range<usize>| (segment.start, unsafe { sys::copy_memory(segment) });
    sys::writable_segments(Some(SECTION.load(Ordering::Relaxed))).map(copy).collect()
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
    unsafe { sys::call_with_cleared_registers(call, (&raw mut evaluation).cast()) };
    evaluation.1
}

extern "C" fn freeze_thread(_: *mut c_void) -> *mut c_void {
    THREAD.store(sys::thread_id(), Ordering::Release);
    // None of what is allocated here can be in an image: the allocator does not freeze yet, or no longer.
    let mut times = Vec::with_capacity(roots::all().chain(roots::warm_ups()).count());
    if let Err(errno) = number::begin(PLANNING.load(Ordering::Relaxed), TRACING.load(Ordering::Relaxed)) {
        listener().refused(&format!("cannot count allocations: {}", io::Error::from_raw_os_error(errno)));
        sys::exit(FAILED);
    }
    cold::reserve();
    let before = Copies::now();
    let mut open = Open::now();
    let mut c_blocks = Vec::new();
    alloc::set_freezing(true);
    for (index, record) in roots::all().chain(roots::warm_ups()).enumerate() {
        CURRENT.store(core::ptr::from_ref(record).cast_mut(), Ordering::Relaxed);
        PANICKED.store(false, Ordering::Relaxed);
        listener().began(record, index);
        let old_blocks = number::exempt(c_heap::in_use);
        let began = sys::now();
        scrub_stack();
        if !evaluate_root(record) {
            if !PANICKED.load(Ordering::Relaxed) {
                listener().panicked(record.name(), "(without a message)", "");
            }
            sys::exit(FAILED);
        }
        times.push(sys::now() - began);
        number::exempt(|| {
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
    sys::exit(if kept { 0 } else { FAILED })
}

fn write_capture(&Evaluated { times, before, after, c_blocks }: &Evaluated<'_>) -> bool {
    let home = HOME.load(Ordering::Relaxed);
    let base = sys::program_headers().map_or(0, |(_, base)| base);
    let mut written = write_record(
        Tag::Process,
        &[
            &word(base as u64),
            &word(sys::executable_end() as u64),
            &word(mask::visible_features()),
            &word(home as u64),
            &word(roots::warm_ups().count() as u64),
            &word(sys::thread_locals().start as u64),
            &word(most_memory()),
            &word(u64::from(had_children())),
            &word(scratch::live() as u64),
        ],
    );
    for (record, time) in roots::all().zip(times) {
        let place = record.place();
        written &= write_record(
            Tag::Root,
            &[
                &word(record.value().addr() as u64),
                &word(record.size() as u64),
                &word(record.align() as u64),
                &word(place.start as u64),
                &word(place.end as u64),
                &word(*time),
                &string(record.name()),
                &string(record.type_name()),
            ],
        );
    }
    for (tag, copies) in [(Tag::Before, before), (Tag::After, after)] {
        for (address, bytes) in &copies.statics {
            written &= write_record(tag, &[&word(*address as u64), bytes]);
        }
    }
    let [(address, before), (_, after)] = [&before.thread_locals, &after.thread_locals];
    written &= write_record(Tag::ThreadLocals, &[&word(*address as u64), &word(before.len() as u64), before, after]);
    for (root, (address, size)) in c_blocks {
        written &= write_record(Tag::CBlock, &[&string(root), &word(*address), &word(*size)]);
    }
    if let Ok(maps) = std::fs::read_to_string("/proc/self/maps") {
        written &= write_record(Tag::Maps, &[&string(&maps)]);
    }
    written &= write_record(Tag::Counts, &place::counts().map(word).each_ref().map(|count| &count[..]));
    for (thread, log) in number::threads() {
        let log: Vec<u8> = log.iter().flat_map(|fingerprint| fingerprint.to_le_bytes()).collect();
        written &= write_record(Tag::Thread, &[&word(thread.key), &word(thread.handle()), &log]);
    }
    if PLANNING.load(Ordering::Relaxed) {
        written &= write_blocks(true);
    } else {
        written &= write_blocks(false);
        written &= write_memory(home + PAGE..arena::end());
    }
    written && write_record(Tag::End, &[])
}

/// Most bytes of memory that this process ever had at once; more than any machine has if that is not known.
fn most_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kilobytes =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.strip_suffix("kB")?.trim().parse().ok());
    kilobytes.map_or(u64::MAX, |kilobytes: u64| kilobytes.saturating_mul(1024))
}

/// Whether this process waited for child processes: then it has counted their page faults.
fn had_children() -> bool {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Behind the name of the executable, in parentheses: the state, and seven fields before this one, `cminflt`.
    let faults = stat.rsplit_once(')').and_then(|(_, fields)| fields.split_whitespace().nth(8));
    faults.is_none_or(|faults| faults != "0")
}

/// Forgets memory behind what is written: the tool, which reads it meanwhile, needs as much, and new memory costs more than
/// memory that was used just now.
struct Forgetting {
    /// Up to here everything is forgotten. Past all addresses if nothing may be.
    from: usize,
}

impl Forgetting {
    /// From `start` on, if nobody else is there to need it: no thread of the expressions', no child process that shares it, no
    /// signal handler.
    fn from(start: usize) -> Self {
        // This thread, and the one that waits for it.
        let alone = std::fs::read_dir("/proc/self/task").is_ok_and(|tasks| tasks.count() == 2);
        let alone = alone && !LEFT_BEHIND.load(Ordering::Relaxed);
        Self { from: if alone { start.next_multiple_of(LARGE_PAGE) } else { usize::MAX } }
    }

    /// Whether nobody else is there.
    fn is_alone(&self) -> bool {
        self.from != usize::MAX
    }

    /// Everything before `end` is written, and this thread does not need it any more.
    fn up_to(&mut self, end: usize) {
        let end = end & !(LARGE_PAGE - 1);
        if self.from < end {
            sys::forget_pages(self.from, end - self.from);
            self.from = end;
        }
    }
}

/// A large page: nothing smaller is forgotten.
const LARGE_PAGE: usize = 2 << 20;
/// How many bytes of memory are written at once.
const MEMORY_AT_ONCE: usize = 4 << 20;

/// Writes the memory of the image.
fn write_memory(memory: Range<usize>) -> bool {
    let mut forgetting = Forgetting::from(memory.start);
    let padding = memory.len().next_multiple_of(8) - memory.len();
    write_to_capture(|mut file| {
        file.write_all(&record_head(Tag::Memory, 8 + memory.len()))?;
        file.write_all(&word(memory.start as u64))?;
        for start in memory.clone().step_by(MEMORY_AT_ONCE) {
            let end = memory.end.min(start + MEMORY_AT_ONCE);
            // SAFETY: from the header page on to the arena's cursor everything is writable. What is said of other threads
            // in `contents` holds here too, and here it is the kernel that copies.
            let bytes =
                unsafe { core::slice::from_raw_parts(core::ptr::with_exposed_provenance::<u8>(start), end - start) };
            // Nobody changes the pages before they are read: this thread does not, and then the process ends.
            let given = if forgetting.is_alone() { sys::give_pages(file, bytes) } else { 0 };
            file.write_all(&bytes[given..])?;
            forgetting.up_to(end);
        }
        file.write_all(&[0; 8][..padding])
    })
}

/// How many blocks are written at once, if they do not take more memory than that.
const BLOCKS_AT_ONCE: usize = 16 << 10;

/// Writes the live blocks of the scratch heap, and what they hold if that is wanted.
fn write_blocks(with_bytes: bool) -> bool {
    let tracing = TRACING.load(Ordering::Relaxed);
    let scratch = scratch::range();
    let scratch = scratch.start as u64..scratch.end as u64;
    // In a PIE the tool looks for addresses of the executable as well.
    let all = sys::program_headers().is_none_or(|(_, bias)| bias != 0);
    let mut blocks = Vec::with_capacity(BLOCKS_AT_ONCE * BLOCK_LEN);
    let (mut traces, mut written) = (Vec::new(), true);
    let mut forgetting = Forgetting::from(scratch.start as usize);
    let mut written_to = scratch.start as usize;
    let mut write = |blocks: &mut Vec<u8>, traces: &mut Vec<u8>, end: usize| {
        written &= write_record(Tag::Blocks, &[blocks])
            && (!with_bytes || write_block_bytes(blocks))
            && (traces.is_empty() || write_record(Tag::Traces, &[traces]));
        blocks.clear();
        traces.clear();
        forgetting.up_to(end);
    };
    scratch::for_each_live(|block| {
        let (number, align) = (block.number, block.align as usize);
        let leads = || may_lead_somewhere(contents(block.address, block.size as usize), align, &scratch);
        let thread = u64::from(number.thread) | if with_bytes && (all || leads()) { HELD } else { 0 };
        let fields = [block.address as u64, block.size, u64::from(block.align), thread, number.index];
        blocks.extend_from_slice(fields.map(u64::to_le_bytes).as_flattened());
        if tracing {
            traces.extend_from_slice(&number.trace.to_le_bytes());
        }
        let end = block.address + block.size as usize;
        if blocks.len() == BLOCKS_AT_ONCE * BLOCK_LEN || end - written_to > MEMORY_AT_ONCE {
            write(&mut blocks, &mut traces, end);
            written_to = end;
        }
    });
    write(&mut blocks, &mut traces, written_to);
    if tracing {
        let words: Vec<u8> = trace::words().iter().flat_map(|word| word.to_le_bytes()).collect();
        written &= write_record(Tag::TraceWords, &[&words]);
    }
    written
}

/// What a live block of the scratch heap holds.
fn contents<'a>(address: usize, size: usize) -> &'a [u8] {
    // SAFETY: callers pass such a block, which lives as long as the process. Another thread that a root left running could
    // write while this is read; what is read is then one of the two: bytes that are copied, or that decide whether all of them
    // are, of which any are good.
    unsafe { core::slice::from_raw_parts(core::ptr::with_exposed_provenance::<u8>(address), size) }
}

/// Writes what those of these blocks hold that are to be held, given as they were written.
fn write_block_bytes(blocks: &[u8]) -> bool {
    let blocks = || {
        blocks.as_chunks::<BLOCK_LEN>().0.iter().filter_map(|block| {
            let mut fields = Payload::new(block);
            let (address, size) = (fields.number()? as usize, fields.number()? as usize);
            let (_align, thread) = (fields.number()?, fields.number()?);
            (thread & HELD != 0).then_some((address, size))
        })
    };
    let total = blocks().map(|(_, size)| size.next_multiple_of(8)).sum();
    let write = |file: &File| {
        let mut out = BufWriter::with_capacity(64 << 10, file);
        out.write_all(&record_head(Tag::BlockBytes, total))?;
        for (address, size) in blocks() {
            out.write_all(contents(address, size))?;
            out.write_all(&[0; 8][..size.next_multiple_of(8) - size])?;
        }
        out.flush()
    };
    write_to_capture(write)
}

fn word(word: u64) -> [u8; 8] {
    word.to_le_bytes()
}

fn string(text: &str) -> Vec<u8> {
    let mut bytes = (text.len() as u32).to_le_bytes().to_vec();
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

fn record_head(tag: Tag, length: usize) -> [u8; 16] {
    let mut head = [0u8; 16];
    head[..4].copy_from_slice(&(tag as u32).to_le_bytes());
    head[8..].copy_from_slice(&(length as u64).to_le_bytes());
    head
}

/// Length in bytes below which a record is put together on the stack and written at once: a path and the name of a root fit.
const SMALL: usize = 8192;

/// Writes one record made of the `fields`; `false` when the capture cannot be written (the tool then finds no end).
fn write_record(tag: Tag, fields: &[&[u8]]) -> bool {
    let length: usize = fields.iter().map(|field| field.len()).sum();
    let head = record_head(tag, length);
    let padding = [0u8; 8];
    let padding = &padding[..length.next_multiple_of(8) - length];
    let parts = || [&head[..]].into_iter().chain(fields.iter().copied()).chain([padding]);
    if length < SMALL {
        let mut record = [0u8; 16 + SMALL];
        let mut at = 0;
        for part in parts() {
            record[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        return write_to_capture(|mut file| file.write_all(&record[..at]));
    }
    write_to_capture(|mut file| parts().try_for_each(|part| file.write_all(part)))
}

/// Whether this is the process that writes the capture, and not a child that was forked.
pub(crate) fn is_owner() -> bool {
    std::process::id() == OWNER.load(Ordering::Relaxed)
}

/// Has `write` write a whole record.
fn write_to_capture(write: impl FnOnce(&File) -> io::Result<()>) -> bool {
    let Some(file) = CAPTURE.get().filter(|_| is_owner()) else { return false };
    let this = sys::thread_id();
    while let Err(other) = WRITER.compare_exchange_weak(0, this, Ordering::Acquire, Ordering::Relaxed) {
        // A signal handler that came in between.
        if other == this {
            return false;
        }
        sys::yield_now();
    }
    let written = write(file).is_ok();
    WRITER.store(0, Ordering::Release);
    written
}

/// The name of the root being evaluated.
fn current_name() -> &'static str {
    let record = CURRENT.load(Ordering::Relaxed);
    // SAFETY: null, or the address of a record in the registry: a static.
    unsafe { record.as_ref() }.map_or("", RootRecord::name)
}

/// Records that the arena is full. The allocation fails; what the program makes of that is its business.
#[cold]
pub(crate) fn out_of_memory(asked: usize) {
    listener().out_of_memory(current_name(), asked as u64, LIMIT.load(Ordering::Relaxed));
}

/// Records a file that is written to. Does not allocate.
pub(crate) fn write_output(path: &[u8]) {
    let root = current_name();
    let lengths = [root.len(), path.len()].map(|length| (length as u32).to_le_bytes());
    write_record(Tag::Output, &[&lengths[0], root.as_bytes(), &lengths[1], path]);
}

/// Records an input. Does not allocate.
pub(crate) fn write_input(kind: InputKind, declared: bool, input: &[u8]) {
    let root = current_name();
    let lengths = [root.len(), input.len()].map(|length| (length as u32).to_le_bytes());
    let numbers = [kind as u64, u64::from(declared)].map(word);
    let fields = [&lengths[0], root.as_bytes(), &numbers[0], &numbers[1], &lengths[1], input];
    write_record(Tag::Input, &fields);
}

/// Tells the tool how many bytes there are, `before` and `now`, whenever another MiB has been begun.
#[inline]
pub(crate) fn progress(before: usize, now: usize) {
    if before >> 20 != now >> 20 {
        let page = STATUS.load(Ordering::Acquire);
        if !page.is_null() {
            // SAFETY: the status page is mapped for the rest of the process, page-aligned, and has a `u64` at this
            // offset, which is only ever accessed atomically.
            unsafe { AtomicU64::from_ptr(page.add(STATUS_BYTES).cast()) }.store(now as u64, Ordering::Relaxed);
        }
    }
}

fn status_u32(offset: usize, value: u32) {
    let page = STATUS.load(Ordering::Acquire);
    if !page.is_null() {
        // SAFETY: the status page is mapped for the rest of the process, page-aligned; `offset` is one of the `STATUS_`
        // constants of `u32` fields, all multiples of four inside the page.
        unsafe { AtomicU32::from_ptr(page.add(offset).cast()) }.store(value, Ordering::Release);
    }
}

fn status_name(name: &str) {
    let page = STATUS.load(Ordering::Acquire);
    if page.is_null() {
        return;
    }
    let mut length = name.len().min(STATUS_LEN - STATUS_NAME - 4);
    while !name.is_char_boundary(length) {
        length -= 1;
    }
    status_u32(STATUS_NAME, 0);
    // SAFETY: `length` bytes fit behind the length field of the page, which is mapped and written to by this thread
    // alone; the source is another allocation.
    unsafe { core::ptr::copy_nonoverlapping(name.as_ptr(), page.add(STATUS_NAME + 4), length) };
    status_u32(STATUS_NAME, length as u32);
}
