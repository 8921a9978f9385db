//! Place: words of a position-independent program that follow from where it lies in memory, and are no addresses.
//!
//! A map whose keys are addresses of functions has each entry where its address was hashed to. In the next process they have other
//! addresses, and it finds nothing. (Where the program always lies at the same place, no such word does any harm.)

use super::cause::{Cause, Words};
use super::causes::Inquiry;
use super::stages::{Freezing, Frozen};
use crate::carry::carried::Statics;
use crate::runs::forms::ADDRESS;
use crate::runs::memory::{ImageData, word_at};
use crate::runs::world::Difference;
use anyhow::Result;
use fastboot_format::protocol::HOME_SHIFT;

impl Freezing<'_> {
    /// The image data of a run in this world with the program where it was, and all else elsewhere. `None` if nothing can be
    /// compared.
    fn data_where_it_was(
        &self,
        frozen: &Frozen,
        statics: &Statics,
        world: &[Difference],
        name: &str,
    ) -> Result<Option<ImageData>> {
        let Ok(mut run) = self.run_where_it_was(frozen, world, name) else { return Ok(None) };
        if !frozen.capture.is_laid_out_as(&run) || run.process.exe_base != frozen.capture.process.exe_base {
            return Ok(None);
        }
        let mut data = run.take_memory()?;
        data.grow(frozen.data.len() as u64)?;
        statics.copy_into(&run, &mut data);
        Ok(Some(data))
    }

    /// Why a word is an address of the executable in one run and something else in others, and what to do.
    pub(super) fn why_unclear(&self, frozen: &Frozen, statics: &Statics, at: u64) -> Result<&'static str> {
        let data = self.data_where_it_was(frozen, statics, &[], "where-it-was")?;
        Ok(match data.is_some_and(|data| word_at(&data, at) == word_at(&frozen.data, at)) {
            true => {
                "What stands there depends on where the program lies in memory, as in a map whose keys are addresses of functions \
                 or statics; build without --pie"
            }
            false => {
                "Look for randomness in the roots' expressions (a randomly seeded map that holds `&'static` references or \
                 functions), or build without --pie"
            }
        })
    }
}

impl Inquiry<'_> {
    /// Takes those of these words away that are what they were in run 2 if the program lies where it lay then, though all else
    /// differs: they depend on that.
    pub(super) fn without_those_of_place(&mut self, mut words: Words) -> Result<Words> {
        let (freezing, frozen, statics) = (self.search.freezing, self.search.frozen, self.search.statics);
        if !freezing.binary.pie || words.is_empty() || frozen.planned.is_none() {
            return Ok(words);
        }
        self.search.runs += 1;
        freezing.shell.verbose(format_args!(
            "what values depend on, run {}: the same, with the program where it was",
            self.search.runs
        ));
        let name = format!("cause-{}", self.search.runs);
        let Some(data) = freezing.data_where_it_was(frozen, statics, &self.world, &name)? else { return Ok(words) };
        // What lies in the image is elsewhere.
        let image = frozen.capture.data_address()..frozen.capture.data_address() + frozen.data.len() as u64;
        let is_same = |at: u64, here: u64| {
            let there = self.search.unknown_at(&data, at);
            there == Some(here) || image.contains(&(here & ADDRESS)) && there == Some(here.wrapping_add(HOME_SHIFT))
        };
        let of_place: Words = words.extract_if(.., |at, values| is_same(*at, values[0])).collect();
        for (at, values) in &of_place {
            let findings = self.names.of_word(*at, *values, &Cause::Place);
            self.causes.findings.extend(findings);
        }
        self.causes.explained.extend(of_place.keys());
        Ok(words)
    }
}
