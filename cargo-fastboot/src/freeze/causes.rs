//! Causes: on what values depend that are others in another process.
//!
//! ```text
//! run 3, in another world       words that differ and are no addresses
//!  ├─ the process's own number, or a time     known by what they are
//!  ├─ differ in this world too                chance
//!  └─ the others: half of the differences, then half of those …  each word has its cause
//! ```
//! There are more runs only if there is something to explain. A run that fails in another world, or allocates otherwise, is
//! not compared word by word: first it is found out which of the differences does it, then it is left out.

use super::cause::{Cause, Finding, Words};
use super::halving::Search;
use super::levels::{hidden, lowest_level, middle_level, sites, with_features, without_processors};
use super::process_words::of_process;
use super::seen::{Blamed, Seen, Shown};
use super::stages::{Freezing, Frozen};
use super::whose::{Names, first_byte};
use crate::carry::carried::Statics;
use crate::contents::objects::Objects;
use crate::elf::names::means;
use crate::options::Deny;
use crate::prove::proof::Proof;
use crate::runs::capture::Own;
use crate::runs::world::Difference;
use anyhow::Result;
use fastboot_format::features::{Mask, without_implied};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// All that was found, and where.
#[derive(Debug, Default)]
pub(super) struct Causes {
    pub(super) findings: Vec<Finding>,
    /// Offsets of the words that are explained by it.
    pub(super) explained: BTreeSet<u64>,
    /// Of these, the words that follow from where the executable lies: the same in every build.
    pub(super) of_executable: BTreeSet<u64>,
    /// The processor features that the image depends on.
    pub(super) features: Mask,
    /// Whether these are all that the processor has, so that it may be anything else of it as well.
    pub(super) needs_all: bool,
    /// The roots because of which.
    pub(super) of_processor: BTreeSet<String>,
    /// Whether only caches of what the processor can do came out otherwise.
    of_caches_alone: bool,
}

impl Causes {
    /// These words follow from where the executable lies.
    fn follow_executable(&mut self, words: impl IntoIterator<Item = u64>) {
        self.of_executable.extend(words);
        self.explained.extend(&self.of_executable);
    }

    /// Whether no value was made for what the processor can do, though crates asked for it and remember that: then the image
    /// requires nothing of it.
    pub(super) fn need_no_caches(&mut self, statics: &Statics) -> bool {
        let are_all = !self.needs_all && !self.of_processor.is_empty() && statics.are_cpu_caches(&self.of_processor);
        if are_all {
            self.features = 0;
            self.of_processor.clear();
        }
        are_all || self.of_caches_alone
    }

    /// The image needs these features, of `all` that there are, because of these words.
    fn needs(&mut self, features: Mask, all: Mask, words: &Words, names: &Names<'_>) {
        self.needs_all = features == all;
        self.features = without_implied(features & !lowest_level());
        let owner = |(at, values): (&u64, &[u64; 2])| Some(names.owner(first_byte(*at, *values))?.0.to_owned());
        self.of_processor.extend(words.iter().filter_map(owner));
        self.explained.extend(words.keys());
    }
}

/// What is found out, step by step.
pub(super) struct Inquiry<'a> {
    /// The features of this processor.
    all: Mask,
    /// In what the run differs whose words are looked at.
    pub(super) world: Vec<Difference>,
    pub(super) search: Search<'a>,
    pub(super) names: Names<'a>,
    /// The words that differ in this world too, if that is known.
    here: Option<Words>,
    pub(super) causes: Causes,
}

/// Words that differ no more if more features can be seen.
struct ByProcessor {
    words: Words,
    /// These features.
    level: Mask,
    /// What the image needs, as far as is known.
    needed: Mask,
}

