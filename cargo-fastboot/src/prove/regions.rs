//! Regions: what of a run's memory moves as a whole, and where it was.

use crate::prove::c_heap::Data;
use crate::prove::foreign::Known;
use crate::runs::capture::{Capture, Mapping};
use crate::runs::forms::ADDRESS;
use crate::runs::memory::word_at;
use fastboot_format::image::{HOME_WINDOW, PAGE};
use fastboot_format::protocol::{HOME_SHIFT, SCRATCH, SCRATCH_LEN, STACK_TOP, STACKS_LEN};

/// What an address may lie in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Region {
    Image,
    Executable,
    Scratch,
    Stack,
    ThreadLocals,
}

/// In the order in which they are tried.
pub(super) const REGIONS: [Region; 5] =
    [Region::Image, Region::Executable, Region::Scratch, Region::ThreadLocals, Region::Stack];
/// Bytes of a word.
pub(crate) const WORD: usize = 8;
/// How far from a word what belongs to the same stack frame is looked for, in bytes.
const REMAINS: usize = 4 * WORD;

/// One of the two runs: its memory and where things were.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run<'a> {
    pub(super) data: &'a [u8],
    /// How many bytes of the data are objects; behind them are carried statics.
    pub(super) objects: usize,
    /// First address and end of each [`Region`].
    pub(super) regions: [(u64, u64); 5],
    pub(super) maps: &'a [Mapping],
    pub(super) known: &'a Known<'a>,
}

impl<'a> Run<'a> {
    pub(super) fn halves(&self) -> Data<'a> {
        Data { bytes: self.data, objects: self.objects }
    }

    /// Where C's heap begins.
    pub(super) fn heap_start(&self) -> Option<u64> {
        self.maps.iter().find(|mapping| mapping.name == "[heap]").map(|mapping| mapping.range.start)
    }

    /// The run that left this capture, whose image data is `data`; `set` is 0 for the usual addresses, 1 for the others.
    pub(crate) fn new(capture: &'a Capture, data: &'a [u8], known: &'a Known<'a>, set: usize) -> Self {
        let process = &capture.process;
        let image = capture.data_address();
        Self {
            data,
            objects: capture.memory_len() as usize,
            regions: [
                (image, image + data.len() as u64),
                (process.exe_base, process.exe_end),
                (SCRATCH[set], SCRATCH[set] + SCRATCH_LEN),
                (STACK_TOP[set] - STACKS_LEN, process.thread_locals),
                (process.thread_locals, STACK_TOP[set]),
            ],
            maps: &capture.maps,
            known,
        }
    }

    /// The same, of an executable whose first address is not that of its load bias.
    pub(crate) fn with_executable_from(mut self, first: u64) -> Self {
        self.regions[Region::Executable as usize].0 += first;
        self
    }

    pub(super) fn word(&self, at: usize) -> Option<u64> {
        word_at(self.data, at as u64)
    }

    /// Inside the region, or one past its end.
    pub(super) fn contains(&self, region: Region, address: u64) -> bool {
        let (start, end) = self.regions[region as usize];
        start <= address && address <= end
    }

    /// First address and end of all that may ever have been in the region.
    pub(super) fn room(&self, region: Region) -> (u64, u64) {
        let (start, end) = self.regions[region as usize];
        match region {
            // What was in the image, and was freed.
            Region::Image => (start & !(PAGE as u64), end.max(start + HOME_SHIFT)),
            _ => (start, end),
        }
    }

    /// Inside of what freezing reserved, where nobody else has memory: two addresses there that did not move with it tell
    /// of two objects, or are no addresses.
    pub(super) fn is_known(&self, address: u64) -> bool {
        HOME_WINDOW.contains(&address) && !self.contains(Region::ThreadLocals, address)
    }

    /// Whether the word is among what a stack frame left in an object: beside it there are addresses of the stack, or of
    /// temporaries.
    pub(super) fn is_among_remains(&self, at: usize) -> bool {
        if at >= self.objects {
            return false;
        }
        let near = (at.saturating_sub(REMAINS)..=at + REMAINS).step_by(WORD);
        near.filter_map(|near| self.word(near)).any(|word| self.is_gone(word & ADDRESS))
    }

    /// Whether an address is one of the stack, or of temporaries.
    pub(super) fn is_gone(&self, address: u64) -> bool {
        [Region::Stack, Region::Scratch].into_iter().any(|region| {
            // Thread-locals begin where the stack ends.
            let (start, end) = self.regions[region as usize];
            (start..end).contains(&address)
        })
    }

    pub(super) fn mapping(&self, address: u64) -> Option<&'a Mapping> {
        // The kernel lists them in the order of their addresses.
        let index = self.maps.partition_point(|mapping| mapping.range.end <= address);
        self.maps.get(index).filter(|mapping| mapping.range.contains(&address))
    }
}

/// How far the shared libraries were moved, and with them all that the kernel put near them; 0 if there are none.
pub(super) fn libraries_distance(first: Run<'_>, second: Run<'_>) -> u64 {
    let is_start =
        |mapping: &&Mapping| mapping.offset == 0 && mapping.name.starts_with('/') && mapping.name.contains(".so");
    let distance = |here: &Mapping| {
        let there = second.maps.iter().filter(is_start).find(|there| there.name == here.name)?;
        Some(there.range.start.wrapping_sub(here.range.start))
    };
    first.maps.iter().filter(is_start).find_map(distance).unwrap_or(0)
}

/// How far each region was moved from the first run to the second.
pub(super) fn distances(first: Run<'_>, second: Run<'_>) -> [u64; 5] {
    std::array::from_fn(|region| second.regions[region].0.wrapping_sub(first.regions[region].0))
}
