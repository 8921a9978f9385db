//! The index: a trie of deferred nodes over a deferred list of items.
//!
//! An item stands in the list once for every word that its name starts with or contains (`read_exact_at`: `read_exact_at`,
//! `exact_at`, `at`), sorted by that rest of the name in lower case, its *key*. All items whose keys begin alike lie side
//! by side, so a node of the trie needs only to say where they start and how many they are. A search walks down the
//! trie, one small block for each letter, and reads the part of the list that it arrives at.

use crate::names::Name;
use fastboot_defer::{Defer, DeferVec, Result};
use serde::{Deserialize, Serialize};

/// The root of the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct NameSearch {
    /// How many different names there are.
    pub(crate) names: u64,
    pub(crate) trie: Trie,
    /// Sorted by key.
    pub(crate) items: DeferVec<Item>,
}

/// Everything whose key begins with the letters on the way to this node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Trie {
    pub(crate) children: Vec<(char, Defer<Trie>)>,
    /// Index of the first item.
    pub(crate) start: u64,
    /// Number of items.
    pub(crate) len: u64,
}

/// A name and where in it the key starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Item {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) from: String,
    /// Byte offset of the key in the name.
    pub(crate) word: u16,
}

impl Item {
    pub(crate) fn key(&self) -> String {
        self.name.get(usize::from(self.word)..).unwrap_or_default().to_lowercase()
    }
}

/// The same without anything deferred.
#[derive(Debug)]
pub(crate) struct Strict {
    pub(crate) items: Vec<Item>,
}

/// Fewer items than this are not divided any further: reading a few too many costs less than one more node.
const FEW: usize = 24;

/// What a search found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// How many items there are.
    pub(crate) total: u64,
    /// The first of them.
    pub(crate) first: Vec<Item>,
}

/// Where the words of a name start.
fn words(name: &str) -> Vec<u16> {
    let mut starts = Vec::new();
    let mut before = '_';
    for (at, c) in name.char_indices() {
        let begins = c.is_alphanumeric() && (!before.is_alphanumeric() || (c.is_uppercase() && before.is_lowercase()));
        if let (true, Ok(at)) = (begins, u16::try_from(at)) {
            starts.push(at);
        }
        before = c;
    }
    starts
}

impl NameSearch {
    pub(crate) fn build(names: &[Name]) -> Self {
        let mut items: Vec<(String, Item)> = names
            .iter()
            .flat_map(|Name { name, kind, from }| {
                words(name).into_iter().map(|word| {
                    let item = Item { name: name.clone(), kind: kind.clone(), from: from.clone(), word };
                    (item.key(), item)
                })
            })
            .collect();
        items.sort_by(|(a, x), (b, y)| {
            a.cmp(b).then_with(|| (&x.name, &x.kind, &x.from, x.word).cmp(&(&y.name, &y.kind, &y.from, y.word)))
        });
        let mut different: Vec<&str> = names.iter().map(|n| n.name.as_str()).collect();
        different.sort_unstable();
        different.dedup();
        let keys: Vec<&str> = items.iter().map(|(key, _)| key.as_str()).collect();
        let trie = Trie::build(&keys, 0, 0);
        let names = different.len() as u64;
        NameSearch { names, trie, items: items.into_iter().map(|(_, item)| item).collect() }
    }

    /// Items whose keys begin with `query`, the first `limit` of them. An item that matches with several of its words is
    /// found once for each.
    pub(crate) fn search(&self, query: &str, limit: usize) -> Result<Found> {
        let query = query.to_lowercase();
        let mut node = &self.trie;
        for letter in query.chars() {
            match node.children.binary_search_by_key(&letter, |child| child.0) {
                Ok(i) => node = node.children[i].1.get()?,
                // The few items here are looked at one by one.
                Err(_) if node.children.is_empty() => break,
                Err(_) => {
                    return Ok(Found { total: 0, first: Vec::new() });
                }
            }
        }
        let range = node.start..node.start + node.len;
        if !node.children.is_empty() {
            let first = self.items.range(range).take(limit).map(|item| item.cloned());
            return Ok(Found { total: node.len, first: first.collect::<Result<_>>()? });
        }
        let mut found = Found { total: 0, first: Vec::new() };
        for item in self.items.range(range) {
            let item = item?;
            if item.key().starts_with(&query) {
                found.add(item, limit);
            }
        }
        Ok(found)
    }

