//! `Defer<T>`: one value that is read when it is touched.

use crate::error::{Error, ErrorKind, Result};
use crate::handoff::{self, Place, WRITTEN, Written};
use crate::part::{Arrived, Reference, deserialize_part, serialize_part};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

/// A value whose body is read when it is touched for the first time, and remembered then.
///
/// Saved with [`save`](crate::save) it becomes a block of its own; loading what contains it reads a few bytes that say
/// where. Under any other serde format it is simply its value. It takes 40 bytes (on 64-bit machines) plus, once it is
/// loaded, the value and 24 bytes.
///
/// Any number of threads may call [`get`](Self::get) at once. If several are first, each may decode the body; one
/// result is kept, and all get that one.
///
/// A generic type that contains `Defer<T>` needs `#[serde(bound(serialize = "T: Serialize + DeserializeOwned",
/// deserialize = "T: DeserializeOwned"))]`.
///
/// ```
/// use fastboot_defer::{self as defer, Defer};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Page { title: String, text: Defer<String> }
///
/// let page = Page { title: "One".into(), text: Defer::new("a long text".into()) };
/// let page: Page = defer::from_vec(defer::to_vec(&page)?)?;
/// assert_eq!(page.title, "One");
/// assert!(!page.text.is_loaded());
/// assert_eq!(page.text.get()?, "a long text");
/// assert!(page.text.is_loaded());
/// # Ok::<(), defer::Error>(())
/// ```
pub struct Defer<T> {
    /// Where the body lies. Without it `value` is always there.
    from: Option<Place>,
    value: OnceLock<Arc<Body<T>>>,
}

/// The eight bytes in front of every value that a part holds in memory.
///
/// They are part of this crate's contract with the tool of fastboot, which looks for them in the memory that a program
/// leaves behind when it is frozen. They never change.
#[doc(hidden)]
pub const DEFERRED_MARK: [u8; 8] = [0x93, 0xc1, 0x0e, 0xb7, 0xd2, 0x6a, 0xf8, 0x1d];

/// A value in memory, and before it the mark by which the tool recognises it in a frozen program: there it is placed
/// behind everything that is reached without it.
#[repr(C)]
pub(crate) struct Body<T> {
    _mark: [u8; 8],
    value: T,
}

impl<T> Body<T> {
    fn new(value: T) -> Arc<Self> {
        Arc::new(Body { _mark: DEFERRED_MARK, value })
    }
}

impl<T> Deref for Body<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> Defer<T> {
    /// A part that is in memory.
    pub fn new(value: T) -> Self {
        Defer { from: None, value: OnceLock::from(Body::new(value)) }
    }

    pub(crate) fn at(place: Place) -> Self {
        Defer { from: Some(place), value: OnceLock::new() }
    }

    pub(crate) fn place(&self) -> Option<&Place> {
        self.from.as_ref()
    }

    /// The place, if it is in a file that a Writer is still writing or has just written.
    pub(crate) fn written(&self) -> Option<&Place> {
        self.from.as_ref().filter(|place| place.origin.is_written(place.start))
    }

    /// The value, if it is in memory already. Never reads.
    #[must_use]
    pub fn try_get(&self) -> Option<&T> {
        self.value.get().map(|body| &body.value)
    }

    /// Whether the value is in memory.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        self.value.get().is_some()
    }

    /// Forgets the value if it can be read again; the next [`get`](Self::get) reads it anew. Returns whether it was
    /// forgotten. Clones of this part keep what they have.
    pub fn unload(&mut self) -> bool {
        self.from.is_some() && self.value.take().is_some()
    }
}

impl<T: DeserializeOwned> Defer<T> {
    /// The value. The first call reads, checks and decodes its block; later ones cost one atomic load.
    ///
    /// # Errors
    /// If the block cannot be read, is damaged, or is no `T`. Nothing is remembered then: the next call tries again.
    #[inline]
    pub fn get(&self) -> Result<&T> {
        match self.value.get() {
            Some(body) => Ok(&body.value),
            None => self.load_and_keep(),
        }
    }

