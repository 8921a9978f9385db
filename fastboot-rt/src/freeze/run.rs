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

use super::evaluated::{Clocks, Copies, Evaluated, Settings, changed};
use super::heap::{arena, place, scratch};
use super::observe::leftovers::Open;
use super::observe::process_state::ProcessState;
use super::observe::{c_heap, inputs_seen};
use super::tell::{self, CaptureFile, Listener, listener};
use super::{identity, placements, prefault, random, shims, write};
use crate::os::{cpuid_mask, environment, headers, memory, processes, threads, time};
use crate::roots::evaluate;
use crate::roots::record::RootRecord;
use crate::start::section::{Placeholder, Program};
use crate::{alloc, roots};
use core::convert::Infallible;
use core::ffi::{CStr, c_void};
use core::ops::Range;
use core::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use fastboot_format::features::Mask;
use fastboot_format::image::{HOME_WINDOW, PAGE};
use fastboot_format::protocol::{
    AGAIN, HOME_SHIFT, Leftover, Mode, PLAN_FILE, REQUEST_FILE, Request, SCRATCH_LEN, STACKS_LEN, World, are_well_apart,
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

/// What is done with what was evaluated. `false` if it could not be kept.
pub(crate) type Keep = fn(&Settings, &Evaluated<'_>) -> bool;

/// This run.
static RUN: OnceLock<(Settings, Keep, Copies)> = OnceLock::new();
/// The kernel's number of the freeze thread, or 0 before there is one.
static THREAD: AtomicI32 = AtomicI32::new(0);
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
    if request.apart.is_some_and(|other| !are_well_apart(other, bias)) {
        processes::exit(AGAIN);
    }
    processes::die_with_parent();
    // Child processes of the build expressions may be fastboot programs too.
    // SAFETY: before `main`, when there is one thread.
    unsafe { environment::remove_variable(c"FASTBOOT_FREEZE") };

    tell::begin(folder)?;
    // SAFETY: as above.
    write::write_texts(unsafe { environment::variables() });

    let program = Program::find(placeholder).map_err(|reason| reason.to_string())?;
    if program.is_embedded() {
        return Err("it is embedded already; freeze the cold binary it was made from".to_owned());
    }
    inputs_seen::begin();
    evaluate(&request, folder, &program, &CaptureFile, write::write_capture)
}

/// Evaluates the roots as the request says, whose files are in `folder`, and ends the process. Called before `main`, when
/// there is one thread.
pub(crate) fn evaluate(
    request: &Request,
    folder: &Path,
    program: &Program,
    listener: &'static dyn Listener,
    keep: Keep,
) -> Result<Infallible, String> {
    tell::set_listener(listener);
    processes::ignore_broken_pipes();
    require_unevaluated()?;
    if request.cpu != Mask::MAX {
        cpuid_mask::show_only(request.cpu, &request.cpuid).map_err(|errno| {
            let error = io::Error::from_raw_os_error(errno);
            format!(
                "this machine cannot hide features of its processor ({error}): that takes a processor with CPUID \
                 faulting (`cpuid_fault` in /proc/cpuinfo); leave out --cpu and freeze on an older machine"
            )
        })?;
    }
    enter(request.world);
    reserve(request, folder)?;
    let planning = request.mode == Mode::Plan;
    let settings = Settings {
        planning,
        tracing: planning && request.trace,
        holding_all: request.hold_all,
        home: request.home as usize,
        section: program.segment.as_ref().map_or(0, |segment| segment.address),
        presets: request.presets.clone(),
    };
    // What changes from here on until an expression is evaluated, changes because memory is allocated.
    let untouched = Copies::now(settings.section);
    let _ = RUN.set((settings, keep, untouched));
    random::set(request.seed);
    shims::random::begin(request.seed);
    record_panics();
    threads::on_large_stack(request.stack as usize, freeze_thread, || help(planning))?;
    Err("the freeze thread ended early: a root's expression ended its thread".to_owned())
}

/// Refuses roots that are there already: they are in memory that is not captured.
fn require_unevaluated() -> Result<(), String> {
    roots::all().find(|record| !record.value().is_null()).map_or(Ok(()), |record| {
        Err(format!(
            "root `{}` was used before `main`, by a constructor (an entry of `.init_array`, as the crate `ctor` makes them), so it \
             was evaluated before anything could be captured. Use it in `main` and not in a constructor",
            record.name()
        ))
    })
}

/// Makes this process another one, as far as that can be done from inside. What cannot be changed stays as it is.
fn enter(world: World) {
    if let Some(umask) = world.umask {
        processes::set_umask(umask);
    }
    if world.fewer_processors {
        processes::leave_a_processor();
    }
    shims::clock::shift(world.clock);
    shims::folder::set_other(world.other_folder);
    shims::user::set_other(world.other_user);
}

/// What the main thread does while a plan run's expressions are evaluated.
fn help(planning: bool) {
    if planning {
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
            && range.start % PAGE == 0
    };
    let stacks = request.stack.saturating_sub(STACKS_LEN) as usize..request.stack as usize;
    if ![&(home..home + limit), &scratch, &stacks].into_iter().all(inside) {
        return Err(format!("the request has addresses outside of the home window: {request:x?}"));
    }
    tell::set_limit(limit as u64);
    identity::reserve(stacks.start)
        .map_err(|errno| format!("cannot reserve stacks: {}", io::Error::from_raw_os_error(errno)))?;
    let mut placed_end = PAGE;
    if request.mode == Mode::Place {
        let path = folder.join(PLAN_FILE);
        let file = File::open(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        // SAFETY: the file is the tool's, in a folder of its own, finished before this process was started.
        let header = unsafe { memory::map_file(&file) }.and_then(placements::set).ok_or("the plan is damaged")?;
        placed_end = header.end as usize;
    }
    let cannot_reserve = |what: &str, errno| {
        let error = io::Error::from_raw_os_error(errno);
        format!("cannot reserve memory for {what}: {error}; `cargo fastboot doctor` says what to do")
    };
    if request.mode != Mode::Plan {
        arena::reserve(home, placed_end, limit)
            .map_err(|errno| cannot_reserve(&format!("the home address {home:#x}"), errno))?;
    }
    if request.mode == Mode::Plan {
        prefault::begin();
    }
    if request.mode != Mode::Verbatim {
        scratch::reserve(scratch, limit).map_err(|errno| cannot_reserve("temporaries", errno))?;
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
    // SAFETY: before `main`; a thread that changes the environment just now would be one of a constructor before ours, of
    // which there is none but the standard library's.
    unsafe { processes::execute_itself(&arguments) };
}

/// Has every panic heard of: the last one is why the run failed, if it fails. With `panic = "abort"` nothing runs after the
/// hook.
fn record_panics() {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        PANICKED.store(true, Ordering::Relaxed);
        let text = info.payload().downcast_ref::<&str>().copied();
        let text = text.or_else(|| info.payload().downcast_ref::<String>().map(String::as_str));
        let message = text.unwrap_or("(a payload that is not a string)");
        let location = info.location().map(ToString::to_string).unwrap_or_default();
        listener().panicked(tell::current_name(), message, &location);
        before(info);
    }));
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
    extern "C-unwind" fn call(evaluation: *mut c_void) {
        // SAFETY: the address of the variable below, which nobody uses meanwhile.
        let (record, ended) = unsafe { &mut *evaluation.cast::<(&'static RootRecord, bool)>() };
        *ended = panic::catch_unwind(AssertUnwindSafe(|| record.evaluate())).is_ok();
    }
    let mut evaluation = (record, false);
    // SAFETY: `call` takes the address of `evaluation`.
    unsafe { threads::call_with_cleared_registers(call, (&raw mut evaluation).cast()) };
    evaluation.1
}

/// Gives statics the contents that they are to have. `false` if some of them are none.
fn preset(settings: &Settings) -> bool {
    let bias = headers::program_headers().map_or(0, |(_, bias)| bias);
    settings.presets.iter().all(|(address, bytes)| {
        let start = bias.wrapping_add(*address as usize);
        let end = start.saturating_add(bytes.len());
        let holds = |segment: Range<usize>| segment.start <= start && end <= segment.end;
        let is_static = headers::writable_segments(Some(settings.section)).any(holds);
        if is_static {
            let place = core::ptr::with_exposed_provenance_mut::<u8>(start);
            // SAFETY: so many bytes of a writable segment of the executable begin there. No reference to them is live: of the
            // program nothing runs now, and the main thread, which waits, uses the runtime's statics alone. The tool names none
            // but seeds of a hasher, with contents that the hasher could have drawn.
            unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), place, bytes.len()) };
        }
        is_static
    })
}

