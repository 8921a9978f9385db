//! Compare: what every word of an image is.
//!
//! Two place runs have the same layout, but everything in them is somewhere else: the image, the scratch heap and the
//! stack because the tool says so, the executable (if it is a PIE) and the libraries because the kernel does. So the two
//! are compared word by word:
//!
//! - the same in both: data, whatever it looks like;
//! - differs by the distance between the two images, and lies in the image: a pointer into the image;
//! - differs by the distance between the two executables, and lies in the executable: a static pointer;
//! - differs by the distance between two scratch heaps or stacks, or is an address in one of them in both runs: the address of
//!   something that is gone, a *dead word*; so is an address of which some bytes were overwritten, and one of the main
//!   thread's stack;
//! - lies in the executable, and only its upper half moved with it: a static pointer, or rather garbage, of which the
//!   second run has overwritten the lower half;
//! - is what a word of the executable is that the dynamic linker wrote to, in both runs: the address of something in a shared
//!   library, which can be made right ([bindings](crate::prove::bindings));
//! - lies in the same shared library at the same place, in C's heap, in a thread-local: a *suspect*; but among dead words
//!   most likely one of them;
//! - moved with one of these regions by a distance that is shifted or rotated, or differs in the same bits: an address in
//!   another [form](crate::runs::forms);
//! - anything else: nondeterminism.
//!
//! Nothing is concluded from a range alone. A word that differs, that could be an address which moves, and that moved with
//! nothing is *unclear*: garbage that stack frames left in an unused part of an object, or a slot of a hash table that is
//! seeded by an address. Another run, at yet other addresses, settles most of them.

use crate::prove::c_heap;
use crate::prove::disguise::{self, Disguise, Disguised};
use crate::prove::foreign::{Foreign, Libraries, foreign};
use crate::prove::overwritten::{is_overwritten, may_be_left_of, upper_half_moved};
use crate::prove::proof::{Proof, Unclear};
use crate::prove::regions::{REGIONS, Region, Run, WORD, distances, libraries_distance};
use crate::runs::capture::{Allocator, Capture};
use crate::runs::forms::{ADDRESS, Form};
use anyhow::{Result, anyhow, bail};
use fastboot_format::protocol::{are_aligned, are_well_apart};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// How many words are compared at once.
const STRETCH: usize = 512;
/// From how many words on it takes two to explain them.
const MANY: usize = 10_000;
/// If no more than one in so many words that differ around an XORed address is one, it is none.
const FEW: usize = 32;
/// What is around a word, in bytes before and behind it.
const NEAR: usize = 4096;

/// Whether the executable, if it is a PIE, lay far enough from where it lay in the other run.
pub(crate) fn are_comparable(first: &Capture, second: &Capture) -> bool {
    are_well_apart(first.process.exe_base, second.process.exe_base)
}

/// Compares two runs of one binary.
///
/// # Errors
/// If the binary is position-independent and the runs are not comparable.
pub(crate) fn compare(first: Run<'_>, second: Run<'_>, pie: bool) -> Result<Proof> {
    let mut proof = Proof::default();
    if first.data.len() != second.data.len() {
        if pie {
            bail!(
                "two freeze runs of this position-independent binary came out differently: {} bytes, then {} bytes; \
                 which words are addresses can only be told when both runs allocate the same. \
                 Look for randomness, clocks or threads in the roots' expressions, or build without --pie",
                first.data.len(),
                second.data.len()
            );
        }
        // The end of the longer one is compared with nothing.
        let end = first.data.len().min(second.data.len());
        proof.differ(end, first, second);
        proof.unclear.push(Unclear { offset: end as u64, region: Region::Image, in_both: false, is_number: false });
    }
    let aligned;
    let is_uneven = first.objects != second.objects;
    let second = if is_uneven {
        aligned = c_heap::aligned(first.halves(), second.halves());
        Run { data: &aligned, ..second }
    } else {
        second
    };
    let comparison = Comparison::new(first, second, pie);
    let [first_base, second_base] = [first, second].map(|run| run.regions[Region::Executable as usize].0);
    if pie && !are_well_apart(first_base, second_base) {
        bail!(
            "the freeze runs had the executable at {first_base:#x} and {second_base:#x}: the system does not randomise addresses enough, so \
             static pointers cannot be told from data; build without --pie"
        );
    }
    proof.aligned = pie && are_aligned(first_base, second_base);
    proof.stayed = !comparison.moves || is_uneven || first.data.len() != second.data.len();
    let unexplained = comparison.take_those_that_moved(&mut proof);
    let mut unaligned = comparison.take_unaligned(&unexplained, &mut proof);
    comparison.take_bound(&unexplained, &mut unaligned, &mut proof);
    comparison.explain_others(&unexplained, &unaligned, &mut proof)?;
    comparison.take_back_xored(&unexplained, &mut proof);
    comparison.tell_numbers(&unexplained, &mut proof);
    // Where the two cannot tell.
    let objects = is_uneven || first.heap_start() == second.heap_start();
    for (at, block) in c_heap::addresses(first.halves(), first.known.foreign_blocks, objects) {
        // Of an address in C's heap, which is elsewhere in the other run, nothing is the same there.
        let is_number = block.allocator == Allocator::Malloc && !objects && first.word(at) == second.word(at);
        if !is_number && !proof.suspects.iter().any(|suspect| suspect.offset == at as u64) {
            proof.suspect(block.at_begin(), at, first);
        }
    }
    proof.static_pointers.sort_unstable();
    proof.image_pointers.sort_unstable();
    // The handle of a thread says more than what comes with it, such as the memory that the standard library has for it.
    proof.suspects.sort_by_key(|suspect| {
        !first.word(suspect.offset as usize).is_some_and(|word| first.known.handles.contains(&word))
    });
    Ok(proof)
}

