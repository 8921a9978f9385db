//! Loading: a file opened, its root decoded; and later on its parts, when they are touched.

use crate::decode;
use crate::error::{Error, ErrorKind, Result};
use crate::handoff::Place;
use crate::open::{DEPTH, Origin};
use crate::source::{ReadCount, Source};
use serde::de::DeserializeOwned;
use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How to load.
///
/// ```
/// use fastboot_defer::{LoadOptions, SaveOptions};
/// let file = SaveOptions::new().version(3).to_vec("strict")?;
/// let value: String = LoadOptions::new().version(3).from_vec(file)?;
/// assert_eq!(value, "strict");
/// # Ok::<(), fastboot_defer::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct LoadOptions {
    version: u64,
    depth: u32,
    count: Option<ReadCount>,
}

impl Default for LoadOptions {
    fn default() -> Self {
        LoadOptions::new()
    }
}

impl LoadOptions {
    /// Version 0, values nested up to 128 deep.
    pub fn new() -> Self {
        LoadOptions { version: 0, depth: DEPTH, count: None }
    }

    /// The version of your types: a file saved with another one is refused. Change it whenever a type in the file
    /// changes, since the bytes do not say what they mean.
    pub fn version(mut self, version: u64) -> Self {
        self.version = version;
        self
    }

    /// How deep values may nest inside one block (default 128): every sequence, map, tuple, struct, enum and `Some`
    /// is one level. Raise it, and the stack of the thread, for values that really are that deep.
    pub fn depth(mut self, depth: u32) -> Self {
        self.depth = depth;
        self
    }

    /// Counts what is read, now and later when parts are touched.
    pub fn count(mut self, count: &ReadCount) -> Self {
        self.count = Some(count.clone());
        self
    }

    /// Loads from a file. It is kept open as long as parts refer to it.
    ///
    /// # Errors
    /// If the file cannot be read, is damaged, or has another version or type.
    pub fn load<T: DeserializeOwned>(self, path: impl AsRef<Path>) -> Result<T> {
        let path = path.as_ref();
        let open = || -> Result<T> { self.run(Source::file(File::open(path)?), Some(path.to_path_buf())) };
        open().map_err(|e| e.in_file(Some(path)))
    }

    /// Loads from bytes that are part of the program, such as `include_bytes!("pages.defer")`; nothing is copied but
    /// the values themselves.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn from_static<T: DeserializeOwned>(self, bytes: &'static [u8]) -> Result<T> {
        self.run(Source::Static(bytes), None)
    }

    /// Loads from bytes in memory, which are kept as long as parts refer to them.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn from_vec<T: DeserializeOwned>(self, bytes: Vec<u8>) -> Result<T> {
        self.run(Source::Owned(bytes), None)
    }

    /// Loads from anything that can be read and positioned. Reads of several threads wait for each other.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn from_reader<T: DeserializeOwned>(self, reader: impl Read + Seek + Send + 'static) -> Result<T> {
        self.run(Source::Stream(std::sync::Mutex::new(Box::new(reader))), None)
    }

    fn run<T: DeserializeOwned>(self, source: Source, name: Option<PathBuf>) -> Result<T> {
        let file_name = name.clone();
        let load = || {
            let origin = Origin::open(source, name, self.depth, self.count.unwrap_or_default())?;
            if origin.header.version != self.version {
                let found = origin.header.version;
                return Err(Error::new(ErrorKind::Version { expected: self.version, found }));
            }
            root(&Arc::new(origin))
        };
        load().map_err(|e| e.in_file(file_name.as_deref()))
    }
}

/// The root of a file, decoded.
pub(crate) fn root<T: DeserializeOwned>(origin: &Arc<Origin>) -> Result<T> {
    decode::block(origin, &origin.root_block()?)
}

/// The part that lies there, decoded.
pub(crate) fn part<T: DeserializeOwned>(origin: &Arc<Origin>, start: u64, extent: u64) -> Result<T> {
    decode::block(origin, &origin.part_block(start, extent)?)
}

impl Place {
    /// Reads, checks and decodes the part.
    pub(crate) fn load<T: DeserializeOwned>(&self) -> Result<T> {
        part(&self.origin, self.start, self.extent)
    }
}
