//! Hash seeds: what the hash tables of `hashbrown` are seeded with, where an image shall be taken over later.
//!
//! `foldhash`, the hasher that `hashbrown` comes with, makes a seed of addresses once in a program, and keeps it in a static, which
//! is carried. So tables would be in another order in each program. Any other seed is as good: so in all runs but the first, which
//! shows where it is kept, the static holds one from the beginning that follows from the fingerprint.

use super::stages::Freezing;
use crate::carry::carried::Statics;
use crate::runs::capture::Capture;
use anyhow::Result;
use sha2::{Digest as _, Sha256};

/// The bits that are set in each number of a seed, as the crate has it.
const SET: u64 = 1 << 63 | 1 << 31 | 1;
/// What the crate calls a seed that is there.
const THERE: u64 = 2;

impl Freezing<'_> {
    /// What the statics are to hold that a run found to be seeds; nothing if there are none, or if they are not understood.
    pub(super) fn hash_seeds(&self, run: &Capture) -> Result<Vec<(u64, Vec<u8>)>> {
        let Some(seed) = self.options.seed.filter(|_| self.options.exact_addresses) else { return Ok(Vec::new()) };
        let statics = Statics::find(self.binary, self.twin, run, &self.choices())?;
        let mut drawn = 0;
        let presets =
            statics.hash_seeds(run).map(|(address, bytes)| Some((address, other_seed(bytes, seed, &mut drawn)?)));
        Ok(presets.collect::<Option<Vec<_>>>().filter(|_| drawn != 0).unwrap_or_default())
    }
}

/// The same with other numbers, which follow from `seed`. `drawn` counts them.
fn other_seed(bytes: &[u8], seed: u64, drawn: &mut u64) -> Option<Vec<u8>> {
    let mut changed = Vec::with_capacity(bytes.len());
    for part in bytes.chunks(8) {
        let number = part.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte));
        if number == THERE {
            changed.extend_from_slice(part);
        } else if part.len() == 8 && number & SET == SET {
            *drawn += 1;
            let mut hash = Sha256::new_with_prefix("hash seed");
            hash.update([seed, *drawn].map(u64::to_le_bytes).as_flattened());
            let number = u64::from_le_bytes(*hash.finalize().first_chunk()?) | SET;
            changed.extend_from_slice(&number.to_le_bytes());
        } else {
            return None;
        }
    }
    Some(changed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_a_seed_are_others_and_all_else_is_as_it_was() {
        let seed = [SET | 0x1234_5678_9abc, SET | 0xffff, THERE].map(u64::to_le_bytes).as_flattened().to_vec();
        let mut drawn = 0;
        let other = other_seed(&seed, 7, &mut drawn).unwrap();
        assert_eq!((drawn, &other[16..]), (2, &seed[16..]));
        assert!(other[..8] != seed[..8] && other[8..16] != seed[8..16] && other[..8] != other[8..16]);
        assert!(other[..16].as_chunks().0.iter().all(|number| u64::from_le_bytes(*number) & SET == SET));
        assert_eq!(other_seed(&seed, 7, &mut 0).unwrap(), other, "the same each time");
        assert_ne!(other_seed(&seed, 8, &mut 0).unwrap(), other);
        assert_eq!(other_seed(&[2], 7, &mut 0), Some(vec![2]), "a part of its own");
        // Of another version, it may be.
        assert_eq!(other_seed(&1_u64.to_le_bytes(), 7, &mut 0), None);
        assert_eq!(other_seed(&(1_u64 << 63).to_le_bytes(), 7, &mut 0), None);
    }
}