    /// Loads everything.
    pub(crate) fn strict(self) -> Result<Strict> {
        Ok(Strict { items: self.items.into_vec()? })
    }
}

impl Found {
    fn add(&mut self, item: &Item, limit: usize) {
        self.total += 1;
        if self.first.len() < limit {
            self.first.push(item.clone());
        }
    }
}

impl Strict {
    /// The same search, by looking at everything.
    pub(crate) fn search(&self, query: &str, limit: usize) -> Found {
        let query = query.to_lowercase();
        let mut found = Found { total: 0, first: Vec::new() };
        for item in self.items.iter().filter(|item| item.key().starts_with(&query)) {
            found.add(item, limit);
        }
        found
    }
}

impl Trie {
    /// The node of these sorted keys, which are alike in their first `at` bytes; the first of them is item `start`.
    fn build(keys: &[&str], at: usize, start: u64) -> Trie {
        let mut children = Vec::new();
        let letter = |key: &str| key[at..].chars().next();
        // All alike to the end: nothing to divide.
        let alike = keys.first() == keys.last();
        if keys.len() >= FEW && !alike {
            let mut from = keys.partition_point(|key| key.len() <= at);
            while let Some(c) = keys.get(from).and_then(|key| letter(key)) {
                let to = from + keys[from..].partition_point(|key| letter(key) == Some(c));
                let node = Trie::build(&keys[from..to], at + c.len_utf8(), start + from as u64);
                children.push((c, Defer::new(node)));
                from = to;
            }
        }
        Trie { children, start, len: keys.len() as u64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fastboot_defer::{self as defer, LoadOptions, ReadCount};

    fn some_names() -> Vec<Name> {
        let syllables = ["ab", "Ba", "co", "di", "Do", "é", "fu", "x1", "_", "Str", "len"];
        (0..12_000_usize)
            .map(|n| {
                let parts = [n % 11, n / 11 % 11, n / 121 % 11, n / 1331 % 11, n / 14641].map(|i| syllables[i]);
                Name { name: parts.concat(), kind: "fn".into(), from: format!("crate-{}", n % 7) }
            })
            .collect()
    }

    #[test]
    fn deferred_and_strict_answers_are_the_same() {
        let index = NameSearch::build(&some_names());
        let bytes = defer::to_vec(&index).unwrap();
        let lazy: NameSearch = defer::from_vec(bytes.clone()).unwrap();
        let strict = defer::from_vec::<NameSearch>(bytes.clone()).unwrap().strict().unwrap();
        let mut queries: Vec<String> =
            ["", "a", "zzz", "é", "É", "_", "str", "nothing like it"].map(String::from).into();
        for name in some_names().iter().step_by(397) {
            let letters: Vec<char> = name.name.chars().collect();
            queries.extend((1..=letters.len()).map(|n| letters[..n].iter().collect()));
            queries.push(format!("{}x", name.name));
        }
        for query in queries {
            for limit in [3, usize::MAX] {
                assert_eq!(lazy.search(&query, limit).unwrap(), strict.search(&query, limit), "{query:?}");
            }
        }
        assert_eq!(lazy, index);

        // The file as JSON is the same index, strict.
        let json = serde_json::to_string(&lazy).unwrap();
        assert_eq!(serde_json::from_str::<NameSearch>(&json).unwrap(), index);
    }

    #[test]
    fn a_search_reads_little() {
        let bytes = defer::to_vec(&NameSearch::build(&some_names())).unwrap();
        let (len, count) = (bytes.len() as u64, ReadCount::default());
        let index: NameSearch = LoadOptions::new().count(&count).from_reader(std::io::Cursor::new(bytes)).unwrap();
        assert!(index.search("strlen", 20).unwrap().total > 20);
        assert!(count.bytes() < len / 20, "{} of {len}", count.bytes());
    }
}
