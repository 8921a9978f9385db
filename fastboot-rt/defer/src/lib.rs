//! Deferred loading: portable files whose parts are read when they are touched.
//!
//! An image belongs to one build of one program. Data that shall outlive a build, travel, or be larger than memory needs
//! a file format. Here any serde type can have parts that stay in the file until they are needed: wrap them in
//! [`Defer`], [`DeferVec`] or [`DeferMap`], [`save`], and [`load`]. Nothing has to be kept open or passed around.
//!
//! ```
//! # let folder = std::env::temp_dir().join(format!("fastboot-defer-{}", std::process::id()));
//! # std::fs::create_dir_all(&folder)?;
//! # let path = folder.join("pages.defer");
//! use fastboot_defer::{self as defer, Defer, DeferVec};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Page { url: Defer<String>, title: String, text: Defer<String> }
//! #[derive(Serialize, Deserialize)]
//! struct DataBase { pages: Vec<Page>, postings: DeferVec<u64>, trie: Trie }
//! #[derive(Serialize, Deserialize)]
//! struct Trie { children: Vec<(char, Defer<Trie>)>, start: u64, len: u64 }
//!
//! # let page = |n: u32| Page { url: format!("/{n}").into_defer(), title: format!("Page {n}"), text: "text ".repeat(500).into_defer() };
//! # trait IntoDefer: Sized { fn into_defer(self) -> Defer<Self> { Defer::new(self) } } impl IntoDefer for String {}
//! # let db = DataBase { pages: (0..9).map(page).collect(), postings: (0..99).collect(), trie: Trie { children: vec![], start: 0, len: 0 } };
//! defer::save(&path, &db)?;
//! let db: DataBase = defer::load(&path)?;      // reads titles, not texts
//! println!("{}", db.pages[3].text.get()?);     // now reads one text
//! # assert!(!db.pages[2].text.is_loaded());
//! # std::fs::remove_dir_all(&folder)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What it is and is not
//!
//! - Strict fields are stored as [postcard](https://docs.rs/postcard) stores them, and cost what they cost there. As in
//!   postcard the bytes do not say what they mean: the type that loads must be the type that saved (see
//!   [`LoadOptions::version`]), and some types that work in JSON do not work here: those with serde's `flatten`,
//!   `untagged`, `tag` or `skip_serializing_if`, for example.
//! - A save reads back what it wrote ([`SaveOptions::read_back`]): what [`load`] could not read, or would give back as
//!   another value, is refused while you still have it.
//! - All strict data of a file lies together at its front; the bodies follow in the order of the structure, each a block
//!   with a checksum of its own. Offsets have 64 bits.
//! - The same types work under every other serde format, where they are simply strict.
//! - Whatever is in a file, loading ends with a value or an [`Error`] that names file, block and offset: no panic, no
//!   endless recursion or loop, no more memory than a fixed multiple (given by the type) of what the file has. With
//!   checksums a wrong value is never accepted, except by a collision of 64-bit hashes; they do not protect against
//!   someone who makes a file on purpose, who can only make it hold other values, not break these rules.
//! - A file must not be changed in place while it is loaded. [`save`] never does that: it replaces the name.
//! - It has no unsafe code, needs nothing else of fastboot (no `install!`), and works wherever std does. In an image that
//!   `cargo fastboot` makes of a program, what is loaded is simply a value, and bodies lie behind everything that
//!   is reached without them. What is not loaded can be frozen if it comes from memory
//!   ([`from_vec`], [`from_static`]), not from an open file, whose descriptor does not survive.
//!
//! # Types of your own
//!
//! `Defer` is made of two functions, [`serialize_part`] and [`deserialize_part`]. This is how to write it oneself:
//!
//! ```
//! use fastboot_defer::{self as defer, Arrived, Reference};
//! use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};
//! use std::cell::OnceCell;
//!
//! struct Lazy<T> { value: OnceCell<T>, from: Option<Reference> }
//!
//! impl<T: DeserializeOwned> Lazy<T> {
//!     fn get(&self) -> defer::Result<&T> {
//!         if let (None, Some(from)) = (self.value.get(), &self.from) {
//!             let _ = self.value.set(from.load()?);
//!         }
//!         Ok(self.value.get().expect("without a reference there is a value from the start"))
//!     }
//! }
//!
//! impl<T: Serialize + DeserializeOwned> Serialize for Lazy<T> {
//!     fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
//!         defer::serialize_part(self.get().map_err(serde::ser::Error::custom)?, s)
//!     }
//! }
//!
//! impl<'de, T: DeserializeOwned> Deserialize<'de> for Lazy<T> {
//!     fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
//!         Ok(match defer::deserialize_part::<T, D>(d)? {
//!             Arrived::There(from) => Lazy { value: OnceCell::new(), from: Some(from) },
//!             Arrived::Here(value) => Lazy { value: OnceCell::from(value), from: None },
//!         })
//!     }
//! }
//!
//! let pair = ("strict".to_string(), Lazy { value: "deferred".to_string().into(), from: None });
//! let pair: (String, Lazy<String>) = defer::from_vec(defer::to_vec(&pair)?)?;
//! assert!(pair.1.value.get().is_none());
//! assert_eq!(pair.1.get()?, "deferred");
//! # Ok::<(), defer::Error>(())
//! ```
//!
//! # From the value to the file and back
//!
//! ```text
//! value ─encode→ contents ─compress→ blocks ─collect→ subtrees ─save or stream→ FILE
//! FILE ─open→ blocks ─decompress→ contents ─decode→ strict data with references ─get→ value
//! ```

