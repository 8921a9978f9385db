//! Placement: gives every object that is alive after a plan run its final address.
//!
//! Objects lie back to back in the order in which marking meets them (in a position-independent binary those with static
//! pointers first), packed to their alignment, each with the size it
//! had at the end. Those that are reached only through deferred fields come last, from a page of their own on: the deferred
//! region. The plan says, for each allocation of each thread: what it asked for, and where it belongs.

use crate::options::Allocation;
use crate::plan::mark::Marked;
use crate::runs::capture::{Block, Capture, contents};
use crate::runs::memory::{Memory, with_capacity};
use anyhow::{Result, anyhow, ensure};
use fastboot_format::image::PAGE;
use fastboot_format::protocol::{
    PLAN_ENTRY_LEN, PLAN_HEADER_LEN, PLAN_PAGE_LEN, PLAN_PLACEMENT_LEN, PLAN_THREAD_LEN, PlanHeader,
};
use std::collections::HashSet;
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// The allocation with this index on the thread with this number; `threads` are the keys of the threads.
fn allocation(threads: &[u64], thread: u32, index: u64) -> Option<Allocation> {
    Some((*threads.get(usize::try_from(thread).ok()?)?, index))
}

impl Block {
    /// Which allocation it is; `threads` are the keys of the threads.
    pub(crate) fn allocation(&self, threads: &[u64]) -> Option<Allocation> {
        allocation(threads, self.thread, self.index)
    }

    /// Whether it is one of these.
    pub(crate) fn is_one_of(&self, allocations: &HashSet<Allocation>, threads: &[u64]) -> bool {
        self.allocation(threads).is_some_and(|allocation| allocations.contains(&allocation))
    }
}

/// Where the objects go.
#[derive(Debug)]
pub(crate) struct Plan {
    /// By ascending offset.
    pub(crate) placements: Vec<Placement>,
    /// Offset from the home address where placements end: a multiple of the page size.
    pub(crate) end: u64,
    /// Bytes of the objects, without what alignment leaves free.
    pub(crate) live: u64,
    /// Of these, bytes in the deferred region.
    pub(crate) deferred: u64,
    /// The keys of the threads, which placements know by their numbers.
    threads: Vec<u64>,
}

/// One object's place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Placement {
    /// From the home address.
    pub(crate) offset: u64,
    /// Its size in bytes.
    pub(crate) reserved: u64,
    /// Which allocation of its thread it is.
    pub(crate) index: u64,
    /// Where it was in the plan run.
    pub(crate) was: u64,
    /// Where in the blocks' bytes what it held begins, as [`Block::contents`].
    pub(crate) contents: u64,
    pub(crate) thread: u32,
    /// Number of the seed that it was first reached from.
    pub(crate) seed: u32,
    /// Number of its block in the capture of the plan run.
    pub(crate) block: u32,
}

impl Placement {
    /// What it held in the plan run, `bytes` being those of all blocks; nothing if that led nowhere.
    pub(crate) fn held<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        contents(self.contents, self.reserved, bytes)
    }
}

/// Where in the image data the object begins that has this place in it, or the last one before; and its placement.
pub(crate) fn object_at(placements: &[Placement], at: u64) -> Option<(u64, &Placement)> {
    let begins = |placement: &Placement| placement.offset - PAGE as u64;
    let index = placements.partition_point(|placement| begins(placement) <= at).checked_sub(1)?;
    Some((begins(&placements[index]), &placements[index]))
}

