//! Freeze mode: evaluates the roots, captures the memory they occupy, and ends the process.
//!
//! ```text
//! .init_array ─ request read ─ arena reserved ─┬─ freeze thread, stack at a fixed address ─ _exit
//!                                              │    every root evaluated, in the registry's order
//!                                              │    roots and memory written to the capture
//!                                              └─ waits
//! ```
//!
//! `main` never runs. The runtime only captures; what becomes of it is the tool's business.

use crate::capture::{
    CAPTURE_FILE, Phase, REQUEST_FILE, Request, STATUS_BYTES, STATUS_DONE, STATUS_FILE, STATUS_LEN, STATUS_NAME,
    STATUS_PHASE, STATUS_TOTAL, Tag,
};
use crate::format::HOME_WINDOW;
use crate::roots::RootRecord;
use crate::start::Placeholder;
use crate::{alloc, arena, cpu, roots, sys};
use core::ffi::{CStr, c_void};
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::sync::OnceLock;

/// Highest address of the freeze thread's stack: the same in every run, and far above any image.
const STACK_TOP: usize = HOME_WINDOW.end as usize & !0xfff_ffff;
/// Its size in bytes. Only pages that are touched cost memory.
const STACK_LEN: usize = 1 << 30;
/// Exit status of a freeze run that wrote a reason into its capture.
const FAILED: i32 = 101;

/// The capture file. Written to by the freeze thread, and by whichever thread panics or runs out of memory; each record
/// is a single `write`, so records never mix.
static CAPTURE: OnceLock<File> = OnceLock::new();
/// The status page, or null.
static STATUS: AtomicPtr<u8> = AtomicPtr::new(core::ptr::null_mut());
/// The home address of this run.
static HOME: AtomicUsize = AtomicUsize::new(0);
/// Index and address of the root being evaluated: its record, or null.
static CURRENT: AtomicPtr<RootRecord> = AtomicPtr::new(core::ptr::null_mut());
/// Arena bytes that may be used, for the message when they are used up.
static LIMIT: AtomicU64 = AtomicU64::new(0);
/// Whether a panic was recorded since the current root was begun.
static PANICKED: AtomicBool = AtomicBool::new(false);

/// Runs freeze mode with the files in `folder`. Called before `main`, when there is one thread.
pub(crate) fn run(folder: &CStr, placeholder: &'static Placeholder) -> ! {
    let folder = Path::new(OsStr::from_bytes(folder.to_bytes())).to_path_buf();
    let began = begin(&folder, placeholder);
    let Err(reason) = began;
    if CAPTURE.get().is_none() {
        let _ = writeln!(io::stderr(), "fastboot: cannot freeze: {reason}");
    }
    write_record(Tag::Refused, &[string(&reason).as_slice()]);
    sys::exit(FAILED)
}

fn begin(folder: &Path, placeholder: &'static Placeholder) -> Result<core::convert::Infallible, String> {
    let path = folder.join(REQUEST_FILE);
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let request = Request::decode(&text)?;
    if !request.randomize {
        execute_without_randomization();
    }
    sys::die_with_parent();
    // Child processes of the build expressions may be fastboot programs too.
    sys::remove_variable(c"FASTBOOT_FREEZE");

    let path = folder.join(CAPTURE_FILE);
    let capture = File::options().append(true).create(true).open(&path);
    let _ = CAPTURE.set(capture.map_err(|error| format!("{}: {error}", path.display()))?);
    let path = folder.join(STATUS_FILE);
    if let Ok(file) = File::options().read(true).write(true).open(&path)
        && file.metadata().is_ok_and(|meta| meta.len() >= STATUS_LEN as u64)
        && let Some(page) = sys::map_shared(&file, STATUS_LEN)
    {
        STATUS.store(page, Ordering::Release);
    }
    status_u32(STATUS_TOTAL, roots::all().count() as u32);

    let (home, limit) = (request.home as usize, request.limit as usize);
    let end = home.checked_add(limit);
    if !HOME_WINDOW.contains(&request.home) || end.is_none_or(|end| end > STACK_TOP - STACK_LEN - STACK_LEN) {
        return Err(format!("home address {home:#x} with {limit} bytes is outside of what fastboot uses"));
    }
    crate::thaw::unmap_embedded(placeholder, home);
    arena::reserve(home, limit).map_err(|errno| {
        format!("cannot reserve {limit} bytes at the home address {home:#x}: {}", io::Error::from_raw_os_error(errno))
    })?;
    HOME.store(home, Ordering::Relaxed);
    LIMIT.store(request.limit, Ordering::Relaxed);

    let stack = STACK_TOP - STACK_LEN..STACK_TOP;
    // One more page below it that stays without access: running over the end is a fault, not corruption.
    let reserved = sys::reserve(stack.start - 4096, STACK_LEN + 4096);
    reserved
        .and_then(|()| sys::make_writable(stack.start, STACK_LEN))
        .map_err(|errno| format!("cannot map the freeze thread's stack: {}", io::Error::from_raw_os_error(errno)))?;
    crate::wrap::set_random(request.seed);
    record_panics();
    // SAFETY: the range was reserved and made writable above, for this alone.
    unsafe { sys::run_on_stack(stack, freeze_thread) }
        .map_err(|errno| format!("cannot start the freeze thread: {}", io::Error::from_raw_os_error(errno)))?;
    Err("the freeze thread ended early: a root's expression ended its thread".to_owned())
}

