//! C heap: which blocks of the C library's `malloc` came to be while a root was evaluated, and are still in use.
//!
//! What roots allocate never comes from `malloc` in a freeze run, so a new block is C code's, and a value that holds its
//! address cannot be frozen. glibc has no function that lists its blocks, but its chunks lie one behind the other, each
//! with its size and a flag that says whether the one before is in use:
//!
//! ```text
//! [heap]  | size, flags | bytes of a block | size, flags | bytes of a block | ... | top |  sbrk(0)
//! ```
//!
//! The flag is only right where no block waits in a cache: the tool turns the caches off (`GLIBC_TUNABLES`). Whatever does
//! not look like this, as with another C library, gives no blocks: then there is a warning where there could be an error.

use crate::os::memory;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;

/// A block: its address, as `malloc` returned it, and its size in bytes.
pub(crate) type Block = (u64, u64);

/// Size in bytes of what stands before a block.
const CHUNK_HEADER: u64 = 16;
/// Offset in a chunk of its size in bytes.
const SIZE_AT: u64 = 8;
/// Alignment of chunks.
const ALIGNMENT: u64 = 16;
/// Size in bytes of the smallest chunk there is.
const SMALLEST: u64 = 32;
/// The chunk before this one is in use.
const PREVIOUS_IN_USE: u64 = 1;
/// Flags in the size of a chunk.
const FLAGS: u64 = 7;
/// In a static executable, libc puts the thread-locals of the first thread below the first chunk: so far it is looked for.
const LONGEST_PREFIX: u64 = 64 << 10;

/// The blocks that are in use now, ascending. Those that this function itself needs are among them.
pub(crate) fn in_use() -> Vec<Block> {
    let Some((start, mut memory)) = find() else { return Vec::new() };
    let length = || (memory::heap_end() as u64).saturating_sub(start);
    for prefix in (0..LONGEST_PREFIX.min(length())).step_by(ALIGNMENT as usize) {
        let mut count = 0;
        if walk(|at| memory.word(start + at), prefix, length(), |_| count += 1).is_some() {
            // Allocating changes the heap, so the blocks are counted first: the second walk allocates nothing.
            let mut blocks = Vec::with_capacity(count + 1);
            memory.length = 0;
            let keep = |(at, size)| {
                if blocks.len() < blocks.capacity() {
                    blocks.push((start + at, size));
                }
            };
            return walk(|at| memory.word(start + at), prefix, length(), keep).map_or_else(Vec::new, |()| blocks);
        }
    }
    Vec::new()
}

/// Where the heap begins, and the memory of this process.
fn find() -> Option<(u64, Memory)> {
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    let line = maps.lines().find(|line| line.ends_with("[heap]"))?;
    let start = u64::from_str_radix(line.split('-').next()?, 16).ok()?;
    Some((start, Memory { file: File::open("/proc/self/mem").ok()?, address: 0, bytes: vec![0; 64 << 10], length: 0 }))
}

/// The memory of this process, read through `/proc`, because another thread may give memory back to the system meanwhile:
/// that is an error then, not a fault. Some of it is read ahead; it is right for as long as nobody allocates.
struct Memory {
    file: File,
    address: u64,
    bytes: Vec<u8>,
    /// How many bytes were read.
    length: usize,
}

impl Memory {
    fn word(&mut self, address: u64) -> Option<u64> {
        let read = |memory: &Self| {
            let at = usize::try_from(address.checked_sub(memory.address)?).ok()?;
            Some(u64::from_le_bytes(*memory.bytes.get(..memory.length)?.get(at..)?.first_chunk()?))
        };
        if read(self).is_none() {
            self.length = self.file.read_at(&mut self.bytes, address).ok()?;
            self.address = address;
        }
        read(self)
    }
}

/// Passes on offset and size of each block in use in a heap of `length` bytes whose first chunk is at `at`. `None` if it
/// does not consist of chunks.
fn walk(mut word: impl FnMut(u64) -> Option<u64>, mut at: u64, length: u64, mut each: impl FnMut(Block)) -> Option<()> {
    let mut previous = None;
    while at < length {
        let flagged = word(at + SIZE_AT)?;
        let size = flagged & !FLAGS;
        if size % ALIGNMENT != 0 || size < SMALLEST || size > length - at {
            return None;
        }
        if flagged & PREVIOUS_IN_USE != 0 {
            previous.into_iter().for_each(&mut each);
        }
        // A block may use the first word of the next chunk.
        previous = Some((at + CHUNK_HEADER, size - SIZE_AT));
        at += size;
    }
    // The last chunk is what is left of the heap.
    previous.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heap(prefix: usize, chunks: &[(usize, bool)], top: usize) -> Vec<u8> {
        let mut bytes = vec![0xff; prefix];
        let mut previous = true;
        for (size, in_use) in chunks.iter().chain([&(top, false)]) {
            let mut chunk = vec![0; *size];
            chunk[8..16].copy_from_slice(&((*size | usize::from(previous)) as u64).to_le_bytes());
            bytes.extend(chunk);
            previous = *in_use;
        }
        bytes
    }

    fn blocks(heap: &[u8], at: u64) -> Option<Vec<Block>> {
        let mut blocks = Vec::new();
        let word = |at| Some(u64::from_le_bytes(*heap.get(at as usize..)?.first_chunk()?));
        walk(word, at, heap.len() as u64, |block| blocks.push(block)).map(|()| blocks)
    }

    #[test]
    fn blocks_in_use_are_listed() {
        let heap = heap(0, &[(656, true), (32, false), (4112, true), (64, true)], 0x2_0000);
        assert_eq!(blocks(&heap, 0).unwrap(), [(16, 648), (704, 4104), (4816, 56)]);
    }

    #[test]
    fn the_first_chunk_may_lie_higher() {
        let heap = heap(0x640, &[(48, true), (48, false)], 0x2_0000);
        assert_eq!(blocks(&heap, 0x630), None);
        assert_eq!(blocks(&heap, 0x640).unwrap(), [(0x650, 40)]);
    }

    #[test]
    fn what_is_no_heap_has_no_blocks() {
        assert_eq!(blocks(&[0xff; 4096], 0), None);
        assert_eq!(blocks(&[0; 4096], 0), None);
        assert_eq!(blocks(&[], 0), None);
        let mut broken = heap(0, &[(64, true), (64, true)], 4096);
        broken[64 + SIZE_AT as usize] = 0xf1;
        assert_eq!(blocks(&broken, 0), None);
    }
}