    fn load_and_keep(&self) -> Result<&T> {
        let body = Body::new(self.load()?);
        Ok(&self.value.get_or_init(|| body).value)
    }

    /// Reads the value without remembering it.
    fn load(&self) -> Result<T> {
        match &self.from {
            Some(place) => place.load(),
            // Unreachable by the invariant on `from`; an error is as good as a panic and does not end the program.
            None => Err(Error::damaged("a part has neither a value nor a place")),
        }
    }

    /// The value to share: what is loaded, or else read without remembering it.
    pub(crate) fn share(&self) -> Result<Arc<Body<T>>> {
        match self.value.get() {
            Some(body) => Ok(Arc::clone(body)),
            None => self.load().map(Body::new),
        }
    }

    /// Moves the value out, reading it if need be. If clones share the loaded value, it is read once more.
    ///
    /// # Errors
    /// As [`get`](Self::get); and [`ErrorKind::Shared`] if the value was made in memory and clones share it.
    pub fn into_inner(mut self) -> Result<T> {
        match self.value.take().map(Arc::try_unwrap) {
            Some(Ok(body)) => Ok(body.value),
            Some(Err(_)) if self.from.is_none() => Err(Error::new(ErrorKind::Shared)),
            _ => self.load(),
        }
    }
}

impl<T> From<T> for Defer<T> {
    fn from(value: T) -> Self {
        Defer::new(value)
    }
}

impl<T: Default> Default for Defer<T> {
    fn default() -> Self {
        Defer::new(T::default())
    }
}

/// Shares what is loaded: cheap for any `T`. What is not loaded yet, each clone loads for itself.
impl<T> Clone for Defer<T> {
    fn clone(&self) -> Self {
        Defer { from: self.from.clone(), value: self.value.clone() }
    }
}

/// Shows the value if it is loaded; never reads.
impl<T: fmt::Debug> fmt::Debug for Defer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.try_get(), &self.from) {
            (Some(value), _) => f.debug_tuple("Defer").field(value).finish(),
            (None, Some(place)) => write!(f, "Defer(at {} of {:?})", place.start, place.origin),
            (None, None) => f.write_str("Defer(nothing)"),
        }
    }
}

/// Compares the values, reading them if need be. A part that cannot be read equals nothing.
impl<T: PartialEq + DeserializeOwned> PartialEq for Defer<T> {
    fn eq(&self, other: &Self) -> bool {
        matches!((self.get(), other.get()), (Ok(a), Ok(b)) if a == b)
    }
}

/// What becomes a block: the value, read just for this if it is not loaded.
struct Contents<'a, T>(&'a Defer<T>);

impl<T: Serialize + DeserializeOwned> Serialize for Contents<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.try_get() {
            Some(value) => value.serialize(serializer),
            None => self.0.load().map_err(serde::ser::Error::custom)?.serialize(serializer),
        }
    }
}

impl<T: Serialize + DeserializeOwned> Serialize for Defer<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.written() {
            Some(place) => serializer.serialize_newtype_struct(WRITTEN, &Answer(|| Written::Part(place.clone()))),
            None => serialize_part(&Contents(self), serializer),
        }
    }
}

/// Answers our serializer's question for something already written; fails under any other format.
pub(crate) struct Answer<F>(pub(crate) F);

impl<F: Fn() -> Written> Serialize for Answer<F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if handoff::answer((self.0)()) {
            return serializer.serialize_unit();
        }
        Err(serde::ser::Error::custom(ErrorKind::Unfinished))
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Defer<T> {
    #[inline]
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match deserialize_part(deserializer)? {
            Arrived::Here(value) => Defer::new(value),
            Arrived::There(Reference(place)) => Defer::at(place),
        })
    }
}
