//! `DeferMap<K, V>`: a sorted map whose values, and if wanted its keys, are read in chunks when they are touched.

use crate::error::{Error, ErrorKind, Result};
use crate::handoff::{Arrival, MAP, MAP_OF_DEFERRED_KEYS};
use crate::part::{Received, mixed_up, receive};
use crate::vec::{DeferVec, Walk};
use serde::de::{DeserializeOwned, Error as _};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Bound, RangeBounds};

/// A sorted map whose values are read when they are touched, a chunk at a time, and remembered then.
///
/// The keys are strict, or, after [`defer_keys`](Self::defer_keys), deferred too: then only the first key of each chunk
/// is strict, and a look-up reads one chunk of keys and one of values. Under any other serde format it is simply a map.
///
/// ```
/// use fastboot_defer::{self as defer, DeferMap};
/// let ages: DeferMap<String, u32> = [("Ada".to_string(), 36), ("Alan".to_string(), 41)].into_iter().collect();
/// let ages: DeferMap<String, u32> = defer::from_vec(defer::to_vec(&ages)?)?;
/// assert_eq!(ages.get("Alan")?, Some(&41));
/// assert_eq!(ages.get("Grace")?, None);
/// # Ok::<(), defer::Error>(())
/// ```
pub struct DeferMap<K, V> {
    keys: Keys<K>,
    values: DeferVec<V>,
    /// How the keys are saved.
    deferred_keys: bool,
}

/// Ascending, each once.
enum Keys<K> {
    Strict(Vec<K>),
    /// The first key of each chunk, and all keys.
    Deferred(Vec<K>, DeferVec<K>),
}

impl<K, V> DeferMap<K, V> {
    /// An empty map.
    #[must_use]
    pub const fn new() -> Self {
        DeferMap { keys: Keys::Strict(Vec::new()), values: DeferVec::new(), deferred_keys: false }
    }

    /// Number of entries. Never reads.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.values.len()
    }

    /// Whether there are no entries. Never reads.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Whether the keys, too, are saved in chunks of their own.
    #[must_use]
    pub fn defer_keys(mut self, yes: bool) -> Self {
        self.deferred_keys = yes;
        self
    }

    /// Forgets everything that can be read again.
    pub fn unload(&mut self) {
        self.values.unload();
        if let Keys::Deferred(_, keys) = &mut self.keys {
            keys.unload();
        }
    }
}

impl<K: DeserializeOwned, V: DeserializeOwned> DeferMap<K, V> {
    fn key(&self, index: u64) -> Result<&K> {
        match &self.keys {
            // An index that no usize can hold is out of range anyhow, and `values` says so.
            Keys::Strict(keys) => match usize::try_from(index).ok().and_then(|i| keys.get(i)) {
                Some(key) => Ok(key),
                None => Err(Error::new(ErrorKind::OutOfRange { index, len: self.len() })),
            },
            Keys::Deferred(_, keys) => keys.get(index),
        }
    }

    /// How many keys come before the first one for which `before` is false; `before` is true for a beginning of them.
    fn count_before(&self, before: impl Fn(&K) -> bool) -> Result<u64> {
        match &self.keys {
            Keys::Strict(keys) => Ok(keys.partition_point(before) as u64),
            Keys::Deferred(first, keys) => {
                // The border is in the last chunk whose first key is before it.
                let Some(chunk) = first.partition_point(&before).checked_sub(1) else {
                    return Ok(0);
                };
                let within = keys.chunk(chunk)?.partition_point(before);
                Ok(keys.chunk_start(chunk) + within as u64)
            }
        }
    }

    fn find<Q: Ord + ?Sized>(&self, key: &Q) -> Result<Option<u64>>
    where
        K: Borrow<Q>,
    {
        let index = self.count_before(|k| k.borrow() < key)?;
        if index < self.len() && self.key(index)?.borrow() == key {
            return Ok(Some(index));
        }
        Ok(None)
    }

    /// The value of a key, if the map has it.
    ///
    /// # Errors
    /// As [`Defer::get`](crate::Defer::get).
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Result<Option<&V>>
    where
        K: Borrow<Q>,
    {
        match self.find(key)? {
            Some(index) => self.values.get(index).map(Some),
            None => Ok(None),
        }
    }

    /// Whether the map has the key. Reads no values.
    ///
    /// # Errors
    /// As [`Defer::get`](crate::Defer::get), if the keys are deferred.
    pub fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> Result<bool>
    where
        K: Borrow<Q>,
    {
        Ok(self.find(key)?.is_some())
    }

    /// The entries whose keys are in a range, in order, read as the iterator comes to them.
    ///
    /// # Errors
    /// As [`Defer::get`](crate::Defer::get), if the keys are deferred and the ends of the range cannot be found.
    pub fn range<Q: Ord + ?Sized, R: RangeBounds<Q>>(
        &self,
        range: R,
    ) -> Result<impl Iterator<Item = Result<(&K, &V)>> + use<'_, K, V, Q, R>>
    where
        K: Borrow<Q>,
    {
        let (start, end) = (range.start_bound(), range.end_bound());
        let from = match start {
            Bound::Included(q) => self.count_before(|k| k.borrow() < q)?,
            Bound::Excluded(q) => self.count_before(|k| k.borrow() <= q)?,
            Bound::Unbounded => 0,
        };
        let to = match end {
            Bound::Included(q) => self.count_before(|k| k.borrow() <= q)?,
            Bound::Excluded(q) => self.count_before(|k| k.borrow() < q)?,
            Bound::Unbounded => self.len(),
        };
        Ok((from..to).map(|i| Ok((self.key(i)?, self.values.get(i)?))))
    }