impl Freezing<'_> {
    /// Finds out on what the words depend that differ and are no addresses.
    pub(super) fn find_causes(
        &self,
        frozen: &Frozen,
        statics: &Statics,
        proof: &Proof,
        shown: Shown,
        objects: Option<&Objects<'_>>,
    ) -> Result<Causes> {
        let all = frozen.capture.process.cpu;
        // Whatever is not known to be the same without them needs them.
        let causes = Causes { features: all, needs_all: true, ..Causes::default() };
        let search = Search { freezing: self, frozen, statics, runs: 0, is_partial: false, known: BTreeMap::new() };
        let mut inquiry = Inquiry {
            all,
            world: self.world().to_vec(),
            here: None,
            search,
            names: Names { frozen, statics: statics.places(), objects },
            causes,
        };
        if shown.otherwise.is_some() {
            // The proof was made in this world, or with the executable elsewhere: then not all that differs is chance.
            // And where a word has the process's own, the rest of it is no chance.
            let words = inquiry.search.words(proof);
            inquiry.without_known(words, shown.own);
            let words = inquiry.search.words(proof);
            inquiry.here = Some(words).filter(|words| self.twin.is_none() || proof.stayed || words.is_empty());
        }
        if let Some(otherwise) = shown.only_middle {
            inquiry.begin_with_middle(&otherwise)?;
        }
        if proof.is_cut_off {
            // A large table is in another order in each run: chance. Statics are looked at that hold what is the process's own.
            let mut words = inquiry.search.words(proof);
            words.retain(|at, _| *at >= frozen.capture.memory_len());
            inquiry.without_known(words, shown.own);
            return Ok(inquiry.causes);
        }
        let seen = match shown.otherwise {
            Some(otherwise) if self.twin.is_some() => Some(inquiry.with_executable_here(proof, otherwise)?),
            otherwise => otherwise,
        };
        if let Some((words, own)) = inquiry.comparable(proof, seen, shown.own)? {
            let words = inquiry.without_known(words, own);
            inquiry.explain(words, shown.with_more)?;
        }
        Ok(inquiry.causes)
    }
}

