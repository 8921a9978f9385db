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

use super::layouts::blamed;
use super::seen::{Blamed, Seen, Shown};
use super::stages::{Freezing, Frozen};
use crate::carry::carried::Statics;
use crate::contents::objects::Objects;
use crate::elf::names::means;
use crate::prove::proof::Proof;
use crate::runs::capture::{Capture, Own};
use crate::runs::world::Difference;
use anyhow::Result;
use fastboot_format::features::{Mask, level, without_implied};
use fastboot_format::image::PAGE;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

const WORD: u64 = 8;
/// Nanoseconds of a second.
const SECOND: u64 = 1_000_000_000;
/// Crates whose statics hold what they drew by lot: another value in each run is what they are for.
const DRAWN_BY_LOT: [&str; 5] = ["foldhash", "ahash", "fastrand", "rand", "const_random"];

/// Words that differ from those of run 2, by their offsets in the image data: what they were in run 2, and what they are.
type Words = BTreeMap<u64, [u64; 2]>;

/// On what something depends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// What differed in that world.
    World(Difference),
    /// Several of these together.
    Together,
    /// The number of the process.
    Process,
    /// The number of a thread.
    Thread,
    /// What time it is.
    Clock,
}

impl Cause {
    /// Whether it is another one in every process.
    pub(super) fn is_the_process(&self) -> bool {
        match self {
            Self::World(difference) => matches!(difference, Difference::Path(_) | Difference::Arguments),
            Self::Process | Self::Thread | Self::Clock => true,
            Self::Together => false,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::World(difference) => return difference.fmt(f),
            Self::Together => "environment, terminal or machine (several of them together)",
            Self::Process => "the process id",
            Self::Thread => "the id of a thread",
            Self::Clock => "the time of the build",
        })
    }
}

/// What depends on something.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    /// The root or static; empty if it is not known.
    pub(super) name: String,
    pub(super) is_static: bool,
    pub(super) cause: Cause,
    /// How that was seen.
    pub(super) evidence: String,
}

/// All that was found, and where.
#[derive(Debug, Default)]
pub(super) struct Causes {
    pub(super) findings: Vec<Finding>,
    /// Offsets of the words that are explained by it.
    pub(super) explained: BTreeSet<u64>,
    /// The processor features that the image depends on.
    pub(super) features: Mask,
    /// The roots because of which.
    pub(super) of_processor: BTreeSet<String>,
}

impl Causes {
    /// The image needs these features, because of these words.
    fn needs(&mut self, features: Mask, words: &Words, names: &Names<'_>) {
        self.features = without_implied(features & !lowest_level());
        let owner = |(at, values): (&u64, &[u64; 2])| Some(names.owner(first_byte(*at, *values))?.0.to_owned());
        self.of_processor.extend(words.iter().filter_map(owner));
        self.explained.extend(words.keys());
    }
}

/// What every processor has.
fn lowest_level() -> Mask {
    level("x86-64-v1").unwrap_or(0)
}

/// What as good as every processor since 2013 has, and what most code that chooses by processor asks for.
pub(super) fn middle_level() -> Mask {
    level("x86-64-v3").unwrap_or(Mask::MAX)
}

/// Where the instructions are that ask for features, if these can be hidden.
pub(super) fn sites(world: &[Difference]) -> Option<Arc<[u64]>> {
    world.iter().find_map(|difference| match difference {
        Difference::Features(_, sites) => Some(sites.clone()),
        _ => None,
    })
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

/// The search for what words depend on.
struct Search<'a> {
    freezing: &'a Freezing<'a>,
    frozen: &'a Frozen,
    statics: &'a Statics,
    runs: u32,
}