impl Plan {
    /// Places the marked blocks. Those of threads that cannot be told apart stay without a place: they overflow.
    pub(crate) fn new(blocks: &[Block], marked: &Marked, threads: Vec<u64>) -> Self {
        let mut at = PAGE as u64;
        let mut placements = with_capacity(marked.order.len());
        let (direct, deferred) = marked.order.split_at(marked.direct);
        let mut bytes = [0; 2];
        for (order, bytes) in [direct, deferred].into_iter().zip(&mut bytes) {
            for (number, block) in order.iter().map(|number| (*number, &blocks[*number as usize])) {
                if block.thread as usize >= threads.len() {
                    continue;
                }
                // A power of two.
                let within = u64::from(block.align.max(1)) - 1;
                let offset = (at + within) & !within;
                let seed = marked.seeds.get(number as usize).copied().flatten().unwrap_or(u32::MAX);
                let Block { address: was, size: reserved, index, contents, thread, .. } = *block;
                placements.push(Placement { offset, reserved, index, was, contents, thread, seed, block: number });
                *bytes += block.size;
                at = offset + block.size;
            }
            at = at.next_multiple_of(PAGE as u64);
        }
        Self { placements, end: at, live: bytes[0] + bytes[1], deferred: bytes[1], threads }
    }

    /// How many objects have a place.
    pub(crate) fn len(&self) -> usize {
        self.placements.len()
    }

    /// The objects that have at least half of their pages among these, numbered from the home address on. Of a large one it
    /// does not help to know that parts of it are used: it cannot be taken apart.
    pub(crate) fn on_pages(&self, pages: &HashSet<u64>) -> impl Iterator<Item = &Placement> {
        self.placements.iter().filter(|placement| {
            let end = placement.offset + placement.reserved.max(1);
            let own = placement.offset / PAGE as u64..end.div_ceil(PAGE as u64);
            let all = own.end - own.start;
            2 * own.filter(|page| pages.contains(page)).count() as u64 >= all
        })
    }

    /// Which allocation an object is.
    pub(crate) fn allocation(&self, placement: &Placement) -> Option<Allocation> {
        allocation(&self.threads, placement.thread, placement.index)
    }

    /// Writes the plan for a place run.
    pub(crate) fn save(&self, capture: &Capture, path: &Path) -> Result<()> {
        let entries: u64 = capture.threads.iter().map(|thread| thread.fingerprints.len() as u64).sum();
        ensure!(self.placements.len() < u32::MAX as usize, "more than {} objects; freeze with --verbatim", u32::MAX);
        let header = PlanHeader {
            threads: capture.threads.len() as u64,
            entries,
            placements: self.placements.len() as u64,
            end: self.end,
        };
        let file = std::fs::File::create(path)?;
        let threads_at = PLAN_HEADER_LEN as u64;
        let entries_at = threads_at + header.threads * PLAN_THREAD_LEN as u64;
        let placements_at = entries_at + entries * PLAN_ENTRY_LEN as u64;
        std::thread::scope(|scope| {
            let placements = scope.spawn(|| self.save_placements(&file, placements_at));
            file.write_all_at(&header.encode(), 0)?;
            let (mut first, mut firsts, mut threads) = (0, Vec::with_capacity(capture.threads.len()), Vec::new());
            let mut written = Memory::new(entries * PLAN_ENTRY_LEN as u64)?;
            let entries = written.as_chunks_mut::<PLAN_ENTRY_LEN>().0;
            for thread in &capture.threads {
                let count = thread.fingerprints.len();
                let fields = [thread.key, first as u64, count as u64].map(u64::to_le_bytes);
                debug_assert_eq!(fields.as_flattened().len(), PLAN_THREAD_LEN);
                threads.extend_from_slice(fields.as_flattened());
                for (fingerprint, to) in thread.fingerprints.iter().zip(&mut entries[first..]) {
                    to[..4].copy_from_slice(&fingerprint.to_le_bytes());
                }
                firsts.push(first..first + count);
                first += count;
            }
            for (placement, number) in self.placements.iter().zip(1u32..) {
                let own = firsts.get(placement.thread as usize).and_then(|own| entries.get_mut(own.clone()));
                if let Some(entry) = own.and_then(|own| own.get_mut(placement.index as usize)) {
                    entry[4..].copy_from_slice(&number.to_le_bytes());
                }
            }
            file.write_all_at(&threads, threads_at)?;
            file.write_all_at(&written, entries_at)?;
            placements.join().map_err(|_| anyhow!("the placements could not be written"))?
        })
    }