/// Two runs, and how far each region was moved from the first to the second.
struct Comparison<'a> {
    first: Run<'a>,
    second: Run<'a>,
    /// Whether the executable is position-independent.
    pie: bool,
    /// Whether the executable moved: it is a PIE, or the second run is one of its twin.
    moves: bool,
    distances: [u64; 5],
    /// How far the shared libraries were moved.
    libraries: u64,
    /// The lowest bit that any region moved by: most words are told by the bits below it alone.
    lowest: u64,
}

impl<'a> Comparison<'a> {
    fn new(first: Run<'a>, second: Run<'a>, pie: bool) -> Self {
        let distances = distances(first, second);
        let all = distances.into_iter().fold(0, |all, distance| all | distance);
        let libraries = libraries_distance(first, second);
        let moves = distances[Region::Executable as usize] != 0;
        Self { first, second, pie, moves, distances, libraries, lowest: all & all.wrapping_neg() }
    }

    /// The words at an offset in both runs, if they are in both.
    fn words(&self, at: usize) -> Option<(u64, u64)> {
        self.first.word(at).zip(self.second.word(at))
    }

    /// The region that the word at `at` moved with.
    fn moved_with(&self, at: usize) -> Option<Region> {
        let (a, b) = self.words(at)?;
        if b.wrapping_sub(a) & self.lowest.wrapping_sub(1) != 0 {
            return None;
        }
        let moved = |region: &Region| {
            let distance = self.distances[*region as usize];
            distance != 0 && b.wrapping_sub(a) == distance && self.first.contains(*region, a & ADDRESS)
        };
        REGIONS.into_iter().find(moved)
    }

    /// Takes the words that moved with a region. Returns where the others are that differ.
    fn take_those_that_moved(&self, proof: &mut Proof) -> Vec<usize> {
        let mut unexplained = Vec::new();
        for at in words_that_differ(self.first.data, self.second.data) {
            match self.moved_with(at) {
                Some(region) => proof.take(region, at as u64, self.first),
                None => unexplained.push(at),
            }
        }
        unexplained
    }

    /// Takes the words that moved with a region and are not aligned, as packed structs hold them: those that share bytes with
    /// words that are unexplained. Returns where they are.
    fn take_unaligned(&self, unexplained: &[usize], proof: &mut Proof) -> Vec<usize> {
        let mut unaligned: Vec<usize> = Vec::new();
        for &at in unexplained {
            let window = at.saturating_sub(WORD - 1)..at + WORD;
            let starts = window.filter(|start| start % WORD != 0);
            for (start, region) in starts.filter_map(|start| Some((start, self.moved_with(start)?))) {
                // Neighbours see the same word.
                if unaligned.iter().rev().take(2 * WORD).all(|other| *other != start) {
                    unaligned.push(start);
                    proof.take(region, start as u64, self.first);
                }
            }
        }
        unaligned.sort_unstable();
        unaligned
    }

