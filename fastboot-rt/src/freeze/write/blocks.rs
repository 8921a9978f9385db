//! Blocks: writes what was allocated into the capture.

use super::super::evaluated::Settings;
use super::super::heap::scratch;
use super::super::tell::{record_head, word, write_record, write_to_capture};
use super::super::trace;
use crate::os::{files, headers, memory};
use core::ops::Range;
use fastboot_format::image::chunks;
use fastboot_format::protocol::{BLOCK_LEN, HELD, Payload, Tag, may_lead_somewhere};
use std::fs::File;
use std::io::{BufWriter, Write};

/// Forgets memory behind what is written, large page by large page: the tool, which reads it meanwhile, needs as much, and new memory costs more than
/// memory that was used just now.
struct Forgetting {
    /// Up to here everything is forgotten. Past all addresses if nothing may be.
    from: usize,
}

impl Forgetting {
    /// From `start` on, if nobody else is there to need it: no thread of the expressions', no child process that shares it, no
    /// signal handler.
    fn from(start: usize, left_behind: bool) -> Self {
        // This thread, and the one that waits for it.
        let alone = std::fs::read_dir("/proc/self/task").is_ok_and(|tasks| tasks.count() == 2);
        let alone = alone && !left_behind;
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
            // SAFETY: `from` found that this thread alone is left, and it is done with what lies before `end`.
            unsafe { memory::forget_pages(self.from, end - self.from) };
            self.from = end;
        }
    }
}

/// How many bytes of memory are written at once.
const MEMORY_AT_ONCE: usize = 4 << 20;

/// Writes the memory of the image.
pub(super) fn write_memory(memory: Range<usize>, left_behind: bool) -> bool {
    let mut forgetting = Forgetting::from(memory.start, left_behind);
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

/// Writes the live blocks of the scratch heap, and in a plan run what they hold.
pub(super) fn write_blocks(settings: &Settings, left_behind: bool) -> bool {
    let &Settings { planning: with_bytes, tracing, holding_all, .. } = settings;
    let scratch = scratch::range();
    let scratch = scratch.start as u64..scratch.end as u64;
    // In a PIE the tool looks for addresses of the executable as well.
    let all = holding_all || headers::program_headers().is_none_or(|(_, bias)| bias != 0);
    let mut blocks = Vec::with_capacity(BLOCKS_AT_ONCE * BLOCK_LEN);
    let (mut traces, mut written) = (Vec::new(), true);
    let mut forgetting = Forgetting::from(scratch.start as usize, left_behind);
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
        let holds = || contents(block.address, block.size as usize);
        let counts = || may_lead_somewhere(holds(), align, &scratch) || is_held_by_several(holds());
        let thread = u64::from(number.thread) | if with_bytes && (all || counts()) { HELD } else { 0 };
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

/// Whether a block begins as an `Arc` does that more than one holds: then it matters who that is, also if it leads nowhere.
fn is_held_by_several(contents: &[u8]) -> bool {
    let mut words = chunks::<8>(contents);
    let (Some(strong), Some(weak)) = (words.next(), words.next()) else { return false };
    let count = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes);
    (2..1 << 31).contains(&count(strong)) && (1..1 << 31).contains(&count(weak))
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
        chunks::<BLOCK_LEN>(blocks).filter_map(|block| {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_several_hold_begins_with_two_counts() {
        let block = |words: &[u64]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
        assert!(is_held_by_several(&block(&[2, 1])) && is_held_by_several(&block(&[7, 3, 42])));
        for other in [&[1, 1, 42][..], &[2, 0], &[2], &[1 << 40, 1], &[]] {
            assert!(!is_held_by_several(&block(other)), "{other:?}");
        }
    }
}