    /// Writes the placements, at this offset, and behind them the pages.
    fn save_placements(&self, mut file: &std::fs::File, at: u64) -> Result<()> {
        // Nobody else moves the file's own offset.
        file.seek(SeekFrom::Start(at))?;
        let mut out = std::io::BufWriter::with_capacity(1 << 18, file);
        let mut pages = Vec::with_capacity(self.end as usize / PAGE + 1);
        for (placement, number) in self.placements.iter().zip(0u32..) {
            let fields = [placement.offset, placement.reserved].map(u64::to_le_bytes);
            debug_assert_eq!(fields.as_flattened().len(), PLAN_PLACEMENT_LEN);
            out.write_all(fields.as_flattened())?;
            // How many begin before each page up to the one that this one begins in.
            pages.resize(pages.len().max(placement.offset as usize / PAGE + 1), number.to_le_bytes());
        }
        pages.resize(self.end as usize / PAGE + 1, (self.placements.len() as u32).to_le_bytes());
        debug_assert_eq!(size_of_val(&pages[0]), PLAN_PAGE_LEN);
        out.write_all(pages.as_flattened())?;
        Ok(out.flush()?)
    }
}

#[cfg(test)]
mod random;

#[cfg(test)]
mod tests {
    use super::*;

    fn block(size: u64, align: u32, thread: u32, index: u64) -> Block {
        Block { address: 0, size, index, contents: 0, align, thread }
    }

    #[test]
    fn objects_lie_back_to_back_in_marking_order() {
        let blocks = [block(24, 8, 0, 0), block(5, 1, 0, 1), block(64, 64, 0, 2), block(1, 1, 0, 3)];
        let marked = Marked { order: vec![1, 0, 2], direct: 3, seeds: Vec::new() };
        let plan = Plan::new(&blocks, &marked, vec![1]);
        let places: Vec<_> = plan.placements.iter().map(|p| (p.index, p.offset, p.reserved)).collect();
        assert_eq!(places, [(1, 4096, 5), (0, 4104, 24), (2, 4160, 64)]);
        assert_eq!((plan.end, plan.live, plan.len()), (8192, 93, 3));
    }

    #[test]
    fn the_deferred_region_begins_on_a_page_of_its_own() {
        let blocks = [block(24, 8, 0, 0), block(5000, 1, 0, 1), block(64, 64, 0, 2)];
        let marked = Marked { order: vec![0, 2, 1], direct: 1, seeds: Vec::new() };
        let plan = Plan::new(&blocks, &marked, vec![1]);
        let places: Vec<_> = plan.placements.iter().map(|p| (p.index, p.offset, p.reserved)).collect();
        assert_eq!(places, [(0, 4096, 24), (2, 8192, 64), (1, 8256, 5000)]);
        assert_eq!((plan.end, plan.live, plan.deferred), (16384, 5088, 5064));
    }

    #[test]
    fn objects_on_pages() {
        let place = |offset, reserved| Placement { offset, reserved, ..Placement::default() };
        let placements =
            vec![place(4096, 8), place(4104, 8000), place(12_104, 400), place(12_504, 40_000), place(52_504, 0)];
        let plan = Plan { placements, end: 53_248, live: 48_408, deferred: 0, threads: Vec::new() };
        let on = |pages: &[u64]| {
            let pages = pages.iter().copied().collect();
            plan.on_pages(&pages).map(|placement| placement.offset).collect::<Vec<_>>()
        };
        assert_eq!(on(&[1]), [4096, 4104]);
        assert_eq!(on(&[2]), [4104, 12_104]);
        assert_eq!(on(&[3, 5]), [12_104]);
        assert_eq!(on(&[12]), [52_504]);
        assert_eq!(on(&[4, 6, 8, 10, 12]), [12_504, 52_504]);
    }

    #[test]
    fn blocks_of_unknown_threads_have_no_place() {
        let blocks = [block(8, 8, u32::MAX, 0), block(8, 8, 0, 7)];
        let plan = Plan::new(&blocks, &Marked { order: vec![0, 1], direct: 2, seeds: Vec::new() }, vec![93]);
        assert_eq!(plan.len(), 1);
        assert_eq!(plan.allocation(&plan.placements[0]), Some((93, 7)));
    }
}
