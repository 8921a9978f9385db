//! `DeferVec<T>`: a list that is read in chunks, when an element is touched.

use crate::error::{Error, ErrorKind, Result};
use crate::handoff::{Arrival, ChunkPlace, LIST, WRITTEN, Written};
use crate::part::{Received, mixed_up, receive};
use crate::value::{Answer, Body, Defer};
use serde::de::DeserializeOwned;
use serde::ser::SerializeSeq;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::ops::{Bound, Deref, RangeBounds};
use std::sync::Arc;

/// A list whose elements are read when they are touched, a chunk at a time, and remembered then.
///
/// In a deferred file its elements are stored in chunks of about [`SaveOptions::block_size`](crate::SaveOptions::block_size)
/// bytes, each a block of its own; loading what contains it reads a few bytes per chunk. Elements may have any and
/// varying size, and parts of their own. Under any other serde format it is simply a sequence.
///
/// ```
/// use fastboot_defer::{self as defer, DeferVec};
/// let squares: DeferVec<u64> = (0..100_000).map(|n| n * n).collect();
/// let squares: DeferVec<u64> = defer::from_vec(defer::to_vec(&squares)?)?;
/// assert_eq!(squares.len(), 100_000);
/// assert_eq!(*squares.get(300)?, 90_000);
/// assert_eq!(squares.range(10..12).map(|n| n.copied()).collect::<Result<Vec<u64>, _>>()?, [100, 121]);
/// # Ok::<(), defer::Error>(())
/// ```
pub struct DeferVec<T> {
    chunks: Vec<Chunk<T>>,
}

struct Chunk<T> {
    /// Where its elements end, counted from the start of the list. Ascending; no chunk is empty.
    end: u64,
    part: Defer<Vec<T>>,
}

/// The elements of one chunk of a [`DeferVec`], as [`chunks`](DeferVec::chunks) gives them: a slice that may be kept.
pub struct Elements<T>(Arc<Body<Vec<T>>>);

impl<T> Deref for Elements<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T: fmt::Debug> fmt::Debug for Elements<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<T> DeferVec<T> {
    /// An empty list.
    #[must_use]
    pub const fn new() -> Self {
        DeferVec { chunks: Vec::new() }
    }

    pub(crate) fn at(places: Vec<ChunkPlace>) -> Self {
        DeferVec { chunks: places.into_iter().map(|c| Chunk { end: c.end, part: Defer::at(c.place) }).collect() }
    }

    /// Number of elements. Never reads.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.chunks.last().map_or(0, |chunk| chunk.end)
    }

    /// Whether there are no elements. Never reads.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    pub(crate) fn chunk_count(&self) -> usize {
        self.chunks.len()
    }

    /// The index of the first element of a chunk, or the length of the list.
    pub(crate) fn chunk_start(&self, chunk: usize) -> u64 {
        match chunk.checked_sub(1) {
            Some(before) => self.chunks.get(before).map_or(self.len(), |chunk| chunk.end),
            None => 0,
        }
    }

    /// Which chunk has element `index`; one past the last if none has.
    fn chunk_of(&self, index: u64) -> usize {
        self.chunks.partition_point(|chunk| chunk.end <= index)
    }

    /// Whether the element is in memory. Never reads.
    #[must_use]
    pub fn is_loaded(&self, index: u64) -> bool {
        self.chunks.get(self.chunk_of(index)).is_some_and(|chunk| chunk.part.is_loaded())
    }

    /// Forgets every chunk that can be read again.
    pub fn unload(&mut self) {
        for chunk in &mut self.chunks {
            chunk.part.unload();
        }
    }
}

impl<T: DeserializeOwned> DeferVec<T> {
    /// Checks that a chunk has as many elements as the list says.
    fn right_length(&self, chunk: usize, found: usize) -> Result<()> {
        let expected = self.chunk_start(chunk + 1) - self.chunk_start(chunk);
        if found as u64 == expected {
            return Ok(());
        }
        let e = Error::damaged(format!("a chunk should have {expected} elements and has {found}"));
        Err(match self.chunks.get(chunk).and_then(|chunk| chunk.part.place()) {
            Some(place) => e.in_block(place.start).in_file(place.origin.name()),
            None => e,
        })
    }