impl Inquiry<'_> {
    /// The proof was made with the features of the middle level, because with fewer `otherwise` came of it.
    fn begin_with_middle(&mut self, otherwise: &Seen) -> Result<()> {
        let sites = sites(&self.world).unwrap_or_default();
        self.world = without_processors(with_features(&self.world, middle_level() & self.all, sites));
        self.causes.of_processor = otherwise.roots();
        self.causes.findings.extend(self.search.statics_of_processors(otherwise, &self.names)?);
        Ok(())
    }

    /// Whether the executable lies elsewhere is not looked for any more: it came to something with that alone (`proof`), or that
    /// may be what makes the run another one. Returns what is seen without it, where all that differs is `otherwise`.
    fn with_executable_here(&mut self, proof: &Proof, otherwise: Seen) -> Result<Seen> {
        self.world.retain(|difference| *difference != Difference::Executable);
        match proof.stayed {
            true => self.search.observe(&self.world),
            false => Ok(otherwise),
        }
    }

    /// The words that differ in a world that leaves out what makes the run fail, or allocate otherwise. `None` if it does so in
    /// this world, too.
    fn comparable(&mut self, proof: &Proof, mut seen: Option<Seen>, own: Own) -> Result<Option<(Words, Own)>> {
        loop {
            let otherwise = match seen {
                None => return Ok(Some((self.search.words(proof), own))),
                Some(Seen::Words(proof, own, _)) => return Ok(Some((self.search.words(&proof), own))),
                Some(_) if self.world.is_empty() => return Ok(None),
                Some(otherwise) => otherwise,
            };
            let (culprit, alone) = self.search.culprit(&self.world, otherwise)?;
            self.leave_out(&culprit, alone)?;
            seen = Some(self.search.observe(&self.world)?);
        }
    }

    /// Leaves out a difference with which alone the run is another one. Of the processor more features can be seen at first.
    fn leave_out(&mut self, culprit: &Difference, mut alone: Seen) -> Result<()> {
        self.world.retain(|difference| difference != culprit);
        if let Difference::Features(features, sites) = culprit {
            let middle = middle_level() & self.all;
            let next = (features & self.all != middle).then(|| Difference::Features(middle, sites.clone()));
            self.world.extend(next);
            return Ok(());
        }
        if let Seen::Otherwise(blamed) = &mut alone
            && self.here()?.is_some()
            && let Some(here) = &self.here
        {
            let by_chance: BTreeSet<_> = here.keys().filter_map(|at| self.names.owner(*at)).collect();
            blamed.retain(|blamed| !by_chance.contains(&(&blamed.name, blamed.is_static)));
            // A pool with a place for each processor is as good with another number of them.
            if *culprit != Difference::Processors {
                self.search.runs += 1;
                let chance = here.iter().map(|(at, values)| self.names.unit(first_byte(*at, *values))).collect();
                let Search { freezing, frozen, statics, runs, .. } = self.search;
                let others = freezing.others_there(frozen, statics, culprit, &chance, runs)?;
                let is_new = |one: &Blamed| !blamed.iter().any(|known| known.name == one.name);
                let others: Vec<Blamed> = others.into_iter().filter(is_new).collect();
                blamed.extend(others);
            }
        }
        let mut found = self.names.of_layout(culprit, alone);
        found.retain(|finding| *culprit != Difference::Processors || finding.is_static);
        self.causes.findings.extend(found);
        Ok(())
    }

    /// The words that differ in this world too, by chance; `None` if it allocates otherwise whenever it is run.
    fn here(&mut self) -> Result<Option<&Words>> {
        if self.here.is_none()
            && let Seen::Words(proof, ..) = self.search.observe(&[])?
        {
            self.here = Some(self.search.words(&proof));
        }
        Ok(self.here.as_ref())
    }

    /// These words without those whose causes are known by what they are.
    fn without_known(&mut self, mut words: Words, own: Own) -> Words {
        let Self { search, names, causes, .. } = self;
        let owns = [search.frozen.capture.process.own, own];
        words.retain(|at, values| {
            for (cause, bits) in of_process(*at, *values, owns, &search.frozen.data) {
                causes.findings.extend(names.of_word(*at, values.map(|value| value & bits), &cause));
                causes.explained.insert(*at);
                *search.known.entry(*at).or_default() |= bits;
            }
            // In the other half may be something else.
            *values = values.map(|value| search.unknown(*at, value));
            values[0] != values[1]
        });
        words.retain(|at, values| !names.is_drawn_by_lot(first_byte(*at, *values)));
        words
    }

    /// Finds out about these words. `with_more`: what came of more features that can be seen, if that was looked at.
    fn explain(&mut self, words: Words, with_more: Option<(Mask, Seen)>) -> Result<()> {
        let mut words = self.without_those_of_place(words)?;
        if !words.is_empty() && words.keys().all(|at| self.search.statics.is_cpu_cache_at(*at)) {
            self.causes.of_caches_alone = true;
            words.clear();
        }
        let hidden = hidden(&self.world).map(|(seen, sites)| (seen & self.all, sites));
        if words.is_empty() {
            // Nothing differs, with no more features than these.
            self.causes.needs(hidden.map_or(self.all, |(seen, _)| seen), self.all, &words, &self.names);
            return Ok(());
        }
        let Search { freezing, frozen, .. } = self.search;
        if self.world.is_empty() {
            return Ok(());
        }
        if freezing.options.real_random || frozen.planned.is_none() {
            // Elsewhere a note says of them that they differ.
            if freezing.options.deny.contains(&Deny::Nondeterminism) {
                let of_executable = self.with_executable_alone(&words)?;
                self.causes.follow_executable(of_executable);
            }
            return Ok(());
        }
        let (words, by_processor) = self.with_more_features(words, hidden, with_more)?;
        if words.is_empty() {
            self.causes.needs(by_processor.level, self.all, &by_processor.words, &self.names);
            return Ok(());
        }
        let of_executable = self.with_executable_alone(&words)?;
        // If it allocates otherwise whenever it is run, all of it is chance.
        let Some(here) = self.here()?.cloned() else { return Ok(()) };
        self.explain_without_chance(words, by_processor, &of_executable, &here)
    }

    /// Which of these words are what they are where everything differs because the executable lies elsewhere, if it is not
    /// chance. That is looked at at once, and never by halving: a map whose keys are addresses of functions depends on it, which
    /// is no fault.
    fn with_executable_alone(&mut self, words: &Words) -> Result<BTreeSet<u64>> {
        let mut of_executable = BTreeSet::new();
        if self.world.contains(&Difference::Executable) {
            self.world.retain(|difference| *difference != Difference::Executable);
            if let Seen::Words(proof, _, data) = self.search.observe(&[Difference::Executable])? {
                let differ = self.search.words(&proof);
                if differ.is_empty() {
                    // Nor does anything by chance.
                    self.here.get_or_insert_default();
                }
                let is_same = |(at, values): &(&u64, &[u64; 2])| self.search.unknown_at(&data, **at) == Some(values[1]);
                of_executable.extend(words.iter().filter(is_same).map(|(at, _)| *at));
            }
        }
        Ok(of_executable)
    }

    /// Which words still differ if more features can be seen, and which do not. That comes first, so that a program that needs
    /// these alone is evaluated no more than once more.
    fn with_more_features(
        &mut self,
        words: Words,
        hidden: Option<(Mask, Arc<[u64]>)>,
        with_more: Option<(Mask, Seen)>,
    ) -> Result<(Words, ByProcessor)> {
        let by_processor = |words, level, needed| ByProcessor { words, level, needed };
        let Some((seen, sites)) = hidden else {
            return Ok((words, by_processor(Words::new(), self.all, self.all)));
        };
        if seen == middle_level() & self.all {
            // It was found already that it takes these.
            return Ok((words, by_processor(Words::new(), seen, seen)));
        }
        let Search { freezing, frozen, .. } = self.search;
        let (level, seen) = match with_more {
            Some((level, seen)) => (level, Some(seen)),
            None => {
                let words = words.iter().map(|(at, [here, _])| (*at, *here));
                (freezing.features_to_try(frozen, self.search.statics, words, &self.names), None)
            }
        };
        let world = with_features(&self.world, level, sites);
        let seen = seen.map_or_else(|| self.search.observe(&world), Ok)?;
        if !matches!(seen, Seen::Words(..)) {
            // What it would be with these features is not known.
            return Ok((words, by_processor(Words::new(), self.all, self.all)));
        }
        self.world = world;
        let (still, gone) = self.search.differing(seen, words);
        Ok((still, by_processor(gone, level, 0)))
    }

    /// Finds the causes of words, except where it is chance: what differs `here`, too. Of `of_executable` the cause is known.
    fn explain_without_chance(
        &mut self,
        mut words: Words,
        processor: ByProcessor,
        of_executable: &BTreeSet<u64>,
        here: &Words,
    ) -> Result<()> {
        let ByProcessor { words: mut by_processor, level, needed: mut features } = processor;
        // Beside what is chance, in the other half of a word, may be what is none.
        let is_half_chance = |(at, values): (&u64, &[u64; 2])| {
            let halves = |[a, b]: [u64; 2]| [(a ^ b) as u32 != 0, (a ^ b) >> 32 != 0];
            here.get(at)
                .is_some_and(|chance| halves(*values).into_iter().zip(halves(*chance)).any(|it| it == (true, false)))
        };
        if words.iter().chain(&by_processor).any(is_half_chance) {
            features = self.all;
        }
        by_processor.retain(|at, _| !here.contains_key(at));
        if !by_processor.is_empty() {
            features |= level;
        }
        words.retain(|at, _| !here.contains_key(at));
        // What a hash table holds where is a matter of chance as a whole; of what else it may depend on, nothing can be said.
        let unit = |(at, values): (&u64, &[u64; 2])| self.names.unit(first_byte(*at, *values));
        let chance: BTreeSet<u64> = here.iter().map(unit).collect();
        let (by_chance, words): (Words, Words) =
            words.into_iter().partition(|(at, values)| chance.contains(&unit((at, values))));
        if !by_chance.is_empty() {
            features = self.all;
        }
        let (of_executable, words): (Words, Words) = words.into_iter().partition(|(at, _)| of_executable.contains(at));
        self.causes.follow_executable(of_executable.into_keys());
        let mut found = Vec::new();
        self.search.split(&self.world, words, false, &mut found)?;
        if self.search.is_partial {
            // With that cause alone a word was another one still; the processor may have had a part in it.
            features = self.all;
        }
        for (cause, words) in found {
            if let Cause::World(Difference::Features(..)) | Cause::Together = cause {
                features = self.all;
                by_processor.extend(&words);
            }
            if let Cause::World(Difference::Features(..)) = cause {
                continue;
            }
            let findings = words.iter().flat_map(|(at, values)| self.names.of_word(*at, *values, &cause));
            self.causes.findings.extend(findings);
            self.causes.explained.extend(words.keys());
        }
        self.causes.needs(features, self.all, &by_processor, &self.names);
        Ok(())
    }
}

/// Whether a list of the user's has something of this name.
pub(super) fn is_named(name: &str, list: &[String]) -> bool {
    list.iter().any(|entry| means(entry, name))
}
