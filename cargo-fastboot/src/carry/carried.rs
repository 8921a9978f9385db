//! Carry: which statics travel in the image, where their bytes lie in it, and whether the image can do without the
//! others.

use super::attribute::{self, Static};
use super::decide::{self, Decision};
use super::flags;
use super::outside::Outside;
use super::policy;
use super::thread_local::{ThreadLocal, ThreadLocals};
use crate::elf::binary::{Binary, Elf, Twin};
use crate::elf::names::is_of_the_process;
use crate::options::Choices;
use crate::prove::proof::Proof;
use crate::prove::regions::Region;
use crate::runs::capture::Capture;
use crate::runs::forms::ADDRESS;
use crate::runs::memory::word_at;
use anyhow::{Context, Result, bail};
use fastboot_format::image::{Carried, PAGE};
use fastboot_format::statics::{Dump, Reference, references, words};
use object::LittleEndian as LE;
use object::elf;
use object::read::elf::ProgramHeader as _;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// The statics that changed while the roots were evaluated.
pub(crate) struct Statics {
    pub(super) found: Vec<Static>,
    /// Those that are not carried because of addresses that they hold.
    pub(super) outside: Vec<Outside>,
    thread_locals: ThreadLocals,
    /// Those that changed.
    changed_thread_locals: Vec<ThreadLocal>,
    /// For each range that is carried: index of its static, addresses as in the file, offset of its bytes in the image
    /// data.
    pub(super) ranges: Vec<(usize, Range<u64>, u64)>,
}

/// A static that changed and is not carried.
pub(crate) struct LeftOut<'a> {
    pub(crate) name: &'a str,
    /// Why it is not.
    pub(crate) reason: &'a str,
    /// Whether it would do no harm.
    pub(crate) may_travel: bool,
    /// Whether it could be at all.
    pub(crate) is_rusts: bool,
}

impl Statics {
    /// Finds them in a capture.
    pub(crate) fn find(binary: &Binary, twin: Option<Twin<'_>>, capture: &Capture, choices: &Choices) -> Result<Self> {
        let elf = Elf::parse(&binary.bytes)?;
        let base = capture.process.exe_base;
        let dumps: Vec<Dump<'_>> = capture
            .statics
            .iter()
            .map(|dump| Dump { address: dump.address - base, before: &dump.before, after: &dump.after })
            .collect();
        let roots: Vec<Range<u64>> =
            capture.roots.iter().map(|root| root.place.start - base..root.place.end - base).collect();
        let loads = elf.segments.iter().filter(|segment| segment.p_type(LE) == elf::PT_LOAD);
        let first = loads.map(|segment| segment.p_vaddr(LE) & !(PAGE as u64 - 1)).min().unwrap_or(0);
        let executable = base + first..capture.process.exe_end;
        let mut found = attribute::attribute(&elf, &binary.bytes, twin, &dumps, &roots, executable, choices)
            .context("cannot tell which statics changed")?;
        leave_to_the_allocator(&mut found, capture);
        refuse_constructed(&found)?;
        let segment = &capture.thread_locals;
        let thread_locals = ThreadLocals::read(&elf, &binary.bytes)?;
        let changed = thread_locals.changed(&segment.before, &segment.after);
        let changed = changed.filter(|one| one.crate_name.as_deref() != Some("fastboot_rt")).cloned();
        let changed_thread_locals = changed.collect();
        let mut statics = Self { found, outside: Vec::new(), thread_locals, changed_thread_locals, ranges: Vec::new() };
        statics.lay_out(0);
        Ok(statics)
    }

    /// Puts the carried bytes behind `memory` bytes of captured memory, in the order of their statics' names: where the linker
    /// puts these is none of the image.
    pub(crate) fn lay_out(&mut self, memory: u64) {
        let mut offset = memory.next_multiple_of(8);
        self.ranges.clear();
        for index in self.by_name() {
            let found = &self.found[index];
            if !matches!(found.decision, Decision::Carry(_)) {
                continue;
            }
            for range in &found.changed {
                self.ranges.push((index, range.clone(), offset));
                offset += (range.end - range.start).next_multiple_of(8);
            }
        }
    }