    /// Takes the words, aligned or not, that are what the dynamic linker put into a word of the executable. Where they are comes
    /// to what covers others.
    fn take_bound(&self, unexplained: &[usize], covering: &mut Vec<usize>, proof: &mut Proof) {
        let bindings = self.first.known.bindings;
        if bindings.is_empty() {
            return;
        }
        let place = |start: usize| self.words(start).and_then(|words| bindings.place_of(words.into()));
        // Words that differ share bytes with it.
        let starts = unexplained.iter().flat_map(|at| around(*at));
        let found: BTreeMap<usize, u64> = starts.filter_map(|start| Some((start, place(start)?))).collect();
        covering.extend(found.keys());
        covering.sort_unstable();
        proof.bound.extend(found.into_iter().map(|(offset, place)| (offset as u64, place)));
    }

    /// Explains the words that are not covered by others that are not aligned. If there are many, two threads do.
    fn explain_others(&self, unexplained: &[usize], unaligned: &[usize], proof: &mut Proof) -> Result<()> {
        let half = if unexplained.len() > MANY { unexplained.len() / 2 } else { unexplained.len() };
        let (some, others) = unexplained.split_at(half);
        let parts = std::thread::scope(|scope| {
            let others = (!others.is_empty()).then(|| scope.spawn(|| self.explain_all(others, unaligned)));
            let some = self.explain_all(some, unaligned);
            let others = others.map(|others| others.join().map_err(|_| anyhow!("the runs could not be compared")));
            anyhow::Ok([Some(some), others.transpose()?])
        })?;
        parts.into_iter().flatten().for_each(|part| proof.add(part));
        Ok(())
    }

    /// Takes back that words are XORed addresses where a great many around them differ by chance. All XORed addresses of
    /// temporaries differ in the same bits of one byte; so do some of the words of a table whose order is another one.
    fn take_back_xored(&self, unexplained: &[usize], proof: &mut Proof) {
        let within = |sorted: &[usize], at: usize| {
            let index = |end| sorted.partition_point(|other| *other < end);
            index(at + NEAR) - index(at.saturating_sub(NEAR))
        };
        let is_xored = |word: &Disguised| word.disguise == Disguise::Xored;
        let mut xored: Vec<usize> =
            proof.disguised.iter().filter(|word| is_xored(word)).map(|word| word.offset as usize).collect();
        xored.sort_unstable();
        let is_chance = |word: &mut Disguised| {
            let at = word.offset as usize;
            let most = FEW * within(&xored, at);
            is_xored(word) && within(unexplained, at) > most && {
                let from = unexplained.partition_point(|other| *other < at.saturating_sub(NEAR));
                let near = unexplained[from..].iter().take_while(|other| **other < at + NEAR);
                near.filter(|other| self.is_chance(**other)).take(most + 1).count() > most
            }
        };
        let by_chance: Vec<Disguised> = proof.disguised.extract_if(.., is_chance).collect();
        by_chance.iter().for_each(|word| proof.differ(word.offset as usize, self.first, self.second));
    }

    /// Whether the word is no address, in whatever form, nor what is left of one.
    fn is_chance(&self, at: usize) -> bool {
        let mut proof = Proof::default();
        if disguise::disguised(at, self.first, self.second, &self.distances).is_none() {
            self.explain(at, &mut Libraries::default(), &mut proof);
        }
        !proof.differences.is_empty()
    }

    fn explain_all(&self, words: &[usize], unaligned: &[usize]) -> Proof {
        let (first, second) = (self.first, self.second);
        let (mut proof, mut libraries) = (Proof::default(), Libraries::default());
        for &at in words {
            let from = unaligned.partition_point(|start| start + WORD <= at);
            let near = || unaligned[from..].iter().take_while(|start| **start < at + WORD);
            let explained = (at..(at + WORD).min(first.data.len()).min(second.data.len())).all(|byte| {
                first.data[byte] == second.data[byte] || near().any(|start| (*start..start + WORD).contains(&byte))
            });
            if explained {
                continue;
            }
            if let Some(disguised) = disguise::disguised(at, first, second, &self.distances) {
                match self.unaligned(&disguised) {
                    Some(start) => proof.take(Region::Executable, start, first),
                    None => proof.take_disguised(disguised),
                }
            } else {
                self.explain(at, &mut libraries, &mut proof);
            }
        }
        proof
    }

