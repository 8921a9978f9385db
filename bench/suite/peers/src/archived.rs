//! rkyv's types for the two workloads, and how they are looked at.

use rkyv::collections::swiss_table::ArchivedHashMap;
use rkyv::string::ArchivedString;
use rkyv::vec::ArchivedVec;
use workloads::map::Postings;

/// The list.
pub type Strings = ArchivedVec<ArchivedString>;
/// The index.
pub type Map = ArchivedHashMap<ArchivedString, ArchivedVec<rkyv::rend::u32_le>>;

/// The index, to be looked at.
#[derive(Debug)]
pub struct Index(pub &'static Map);

impl Postings for Index {
    fn count(&self) -> usize {
        self.0.len()
    }

    fn postings(&self, word: &str) -> Option<impl Iterator<Item = u32>> {
        Some(self.0.get(word)?.iter().map(|posting| posting.to_native()))
    }
}
