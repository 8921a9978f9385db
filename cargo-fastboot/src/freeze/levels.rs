//! Levels: with which processor features an image is evaluated once more, if it comes out otherwise with those that every
//! processor has.
//!
//! There is to be one more evaluation at most, so the level is not searched for: it is read off the code that was chosen.
//! A word that comes out otherwise is most often the address of a function, or of a table of functions, and the instructions of
//! these say for which processors they are. That is a guess, which the evaluation proves or not.

use super::stages::{Freezing, Frozen};
use super::whose::Names;
use crate::carry::carried::Statics;
use crate::elf::instructions::Code;
use crate::runs::world::Difference;
use fastboot_format::features::{FEATURES, Feature, Mask, level};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How many words are looked at.
const MOST_WORDS: usize = 1 << 16;
/// How many words a table of functions may have. What comes first in it may be something else, such as the size of a type.
const TABLE: (u64, u64) = (3, 24);

/// What crates of ciphers and digests ask for by themselves, and no level has.
const OF_CIPHERS: [&str; 3] = ["aes", "pclmulqdq", "sha"];

/// These features.
fn of_ciphers() -> Mask {
    let is_one = |(_, feature): &(usize, &Feature)| OF_CIPHERS.contains(&feature.name());
    FEATURES.iter().enumerate().filter(is_one).fold(0, |mask, (bit, _)| mask | 1 << bit)
}

/// What every processor has.
pub(super) fn lowest_level() -> Mask {
    level("x86-64-v1").unwrap_or(0)
}

/// What as good as every processor since 2013 has, and what most code that chooses by processor asks for.
pub(super) fn middle_level() -> Mask {
    level("x86-64-v3").unwrap_or(Mask::MAX)
}

/// The features that can be seen in this world, and where the instructions are that ask for them, if any are hidden.
pub(super) fn hidden(world: &[Difference]) -> Option<(Mask, Arc<[u64]>)> {
    world.iter().find_map(|difference| match difference {
        Difference::Features(seen, sites) => Some((*seen, sites.clone())),
        _ => None,
    })
}

/// Where the instructions are that ask for features, if these can be hidden.
pub(super) fn sites(world: &[Difference]) -> Option<Arc<[u64]>> {
    hidden(world).map(|(_, sites)| sites)
}

/// This world with as many processors as there are.
pub(super) fn without_processors(mut world: Vec<Difference>) -> Vec<Difference> {
    world.retain(|difference| *difference != Difference::Processors);
    world
}

/// This world with these features of the processor, rather than those of the lowest level.
pub(super) fn with_features(world: &[Difference], features: Mask, sites: Arc<[u64]>) -> Vec<Difference> {
    let others = world.iter().filter(|difference| !matches!(difference, Difference::Features(..)));
    others.cloned().chain([Difference::Features(features, sites)]).collect()
}

/// What to try: the lowest level that has the features that code was found to use, and those of them that no level has.
/// `units`: for each object that comes out otherwise the features of the code that it leads to, or nothing.
///
/// What an object depends on that leads to no code nobody knows: most likely on what the middle level has, as most code that
/// chooses by processor does.
fn to_try(all: Mask, units: impl IntoIterator<Item = Mask>) -> Mask {
    let (used, known) = units.into_iter().fold((0, true), |(used, known), of| (used | of, known && of != 0));
    let has = |name: &str| level(name).unwrap_or(Mask::MAX);
    let in_a_level = used & has("x86-64-v4");
    let mut levels =
        [has("x86-64-v2"), middle_level(), has("x86-64-v4")].into_iter().skip(usize::from(!known || used == 0));
    let lowest = levels.find(|level| in_a_level & !level == 0).unwrap_or_else(middle_level);
    (lowest | used) & all
}

impl Freezing<'_> {
    /// The features with which these words, by their offsets, are to be made once more.
    pub(super) fn features_to_try(
        &self,
        frozen: &Frozen,
        statics: &Statics,
        words: impl Iterator<Item = (u64, u64)>,
        names: &Names<'_>,
    ) -> Mask {
        let all = frozen.capture.process.cpu;
        let Ok(code) = Code::of(&self.binary.bytes) else { return middle_level() & all };
        let base = frozen.capture.process.exe_base;
        let of_function = |address: u64| code.features(address).unwrap_or(0);
        let of_table = |address: u64| {
            let (head, length) = TABLE;
            let word = |index: u64| code.word(address.wrapping_add(index * 8)).unwrap_or(0);
            let functions = (0..length).map(|index| (index, of_function(word(index))));
            functions.take_while(|(index, of)| *index < head || *of != 0).fold(0, |mask, (_, of)| mask | of)
        };
        let (mut units, mut known) = (BTreeMap::<u64, Mask>::new(), BTreeMap::new());
        let mut asked = 0;
        for (at, value) in words.take(MOST_WORDS) {
            if statics.is_cpu_cache_at(at) {
                asked = of_ciphers() & all;
                continue;
            }
            let of = known.entry(value.wrapping_sub(base)).or_insert_with_key(|address| match of_function(*address) {
                0 if code.has(*address) => of_table(*address),
                of => of,
            });
            *units.entry(names.unit(at)).or_default() |= *of;
        }
        to_try(all, units.into_values()) | asked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bits(names: &[&str]) -> Mask {
        let bit = |name: &&str| FEATURES.iter().position(|feature| feature.name() == *name).unwrap();
        names.iter().map(bit).fold(0, |mask, bit| mask | 1 << bit)
    }

    #[test]
    fn the_level_is_the_lowest_that_the_code_is_for() {
        let [v2, v3, v4] = ["x86-64-v2", "x86-64-v3", "x86-64-v4"].map(|name| level(name).unwrap());
        let (sse, avx) = (bits(&["sse2", "ssse3", "sse4.1"]), bits(&["avx", "avx2", "bmi1"]));
        let wide = bits(&["avx", "avx512f", "avx512bw"]);
        assert_eq!(to_try(Mask::MAX, [sse]), v2);
        assert_eq!(to_try(Mask::MAX, [bits(&["sse2"]), sse]), v2);
        assert_eq!(to_try(Mask::MAX, [sse, avx]), v3);
        assert_eq!(to_try(Mask::MAX, [sse, avx, wide]), v4);
        // Something else depends on the processor, and nobody knows on what of it.
        assert_eq!(to_try(Mask::MAX, [sse, 0]), v3);
        assert_eq!(to_try(Mask::MAX, [0]), v3);
        assert_eq!(to_try(Mask::MAX, []), v3);
        assert_eq!(to_try(Mask::MAX, [wide, 0]), v4);
    }

    #[test]
    fn what_no_level_has_is_tried_with_the_level_of_the_rest() {
        let [v2, v3] = ["x86-64-v2", "x86-64-v3"].map(|name| level(name).unwrap());
        let aes = bits(&["aes"]);
        assert_eq!(to_try(Mask::MAX, [aes | bits(&["ssse3"])]), v2 | aes);
        assert_eq!(to_try(Mask::MAX, [aes, bits(&["avx2"])]), v3 | aes);
        assert_eq!(to_try(v3, [aes, bits(&["avx2"])]), v3, "which this processor has not");
    }
}
