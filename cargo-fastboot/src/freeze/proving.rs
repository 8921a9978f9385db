//! Proving: run 3, and its comparison with run 2.

use super::layouts::blamed;
use super::levels::{middle_level, sites, with_features, without_processors};
use super::running::PROVE;
use super::seen::{Seen, Shown};
use super::stages::{Freezing, Frozen, image_data};
use super::whose::Names;
use crate::carry::carried::Statics;
use crate::elf::binary::Elf;
use crate::prove::bindings::Bindings;
use crate::prove::compare as prove;
use crate::prove::foreign::Known;
use crate::prove::proof::Proof;
use crate::prove::regions::{Region, Run};
use crate::runs::capture::{Capture, Own, Root};
use crate::runs::memory::{ImageData, word_at};
use crate::runs::world::Difference;
use anyhow::{Result, bail};
use fastboot_format::features::Mask;
use fastboot_format::protocol::Leftover;

/// How often an image is proved at most. In a PIE, garbage may hold an old address of the executable in one run and
/// something else in the other.
pub(super) const MOST_PROOFS: usize = 4;

/// Why two runs of a position-independent binary cannot be compared: which root left more in one than in the other, and
/// what tells the runs apart.
fn differ_in_length(first: &Capture, second: &Capture) -> String {
    let length = |capture: &Capture, end: u64| end.saturating_sub(capture.data_address());
    let mut roots = first.roots.iter().zip(&second.roots);
    let differs = |(one, other): &(&Root, &Root)| length(first, one.end) != length(second, other.end);
    let root = roots.find(differs).map(|(root, _)| root);
    let what = match (root, second.strayed.first().or(first.strayed.first())) {
        (_, Some(strayed)) => format!(" in {strayed}"),
        (Some(root), None) => format!(" in root `{}`", root.name),
        (None, None) => String::new(),
    };
    // Run 2 has the addresses of run 1, and run 3 has others.
    let cause = if first.strayed.is_empty() && !second.strayed.is_empty() {
        "only the run at other addresses differs, so that sizes depend on addresses, as they may where a hash is seeded by \
         one (ahash, foldhash), or on a clock"
    } else {
        "look for randomness, clocks or threads in the root's expression"
    };
    format!(
        "two freeze runs of this position-independent binary came out differently{what}: {} bytes, then {} bytes. Which words \
         are addresses can only be told when both runs allocate the same; {cause}; or build without --pie",
        first.memory_len(),
        second.memory_len()
    )
}

/// The numbers of a run's process and of its freeze thread.
fn numbers(run: &Capture) -> [u64; 2] {
    [run.process.own.id, run.process.own.thread]
}

