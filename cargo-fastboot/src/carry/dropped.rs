//! Dropped: statics that would be carried, but for addresses of memory outside of the image that they hold; see `outside`.

use super::carried::Statics;
use super::decide::Decision;
use super::flags;
use super::outside::Outside;
use crate::elf::names::means;
use crate::prove::proof::Proof;
use crate::runs::capture::Capture;
use std::collections::{BTreeMap, BTreeSet};

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