extern "C-unwind" fn freeze_thread(_: *mut c_void) -> *mut c_void {
    THREAD.store(threads::thread_id(), Ordering::Release);
    let Some((settings, keep, untouched)) = RUN.get() else { processes::exit(FAILED) };
    // None of what is allocated here can be in an image: the allocator does not freeze yet, or no longer.
    let count = roots::all().chain(roots::warm_ups()).count();
    let (mut times, mut ends) = (Vec::with_capacity(count), Vec::with_capacity(count));
    if let Err(errno) = identity::begin(settings.planning, settings.tracing) {
        listener().refused(&format!("cannot count allocations: {}", io::Error::from_raw_os_error(errno)));
        processes::exit(FAILED);
    }
    evaluate::reserve();
    cpuid_mask::handle_on_another_stack();
    // So that what its search leaves on the stack is gone before anything is evaluated.
    let _ = std::arch::is_x86_feature_detected!("avx2");
    let before = Copies::now(settings.section);
    let own = changed(untouched, &before);
    if !preset(settings) {
        listener().refused("the request is to change what is no static of this program");
        processes::exit(FAILED);
    }
    let began = Clocks::now();
    let mut traces = Traces::begin();
    alloc::begin_freezing(&place::HOOKS);
    for (index, record) in roots::all().chain(roots::warm_ups()).enumerate() {
        tell::set_current(Some(record));
        PANICKED.store(false, Ordering::Relaxed);
        listener().began(record, index);
        let old_blocks = alloc::exempt(c_heap::in_use);
        let began = time::now();
        scrub_stack();
        if !evaluate_root(record) {
            if !PANICKED.load(Ordering::Relaxed) {
                listener().panicked(record.name(), "(without a message)", "");
            }
            processes::exit(FAILED);
        }
        times.push(time::now() - began);
        ends.push(if settings.planning { 0 } else { arena::end() });
        alloc::exempt(|| traces.look(record, &old_blocks));
    }
    alloc::end_freezing();
    let clocks = [began, Clocks::now()];
    let after = Copies::now(settings.section);
    let still = c_heap::in_use();
    traces.c_blocks.retain(|(_, block)| still.binary_search(block).is_ok());
    tell::set_current(None);
    let Traces { c_blocks, left_behind, .. } = &traces;
    let evaluated = Evaluated {
        times: &times,
        ends: &ends,
        clocks,
        before: &before,
        after: &after,
        own: &own,
        c_blocks,
        left_behind: *left_behind,
    };
    processes::exit(if keep(settings, &evaluated) { 0 } else { FAILED })
}

