//! Halving: runs in which only some of the differences are there, to find out which of them it is.

use super::cause::{Cause, Finding, Words};
use super::seen::Seen;
use super::stages::{Freezing, Frozen};
use super::whose::Names;
use crate::carry::carried::Statics;
use crate::prove::proof::Proof;
use crate::prove::regions::Region;
use crate::runs::memory::word_at;
use crate::runs::world::Difference;
use anyhow::Result;
use std::collections::BTreeMap;

/// The search for what words depend on.
pub(super) struct Search<'a> {
    pub(super) freezing: &'a Freezing<'a>,
    pub(super) frozen: &'a Frozen,
    pub(super) statics: &'a Statics,
    pub(super) runs: u32,
    /// Whether a word was another one than where everything differed, in a world with all features of the processor: there
    /// may be more than one thing that it depends on.
    pub(super) is_partial: bool,
    /// The bits of words whose cause is known, because they are what is another one in every process. They are not looked at: 0.
    pub(super) known: BTreeMap<u64, u64>,
}

impl Search<'_> {
    /// What a word says of which the cause is not known.
    pub(super) fn unknown(&self, at: u64, value: u64) -> u64 {
        value & !self.known.get(&at).unwrap_or(&0)
    }

    /// The same, of the word at an offset of image data.
    pub(super) fn unknown_at(&self, data: &[u8], at: u64) -> Option<u64> {
        word_at(data, at).map(|value| self.unknown(at, value))
    }

    /// The words that differ and are no addresses, as far as they are in the image.
    pub(super) fn words(&self, proof: &Proof) -> Words {
        let memory = self.frozen.capture.memory_len();
        // Behind it are statics, and some that were carried until they proved to hold addresses of what is not there.
        let places = self.statics.places();
        let is_there = |at: u64| at < memory || places.iter().any(|(_, range)| range.contains(&at));
        let differences = proof.differences.iter().map(|difference| (difference.offset, difference.values));
        // Some numbers look like that. What follows the executable, as far as its twin is from it, is none.
        let moved = |region| region == Region::Executable && self.freezing.twin.is_some();
        let disguised = proof.disguised.iter().filter(|disguised| !moved(disguised.region));
        let disguised = disguised.map(|disguised| (disguised.offset, disguised.values));
        let unknown = |(at, values): (u64, [u64; 2])| (at, values.map(|value| self.unknown(at, value)));
        let words = differences.chain(disguised).filter(|(at, _)| is_there(*at)).map(unknown);
        words.filter(|(_, values)| values[0] != values[1]).collect()
    }

    /// Runs it once more in a world that differs in this.
    pub(super) fn observe(&mut self, world: &[Difference]) -> Result<Seen> {
        self.runs += 1;
        let list: Vec<String> = world.iter().map(ToString::to_string).collect();
        let differs = if list.is_empty() { "nothing".to_owned() } else { list.join(", ") };
        self.freezing.shell.verbose(format_args!("what values depend on, run {}: {differs}", self.runs));
        let run = self.freezing.run_again(self.frozen, world, &format!("cause-{}", self.runs));
        self.freezing.see(self.frozen, self.statics, run)
    }

    /// The carried statics that depend on the number of processors, if there may be some by what was seen where more differed.
    pub(super) fn statics_of_processors(&mut self, seen: &Seen, names: &Names<'_>) -> Result<Vec<Finding>> {
        if !matches!(seen, Seen::Otherwise(blamed) if blamed.iter().any(|blamed| blamed.is_static)) {
            return Ok(Vec::new());
        }
        let cause = Cause::World(Difference::Processors);
        // There is one less. Whatever else differs has another cause.
        let is_one_less = |[here, there]: [u64; 2]| {
            let distance = here.wrapping_sub(there);
            distance.is_power_of_two() && distance.trailing_zeros().is_multiple_of(8)
        };
        let mut found = match self.observe(&[Difference::Processors])? {
            Seen::Words(proof, ..) => {
                let words = self.words(&proof).into_iter().filter(|(_, values)| is_one_less(*values));
                words.flat_map(|(at, values)| names.of_word(at, values, &cause)).collect()
            }
            Seen::Otherwise(mut blamed) => {
                blamed.retain(|blamed| is_one_less(blamed.values));
                names.of_layout(&Difference::Processors, Seen::Otherwise(blamed))
            }
            Seen::Failed(_) => Vec::new(),
        };
        found.retain(|finding: &Finding| finding.is_static);
        Ok(found)
    }

    /// Which of these differences makes the run another one, which all of them together made `seen`; and what is seen with
    /// that one alone.
    pub(super) fn culprit(&mut self, mut world: &[Difference], mut seen: Seen) -> Result<(Difference, Seen)> {
        loop {
            if let [only] = world {
                return Ok((only.clone(), seen));
            }
            let (some, others) = world.split_at(world.len() / 2);
            let with_some = self.observe(some)?;
            (world, seen) = if matches!(with_some, Seen::Words(..)) {
                match self.observe(others)? {
                    // It takes some of both: one of them is left out, and the rest is tried again.
                    Seen::Words(..) => (&some[..1], seen),
                    with_others => (others, with_others),
                }
            } else {
                (some, with_some)
            };
        }
    }

    /// Finds the cause of each of these words, which differ in a world that differs in all of this. `seen`: whether that was
    /// seen, and not only concluded.
    pub(super) fn split(
        &mut self,
        world: &[Difference],
        words: Words,
        seen: bool,
        found: &mut Vec<(Cause, Words)>,
    ) -> Result<()> {
        if words.is_empty() {
            return Ok(());
        }
        let (some, others) = world.split_at(world.len() / 2);
        if let ([], [only]) = (some, others) {
            let (because, rest) = if seen { (words, Words::new()) } else { self.those_that_differ(world, words)? };
            found.push((Cause::World(only.clone()), because));
            found.push((Cause::Together, rest));
            found.retain(|(_, words)| !words.is_empty());
            return Ok(());
        }
        let (with_some, rest) = self.those_that_differ(some, words)?;
        if with_some.is_empty() {
            return self.split(others, rest, false, found);
        }
        self.split(some, with_some, true, found)?;
        if rest.is_empty() {
            return Ok(());
        }
        let (with_others, rest) = self.those_that_differ(others, rest)?;
        self.split(others, with_others, true, found)?;
        found.extend((!rest.is_empty()).then_some((Cause::Together, rest)));
        Ok(())
    }

    /// Which of these words differ in a world that differs in this, and which do not.
    fn those_that_differ(&mut self, world: &[Difference], words: Words) -> Result<(Words, Words)> {
        let seen = self.observe(world)?;
        // With a path of the process's own no two runs are the same.
        let is_left_out =
            |it: &Difference| matches!(it, Difference::Features(..) | Difference::Path(..) | Difference::Arguments);
        if let (false, Seen::Words(_, _, data)) = (world.iter().any(is_left_out), &seen) {
            let is_other = |(at, [here, there]): (&u64, &[u64; 2])| {
                self.unknown_at(data, *at).is_some_and(|word| ![*here, *there].contains(&word))
            };
            self.is_partial |= words.iter().any(is_other);
        }
        Ok(self.differing(seen, words))
    }

    /// The same, in what was seen there.
    pub(super) fn differing(&self, seen: Seen, words: Words) -> (Words, Words) {
        let Seen::Words(proof, _, data) = seen else { return (Words::new(), words) };
        let there = self.words(&proof);
        // Whatever else it may look like: it is the same as where everything differed.
        let is_same = |at: u64, value: u64| self.unknown_at(&data, at) == Some(value);
        words.into_iter().partition(|(at, values)| there.contains_key(at) || is_same(*at, values[1]))
    }
}
