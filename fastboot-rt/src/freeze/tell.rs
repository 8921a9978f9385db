//! Tell: what a process that freezes has to say while it does: which root it is at, how much memory there is, what went
//! wrong, and what it reads. The tool hears of it through the capture and the status page.
//!
//! Nothing that is called from the allocator or from a shim allocates.

use crate::os::{memory, threads};
use crate::roots;
use crate::roots::record::RootRecord;
use core::alloc::Layout;
use core::sync::atomic::{AtomicI32, AtomicPtr, AtomicU32, AtomicU64, Ordering};
use fastboot_format::protocol::{
    CAPTURE_FILE, InputKind, Leftover, Phase, STATUS_BYTES, STATUS_DONE, STATUS_FILE, STATUS_LEN, STATUS_NAME,
    STATUS_PHASE, STATUS_TOTAL, Tag,
};
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::OnceLock;

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
}

/// Who listens to this run.
static LISTENER: OnceLock<&'static dyn Listener> = OnceLock::new();

/// Has it listen from now on.
pub(crate) fn set_listener(listener: &'static dyn Listener) {
    let _ = LISTENER.set(listener);
}

pub(crate) fn listener() -> &'static dyn Listener {
    LISTENER.get().copied().unwrap_or(&CaptureFile)
}

/// The root being evaluated: its record, or null.
static CURRENT: AtomicPtr<RootRecord> = AtomicPtr::new(core::ptr::null_mut());
/// Bytes of memory that roots may use, for the message when they are used up.
static LIMIT: AtomicU64 = AtomicU64::new(0);

/// This root is being evaluated from now on; `None`: no root is.
pub(crate) fn set_current(record: Option<&'static RootRecord>) {
    let record = record.map_or(core::ptr::null(), core::ptr::from_ref);
    CURRENT.store(record.cast_mut(), Ordering::Relaxed);
}

/// How many bytes of memory roots may use.
pub(crate) fn set_limit(limit: u64) {
    LIMIT.store(limit, Ordering::Relaxed);
}

/// The name of the root being evaluated.
pub(crate) fn current_name() -> &'static str {
    let record = CURRENT.load(Ordering::Relaxed);
    // SAFETY: null, or the address of a record in the registry: a static.
    unsafe { record.as_ref() }.map_or("", RootRecord::name)
}

/// Records that the arena is full. The allocation fails; what the program makes of that is its business.
#[cold]
pub(crate) fn out_of_memory(asked: usize) {
    listener().out_of_memory(current_name(), asked as u64, LIMIT.load(Ordering::Relaxed));
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

/// Opens the files in `folder`.
pub(crate) fn begin(folder: &Path) -> Result<(), String> {
    let path = folder.join(CAPTURE_FILE);
    let capture = File::options().append(true).create(true).open(&path);
    let _ = CAPTURE.set(capture.map_err(|error| format!("{}: {error}", path.display()))?);
    OWNER.store(std::process::id(), Ordering::Relaxed);
    let path = folder.join(STATUS_FILE);
    let status = File::options().read(true).write(true).open(&path).ok();
    let status = status.filter(|file| file.metadata().is_ok_and(|meta| meta.len() >= STATUS_LEN as u64));
    if let Some(page) = status.and_then(|file| memory::map_shared(&file, STATUS_LEN)) {
        STATUS.store(page, Ordering::Release);
    }
    status_u32(STATUS_TOTAL, roots::all().chain(roots::warm_ups()).count() as u32);
    Ok(())
}

/// The listener of the tool's runs: everything goes into the capture.
pub(crate) struct CaptureFile;

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
}

/// The tool is told that all roots are evaluated, so many.
pub(crate) fn all_evaluated(count: usize) {
    status_name("");
    status_u32(STATUS_DONE, count as u32);
    status_u32(STATUS_PHASE, Phase::Writing as u32);
}

/// And that the capture is complete.
pub(crate) fn done() {
    status_u32(STATUS_PHASE, Phase::Done as u32);
}

pub(crate) fn word(word: u64) -> [u8; 8] {
    word.to_le_bytes()
}

pub(crate) fn string(text: &str) -> Vec<u8> {
    let mut bytes = (text.len() as u32).to_le_bytes().to_vec();
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

pub(crate) fn record_head(tag: Tag, length: usize) -> [u8; 16] {
    let mut head = [0u8; 16];
    head[..4].copy_from_slice(&(tag as u32).to_le_bytes());
    head[8..].copy_from_slice(&(length as u64).to_le_bytes());
    head
}

/// Length in bytes below which a record is put together on the stack and written at once: a path and the name of a root fit.
const SMALL: usize = 8192;

/// Writes one record made of the `fields`; `false` when the capture cannot be written (the tool then finds no end).
pub(crate) fn write_record(tag: Tag, fields: &[&[u8]]) -> bool {
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
pub(crate) fn write_to_capture(write: impl FnOnce(&File) -> io::Result<()>) -> bool {
    let Some(file) = CAPTURE.get().filter(|_| is_owner()) else { return false };
    let this = threads::thread_id();
    while let Err(other) = WRITER.compare_exchange_weak(0, this, Ordering::Acquire, Ordering::Relaxed) {
        // A signal handler that came in between.
        if other == this {
            return false;
        }
        threads::yield_now();
    }
    let written = write(file).is_ok();
    WRITER.store(0, Ordering::Release);
    written
}

/// Records an input. Does not allocate.
pub(crate) fn write_input(kind: InputKind, declared: bool, name: &[u8]) {
    write_name(Tag::Input, &[word(kind as u64), word(u64::from(declared))], name);
}

/// Records a file that is written to. Does not allocate.
pub(crate) fn write_output(path: &[u8]) {
    write_name(Tag::Output, &[], path);
}

/// Records that the thread with this key left its plan at this one of its allocations. Does not allocate.
#[cold]
pub(crate) fn write_strayed(thread: u64, index: u64, layout: Layout) {
    write_numbers(Tag::Strayed, &[thread, index, layout.size() as u64, layout.align() as u64].map(word));
}

/// Records memory that was mapped: address and size in bytes. Does not allocate.
pub(crate) fn write_mapped(address: usize, size: usize) {
    write_numbers(Tag::Mapped, &[address, size].map(usize::to_le_bytes));
}

/// Records that this range is about to be unmapped. Does not allocate.
pub(crate) fn write_unmapped(address: usize, size: usize) {
    write_record(Tag::Unmapped, &[[address, size].map(usize::to_le_bytes).as_flattened()]);
}

/// Writes a record of the root that is being evaluated, and numbers. Does not allocate.
fn write_numbers(tag: Tag, numbers: &[[u8; 8]]) {
    let root = current_name();
    write_record(tag, &[&(root.len() as u32).to_le_bytes(), root.as_bytes(), numbers.as_flattened()]);
}

/// Writes a record of the root that is being evaluated, numbers and a name. Does not allocate.
fn write_name(tag: Tag, numbers: &[[u8; 8]], name: &[u8]) {
    let root = current_name();
    let lengths = [root.len(), name.len()].map(|length| (length as u32).to_le_bytes());
    write_record(tag, &[&lengths[0], root.as_bytes(), numbers.as_flattened(), &lengths[1], name]);
}

/// Tells the tool how many bytes there are, `before` and `now`, whenever another MiB has been begun.
#[inline]
pub(crate) fn progress(before: usize, now: usize) {
    // A child that was forked has the same page.
    if before >> 20 != now >> 20 && is_owner() {
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
