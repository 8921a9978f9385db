//! zerovec, mapped; reading it checks all of it.

use peers::{Call, Workload, map, mapped, save, strings};
use std::collections::BTreeMap;
use workloads::map::Postings;
use workloads::strings::Strings;
use zerovec::vecs::Index32;
use zerovec::{VarZeroSlice, VarZeroVec, ZeroSlice, ZeroVec};

const NAME: &str = "zerovec";

/// A list of strings.
type Texts = VarZeroSlice<str, Index32>;
/// A list of lists of numbers.
type Lists = VarZeroSlice<ZeroSlice<u32>, Index32>;

struct List(&'static Texts);

impl Strings for List {
    fn count(&self) -> usize {
        self.0.len()
    }

    fn entry(&self, index: usize) -> &str {
        &self.0[index]
    }
}

/// The words in their order, and in the same order where they occur: zerovec's own map has no more than 65,536 bytes of
/// keys.
struct Index {
    words: &'static Texts,
    lists: &'static Lists,
}

impl Postings for Index {
    fn count(&self) -> usize {
        self.words.len()
    }

    fn postings(&self, word: &str) -> Option<impl Iterator<Item = u32>> {
        Some(self.lists[self.words.binary_search(word).ok()?].iter())
    }
}

fn main() {
    match Call::read() {
        Call::Save(Workload::Strings) => {
            save(Workload::Strings, NAME, VarZeroVec::<str, Index32>::from(&strings()).as_bytes());
        }
        Call::Save(Workload::Map) => save(Workload::Map, NAME, &index_to_bytes()),
        Call::Use(workload @ Workload::Strings, mut run) => {
            workloads::strings::look_up(&mut run, || {
                Box::leak(Box::new(List(Texts::parse_bytes(mapped(workload, NAME)).expect("it is what was saved"))))
            });
            run.finish()
        }
        Call::Use(workload @ Workload::Map, mut run) => {
            workloads::map::look_up(&mut run, || Box::leak(Box::new(index_from_bytes(mapped(workload, NAME)))));
            run.finish()
        }
    }
}

/// How many bytes the words take, the words, the lists.
fn index_to_bytes() -> Vec<u8> {
    let sorted: BTreeMap<String, Vec<u32>> = map().into_iter().collect();
    let words: Vec<&str> = sorted.keys().map(String::as_str).collect();
    let lists: Vec<ZeroVec<u32>> = sorted.values().map(|list| ZeroVec::alloc_from_slice(list)).collect();
    let words = VarZeroVec::<str, Index32>::from(&words);
    let lists = VarZeroVec::<ZeroSlice<u32>, Index32>::from(&lists);
    [&(words.as_bytes().len() as u64).to_le_bytes(), words.as_bytes(), lists.as_bytes()].concat()
}

fn index_from_bytes(bytes: &'static [u8]) -> Index {
    let (length, rest) = bytes.split_first_chunk().expect("it begins with a length");
    let (words, lists) = rest.split_at(u64::from_le_bytes(*length) as usize);
    Index {
        words: VarZeroSlice::parse_bytes(words).expect("it is what was saved"),
        lists: VarZeroSlice::parse_bytes(lists).expect("it is what was saved"),
    }
}