impl Freezing<'_> {
    /// What a run shows, made to be compared. If it was to differ in nothing, a failure is an error.
    pub(super) fn see(&self, frozen: &Frozen, statics: &Statics, run: Result<Capture>) -> Result<Seen> {
        let mut run = match run {
            Ok(run) => run,
            Err(error) if self.world().is_empty() => return Err(error),
            Err(error) => return Ok(Seen::Failed(error)),
        };
        let [first, second] = [&frozen.capture, &run].map(|run| {
            let counts = run.counts;
            (run.memory_len(), counts.strayed, counts.placed, counts.overflowed)
        });
        if first != second && !self.world().is_empty() {
            return Ok(Seen::Otherwise(blamed(frozen, statics, &mut run)?));
        }
        let own = run.process.own;
        let (proof, data) = self.compare(frozen, statics, run)?;
        Ok(Seen::Words(proof, own, data))
    }

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
        let mut causes = Causes { features: all, ..Causes::default() };
        let mut search = Search { freezing: self, frozen, statics, runs: 0 };
        let names = Names { frozen, statics: statics.places(), objects };
        let here = shown.otherwise.is_some().then(|| search.words(proof));
        let mut world = self.world().to_vec();
        if let Some(otherwise) = shown.only_middle {
            let sites = sites(&world).unwrap_or_default();
            world = without_processors(with_features(&world, middle_level() & all, sites));
            causes.of_processor = otherwise.roots();
            causes.findings.extend(search.statics_of_processors(&otherwise, &names)?);
        }
        let middle_run = shown.middle;
        let mut seen = shown.otherwise;
        let (mut words, own) = loop {
            match seen {
                None => break (search.words(proof), shown.own),
                Some(Seen::Words(proof, own, _)) => break (search.words(&proof), own),
                Some(_) if world.is_empty() => return Ok(causes),
                Some(otherwise) => {
                    let (culprit, mut alone) = search.culprit(&world, otherwise)?;
                    if let Difference::Features(features, sites) = &culprit {
                        let middle = middle_level() & all;
                        let next = (features & all != middle).then(|| Difference::Features(middle, sites.clone()));
                        world.retain(|difference| *difference != culprit);
                        world.extend(next);
                        seen = Some(search.observe(&world)?);
                        continue;
                    }
                    if let (Seen::Otherwise(blamed), Some(here)) = (&mut alone, &here) {
                        let by_chance: BTreeSet<_> = here.keys().filter_map(|at| names.owner(*at)).collect();
                        blamed.retain(|blamed| !by_chance.contains(&(&blamed.name, blamed.is_static)));
                    }
                    let mut found = names.of_layout(&culprit, alone);
                    // A pool with a place for each processor is as good with another number of them.
                    found.retain(|finding| culprit != Difference::Processors || finding.is_static);
                    causes.findings.extend(found);
                    world.retain(|difference| *difference != culprit);
                    seen = Some(search.observe(&world)?);
                }
            }
        };
        let owns = [frozen.capture.process.own, own];
        words.retain(|at, values| {
            let cause = of_process(*at, *values, owns, &frozen.data);
            let known = cause.is_some();
            causes.findings.extend(cause.into_iter().flat_map(|cause| names.of_word(*at, *values, &cause)));
            causes.explained.extend(known.then_some(*at));
            !known
        });
        let is_drawn = |at: u64, values| names.is_drawn_by_lot(first_byte(at, values));
        words.retain(|at, values| !is_drawn(*at, *values));
        let hidden = world.iter().find_map(|difference| match difference {
            Difference::Features(seen, sites) => Some((*seen & all, sites.clone())),
            _ => None,
        });
        if words.is_empty() {
            // Nothing differs, with no more features than these.
            causes.needs(hidden.map_or(all, |(seen, _)| seen), &words, &names);
            return Ok(causes);
        }
        if world.is_empty() || self.options.real_random || frozen.planned.is_none() {
            return Ok(causes);
        }
        // With the features of the middle level first, so that a program that needs these alone is evaluated no more than
        // once more.
        let middle = middle_level() & all;
        let mut by_processor = Words::new();
        let mut features = if hidden.is_some() { 0 } else { all };
        if let Some((seen, sites)) = hidden {
            world = with_features(&world, middle, sites);
            if seen == middle {
                // It was found already that it takes these.
                features = middle;
            } else {
                let seen = middle_run.map_or_else(|| search.observe(&world), Ok)?;
                let (still, gone) = search.differing(seen, words);
                (words, by_processor) = (still, gone);
                if words.is_empty() {
                    causes.needs(middle, &by_processor, &names);
                    return Ok(causes);
                }
            }
        }
        let here = match here {
            Some(here) => here,
            None => match search.observe(&[])? {
                Seen::Words(proof, ..) => search.words(&proof),
                // It allocates otherwise whenever it is run: all of it is chance.
                Seen::Otherwise(_) | Seen::Failed(_) => return Ok(causes),
            },
        };
        by_processor.retain(|at, _| !here.contains_key(at));
        if !by_processor.is_empty() {
            features = middle;
        }
        words.retain(|at, _| !here.contains_key(at));
        // What a hash table holds where is a matter of chance as a whole; of what else it may depend on, nothing can be said.
        let unit = |(at, values): (&u64, &[u64; 2])| names.unit(first_byte(*at, *values));
        let chance: BTreeSet<u64> = here.iter().map(unit).collect();
        let (by_chance, words): (Words, Words) =
            words.into_iter().partition(|(at, values)| chance.contains(&unit((at, values))));
        if !by_chance.is_empty() {
            features = all;
        }
        let mut found = Vec::new();
        search.split(&world, words, false, &mut found)?;
        for (cause, words) in found {
            if let Cause::World(Difference::Features(..)) | Cause::Together = cause {
                features = all;
                by_processor.extend(&words);
            }
            if let Cause::World(Difference::Features(..)) = cause {
                continue;
            }
            causes.findings.extend(words.iter().flat_map(|(at, values)| names.of_word(*at, *values, &cause)));
            causes.explained.extend(words.keys());
        }
        causes.needs(features, &by_processor, &names);
        Ok(causes)
    }
}