    /// The elements of a chunk; none if there is no such chunk.
    pub(crate) fn chunk(&self, chunk: usize) -> Result<&[T]> {
        let Some(found) = self.chunks.get(chunk) else {
            return Ok(&[]);
        };
        let elements = found.part.get()?;
        self.right_length(chunk, elements.len())?;
        Ok(elements)
    }

    /// Element `index`. Reads its chunk if that was not touched before.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfRange`] if there is no such element; otherwise as [`Defer::get`].
    pub fn get(&self, index: u64) -> Result<&T> {
        let chunk = self.chunk_of(index);
        let elements = self.chunk(chunk)?;
        let out_of_range = || Error::new(ErrorKind::OutOfRange { index, len: self.len() });
        let within = index.checked_sub(self.chunk_start(chunk)).and_then(|i| usize::try_from(i).ok());
        within.and_then(|i| elements.get(i)).ok_or_else(out_of_range)
    }

    /// The elements of a range of indices, read as the iterator comes to them. A range that goes beyond the end gives
    /// one [`ErrorKind::OutOfRange`] there.
    pub fn range(&self, range: impl RangeBounds<u64>) -> Iter<'_, T> {
        let next = match range.start_bound() {
            Bound::Included(&n) => n,
            Bound::Excluded(&n) => n.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(&n) => n.saturating_add(1),
            Bound::Excluded(&n) => n,
            Bound::Unbounded => self.len(),
        };
        Iter { list: self, next, end, here: [].iter() }
    }

    /// All elements, read as the iterator comes to them, and remembered. To pass through a list that is larger than
    /// memory use [`chunks`](Self::chunks).
    pub fn iter(&self) -> Iter<'_, T> {
        self.range(..)
    }

    /// The chunks one after the other. What is not loaded is read and not remembered.
    pub fn chunks(&self) -> impl Iterator<Item = Result<Elements<T>>> + '_ {
        self.chunks.iter().enumerate().map(|(i, chunk)| {
            let elements = chunk.part.share()?;
            self.right_length(i, elements.len())?;
            Ok(Elements(elements))
        })
    }

    /// All elements, moved out.
    ///
    /// # Errors
    /// As [`Defer::into_inner`], for any chunk.
    pub fn into_vec(self) -> Result<Vec<T>> {
        let mut all = Vec::new();
        for chunk in self.chunks {
            let mut elements = chunk.part.into_inner()?;
            if all.is_empty() {
                all = elements;
            } else {
                all.append(&mut elements);
            }
        }
        Ok(all)
    }
}

/// The elements of a [`DeferVec`], read as it comes to them.
pub struct Iter<'a, T> {
    list: &'a DeferVec<T>,
    next: u64,
    end: u64,
    /// What is left of the chunk that `next` is in.
    here: std::slice::Iter<'a, T>,
}

impl<'a, T: DeserializeOwned> Iterator for Iter<'a, T> {
    type Item = Result<&'a T>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.end {
            return None;
        }
        if let Some(element) = self.here.next() {
            self.next += 1;
            return Some(Ok(element));
        }
        let chunk = self.list.chunk_of(self.next);
        let skip = usize::try_from(self.next - self.list.chunk_start(chunk).min(self.next)).unwrap_or(usize::MAX);
        let first = self.list.chunk(chunk).and_then(|elements| {
            self.here = elements.get(skip..).unwrap_or_default().iter();
            let out_of_range = || Error::new(ErrorKind::OutOfRange { index: self.next, len: self.list.len() });
            self.here.next().ok_or_else(out_of_range)
        });
        match first {
            Ok(_) => self.next += 1,
            // Nothing comes after an error.
            Err(_) => self.next = self.end,
        }
        Some(first)
    }
}

impl<T> fmt::Debug for Iter<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Iter({}..{})", self.next, self.end)
    }
}

