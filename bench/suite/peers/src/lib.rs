//! What the binaries have in common: each saves the values of a workload in its format, or loads and uses them.
//!
//! ```text
//! bincode strings --save           writes paths.bincode
//! bincode strings --look-ups 100   loads it
//! bincode map --look-ups 100       likewise postings.bincode
//! ```
//!
//! What was loaded is leaked, because a program that ends need not free it.

pub mod archived;

use std::fs::File;
use workloads::map::{self, Map};
use workloads::{Run, data, strings};

/// A workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    /// The list of paths.
    Strings,
    /// The index.
    Map,
}

impl Workload {
    /// The name of its file in a format.
    fn file(self, format: &str) -> String {
        match self {
            Self::Strings => format!("paths.{format}"),
            Self::Map => format!("postings.{format}"),
        }
    }
}

/// What a binary is called to do.
#[derive(Debug)]
pub enum Call {
    /// Write the file.
    Save(Workload),
    /// Load the file and look something up.
    Use(Workload, Run),
}

impl Call {
    /// Reads the command line: the first thing in `main`.
    ///
    /// # Panics
    /// If it makes no sense.
    pub fn read() -> Self {
        let mut arguments = std::env::args().skip(1);
        let workload = match arguments.next().as_deref() {
            Some("strings") => Workload::Strings,
            Some("map") => Workload::Map,
            _ => panic!("strings or map?"),
        };
        if arguments.next().as_deref() == Some("--save") {
            Self::Save(workload)
        } else {
            Self::Use(workload, Run::start())
        }
    }
}

/// A format of native values: both workloads, to bytes and back.
#[derive(Debug)]
pub struct Native {
    /// The format's name, which is the ending of its files.
    pub name: &'static str,
    /// The list to bytes.
    pub save_strings: fn(&Vec<String>) -> Vec<u8>,
    /// And back.
    pub load_strings: fn(&[u8]) -> Vec<String>,
    /// The index to bytes.
    pub save_map: fn(&Map) -> Vec<u8>,
    /// And back.
    pub load_map: fn(&[u8]) -> Map,
}

impl Native {
    /// All of `main`.
    pub fn main(&self) {
        match Call::read() {
            Call::Save(Workload::Strings) => save(Workload::Strings, self.name, &(self.save_strings)(&strings())),
            Call::Save(Workload::Map) => save(Workload::Map, self.name, &(self.save_map)(&map())),
            Call::Use(workload @ Workload::Strings, mut run) => {
                strings::look_up(&mut run, || (self.load_strings)(&load(workload, self.name)).leak());
                run.finish()
            }
            Call::Use(workload @ Workload::Map, mut run) => {
                map::look_up(&mut run, || Box::leak(Box::new((self.load_map)(&load(workload, self.name)))));
                run.finish()
            }
        }
    }
}

/// The list, built from its text.
pub fn strings() -> Vec<String> {
    strings::from_text()
}

/// The index, built from its text.
pub fn map() -> Map {
    map::from_text(&String::from_utf8_lossy(&workloads::read(map::TEXT)))
}

/// Writes a file.
pub fn save(workload: Workload, format: &str, bytes: &[u8]) {
    workloads::write(&workload.file(format), bytes);
}

/// Reads a file, whole.
pub fn load(workload: Workload, format: &str) -> Vec<u8> {
    workloads::read(&workload.file(format))
}

/// Maps a file, for as long as the program runs.
///
/// # Panics
/// If it cannot be mapped.
pub fn mapped(workload: Workload, format: &str) -> &'static [u8] {
    let path = data(&workload.file(format));
    let file = File::open(&path).unwrap_or_else(|error| panic!("cannot open {}: {error}", path.display()));
    // SAFETY: nothing writes to a data file once it was made.
    let map =
        unsafe { memmap2::Mmap::map(&file) }.unwrap_or_else(|error| panic!("cannot map {}: {error}", path.display()));
    &*Box::leak(Box::new(map))
}