/// Executes this program again with the same arguments, its addresses no longer random. Returns if that is so already
/// or is not to be had, as in some containers: then images are the same, only not equal to the byte in every run.
fn execute_without_randomization() {
    if !sys::forbid_randomization() {
        return;
    }
    let Ok(arguments) = std::fs::read("/proc/self/cmdline") else { return };
    let arguments: Vec<CString> = arguments
        .split_inclusive(|byte| *byte == 0)
        .filter_map(|a| CString::from_vec_with_nul(a.to_vec()).ok())
        .collect();
    let mut pointers: Vec<_> = arguments.iter().map(|argument| argument.as_ptr()).collect();
    pointers.push(core::ptr::null());
    // SAFETY: a path and a null-terminated array of C strings, all alive. On success nothing of this process remains.
    unsafe { libc::execv(c"/proc/self/exe".as_ptr(), pointers.as_ptr()) };
}

/// Writes every panic to the capture: the last one is why the run failed, if it fails. With `panic = "abort"` nothing
/// runs after the hook.
fn record_panics() {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        PANICKED.store(true, Ordering::Relaxed);
        let message = info.payload_as_str().unwrap_or("(a payload that is not a string)");
        let location = info.location().map(ToString::to_string).unwrap_or_default();
        write_record(Tag::Panic, &[&string(current_name()), &string(message), &string(&location)]);
        before(info);
    }));
}

extern "C" fn freeze_thread(_: *mut c_void) -> *mut c_void {
    // The capture is written after the last root, so nothing of what this vector holds can be in an image.
    let mut times = Vec::with_capacity(roots::all().count());
    alloc::set_freezing(true);
    for (index, record) in roots::all().enumerate() {
        CURRENT.store(core::ptr::from_ref(record).cast_mut(), Ordering::Relaxed);
        PANICKED.store(false, Ordering::Relaxed);
        status_name(record.name());
        status_u32(STATUS_PHASE, Phase::Evaluating as u32);
        let began = sys::now();
        if panic::catch_unwind(AssertUnwindSafe(|| record.evaluate())).is_err() {
            if !PANICKED.load(Ordering::Relaxed) {
                write_record(Tag::Panic, &[&string(record.name()), &string("(without a message)"), &string("")]);
            }
            sys::exit(FAILED);
        }
        times.push(sys::now() - began);
        status_u32(STATUS_DONE, index as u32 + 1);
    }
    alloc::set_freezing(false);
    CURRENT.store(core::ptr::null_mut(), Ordering::Relaxed);
    status_name("");
    status_u32(STATUS_PHASE, Phase::Writing as u32);
    if !write_capture(&times) {
        sys::exit(FAILED);
    }
    status_u32(STATUS_PHASE, Phase::Done as u32);
    sys::exit(0)
}

fn write_capture(times: &[u64]) -> bool {
    let home = HOME.load(Ordering::Relaxed);
    let base = sys::program_headers().map_or(0, |(_, base)| base);
    let mut written = write_record(
        Tag::Process,
        &[&number(base as u64), &number(sys::executable_end() as u64), &number(cpu::features()), &number(home as u64)],
    );
    for (record, time) in roots::all().zip(times) {
        written &= write_record(
            Tag::Root,
            &[
                &number(record.value().addr() as u64),
                &number(record.size() as u64),
                &number(record.align() as u64),
                &number(*time),
                &string(record.name()),
                &string(record.type_name()),
            ],
        );
    }
    let memory = arena::captured(home);
    let length = memory.end - memory.start;
    // SAFETY: the arena is writable from its start up to the cursor. Another thread that a root left running could
    // write while this is read; what is read is then one of the two, as bytes that the kernel copies, never as a value.
    let bytes = unsafe { core::slice::from_raw_parts(core::ptr::with_exposed_provenance::<u8>(memory.start), length) };
    written && write_record(Tag::Memory, &[&number(memory.start as u64), bytes]) && write_record(Tag::End, &[])
}

fn number(number: u64) -> [u8; 8] {
    number.to_le_bytes()
}

fn string(text: &str) -> Vec<u8> {
    let mut bytes = (text.len() as u32).to_le_bytes().to_vec();
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

/// Writes one record made of the `fields`; `false` when the file cannot be written (the tool then finds no end).
fn write_record(tag: Tag, fields: &[&[u8]]) -> bool {
    let Some(mut file) = CAPTURE.get() else { return false };
    let length: usize = fields.iter().map(|field| field.len()).sum();
    let mut head = [0u8; 16];
    head[..4].copy_from_slice(&(tag as u32).to_le_bytes());
    head[8..].copy_from_slice(&(length as u64).to_le_bytes());
    let padding = [0u8; 8];
    let padding = &padding[..length.next_multiple_of(8) - length];
    if length < 4096 {
        let mut record = [0u8; 16 + 4096];
        let mut at = 0;
        for part in [&head[..]].into_iter().chain(fields.iter().copied()).chain([padding]) {
            record[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        return file.write_all(&record[..at]).is_ok();
    }
    file.write_all(&head).is_ok()
        && fields.iter().all(|field| file.write_all(field).is_ok())
        && file.write_all(padding).is_ok()
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
    // No allocation here: the fields are on the stack.
    let name = current_name();
    let length = (name.len() as u32).to_le_bytes();
    let limit = LIMIT.load(Ordering::Relaxed);
    write_record(Tag::OutOfMemory, &[&length, name.as_bytes(), &number(asked as u64), &number(limit)]);
}

/// Tells the tool how much there is, whenever another MiB has been begun.
#[inline]
pub(crate) fn progress(before: usize, now: usize) {
    if before >> 20 != now >> 20 {
        let page = STATUS.load(Ordering::Acquire);
        if !page.is_null() {
            let bytes = now - HOME.load(Ordering::Relaxed);
            // SAFETY: the status page is mapped for the rest of the process, page-aligned, and has a `u64` at this
            // offset, which is only ever accessed atomically.
            unsafe { AtomicU64::from_ptr(page.add(STATUS_BYTES).cast()) }.store(bytes as u64, Ordering::Relaxed);
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
