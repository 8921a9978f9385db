//! Bindings: what the dynamic linker put into words of the executable, in two runs.
//!
//! The address of C's `strlen` is another one in each process. But a word of the executable holds it in each, because the
//! program calls `strlen`. A word of the image that is what that word is, in one run and in the other, is the address of
//! `strlen`; and if a start gives it what the word holds there, it is right, whether it belongs to a value or was left by a call.

use crate::elf::binary::Elf;
use crate::runs::capture::Capture;
use anyhow::Result;
use std::collections::BTreeMap;

/// What words of the executable hold that the dynamic linker wrote to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bindings {
    /// What they hold in the two runs, and the place of each in the executable, without the load bias.
    places: BTreeMap<[u64; 2], u64>,
}

/// Where several symbols have one address, the name of the one that can do most: `memmove` is as good as `memcpy`, and `memcmp` as
/// `bcmp`. The others are what they are in any order.
fn weight(name: &str) -> (bool, &str) {
    (["memmove", "memcmp"].contains(&name), name)
}

impl Bindings {
    /// Of an executable that the dynamic linker gives nothing.
    pub(crate) const NONE: Self = Self { places: BTreeMap::new() };

    /// Of an executable, in these two runs of it or of its twin.
    pub(crate) fn find(elf: &Elf<'_>, bytes: &[u8], first: &Capture, second: &Capture) -> Result<Self> {
        let places = elf.bound_places(bytes)?;
        let held = |run: &Capture, place: u64| run.loaded_word(run.process.exe_base.wrapping_add(place));
        let of_name = places
            .into_iter()
            .filter_map(|(place, name)| Some((name, place, [held(first, place)?, held(second, place)?])));
        Ok(Self::new(of_name, |run, word| {
            let process = &[first, second][run].process;
            (process.exe_base..process.exe_end).contains(&word)
        }))
    }

    /// Of these names, places, and what is there in the two runs. `is_own`: whether an address lies in the executable of a run.
    fn new<'a>(found: impl IntoIterator<Item = (&'a str, u64, [u64; 2])>, is_own: impl Fn(usize, u64) -> bool) -> Self {
        let mut found: Vec<_> = found.into_iter().collect();
        // The last one of several counts.
        found.sort_unstable_by_key(|(name, place, _)| (weight(name), *place));
        // What is the same in both is told from a number by nobody.
        let moves = |[a, b]: [u64; 2]| a != b && a != 0 && b != 0 && !is_own(0, a) && !is_own(1, b);
        let places = found.into_iter().filter(|(.., words)| moves(*words)).map(|(_, place, words)| (words, place));
        Self { places: places.collect() }
    }

    /// The place that holds these words in the two runs.
    pub(super) fn place_of(&self, words: [u64; 2]) -> Option<u64> {
        self.places.get(&words).copied()
    }

    /// Whether a place held this word in the first run.
    pub(super) fn has(&self, word: u64) -> bool {
        self.places.range([word, 0]..=[word, u64::MAX]).next().is_some()
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }
}

#[cfg(test)]
impl<const N: usize> From<[([u64; 2], u64); N]> for Bindings {
    fn from(places: [([u64; 2], u64); N]) -> Self {
        Self { places: places.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_known_by_what_it_holds_in_both_runs() {
        let found = [
            ("memmove", 8, [0x7000, 0x9000]),
            ("memcpy", 16, [0x7000, 0x9000]),
            ("strlen", 24, [0x7100, 0x9100]),
            ("weak", 32, [0, 0]),
            ("own", 40, [0x500, 0x600]),
            ("fixed", 48, [0x7200, 0x7200]),
        ];
        for order in [found.to_vec(), found.into_iter().rev().collect()] {
            let bindings = Bindings::new(order, |_, word| word < 0x1000);
            let places = [[0x7000, 0x9000], [0x7100, 0x9100], [0x7000, 0x9100], [0x500, 0x600], [0x7200, 0x7200]];
            assert_eq!(places.map(|words| bindings.place_of(words)), [Some(8), Some(24), None, None, None]);
            assert!(bindings.has(0x7000) && !bindings.has(0x9000) && !bindings.is_empty());
        }
    }
}