impl Freezing<'_> {
    /// Run 3, unless it was made already, and the comparison. If it comes to nothing in another world, it is made in this one.
    pub(super) fn prove(&self, frozen: &Frozen, statics: &Statics, second: Option<Capture>) -> Result<(Proof, Shown)> {
        let second = second.map_or_else(|| self.run_again(frozen, self.world(), PROVE), Ok);
        let (mut proof, mut shown) = match self.see(frozen, statics, second)? {
            Seen::Words(proof, own, _) => (proof, Shown { own, otherwise: None, with_more: None, only_middle: None }),
            otherwise => match self.prove_for_middle(frozen, statics)? {
                Some((proof, own)) => {
                    (proof, Shown { own, otherwise: None, with_more: None, only_middle: Some(otherwise) })
                }
                None => {
                    self.shell.verbose("run 3 is another one in another world: it is made once more, in this one");
                    let (proof, own) = self.prove_here(frozen, statics)?;
                    (proof, Shown { own, otherwise: Some(otherwise), with_more: None, only_middle: None })
                }
            },
        };
        for attempt in 1..MOST_PROOFS {
            if !(self.binary.pie && proof.unclear_in(Region::Executable).is_some()) {
                break;
            }
            let words = proof.unclear.len();
            self.shell.verbose(format_args!("{words} words that may be addresses are unclear: proving again"));
            let name = format!("{PROVE}-{attempt}");
            let features = sites(self.world());
            // Where it is known at once, a function that was chosen for the processor is what is unclear.
            if let Some(sites) = features
                .filter(|_| shown.otherwise.is_none() && shown.with_more.is_none() && shown.only_middle.is_none())
            {
                let level = self.features_of_words(frozen, statics, &proof);
                let world = with_features(self.world(), level, sites);
                let seen = self.see(frozen, statics, self.run_again(frozen, &world, &name))?;
                if let Seen::Words(other, ..) = &seen {
                    proof.settle(other);
                }
                shown.with_more = Some((level, seen));
                continue;
            }
            let another = self.run_again(frozen, &[], &name)?;
            proof.settle(&self.compare(frozen, statics, another)?.0);
        }
        self.shell.verbose(format_args!(
            "{} pointers into the image, {} into the executable, {} into shared libraries, {} dead words, {} words that differ \
             from run to run",
            proof.image_pointers.len(),
            proof.static_pointers.len(),
            proof.bound.len(),
            proof.dead,
            proof.differences.len()
        ));
        Ok((proof, shown))
    }

    /// The processor features with which to prove again, by what the words were that differ, and those that are unclear.
    fn features_of_words(&self, frozen: &Frozen, statics: &Statics, proof: &Proof) -> Mask {
        let names = Names { frozen, statics: statics.places(), objects: None };
        let word = |at| word_at(&frozen.data, at);
        let unclear = proof.unclear.iter().filter(|word| word.region == Region::Executable);
        let unclear = unclear.filter_map(|unclear| Some((unclear.offset, word(unclear.offset)?)));
        let differ = proof.differences.iter().map(|word| (word.offset, word.values[0]));
        self.features_to_try(frozen, statics, unclear.chain(differ), &names)
    }

    /// Run 3 with the processor features of the middle level, where it comes to nothing with fewer; and on as many processors
    /// as run 2, because pools of the crate `regex` have a place for each.
    fn prove_for_middle(&self, frozen: &Frozen, statics: &Statics) -> Result<Option<(Proof, Own)>> {
        let Some(sites) = sites(self.world()) else { return Ok(None) };
        let world = with_features(self.world(), middle_level() & frozen.capture.process.cpu, sites);
        let world = without_processors(world);
        let run = self.run_again(frozen, &world, &format!("{PROVE}-middle"));
        Ok(match self.see(frozen, statics, run)? {
            Seen::Words(proof, own, _) => Some((proof, own)),
            Seen::Otherwise(_) | Seen::Failed(_) => None,
        })
    }

    /// Run 3 in this world; if that comes to something, with the executable elsewhere.
    fn prove_here(&self, frozen: &Frozen, statics: &Statics) -> Result<(Proof, Own)> {
        // If run 2 itself was another one than run 1, it is not because of that.
        if self.twin.is_some() && frozen.capture.strayed.is_empty() {
            let run = self.run_again(frozen, &[Difference::Executable], &format!("{PROVE}-twin"));
            if let Seen::Words(proof, own, _) = self.see(frozen, statics, run)? {
                return Ok((proof, own));
            }
        }
        let here = self.run_again(frozen, &[], &format!("{PROVE}-here"))?;
        let own = here.process.own;
        Ok((self.compare(frozen, statics, here)?.0, own))
    }

    /// What a run shows, made to be compared. If it was to differ in nothing, a failure is an error.
    pub(super) fn see(&self, frozen: &Frozen, statics: &Statics, run: Result<Capture>) -> Result<Seen> {
        let mut run = match run {
            Ok(run) => run,
            Err(error) if self.world().is_empty() => return Err(error),
            Err(error) => return Ok(Seen::Failed(error)),
        };
        if !frozen.capture.is_laid_out_as(&run) && !self.world().is_empty() {
            return Ok(Seen::Otherwise(blamed(frozen, statics, &mut run)?));
        }
        let own = run.process.own;
        let (proof, data) = self.compare(frozen, statics, run)?;
        Ok(Seen::Words(proof, own, data))
    }

    pub(super) fn compare(
        &self,
        frozen: &Frozen,
        statics: &Statics,
        mut second: Capture,
    ) -> Result<(Proof, ImageData)> {
        let data = if second.memory_len() == frozen.capture.memory_len() {
            // Not all that was carried when the other data was made may still be.
            let mut data = second.take_memory()?;
            data.grow(frozen.data.len() as u64)?;
            statics.copy_into(&second, &mut data);
            data
        } else {
            image_data(&mut second, statics)?
        };
        if self.binary.pie && data.len() != frozen.data.len() {
            bail!(differ_in_length(&frozen.capture, &second));
        }
        // Handles of threads that ended are garbage at most.
        let running = frozen.capture.left_behind.iter().any(|(_, kind, _)| *kind == Leftover::Thread);
        let threads =
            frozen.capture.threads.iter().map(|thread| thread.handle).filter(|handle| running && *handle != 0);
        let handles: Vec<u64> = threads.collect();
        let known = Known {
            handles: &handles,
            foreign_blocks: &frozen.capture.foreign_blocks,
            thread_locals: &statics.own_thread_locals(&frozen.capture),
            bindings: &Bindings::find(&Elf::parse(&self.binary.bytes)?, &self.binary.bytes, &frozen.capture, &second)?,
            texts: &frozen.capture.texts,
            values: &frozen.values(),
            numbers: numbers(&frozen.capture),
        };
        let of_second = Known {
            handles: &[],
            foreign_blocks: &second.foreign_blocks,
            thread_locals: &[],
            bindings: &Bindings::NONE,
            texts: &second.texts,
            values: &[],
            numbers: numbers(&second),
        };
        // Below it there are numbers.
        let lowest = match self.binary.first_address()? {
            first if self.twin.is_some() || first > u32::MAX.into() => first,
            _ => 0,
        };
        let proof = prove::compare(
            Run::new(&frozen.capture, &frozen.data, &known, 0).with_executable_from(lowest),
            Run::new(&second, &data, &of_second, 1).with_executable_from(lowest),
            self.binary.pie,
        )?;
        Ok((proof, data))
    }
}