    /// All that changed, by name, and those of one name by address.
    fn by_name(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.found.len()).collect();
        order.sort_by(|one, other| {
            let [one, other] = [one, other].map(|index| &self.found[*index]);
            (&one.name, &one.part_of, one.address).cmp(&(&other.name, &other.part_of, other.address))
        });
        order
    }

    /// How many bytes they take in the image data.
    pub(crate) fn carried_len(&self) -> u64 {
        self.ranges.iter().map(|(_, range, _)| (range.end - range.start).next_multiple_of(8)).sum()
    }

    /// Copies them to where they are in the image data.
    pub(crate) fn copy_into(&self, capture: &Capture, data: &mut [u8]) {
        for (_, range, offset) in &self.ranges {
            let place = data.get_mut(*offset as usize..).and_then(|data| data.get_mut(..length(range)));
            if let Some((place, bytes)) = place.zip(as_left(capture, range)) {
                place.copy_from_slice(bytes);
            }
        }
    }

    /// The seeds that all tables of the crate `foldhash` share, as a run left them: addresses as in the file, and bytes.
    pub(crate) fn hash_seeds<'a>(&'a self, capture: &'a Capture) -> impl Iterator<Item = (u64, &'a [u8])> {
        let is_seed = |found: &&Static| {
            let names = [Some(&found.name), found.part_of.as_ref()];
            found.crate_name.as_deref() == Some("foldhash")
                && names.into_iter().flatten().any(|name| name.contains("GLOBAL_SEED_STORAGE"))
        };
        let bytes = |found: &'a Static| as_left(capture, &(found.address..found.address + found.size));
        self.found.iter().filter(is_seed).filter_map(move |found| Some((found.address, bytes(found)?)))
    }

    /// The bytes of each carried range as a run left them.
    pub(crate) fn carried_bytes<'a>(&'a self, capture: &'a Capture) -> impl Iterator<Item = &'a [u8]> {
        self.carried_as_left(capture).map(|(_, bytes)| bytes)
    }

    /// The same, each with the name of its static.
    pub(crate) fn carried_as_left<'a>(&'a self, capture: &'a Capture) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        self.ranges.iter().filter_map(move |(index, range, _)| {
            Some((self.found.get(*index)?.name.as_str(), as_left(capture, range)?))
        })
    }

    /// The first word of the static with this name as a run left it, if it changed.
    pub(crate) fn word_after(&self, capture: &Capture, name: &str) -> Option<u64> {
        let found = self.found.iter().find(|found| found.name == name)?;
        capture.static_word(found.address + capture.process.exe_base)
    }

    /// Copies them, one behind the other.
    pub(crate) fn copy(&self, capture: &Capture, mut to: &mut [u8]) -> Result<()> {
        for bytes in self.carried_bytes(capture) {
            let Some((here, rest)) = to.split_at_mut_checked(bytes.len().next_multiple_of(8)) else { break };
            here[..bytes.len()].copy_from_slice(bytes);
            to = rest;
        }
        Ok(())
    }

    /// The table for the image.
    pub(crate) fn carried(&self) -> Vec<Carried> {
        let entry = |(_, range, offset): &(usize, Range<u64>, u64)| Carried {
            address: range.start,
            length: range.end - range.start,
            offset: PAGE as u64 + offset,
        };
        self.ranges.iter().map(entry).collect()
    }

    /// Where in the image data the bytes of each carried range are, with the name of its static.
    pub(crate) fn places(&self) -> Vec<(String, Range<u64>)> {
        let place = |(index, range, offset): &(usize, Range<u64>, u64)| {
            (self.found[*index].name.clone(), *offset..*offset + (range.end - range.start))
        };
        self.ranges.iter().map(place).collect()
    }

    /// Whether a place in the image data is that of a carried cache of what the processor can do.
    pub(crate) fn is_cpu_cache_at(&self, at: u64) -> bool {
        Self::carried_at(&self.ranges, at).is_some_and(|index| self.found[index].is_cpu_cache())
    }

    /// Which static has this place in the image data.
    pub(super) fn carried_at(ranges: &[(usize, Range<u64>, u64)], at: u64) -> Option<usize> {
        let holds =
            |(_, range, start): &&(usize, Range<u64>, u64)| (*start..*start + (range.end - range.start)).contains(&at);
        ranges.iter().find(holds).map(|(index, ..)| *index)
    }

    /// Whether all of these are carried caches of what the processor can do.
    pub(crate) fn are_cpu_caches(&self, names: &BTreeSet<String>) -> bool {
        names.iter().all(|name| self.found.iter().any(|one| one.is_cpu_cache() && one.name == *name))
    }

    /// Carries no cache of what the processor can do: no value was made for one.
    pub(crate) fn drop_cpu_caches(&mut self) {
        for one in self.found.iter_mut().filter(|one| one.is_cpu_cache()) {
            one.decision = Decision::Skip(decide::UNUSED_CPU_CACHE.into());
        }
        self.retain_carried();
    }

    /// Forgets the ranges of those that are not carried after all.
    pub(super) fn retain_carried(&mut self) {
        self.ranges.retain(|(index, ..)| matches!(self.found[*index].decision, Decision::Carry(_)));
    }

    /// Statics that changed and are not carried. Not among them: a dispatch cache, which is right as it was loaded, too, because
    /// it is filled anew.
    fn skipped(&self, capture: &Capture) -> Vec<&Static> {
        let asked_anew = |found: &Static| {
            let cache = matches!(&found.decision, Decision::Skip(reason) if reason == decide::DISPATCH_CACHE);
            cache && !capture.declares_roots(found.crate_name.as_deref())
        };
        self.found
            .iter()
            .filter(|found| matches!(found.decision, Decision::Skip(_)) && !asked_anew(found))
            .filter(|found| found.crate_name.as_deref().is_some_and(|name| name != "fastboot_rt"))
            .collect()
    }

    /// Which of those the image refers to.
    ///
    /// Where the proof is made of two runs with the executable at different addresses, it says which words are addresses in it.
    /// Otherwise a word may be a number that looks like one. `twin`: how far the twin is, if run 3 runs that.
    pub(crate) fn references(
        &self,
        capture: &Capture,
        data: &[u8],
        proof: &Proof,
        twin: Option<u64>,
    ) -> Vec<Reference> {
        let base = capture.process.exe_base;
        let range = |one: &&Static| one.address + base..one.address + one.size + base;
        let ranges: Vec<Range<u64>> = self.skipped(capture).iter().map(range).collect();
        if proof.stayed {
            return references(&ranges, words(data));
        }
        let mut hit = BTreeMap::new();
        let words = proof.addresses_in_executable().filter_map(|at| Some((at, word_at(data, at)? & ADDRESS)));
        let disguised = proof.disguised.iter().filter(|disguised| disguised.region == Region::Executable);
        let disguised = disguised.flat_map(|one| one.addresses(base).into_iter().flatten().map(|it| (one.offset, it)));
        let upper = capture.process.exe_end >> 32 << 32;
        let halves = twin.into_iter().flat_map(|distance| short_addresses(proof, distance, upper));
        for (offset, address) in words.chain(disguised).chain(halves) {
            let index = ranges.partition_point(|range| range.end <= address);
            if ranges.get(index).is_some_and(|range| range.contains(&address)) {
                hit.entry(index).or_insert(offset);
            }
        }
        hit.into_iter().map(|(index, offset)| Reference { index, offset, by_numbers: false }).collect()
    }

    /// Requires that every static the image points at is as it was loaded, or is carried.
    ///
    /// `way` tells the way to an offset in the image data.
    pub(crate) fn check(
        &self,
        references: Vec<Reference>,
        capture: &Capture,
        way: impl Fn(u64) -> String,
    ) -> Result<()> {
        let skipped = self.skipped(capture);
        for Reference { index, offset, by_numbers } in references {
            let found = skipped[index];
            let Decision::Skip(reason) = &found.decision else { continue };
            // The root static itself: a root that holds a reference to another root.
            let address = found.address + capture.process.exe_base;
            let is_root = capture.roots.iter().any(|root| root.place.start == address);
            if is_root || by_numbers {
                continue;
            }
            bail!(
                "the image refers to the static `{}` (in {}), which changed while the roots were evaluated and cannot be \
                 carried ({reason}). The program would find it as it is before first use. Keep references to it out of \
                 the roots{}",
                found.name,
                way(offset),
                if found.crate_name.as_deref().is_some_and(|name| ["std", "core", "alloc"].contains(&name)) {
                    String::new()
                } else {
                    format!(
                        ", or, if its bytes mean the same in another process, carry it: \
                         `[package.metadata.fastboot] carry = [\"{}\"]`",
                        found.name
                    )
                }
            );
        }
        Ok(())
    }

    /// The carried statics that may say that something was done, and of which the user did not say that they do not.
    pub(crate) fn flags<'a>(&'a self, capture: &'a Capture, proof: &'a Proof) -> impl Iterator<Item = &'a Static> {
        let executable = capture.process.exe_base..capture.process.exe_end;
        let addresses: BTreeSet<u64> = proof.addresses_in_executable().collect();
        let is_number = move |at: u64, word: u64| {
            let offset = || {
                let (_, range, offset) = self.ranges.iter().find(|(_, range, _)| range.contains(&at))?;
                Some(offset + (at - range.start))
            };
            !proof.stayed && executable.contains(&word) && offset().is_some_and(|offset| !addresses.contains(&offset))
        };
        let is_flag = move |one: &&Static| {
            let is_carried = matches!(one.decision, Decision::Carry(_)) && !one.chosen;
            let length = match &one.part_of {
                Some(symbol) => {
                    let parts = self.found.iter().filter(|part| part.part_of.as_ref() == Some(symbol));
                    parts.map(|part| part.size).sum()
                }
                None => one.size,
            };
            let bytes = || capture.static_bytes(one.address..one.address + one.size);
            is_carried && bytes().is_some_and(|bytes| flags::is_flag(one, length, bytes, &capture.maps, &is_number))
        };
        self.found.iter().filter(is_flag)
    }

    /// Names of the hooks that changed, and what each of them is. None of them is carried, unless the user wants it.
    pub(crate) fn hooks<'a>(&'a self, capture: &'a Capture) -> impl Iterator<Item = (&'a str, &'static str)> {
        let skipped = self.found.iter().filter(|one| matches!(one.decision, Decision::Skip(_)) && !one.own);
        skipped.filter_map(|one| {
            let (before, after) = capture.static_bytes(one.address..one.address + one.size)?;
            Some((one.name.as_str(), policy::hook(&one.name, before, after)?))
        })
    }

    /// Crates with statics that are not carried because of what the crate is called, each with one of them and the reason.
    pub(crate) fn by_crate_name(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        let mut seen = BTreeSet::new();
        self.found.iter().filter(|one| !one.own).filter_map(move |one| {
            let Decision::Skip(reason) = &one.decision else { return None };
            let crate_name = one.crate_name.as_deref()?;
            let is_by_name = policy::skipped(&one.name, crate_name, false) == Some(reason.as_ref())
                && policy::skipped(&one.name, crate_name, true).is_none();
            (is_by_name && seen.insert(crate_name)).then_some((crate_name, one.name.as_str(), reason.as_ref()))
        })
    }

    /// Names of the statics of C code that changed and are not carried.
    pub(crate) fn of_c(&self) -> impl Iterator<Item = &str> {
        let skipped = self.found.iter().filter(|one| matches!(one.decision, Decision::Skip(_)) && one.of_c);
        skipped.map(|one| one.name.as_str())
    }

    /// The statics that changed and are not carried, as far as their objects may be the image's too, and the words that changed
    /// in each.
    pub(crate) fn left_out<'a>(&'a self, capture: &'a Capture) -> impl Iterator<Item = (LeftOut<'a>, Vec<u64>)> {
        self.found.iter().filter_map(move |one| {
            let Decision::Skip(reason) = &one.decision else { return None };
            let crate_name = one.crate_name.as_deref();
            let counts = match crate_name {
                Some(crate_name) => {
                    (one.own || !is_of_the_process(crate_name))
                        && ![decide::A_ROOT, decide::ALLOCATORS].contains(&reason.as_ref())
                }
                None => one.of_c,
            };
            let ranges = one.changed.iter().filter_map(|range| capture.static_bytes(range.clone()));
            let words = ranges.flat_map(|(_, after)| words(after)).map(|(_, word)| word);
            let may_travel = crate_name.is_some_and(policy::travels_if_shared) && !one.chosen;
            let left_out = LeftOut { name: &one.name, reason, may_travel, is_rusts: crate_name.is_some() };
            counts.then(|| (left_out, words.collect()))
        })
    }

    /// Name of a static of Rust's whose changed words have this address.
    pub(crate) fn holder(&self, address: u64, capture: &Capture) -> Option<&str> {
        let holds = |one: &&Static| {
            let ranges = one.changed.iter().filter_map(|range| capture.static_bytes(range.clone()));
            let mut words = ranges.flat_map(|(_, after)| words(after));
            one.crate_name.as_deref().is_some_and(|name| !is_of_the_process(name))
                && words.any(|(_, word)| word == address)
        };
        self.found.iter().find(holds).map(|one| one.name.as_str())
    }

    /// Statics of the crates that declare roots that were taken for dispatch caches: they may well be something else.
    pub(crate) fn doubtful_dispatch_caches<'a>(&'a self, capture: &'a Capture) -> impl Iterator<Item = &'a str> {
        let taken =
            |found: &&Static| matches!(&found.decision, Decision::Skip(reason) if reason == decide::DISPATCH_CACHE);
        let own = move |found: &&Static| capture.declares_roots(found.crate_name.as_deref());
        self.found.iter().filter(taken).filter(own).map(|found| found.name.as_str())
    }

    /// Thread-locals of the crates that declare roots that changed: the roots may rely on what they hold.
    pub(crate) fn doubtful_thread_locals<'a>(&'a self, capture: &'a Capture) -> impl Iterator<Item = &'a str> {
        let own = move |one: &&ThreadLocal| capture.declares_roots(one.crate_name.as_deref());
        self.changed_thread_locals.iter().filter(own).map(|one| one.name.as_str())
    }

    /// Addresses and names of the thread-locals of the crates that declare roots.
    pub(crate) fn own_thread_locals(&self, capture: &Capture) -> Vec<(Range<u64>, String)> {
        let base = capture.thread_locals.address;
        let own = self.thread_locals.iter().filter(|one| capture.declares_roots(one.crate_name.as_deref()));
        own.map(|one| (base + one.range.start..base + one.range.end, one.name.clone())).collect()
    }

    /// Every static and thread-local that changed, by name, with what was decided; without fastboot's own, the roots among them.
    pub(crate) fn report(&self) -> impl Iterator<Item = (String, String)> {
        let mut seen = BTreeSet::new();
        let own = |found: &&Static| {
            let root = matches!(&found.decision, Decision::Skip(reason) if reason == decide::A_ROOT);
            root || found.crate_name.as_deref() == Some("fastboot_rt")
        };
        let found = self.by_name().into_iter().map(|index| &self.found[index]);
        let statics = found.filter(move |found| !own(found)).filter_map(move |found| {
            let decision = match &found.decision {
                Decision::Carry(reason) => format!("carried, {} bytes: {reason}", changed_len(found)),
                Decision::Skip(reason) => format!("not carried: {reason}"),
            };
            seen.insert((found.name.clone(), decision.clone())).then_some((found.name.clone(), decision))
        });
        let thread_local = |one: &ThreadLocal| (one.name.clone(), "not carried: every thread has its own".to_owned());
        statics.chain(self.changed_thread_locals.iter().map(thread_local))
    }
}

