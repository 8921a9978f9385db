//! Capturing: writes what a freeze run has to say to the tool, into its capture and on the status page.

use super::run::{Evaluated, HOLDING_ALL, HOME, LEFT_BEHIND, Listener, PLANNING, TRACING, current_name};
use crate::freeze::heap::{arena, place, scratch};
use crate::freeze::{identity, trace};
use crate::os::{cpuid_mask, files, headers, memory, threads};
use crate::roots;
use crate::roots::RootRecord;
use core::ops::Range;
use core::sync::atomic::{AtomicI32, AtomicPtr, AtomicU32, AtomicU64, Ordering};
use fastboot_format::image::PAGE;
use fastboot_format::protocol::{
    BLOCK_LEN, CAPTURE_FILE, HELD, InputKind, Leftover, Payload, Phase, STATUS_BYTES, STATUS_DONE, STATUS_FILE,
    STATUS_LEN, STATUS_NAME, STATUS_PHASE, STATUS_TOTAL, Tag, may_lead_somewhere,
};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::OnceLock;

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
pub(super) fn begin(folder: &Path) -> Result<(), String> {
    let path = folder.join(CAPTURE_FILE);
    let capture = File::options().append(true).create(true).open(&path);
    let _ = CAPTURE.set(capture.map_err(|error| format!("{}: {error}", path.display()))?);
    OWNER.store(std::process::id(), Ordering::Relaxed);
    let path = folder.join(STATUS_FILE);
    if let Ok(file) = File::options().read(true).write(true).open(&path)
        && file.metadata().is_ok_and(|meta| meta.len() >= STATUS_LEN as u64)
        && let Some(page) = memory::map_shared(&file, STATUS_LEN)
    {
        STATUS.store(page, Ordering::Release);
    }
    status_u32(STATUS_TOTAL, roots::all().chain(roots::warm_ups()).count() as u32);
    Ok(())
}

/// The listener of the tool's runs: everything goes into the capture.
pub(super) struct CaptureFile;

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

fn write_capture(&Evaluated { times, before, after, c_blocks }: &Evaluated<'_>) -> bool {
    let home = HOME.load(Ordering::Relaxed);
    let base = headers::program_headers().map_or(0, |(_, base)| base);
    let mut written = write_record(
        Tag::Process,
        &[
            &word(base as u64),
            &word(headers::executable_end() as u64),
            &word(cpuid_mask::visible_features()),
            &word(home as u64),
            &word(roots::warm_ups().count() as u64),
            &word(headers::thread_locals().start as u64),
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
    for (thread, log) in identity::threads() {
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

/// Forgets memory behind what is written, large page by large page: the tool, which reads it meanwhile, needs as much, and new memory costs more than
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
        Self { from: if alone { start.next_multiple_of(memory::LARGE_PAGE) } else { usize::MAX } }
    }

    /// Whether nobody else is there.
    fn is_alone(&self) -> bool {
        self.from != usize::MAX
    }

    /// Everything before `end` is written, and this thread does not need it any more.
    fn up_to(&mut self, end: usize) {
        let end = end & !(memory::LARGE_PAGE - 1);
        if self.from < end {
            memory::forget_pages(self.from, end - self.from);
            self.from = end;
        }
    }
}

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
            let given = if forgetting.is_alone() { files::give_pages(file, bytes) } else { 0 };
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
    let all = HOLDING_ALL.load(Ordering::Relaxed) || headers::program_headers().is_none_or(|(_, bias)| bias != 0);
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

/// Writes a record of the root that is being evaluated, numbers and a name. Does not allocate.
fn write_name(tag: Tag, numbers: &[[u8; 8]], name: &[u8]) {
    let root = current_name();
    let lengths = [root.len(), name.len()].map(|length| (length as u32).to_le_bytes());
    write_record(tag, &[&lengths[0], root.as_bytes(), numbers.as_flattened(), &lengths[1], name]);
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
