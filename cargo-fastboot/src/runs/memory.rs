//! Memory: large pieces of it from the system, in which what nobody writes to costs little; and vectors like that.

use anyhow::{Context, Result};
use fastboot_format::image::write::DATA_OFFSET;
pub(crate) use fastboot_kernel::with_capacity;
use memmap2::{Advice, MmapMut};
use std::ops::{Deref, DerefMut};

/// Zeroed bytes, and room for more behind them.
#[derive(Debug)]
pub(crate) struct Memory {
    map: MmapMut,
    length: usize,
}

impl Memory {
    /// So many bytes.
    pub(crate) fn new(length: u64) -> Result<Self> {
        Self::with_room(length, length)
    }

    /// So many bytes, and room for `most` without moving.
    pub(crate) fn with_room(length: u64, most: u64) -> Result<Self> {
        let map = |length: u64| anyhow::Ok(MmapMut::map_anon(usize::try_from(length.max(1))?)?);
        // Where address space is counted there may be none to spare.
        let map = map(most.max(length)).or_else(|_| map(length));
        let map = map.with_context(|| format!("not enough memory for {length} bytes"))?;
        // Most of it is filled from end to end. Where there are no huge pages, there are small ones.
        let _ = map.advise(Advice::HugePage);
        Ok(Self { map, length: usize::try_from(length)? })
    }

    /// Makes it longer, by zeros.
    pub(crate) fn grow(&mut self, length: u64) -> Result<()> {
        if length > self.map.len() as u64 {
            let mut other = Self::with_room(length, length + length / 8)?;
            other[..self.length].copy_from_slice(self);
            *self = other;
        }
        self.length = self.length.max(usize::try_from(length)?);
        Ok(())
    }
}

impl Deref for Memory {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.map[..self.length]
    }
}

impl DerefMut for Memory {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.map[..self.length]
    }
}

/// Image data in the making, with room for the header page before it and for tables behind it.
#[derive(Debug)]
pub(crate) struct ImageData(Memory);

impl ImageData {
    /// So many bytes of it; room is left for as much as most tables take.
    pub(crate) fn new(length: u64) -> Result<Self> {
        let length = DATA_OFFSET + length;
        Memory::with_room(length, length + length / 4 + (1 << 20)).map(Self)
    }

    /// Makes it longer, by zeros.
    pub(crate) fn grow(&mut self, length: u64) -> Result<()> {
        self.0.grow(DATA_OFFSET + length)
    }

    /// With the header page before it.
    pub(crate) fn into_memory(self) -> Memory {
        self.0
    }
}

impl Deref for ImageData {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0[DATA_OFFSET as usize..]
    }
}

impl DerefMut for ImageData {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.0[DATA_OFFSET as usize..]
    }
}

/// The word at an offset, aligned or not, if all of it is there.
#[inline]
pub(crate) fn word_at(bytes: &[u8], at: u64) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(usize::try_from(at).ok()?..)?.first_chunk()?))
}

/// The word that these bytes begin with. What it lacks at its end is zero.
pub(crate) fn first_word(bytes: &[u8]) -> u64 {
    bytes.iter().take(8).rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_into_its_room_and_beyond() {
        let mut memory = Memory::with_room(3, 10).unwrap();
        memory.copy_from_slice(b"abc");
        for length in [3, 10, 11, 100_000] {
            memory.grow(length).unwrap();
            assert_eq!(
                (memory.len() as u64, &memory[..4.min(memory.len())]),
                (length, &b"abc\0"[..4.min(length as usize)])
            );
        }
        memory.grow(5).unwrap();
        assert_eq!(memory.len(), 100_000);
        assert!(Memory::new(0).unwrap().is_empty());
    }
}
