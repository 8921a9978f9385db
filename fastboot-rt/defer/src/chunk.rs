//! Lists and maps cut into chunks while they are serialized: each chunk becomes the block of a part.

use crate::collect::{Chunk, Collector};
use crate::error::Result;
use crate::varint::varint;

/// A list being cut into chunks.
#[derive(Default)]
pub(crate) struct Chunks {
    pub(crate) done: Vec<Chunk>,
    /// Elements in the open chunk, if one is open.
    open: Option<u64>,
}

impl Chunks {
    /// One more element, which `write` serializes.
    pub(crate) fn push(&mut self, to: &mut Collector, write: impl FnOnce(&mut Collector) -> Result<()>) -> Result<()> {
        if self.open.is_none() {
            to.begin_part()?;
        }
        let before = to.out().len();
        write(to)?;
        let took = to.out().len() - before;
        to.element(took)?;
        let count = self.open.get_or_insert(0);
        *count += 1;
        if to.chunk_is_full() || *count >= MAX_CHUNK {
            self.close(to)?;
        }
        Ok(())
    }

    pub(crate) fn close(&mut self, to: &mut Collector) -> Result<()> {
        if let Some(count) = self.open.take() {
            self.done.push((count, to.end_chunk(count)?));
        }
        Ok(())
    }
}

/// No chunk has more elements than this, even if they take no bytes.
pub(crate) const MAX_CHUNK: u64 = 1 << 16;

/// A map being cut into chunks.
#[derive(Default)]
pub(crate) struct MapParts {
    deferred_keys: bool,
    pub(crate) values: Chunks,
    keys: Vec<u8>,
    key_count: u64,
    /// Where chunks of keys end: elements and bytes, both counted from the start.
    key_chunks: Vec<(u64, usize)>,
    /// The first key of each chunk.
    fences: Vec<u8>,
}

impl MapParts {
    pub(crate) fn new(deferred_keys: bool) -> Self {
        MapParts { deferred_keys, ..MapParts::default() }
    }

    /// One more key, which `write` serializes.
    pub(crate) fn key(&mut self, to: &mut Collector, write: impl FnOnce(&mut Collector) -> Result<()>) -> Result<()> {
        // The open chunk of values is set aside: keys do not go there.
        let before = self.keys.len();
        to.exchange_for_key(&mut self.keys);
        let done = write(to);
        to.exchange_for_key(&mut self.keys);
        done?;
        self.key_count += 1;
        if self.deferred_keys {
            let (count, start) = self.key_chunks.last().copied().unwrap_or_default();
            if self.key_count == count + 1 {
                self.fences.extend_from_slice(&self.keys[before..]);
            }
            if self.keys.len() - start >= to.shape.block_size || self.key_count - count >= MAX_CHUNK {
                self.key_chunks.push((self.key_count, self.keys.len()));
            }
        }
        Ok(())
    }

    pub(crate) fn finish(mut self, to: &mut Collector) -> Result<()> {
        self.values.close(to)?;
        let mut key_chunks: Vec<Chunk> = Vec::new();
        if self.deferred_keys {
            if self.key_chunks.last().map_or(0, |c| c.0) < self.key_count {
                self.key_chunks.push((self.key_count, self.keys.len()));
            }
            let (mut count, mut start) = (0, 0);
            for &(count_end, end) in &self.key_chunks {
                let n = count_end - count;
                let head = varint(n);
                key_chunks.push((n, to.whole_part(&[&head, &self.keys[start..end]])?));
                (count, start) = (count_end, end);
            }
        }
        to.write_chunks(&self.values.done);
        to.out().push(u8::from(self.deferred_keys));
        let (n, keys) = if self.deferred_keys {
            to.write_chunks(&key_chunks);
            (key_chunks.len() as u64, &self.fences)
        } else {
            (self.key_count, &self.keys)
        };
        to.write_varint(n);
        to.out().extend_from_slice(keys);
        Ok(())
    }
}