impl Search<'_> {
    /// The words that differ and are no addresses, as far as they are in the image.
    fn words(&self, proof: &Proof) -> Words {
        let memory = self.frozen.capture.memory_len();
        // Behind it are statics, and some that were carried until they proved to hold addresses of what is not there.
        let places = self.statics.places();
        let is_there = |at: u64| at < memory || places.iter().any(|(_, range)| range.contains(&at));
        let differences = proof.differences.iter().map(|difference| (difference.offset, difference.values));
        // Some numbers look like that.
        let disguised = proof.disguised.iter().map(|disguised| (disguised.offset, disguised.values));
        differences.chain(disguised).filter(|(at, _)| is_there(*at)).collect()
    }

    /// Runs it once more in a world that differs in this.
    fn observe(&mut self, world: &[Difference]) -> Result<Seen> {
        self.runs += 1;
        let list: Vec<String> = world.iter().map(ToString::to_string).collect();
        let told = if list.is_empty() { "nothing".to_owned() } else { list.join(", ") };
        self.freezing.shell.verbose(format_args!("what values depend on, run {}: {told}", self.runs));
        let run = self.freezing.run_again(self.frozen, world, &format!("cause-{}", self.runs));
        self.freezing.see(self.frozen, self.statics, run)
    }

    /// The carried statics that depend on the number of processors, if there may be some by what was seen where more differed.
    fn statics_of_processors(&mut self, seen: &Seen, names: &Names<'_>) -> Result<Vec<Finding>> {
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
    fn culprit(&mut self, mut world: &[Difference], mut seen: Seen) -> Result<(Difference, Seen)> {
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
    fn split(&mut self, world: &[Difference], words: Words, seen: bool, found: &mut Vec<(Cause, Words)>) -> Result<()> {
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
        Ok(self.differing(seen, words))
    }

    /// The same, in what was seen there.
    fn differing(&self, seen: Seen, words: Words) -> (Words, Words) {
        let Seen::Words(proof, _, data) = seen else { return (Words::new(), words) };
        let there = self.words(&proof);
        // Whatever else it may look like: it is the same as where everything differed.
        let is_same = |at: u64, value: u64| {
            data.get(at as usize..).and_then(|data| data.first_chunk()) == Some(&value.to_le_bytes())
        };
        words.into_iter().partition(|(at, values)| there.contains_key(at) || is_same(*at, values[1]))
    }
}

/// Whose words are.
struct Names<'a> {
    frozen: &'a Frozen,
    /// Names of the carried statics, and where their bytes are.
    statics: Vec<(String, std::ops::Range<u64>)>,
    objects: Option<&'a Objects<'a>>,
}