/// The halves of words that moved as the executable did: addresses of four bytes, as a program may keep them of which all
/// addresses have the same `upper` half.
fn short_addresses(proof: &Proof, distance: u64, upper: u64) -> impl Iterator<Item = (u64, u64)> {
    proof.differences.iter().flat_map(move |word| {
        [0_u32, 32].into_iter().filter_map(move |shift| {
            let [here, there] = word.values.map(|value| (value >> shift) as u32);
            let moved = there.wrapping_sub(here) == distance as u32;
            moved.then_some((word.offset + u64::from(shift / 8), upper | u64::from(here)))
        })
    })
}

/// What changes by the runtime's own work belongs to the program's allocator, whose heap is not in the image.
fn leave_to_the_allocator(found: &mut [Static], capture: &Capture) {
    let base = capture.process.exe_base;
    for one in found.iter_mut().filter(|one| matches!(one.decision, Decision::Carry(_)) && !one.chosen) {
        let range = one.address + base..one.address + one.size + base;
        if capture.own_changes.iter().any(|own| own.start < range.end && range.start < own.end) {
            one.decision = Decision::Skip(decide::ALLOCATORS.into());
        }
    }
}

/// Requires that no static that is carried was changed by a constructor as well: in the program that constructor runs once
/// more, on what the image brings.
fn refuse_constructed(found: &[Static]) -> Result<()> {
    let wrong = |one: &&Static| one.constructed && !one.chosen && matches!(one.decision, Decision::Carry(_));
    let Some(Static { name, .. }) = found.iter().find(wrong) else { return Ok(()) };
    bail!(
        "the static `{name}` was changed before `main`, by a constructor, and then while the roots were evaluated. In the \
         finished program the constructor runs again, so that it would have the changes of both, and the constructor's \
         once more. Take the change out of the expression; or have the program start with what the constructor makes of \
         it: `skip = [\"{name}\"]` in [package.metadata.fastboot]; or, if the constructor does no harm to what the \
         expressions left there: `carry = [\"{name}\"]`"
    );
}

fn length(range: &Range<u64>) -> usize {
    (range.end - range.start) as usize
}

/// What a run left at these addresses, as in the file.
fn as_left<'a>(capture: &'a Capture, range: &Range<u64>) -> Option<&'a [u8]> {
    let base = capture.process.exe_base;
    capture.statics.iter().find_map(|dump| {
        let start = usize::try_from(range.start.checked_sub(dump.address - base)?).ok()?;
        dump.after.get(start..start + length(range))
    })
}

fn changed_len(found: &Static) -> u64 {
    found.changed.iter().map(|range| range.end - range.start).sum()
}