    /// Where an address in the executable begins that was shifted to the left by whole bytes: it stands there as it is, with
    /// something else in the highest bytes, which no distance reaches. In a position-independent binary that makes it right,
    /// whether it belongs to a value or is what is left of one.
    fn unaligned(&self, disguised: &Disguised) -> Option<u64> {
        let Disguise::Moved(Form::Left(bits @ (8 | 16))) = disguised.disguise else { return None };
        let start = disguised.offset + u64::from(bits / 8);
        let is_one = self.pie && disguised.region == Region::Executable;
        (is_one && start + WORD as u64 <= self.first.data.len() as u64).then_some(start)
    }

    /// A word that differs and moved with nothing.
    fn explain(&self, at: usize, libraries: &mut Libraries, proof: &mut Proof) {
        if let Some(foreign) = self.foreign(at, libraries) {
            proof.suspect(foreign, at, self.first);
        } else if self.lost_half(at) {
            proof.take(Region::Executable, at as u64, self.first);
        } else {
            self.note_unclear(at, proof);
            if !self.is_of_process(at) && self.is_dead(at) {
                proof.dead += 1;
                proof.parts += u64::from(self.may_be_part(at));
            } else {
                proof.differ(at, self.first, self.second);
            }
        }
    }

    /// What the word is the address of, if it lies in the same mapping in both runs.
    fn foreign(&self, at: usize, libraries: &mut Libraries) -> Option<Foreign> {
        let runs = [self.first, self.second];
        if let Some(block) = runs.into_iter().find_map(|run| run.known.block_at(run.word(at)?)) {
            return Some(block);
        }
        let (a, b) = self.words(at)?;
        if self.first.is_known(a) || self.second.is_known(b) {
            return None;
        }
        let (here, there) = self.first.mapping(a).zip(self.second.mapping(b))?;
        if here.name != there.name {
            return None;
        }
        foreign(here, a, there, b, [self.first.known, self.second.known], libraries)
    }

    /// Whether the word is a static pointer whose lower half the second run has overwritten.
    fn lost_half(&self, at: usize) -> bool {
        let region = Region::Executable;
        let lost = |(a, b): (u64, u64)| {
            let moved = || upper_half_moved(a, b, self.distances[region as usize]);
            self.first.contains(region, a) && !self.second.contains(region, b) && moved()
        };
        self.moves && self.words(at).is_some_and(lost)
    }

    /// Notes what around here could be an address that moves.
    fn note_unclear(&self, at: usize, proof: &mut Proof) {
        for region in [Region::Executable, Region::Image].into_iter().skip(usize::from(!self.moves)) {
            for start in around(at) {
                let could_be = |run: Run<'_>| run.word(start).is_some_and(|word| run.contains(region, word & ADDRESS));
                let left = |(a, b)| is_overwritten(a, b, self.distances[region as usize]);
                if could_be(self.first) && !self.words(start).is_some_and(left) {
                    let in_both = could_be(self.second);
                    proof.take_unclear(Unclear { offset: start as u64, region, in_both, is_number: false });
                }
            }
        }
    }

    /// Looks for unclear words in the second run, as they are and as what they would be if they are addresses in the executable.
    /// In a hash table that is in another order there they are in another place.
    fn tell_numbers(&self, unexplained: &[usize], proof: &mut Proof) {
        let distance = self.distances[Region::Executable as usize];
        let word = |unclear: &Unclear| {
            let is_one = unclear.region == Region::Executable && unclear.offset.is_multiple_of(WORD as u64);
            self.first.word(unclear.offset as usize).filter(|_| is_one)
        };
        let both = |word: u64| [word, word.wrapping_add(distance)];
        let mut wanted: Vec<u64> = proof.unclear.iter().filter_map(word).flat_map(both).collect();
        if wanted.is_empty() {
            return;
        }
        wanted.sort_unstable();
        let words = unexplained.iter().filter_map(|at| self.second.word(*at));
        let found: BTreeSet<u64> = words.filter(|word| wanted.binary_search(word).is_ok()).collect();
        for unclear in &mut proof.unclear {
            let there = word(unclear).map(both).map(|both| both.map(|word| found.contains(&word)));
            unclear.is_number = there == Some([true, false]);
        }
    }

    /// Whether a word here, or one that shares bytes with it, may hold a part of an address in the executable.
    fn may_be_part(&self, at: usize) -> bool {
        let own = self.distances[Region::Executable as usize];
        self.moves && around(at).filter_map(|start| self.words(start)).any(|(a, b)| is_overwritten(a, b, own))
    }