/// Ends the process if what was allocated for this root cannot be read, or is code: an image is neither.
fn require_data(record: &RootRecord, state: &ProcessState) {
    let ranges = [arena::writable()].into_iter().chain(scratch::writable());
    let (mut is_readable, mut is_code) = (true, false);
    for range in ranges {
        is_readable &= state.can_read(&range);
        is_code |= state.can_execute_part(&range);
    }
    let why = if !is_readable {
        "such that it cannot be read (with `mprotect` or `munmap`), so it cannot be captured. Have the expression make it \
         readable again before it returns, and protect it in `main`"
    } else if is_code {
        "such that it can be executed (with `mprotect`): code that was made while the program ran, which the image would not let \
         it execute. Make it in `main`, or keep it out of the root"
    } else {
        return;
    };
    listener().refused(&format!("root `{}` left memory that was allocated for it {why}", record.name()));
    processes::exit(FAILED);
}

/// What expressions left in the process besides their values.
struct Traces {
    /// What is open now.
    open: Open,
    /// Everything else that an expression can change in the process.
    state: ProcessState,
    /// Blocks of C's heap, each with the root that was evaluated when it came to be, or nothing.
    c_blocks: Vec<(&'static str, c_heap::Block)>,
    /// Whether anything was left open.
    left_behind: bool,
}

impl Traces {
    fn begin() -> Self {
        // Constructors may have made objects in C's heap, as the C library and the runtime have.
        let c_blocks = c_heap::in_use().into_iter().map(|block| ("", block)).collect();
        Self { open: Open::now(), state: ProcessState::now(None), c_blocks, left_behind: false }
    }

    /// Looks what the expression of this root left. `old_blocks` were there before.
    fn look(&mut self, record: &'static RootRecord, old_blocks: &[c_heap::Block]) {
        let new = c_heap::in_use().into_iter().filter(|block| old_blocks.binary_search(block).is_err());
        self.c_blocks.extend(new.map(|block| (record.name(), block)));
        let open = Open::settled(&self.open);
        let state = ProcessState::now(Some(&self.state));
        require_data(record, &state);
        for (kind, what) in open.since(&self.open).into_iter().chain(state.since(&self.state)) {
            // A handler may run at any time, as what is open may be used, and a timer may start a thread.
            self.left_behind |= !kind.is_change() || matches!(kind, Leftover::Handlers | Leftover::Timer);
            listener().left_behind(record.name(), kind, &what);
        }
        (self.open, self.state) = (open, state);
    }
}