    /// All entries in order, read as the iterator comes to them.
    pub fn iter(&self) -> impl Iterator<Item = Result<(&K, &V)>> {
        (0..self.len()).map(|i| Ok((self.key(i)?, self.values.get(i)?)))
    }
}

impl<K, V> From<BTreeMap<K, V>> for DeferMap<K, V> {
    fn from(map: BTreeMap<K, V>) -> Self {
        let (keys, values): (Vec<K>, Vec<V>) = map.into_iter().unzip();
        DeferMap { keys: Keys::Strict(keys), values: values.into(), deferred_keys: false }
    }
}

impl<K: Ord, V> FromIterator<(K, V)> for DeferMap<K, V> {
    /// Of entries with the same key the last one counts.
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        entries.into_iter().collect::<BTreeMap<K, V>>().into()
    }
}

impl<K, V> Default for DeferMap<K, V> {
    fn default() -> Self {
        DeferMap::new()
    }
}

/// Shares what is loaded, see [`Defer`](crate::Defer).
impl<K: Clone, V> Clone for DeferMap<K, V> {
    fn clone(&self) -> Self {
        let keys = match &self.keys {
            Keys::Strict(keys) => Keys::Strict(keys.clone()),
            Keys::Deferred(first, keys) => Keys::Deferred(first.clone(), keys.clone()),
        };
        DeferMap { keys, values: self.values.clone(), deferred_keys: self.deferred_keys }
    }
}

/// Shows how many entries there are and the values that are loaded; never reads.
impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for DeferMap<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut s = f.debug_struct("DeferMap");
        match &self.keys {
            Keys::Strict(keys) => s.field("keys", keys),
            Keys::Deferred(_, keys) => s.field("keys", keys),
        };
        s.field("values", &self.values).finish()
    }
}

/// Compares the entries, reading them if need be. A map that cannot be read equals nothing.
impl<K: PartialEq + DeserializeOwned, V: PartialEq + DeserializeOwned> PartialEq for DeferMap<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().zip(other.iter()).all(|pair| matches!(pair, (Ok(a), Ok(b)) if a == b))
    }
}

struct Body<'a, K, V>(&'a DeferMap<K, V>);

impl<K: Serialize + DeserializeOwned, V: Serialize + DeserializeOwned> Serialize for Body<'_, K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::Error;
        let mut map = serializer.serialize_map(usize::try_from(self.0.len()).ok())?;
        let mut values = Walk::new(&self.0.values);
        let mut entry = |key: &K| {
            let value = values.next().map_err(Error::custom)?;
            map.serialize_entry(key, value.ok_or_else(|| Error::custom("a map has fewer values than keys"))?)
        };
        match &self.0.keys {
            Keys::Strict(keys) => keys.iter().try_for_each(&mut entry)?,
            Keys::Deferred(_, keys) => {
                let mut walk = Walk::new(keys);
                while let Some(key) = walk.next().map_err(Error::custom)? {
                    entry(key)?;
                }
            }
        }
        map.end()
    }
}

impl<K: Serialize + DeserializeOwned, V: Serialize + DeserializeOwned> Serialize for DeferMap<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let name = if self.deferred_keys { MAP_OF_DEFERRED_KEYS } else { MAP };
        serializer.serialize_newtype_struct(name, &Body(self))
    }
}

impl<'de, K: DeserializeOwned + Ord, V: DeserializeOwned> Deserialize<'de> for DeferMap<K, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (values, keys, strict) = match receive::<BTreeMap<K, V>, Vec<K>, D>(MAP, deserializer)? {
            Received::Foreign(map) => return Ok(map.into()),
            Received::Ours(Arrival::Map { values, keys }, strict) => (DeferVec::at(values), keys, strict),
            Received::Ours(..) => return Err(mixed_up()),
        };
        if !strict.is_sorted_by(|a, b| a < b) {
            return Err(D::Error::custom("the keys of a map are not in order"));
        }
        let deferred_keys = keys.is_some();
        let (keys, count) = match keys.map(DeferVec::at) {
            Some(keys) if keys.chunk_count() != strict.len() => {
                return Err(D::Error::custom("a map has another number of chunks of keys than of first keys"));
            }
            Some(keys) => {
                let count = keys.len();
                (Keys::Deferred(strict, keys), count)
            }
            None => {
                let count = strict.len() as u64;
                (Keys::Strict(strict), count)
            }
        };
        if count != values.len() {
            return Err(D::Error::custom(format!("a map has {count} keys and {} values", values.len())));
        }
        Ok(DeferMap { keys, values, deferred_keys })
    }
}