impl Names<'_> {
    /// The root or static that a word belongs to, and whether it is a static.
    fn owner(&self, at: u64) -> Option<(&str, bool)> {
        if let Some((name, _)) = self.statics.iter().find(|(_, range)| range.contains(&at)) {
            return Some((name, true));
        }
        // A verbatim image is full of garbage, and so is the overflow.
        let planned = self.frozen.planned.as_ref()?;
        if at + PAGE as u64 >= planned.plan.end {
            return None;
        }
        let name = self.objects?.origin(at)?;
        Some((name, !self.frozen.capture.roots.iter().any(|root| root.name == name)))
    }

    /// Where the object or the static begins that has this word.
    fn unit(&self, at: u64) -> u64 {
        if let Some((_, range)) = self.statics.iter().find(|(_, range)| range.contains(&at)) {
            return range.start;
        }
        let placements = self.frozen.planned.as_ref().map_or(&[][..], |planned| &planned.plan.placements);
        let index = placements.partition_point(|placement| placement.offset - PAGE as u64 <= at);
        index.checked_sub(1).map_or(at, |index| placements[index].offset - PAGE as u64)
    }

    /// Whether a word belongs to a static that holds what was drawn by lot, or to nothing that was planned.
    fn is_drawn_by_lot(&self, at: u64) -> bool {
        let drawn = |name: &str| DRAWN_BY_LOT.iter().any(|one| name.split("::").next() == Some(one));
        self.owner(at).is_some_and(|(name, is_static)| is_static && drawn(name))
    }

    /// What is to be said of a word that has this cause. Several small objects may lie in it.
    fn of_word(&self, at: u64, [here, there]: [u64; 2], cause: &Cause) -> Vec<Finding> {
        let mut parts: BTreeMap<u64, u64> = BTreeMap::new();
        for byte in (0..WORD).filter(|byte| (here ^ there) >> (byte * 8) & 0xff != 0) {
            *parts.entry(self.unit(at + byte)).or_default() |= 0xff << (byte * 8);
        }
        let finding = |mask: u64| {
            let (name, is_static) = self.owner(at + u64::from(mask.trailing_zeros() / 8))?;
            let evidence = match cause {
                Cause::Process | Cause::Thread | Cause::Clock => String::new(),
                // What did not change may be part of it.
                _ if parts.len() == 1 => evidence([here, there]),
                _ => evidence([here & mask, there & mask]),
            };
            Some(Finding { name: name.to_owned(), is_static, cause: cause.clone(), evidence })
        };
        parts.values().filter_map(|mask| finding(*mask)).collect()
    }

    /// What is to be said of a difference with which everything lies otherwise, or nothing ends.
    fn of_layout(&self, culprit: &Difference, seen: Seen) -> Vec<Finding> {
        let cause = Cause::World(culprit.clone());
        match seen {
            Seen::Failed(error) => {
                let evidence = format!("{:#}", error.root_cause());
                vec![Finding { name: String::new(), is_static: false, cause, evidence }]
            }
            // If it is nothing that is in the image, it does not matter.
            Seen::Otherwise(blamed) => {
                let finding = |Blamed { name, is_static, values }| {
                    let evidence = evidence(values);
                    Finding { name, is_static, cause: cause.clone(), evidence }
                };
                blamed.into_iter().map(finding).collect()
            }
            Seen::Words(..) => Vec::new(),
        }
    }
}

/// Where the first byte is that differs in a word.
fn first_byte(at: u64, [here, there]: [u64; 2]) -> u64 {
    at + u64::from((here ^ there).trailing_zeros() / 8).min(WORD - 1)
}

/// Whether a list of the user's has something of this name.
pub(super) fn is_named(name: &str, list: &[String]) -> bool {
    list.iter().any(|entry| means(entry, name))
}

/// What a word says of its process, if it is what differs between all processes.
fn of_process(at: u64, values: [u64; 2], owns: [Own; 2], data: &[u8]) -> Option<Cause> {
    let halves = [values, values.map(|value| value >> 32)].map(|half| half.map(|half| half & 0xffff_ffff));
    let [a, b] = owns;
    if halves.contains(&[a.id, b.id]) {
        return Some(Cause::Process);
    }
    if halves.contains(&[a.thread, b.thread]) {
        return Some(Cause::Thread);
    }
    let within = |value: u64, clock: [u64; 2], unit: u64| (clock[0] / unit..=clock[1] / unit + 1).contains(&value);
    let real = |unit| within(values[0], a.real, unit) && within(values[1], b.real, unit);
    let monotonic = |unit| within(values[0], a.monotonic, unit) && within(values[1], b.monotonic, unit);
    if [1, 1000, 1_000_000, SECOND].into_iter().any(real) || [1, 1000, 1_000_000].into_iter().any(monotonic) {
        return Some(Cause::Clock);
    }
    // Seconds in one word, and nanoseconds in the word behind it.
    let seconds = data.get(at.checked_sub(WORD)? as usize..).and_then(|data| data.first_chunk()).copied();
    let seconds = u64::from_le_bytes(seconds?);
    let is_now = |clock: [u64; 2]| within(seconds, clock, SECOND);
    let nanoseconds = halves[0].iter().all(|half| *half < SECOND);
    (nanoseconds && (is_now(a.real) || is_now(a.monotonic))).then_some(Cause::Clock)
}