#![forbid(unsafe_code)]

mod check;
mod chunk;
mod collect;
mod compress;
mod decode;
mod digest;
mod encode;
mod error;
mod forms;
mod handoff;
mod inspect;
mod layout;
mod load;
mod map;
mod open;
mod part;
mod save;
mod shapes;
mod source;
mod stream;
mod value;
mod varint;
mod vec;

pub use error::{Error, ErrorKind, Result};
pub use inspect::{BlockSummary, Summary, Verification, inspect, verify};
pub use layout::{BlockKind, Compression, MAGIC};
pub use load::LoadOptions;
pub use map::DeferMap;
pub use part::{Arrived, Reference, deserialize_part, serialize_part};
pub use save::{Loadable, SaveOptions};
pub use source::ReadCount;
pub use stream::{ListWriter, Writer};
#[doc(hidden)]
pub use value::DEFERRED_MARK;
pub use value::Defer;
pub use vec::{DeferVec, Elements, Iter};

use serde::de::DeserializeOwned;
use std::path::Path;

/// Saves to a file with the default [`SaveOptions`].
///
/// # Errors
/// As [`SaveOptions::save`].
pub fn save<T: Loadable + ?Sized>(path: impl AsRef<Path>, value: &T) -> Result<()> {
    SaveOptions::new().save(path, value)
}

/// Loads from a file with the default [`LoadOptions`].
///
/// # Errors
/// As [`LoadOptions::load`].
pub fn load<T: DeserializeOwned>(path: impl AsRef<Path>) -> Result<T> {
    LoadOptions::new().load(path)
}

/// Saves to memory with the default [`SaveOptions`].
///
/// # Errors
/// As [`SaveOptions::to_vec`].
pub fn to_vec<T: Loadable + ?Sized>(value: &T) -> Result<Vec<u8>> {
    SaveOptions::new().to_vec(value)
}

/// Loads from bytes in memory with the default [`LoadOptions`].
///
/// # Errors
/// As [`LoadOptions::load`].
pub fn from_vec<T: DeserializeOwned>(bytes: Vec<u8>) -> Result<T> {
    LoadOptions::new().from_vec(bytes)
}

/// Loads from bytes that are part of the program, such as `include_bytes!("pages.defer")`.
///
/// # Errors
/// As [`LoadOptions::load`].
pub fn from_static<T: DeserializeOwned>(bytes: &'static [u8]) -> Result<T> {
    LoadOptions::new().from_static(bytes)
}