    /// Whether half of the word is the number of the process or of its freeze thread. Such numbers differ by little, like what
    /// is left of some pointers.
    fn is_of_process(&self, at: usize) -> bool {
        let Some((a, b)) = self.words(at) else { return false };
        let numbers = self.first.known.numbers.into_iter().zip(self.second.known.numbers);
        let is_half = |(here, there): (u64, u64), shift: u32| {
            here != 0 && (a >> shift) & u64::from(u32::MAX) == here && (b >> shift) & u64::from(u32::MAX) == there
        };
        numbers.into_iter().any(|both| is_half(both, 0) || is_half(both, u32::BITS))
    }

    /// Whether a word here, or one that shares bytes with it, is what is left of a pointer, or an address of what is gone in
    /// both runs. No object of the image is there: references to live temporaries were looked for.
    fn is_dead(&self, at: usize) -> bool {
        // The word itself first: as a rule it is the one.
        let starts = std::iter::once(at).chain(around(at).filter(|start| *start != at));
        let mut words = starts.filter_map(|start| self.words(start));
        let is_gone = |a: u64, b: u64| self.first.is_gone(a & ADDRESS) && self.second.is_gone(b & ADDRESS);
        let is_left = |a, b| {
            REGIONS.into_iter().any(|region| {
                is_overwritten(a, b, self.distances[region as usize])
                    && may_be_left_of(self.first.room(region), [a, b])
                    && may_be_left_of(self.second.room(region), [b, a])
            })
        };
        // Among the libraries, where something was mapped for a while.
        let is_unmapped = |a: u64, b: u64| {
            let moved = self.libraries != 0 && b.wrapping_sub(a) == self.libraries;
            moved && self.first.mapping(a).is_none() && self.second.mapping(b).is_none()
        };
        // Hashes of stack addresses, such as those that tell threads apart, round and shift them.
        let in_stack = |run: Run<'_>, word: u64, form: Form| {
            run.contains(Region::Stack, form.addresses(word)[0]) && word > u64::from(u32::MAX)
        };
        let is_hashed =
            |(a, b)| Form::all().any(|form| in_stack(self.first, a, form) && in_stack(self.second, b, form));
        words.any(|(a, b)| is_gone(a, b) || is_left(a, b) || is_unmapped(a, b))
            || self.words(at).is_some_and(is_hashed)
            || self.is_cut_off(at)
    }

    /// Whether a word ends with the lower five bytes of an address in a position-independent executable, of which a neighbour has
    /// overwritten the others. Nobody keeps so few of an address: they are not enough to tell it.
    fn is_cut_off(&self, at: usize) -> bool {
        const LOWER: u64 = (1 << 40) - 1;
        let region = Region::Executable;
        let ends = |run: Run<'_>, word: u64| {
            let (start, end) = run.regions[region as usize];
            (word >> 24).wrapping_sub(start) & LOWER <= end - start
        };
        self.pie
            && self.words(at).is_some_and(|(a, b)| {
                let moved = (b >> 24).wrapping_sub(a >> 24) & LOWER;
                let is_same = (a ^ b) & ((1 << 24) - 1) == 0;
                is_same
                    && moved == self.distances[region as usize] & LOWER
                    && ends(self.first, a)
                    && ends(self.second, b)
            })
    }
}

/// Where words begin that share bytes with the one at `at`.
fn around(at: usize) -> Range<usize> {
    at.saturating_sub(WORD - 1)..at + WORD
}

/// Where both have words that differ. The last one may be cut short. Most are the same, so many are compared at once first.
fn words_that_differ<'a>(first: &'a [u8], second: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    let (words, others) = (first.as_chunks::<WORD>().0, second.as_chunks::<WORD>().0);
    let end = words.len().min(others.len());
    let stretches = words[..end].chunks(STRETCH).zip(others[..end].chunks(STRETCH)).zip((0..).step_by(STRETCH));
    let differing = stretches.filter(|((a, b), _)| a != b).flat_map(|((a, b), start)| {
        let pairs = a.iter().zip(b).zip(start..);
        pairs.filter(|((a, b), _)| a != b).map(|(_, index)| index * WORD)
    });
    let last = |bytes: &'a [u8]| bytes.get(end * WORD..).map(|rest| &rest[..rest.len().min(WORD)]);
    let (a, b) = (last(first).unwrap_or_default(), last(second).unwrap_or_default());
    differing.chain((!a.is_empty() && !b.is_empty() && a != b).then_some(end * WORD))
}

#[cfg(test)]
mod tests;