impl<'a, T: DeserializeOwned> IntoIterator for &'a DeferVec<T> {
    type Item = Result<&'a T>;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

impl<T> From<Vec<T>> for DeferVec<T> {
    fn from(elements: Vec<T>) -> Self {
        let end = elements.len() as u64;
        let mut chunks = Vec::new();
        if end > 0 {
            chunks.push(Chunk { end, part: Defer::new(elements) });
        }
        DeferVec { chunks }
    }
}

impl<T> FromIterator<T> for DeferVec<T> {
    fn from_iter<I: IntoIterator<Item = T>>(elements: I) -> Self {
        elements.into_iter().collect::<Vec<T>>().into()
    }
}

impl<T> Default for DeferVec<T> {
    fn default() -> Self {
        DeferVec::new()
    }
}

/// Shares what is loaded, see [`Defer`].
impl<T> Clone for DeferVec<T> {
    fn clone(&self) -> Self {
        let chunks = self.chunks.iter().map(|c| Chunk { end: c.end, part: c.part.clone() });
        DeferVec { chunks: chunks.collect() }
    }
}

/// Shows the elements that are loaded; never reads.
impl<T: fmt::Debug> fmt::Debug for DeferVec<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeferVec({} elements, ", self.len())?;
        f.debug_list().entries(self.chunks.iter().filter_map(|c| c.part.try_get()).flatten()).finish()?;
        f.write_str(")")
    }
}

/// Compares the elements, reading them if need be. A list that cannot be read equals nothing.
impl<T: PartialEq + DeserializeOwned> PartialEq for DeferVec<T> {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().zip(other.iter()).all(|pair| matches!(pair, (Ok(a), Ok(b)) if a == b))
    }
}

/// Walks through a list without remembering what was not loaded.
pub(crate) struct Walk<'a, T> {
    list: &'a DeferVec<T>,
    chunk: usize,
    here: Option<Arc<Body<Vec<T>>>>,
    at: usize,
}

impl<'a, T: DeserializeOwned> Walk<'a, T> {
    pub(crate) fn new(list: &'a DeferVec<T>) -> Self {
        Walk { list, chunk: 0, here: None, at: 0 }
    }

    pub(crate) fn next(&mut self) -> Result<Option<&T>> {
        if self.here.as_ref().is_none_or(|here| self.at >= here.len()) {
            let Some(chunk) = self.list.chunks.get(self.chunk) else {
                return Ok(None);
            };
            self.here = None;
            let elements = chunk.part.share()?;
            self.list.right_length(self.chunk, elements.len())?;
            self.here = Some(elements);
            self.chunk += 1;
            self.at = 0;
        }
        self.at += 1;
        Ok(self.here.as_ref().and_then(|here| here.get(self.at - 1)))
    }
}

struct Contents<'a, T>(&'a DeferVec<T>);

impl<T: Serialize + DeserializeOwned> Serialize for Contents<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(usize::try_from(self.0.len()).ok())?;
        let mut walk = Walk::new(self.0);
        while let Some(element) = walk.next().map_err(serde::ser::Error::custom)? {
            seq.serialize_element(element)?;
        }
        seq.end()
    }
}

impl<T: Serialize + DeserializeOwned> Serialize for DeferVec<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.chunks.iter().all(|chunk| chunk.part.written().is_none()) {
            return serializer.serialize_newtype_struct(LIST, &Contents(self));
        }
        let written = || {
            let place = |c: &Chunk<T>| Some(ChunkPlace { end: c.end, place: c.part.place()?.clone() });
            Written::List(self.chunks.iter().filter_map(place).collect())
        };
        serializer.serialize_newtype_struct(WRITTEN, &Answer(written))
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for DeferVec<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match receive::<Vec<T>, (), D>(LIST, deserializer)? {
            Received::Foreign(elements) => Ok(elements.into()),
            Received::Ours(Arrival::List(places), ()) => Ok(DeferVec::at(places)),
            Received::Ours(..) => Err(mixed_up()),
        }
    }
}
