//! Outside: statics that hold addresses of memory that is not in the image, in their own bytes.
//!
//! ```text
//! static STATE   [ names: ptr len cap | thread: 0x7f.. ]      the word of the thread is right in the freeze run only
//! ```
//!
//! None of them is carried, because the word would point to nothing. What becomes of the rest depends on what that is:
//!
//! - A `LazyLock` whose value is such addresses and nothing else is evaluated again by whoever needs it.
//! - Where the addresses are all there is, the program finds none and may look for them again, unless a flag tells it not to.
//! - Where there is more, the program would miss that, and nothing else in it tells that it is not there.

use super::attribute::Static;
use super::carried::Statics;
use super::decide::Decision;
use super::flags;
use crate::elf::names::means;
use crate::prove::proof::Proof;
use crate::runs::capture::Capture;
use std::collections::{BTreeMap, BTreeSet};

/// A static that is not carried because of an address that it holds.
#[derive(Debug)]
pub(crate) struct Outside {
    pub(crate) name: String,
    /// What has that address.
    pub(crate) what: String,
    crate_name: Option<String>,
    /// Whether its crate is the user's.
    pub(crate) own: bool,
    /// Whether such addresses are all that the expressions left in it.
    pub(crate) is_all: bool,
    /// Whether it is evaluated when it is needed.
    lazy: bool,
}

impl Outside {
    /// Whether the program may go wrong without what is in it, though it is nothing but addresses, which it may find again: if
    /// it is the user's, or a flag of its own crate is carried.
    pub(super) fn is_missed(&self, flags: &[&Static]) -> bool {
        let is_kin = |flag: &&Static| flag.crate_name == self.crate_name;
        self.is_all && !self.lazy && (self.own || flags.iter().any(is_kin))
    }
}

/// What the words of a static are.
struct Words {
    is_all: bool,
    lazy: bool,
}

impl Statics {
    /// Leaves out those that hold addresses of memory that is not in the image, unless the user wants them carried or `allowed`
    /// names them. The words of those that are left out are not suspects any more.
    pub(crate) fn drop_those_that_reach_outside(&mut self, proof: &mut Proof, capture: &Capture, allowed: &[String]) {
        let mut outside = BTreeMap::new();
        let mut at = BTreeSet::new();
        proof.suspects.retain(|suspect| {
            let Some(index) = Self::carried_at(&self.ranges, suspect.offset) else { return true };
            let one = &self.found[index];
            if one.chosen || allowed.iter().any(|entry| means(entry, &one.name)) {
                return true;
            }
            outside.entry(index).or_insert_with(|| suspect.what.clone());
            at.insert(suspect.offset);
            false
        });
        // All parts of a static, or none.
        let parts: BTreeMap<&String, usize> =
            outside.keys().filter_map(|index| Some((self.found[*index].part_of.as_ref()?, *index))).collect();
        let mut dropped = BTreeMap::<usize, Vec<usize>>::new();
        for (index, one) in self.found.iter().enumerate().filter(|(_, one)| matches!(one.decision, Decision::Carry(_)))
        {
            let whole = one.part_of.as_ref().and_then(|symbol| parts.get(symbol).copied());
            if let Some(first) = whole.or_else(|| outside.contains_key(&index).then_some(index)) {
                dropped.entry(first).or_default().push(index);
            }
        }
        for (first, indices) in dropped {
            let words: Vec<Words> = indices.iter().map(|index| self.words(*index, &at, capture)).collect();
            let one = &self.found[first];
            self.outside.push(Outside {
                name: one.name.clone(),
                what: outside[&first].clone(),
                crate_name: one.crate_name.clone(),
                own: one.own || capture.declares_roots(one.crate_name.as_deref()),
                is_all: words.iter().all(|words| words.is_all),
                lazy: words.iter().any(|words| words.lazy),
            });
            for index in indices {
                self.found[index].decision = Decision::Skip(format!("it refers to {}", outside[&first]).into());
            }
        }
        self.retain_carried();
    }

    /// Those that were left out.
    pub(crate) fn outside(&self) -> &[Outside] {
        &self.outside
    }

    /// What a static was given, of which the words at these offsets are addresses.
    fn words(&self, index: usize, outside: &BTreeSet<u64>, capture: &Capture) -> Words {
        let mut words = Words { is_all: true, lazy: false };
        for (_, range, start) in self.ranges.iter().filter(|(of, ..)| *of == index) {
            let Some((before, after)) = capture.static_bytes(range.clone()) else { continue };
            for ((before, after), offset) in before.chunks(8).zip(after.chunks(8)).zip((*start..).step_by(8)) {
                // One that is not aligned is in two of them.
                if outside.range(offset.saturating_sub(7)..offset + 8).next().is_some() {
                    words.lazy |= is_function(before, capture);
                } else {
                    words.is_all &= before == after || flags::is_completion(before, after);
                }
            }
        }
        words
    }
}

/// Whether a word is the address of a function, as a `LazyLock` has it where its value will be.
fn is_function(word: &[u8], capture: &Capture) -> bool {
    let word = word.first_chunk().map(|word| u64::from_le_bytes(*word));
    word.is_some_and(|word| capture.maps.iter().any(|one| one.executable && one.range.contains(&word)))
}