/// What a word was here and there: as text if it is some, else as a number, without what is the same in both.
fn evidence([here, there]: [u64; 2]) -> String {
    let changed = here ^ there;
    let (first, last) = (changed.trailing_zeros() / 8, 7 - (changed.leading_zeros() / 8).min(7));
    let is_text = |word: u64| {
        let bytes = word.to_le_bytes();
        let text = &bytes[first.min(7) as usize..=last.max(first.min(7)) as usize];
        text.len() > 1 && text.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ')
    };
    if is_text(here) && is_text(there) {
        let text = |word: u64| {
            let bytes = word.to_le_bytes();
            let text: String =
                bytes.iter().map(|byte| if byte.is_ascii_graphic() { char::from(*byte) } else { ' ' }).collect();
            text.trim().to_owned()
        };
        return format!("`{}` here, `{}` in the proof", text(here), text(there));
    }
    let number = |word: u64| {
        // A flag is a byte; other fields have four bytes, or eight.
        let byte = |word: u64| word >> (first.min(7) * 8) & 0xff;
        let is_flag = first == last && byte(here).max(byte(there)) <= 1;
        let value = match (is_flag, first / 4 == last / 4) {
            (true, _) => byte(word),
            (false, true) => word >> (first / 4 * 32) & 0xffff_ffff,
            (false, false) => word,
        };
        if value < 1 << 31 { value.to_string() } else { format!("{value:#x}") }
    };
    format!("{} here, {} in the proof", number(here), number(there))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_shown_as_what_they_are() {
        let text = |text: &[u8; 8]| u64::from_le_bytes(*text);
        assert_eq!(evidence([1, 0]), "1 here, 0 in the proof");
        assert_eq!(evidence([0x5555_0000_0100, 0x5555_0000_0000]), "1 here, 0 in the proof");
        assert_eq!(evidence([80 << 32 | 7, 117 << 32 | 7]), "80 here, 117 in the proof");
        assert_eq!(evidence([300, 400]), "300 here, 400 in the proof");
        assert_eq!(evidence([1 << 40, 3]), "0x10000000000 here, 3 in the proof");
        assert_eq!(evidence([text(b"/root\0\0\0"), text(b"/ebbg\0\0\0")]), "`/root` here, `/ebbg` in the proof");
    }

    #[test]
    fn what_belongs_to_a_process_is_known_by_its_value() {
        let own = |id: u64, seconds: u64| Own {
            id,
            thread: id + 1,
            real: [seconds * SECOND, (seconds + 1) * SECOND],
            monotonic: [9 * SECOND, 10 * SECOND],
        };
        let owns = [own(700, 1_800_000_000), own(800, 1_800_000_007)];
        let of = |at, values, data: &[u64]| {
            of_process(at, values, owns, &data.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<_>>())
        };
        assert_eq!(of(0, [700, 800], &[700]), Some(Cause::Process));
        assert_eq!(of(0, [700 << 32 | 3, 800 << 32 | 3], &[0]), Some(Cause::Process));
        assert_eq!(of(0, [701, 801], &[701]), Some(Cause::Thread));
        assert_eq!(of(0, [700, 801], &[700]), None);
        assert_eq!(of(0, [1_800_000_000, 1_800_000_008], &[0]), Some(Cause::Clock));
        assert_eq!(of(0, [9_100_000_000, 9_900_000_000], &[0]), Some(Cause::Clock));
        assert_eq!(of(8, [17, 18], &[9, 17]), Some(Cause::Clock), "nanoseconds behind seconds");
        assert_eq!(of(8, [17, 18], &[2, 17]), None);
        assert_eq!(of(0, [17, 18], &[17]), None);
    }
}
