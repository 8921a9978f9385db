//! Addresses: which words of the image data hold an address in the executable, for an image that shall be taken over later. It
//! has to be known exactly, and nothing else may follow from where the executable is.
//!
//! The proof says so if all that differed in it is explained. If not, the twin runs once more, in this world and with
//! everything else where run 2 had it: then a word that differs does so because the executable is elsewhere, or by chance.

use super::stages::{Freezing, Frozen, image_data};
use crate::carry::carried::Statics;
use crate::prove::proof::Proof;
use crate::prove::regions::{Region, WORD};
use crate::runs::forms::ADDRESS;
use crate::runs::world::Difference;
use anyhow::{Context, Result, bail, ensure};
use std::ops::Range;

impl Freezing<'_> {
    /// The words that hold an address in the executable, ascending. An error says why they are not known.
    pub(super) fn addresses(&self, frozen: &Frozen, statics: &Statics, proof: &Proof) -> Result<Vec<u64>> {
        ensure!(self.options.exact_addresses, "nobody asked for it");
        ensure!(!proof.stayed, "addresses in the executable cannot be told from numbers");
        ensure!(frozen.planned.is_some(), "the image is verbatim");
        let Err(why) = require_explained(proof) else { return Ok(proof.static_pointers.clone()) };
        let Some(twin) = self.twin else { bail!(why) };
        let moved = self.run_at_home(frozen, &[Difference::Executable], "twin-at-home");
        let mut moved = moved.context("the twin fails where everything else is as it was")?;
        ensure!(
            frozen.capture.is_laid_out_as(&moved),
            "the twin allocates otherwise where everything else is as it was"
        );
        let executable = self.binary.first_address()?..frozen.capture.process.exe_end;
        words_that_moved(&frozen.data, &image_data(&mut moved, statics)?, twin.distance, &executable).context(why)
    }
}

/// Requires that the proof leaves nothing open.
fn require_explained(proof: &Proof) -> Result<(), &'static str> {
    // What is unclear is among these, or among dead words.
    if !proof.differences.is_empty() {
        return Err("words of the image differ from run to run, which may come from where the program lies in memory");
    }
    if proof.parts != 0 || proof.disguised.iter().any(|one| one.region == Region::Executable) {
        return Err("there may be parts of addresses in the image");
    }
    Ok(())
}

/// The words that moved with the executable, by this distance, where all others are as they were.
fn words_that_moved(first: &[u8], second: &[u8], distance: u64, executable: &Range<u64>) -> Result<Vec<u64>> {
    let mut found = Vec::new();
    let (words, rest) = first.as_chunks::<WORD>();
    let (others, other_rest) = second.as_chunks::<WORD>();
    ensure!(words.len() == others.len() && rest == other_rest, "image data of another length");
    for (at, (one, other)) in (0..).step_by(WORD).zip(words.iter().zip(others)).filter(|(_, (one, other))| one != other)
    {
        let [one, other] = [one, other].map(|bytes| u64::from_le_bytes(*bytes));
        let is_address = other.wrapping_sub(one) == distance && executable.contains(&(one & ADDRESS));
        ensure!(
            is_address,
            "the word at offset {at:#x} of the image data is {one:#x}, or {other:#x} where only the executable lies elsewhere"
        );
        found.push(at);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_all_of_a_word_moves_or_nothing() {
        let moved = |one: u64, other: u64| {
            let data = |word: u64| [7, word, 9].map(u64::to_le_bytes).as_flattened().to_vec();
            words_that_moved(&data(one), &data(other), 0x5000_0000, &(0x20_0000..0x30_0000)).ok()
        };
        assert_eq!(moved(0x20_1234, 0x5020_1234), Some(vec![8]));
        assert_eq!(moved(0x7000_0000_0020_1234, 0x7000_0000_5020_1234), Some(vec![8]), "with a tag");
        assert_eq!(moved(0x20_1234, 0x20_1234), Some(vec![]), "a number");
        assert_eq!(moved(0x20_1234, 0x5020_1235), None);
        assert_eq!(moved(0x30_1234, 0x5030_1234), None, "outside of the executable");
        assert_eq!(moved(0x20_1234 << 16, 0x5020_1234 << 16), None, "in another form");
        assert!(words_that_moved(&[0; 16], &[0; 24], 8, &(0..1)).is_err());
    }
}
