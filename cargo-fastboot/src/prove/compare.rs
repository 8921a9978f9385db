//! Prove: what every word of an image is.
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
//! - lies in the same shared library at the same place, in C's heap, in a thread-local: a *suspect*; but among dead words
//!   most likely one of them;
//! - moved with one of these regions by a distance that is shifted or rotated, or differs in the same bits: an address in
//!   another [form](crate::runs::forms);
//! - anything else: nondeterminism.
//!
//! Nothing is concluded from a range alone. A word that differs, that could be an address which moves, and that moved with
//! nothing is *unclear*: garbage that stack frames left in an unused part of an object, or a slot of a hash table that is
//! seeded by an address. Another run, at yet other addresses, settles most of them.

use crate::prove::disguise::{self, Disguised};
use crate::runs::capture::{CBlock, Capture, Mapping};
use anyhow::{Result, anyhow, bail};
use fastboot_format::image::HOME_WINDOW;
use fastboot_format::protocol::{SCRATCH, SCRATCH_LEN, STACK_TOP, STACKS_LEN, is_well_apart};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

/// What the comparison of two runs says of their image data.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Proof {
    /// Offsets in the data of the words that move with the executable, ascending.
    pub(crate) static_pointers: Vec<u64>,
    /// Offsets of the words that move with the image, ascending.
    pub(crate) image_pointers: Vec<u64>,
    /// How many words are addresses of temporaries and of stack frames, or what is left of an address.
    pub(crate) dead: u64,
    /// The words that are addresses of memory outside of image and executable, as far as can be told.
    pub(crate) suspects: Vec<Suspect>,
    /// The words that differ but are no addresses: clocks, random numbers. Not more than a million of them.
    pub(crate) differences: Vec<Difference>,
    /// Words of which it is not known whether they move.
    pub(crate) unclear: Vec<Unclear>,
    /// The words that are addresses in another form. Not more than a million of them.
    pub(crate) disguised: Vec<Disguised>,
}

/// A word that is another one in the other run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    /// Offset of the word in the image data.
    pub(crate) offset: u64,
    /// What it was in the two runs.
    pub(crate) values: [u64; 2],
}

/// A word that could be an address in the image that is kept, differs in the other run, and moved with nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unclear {
    /// Offset of the word in the image data.
    pub(crate) offset: u64,
    /// What it could be an address of: the executable or the image.
    pub(crate) region: Region,
    /// Whether it could be one in the other run as well.
    in_both: bool,
}

/// A word that is, or looks like, the address of memory that the embedded program will not have there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Suspect {
    /// Offset of the word in the image data.
    pub(crate) offset: u64,
    /// What it points at.
    pub(crate) what: String,
    /// Whether it is improbable that it is garbage: stack frames leave addresses of all kinds in the unused parts of
    /// objects, but that of a function's beginning, or of a thread-local, hardly alone.
    pub(crate) certain: bool,
}

/// One of the two runs: its memory and where things were.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run<'a> {
    data: &'a [u8],
    /// How many bytes of the data are objects; behind them are carried statics.
    objects: usize,
    /// First address and end of each [`Region`].
    pub(super) regions: [(u64, u64); 5],
    maps: &'a [Mapping],
    known: &'a Known<'a>,
}

/// Things outside of the image of which a run is known to have an address, and which garbage is not likely to have.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Known<'a> {
    /// `pthread_t` of threads that were still running.
    pub(crate) handles: &'a [u64],
    /// Blocks that C code allocated.
    pub(crate) c_blocks: &'a [CBlock],
    /// Addresses and names of thread-locals of the user's own.
    pub(crate) thread_locals: &'a [(Range<u64>, String)],
    /// Addresses of functions that the executable got from the dynamic linker, ascending: calls leave them in registers and stack
    /// frames. None in a position-independent binary, where a value may have such an address too.
    pub(crate) resolved: &'a [u64],
    /// Where in the image data the roots' values are: nothing is left there by anyone.
    pub(crate) values: &'a [u64],
}

impl Known<'_> {
    /// What this address means.
    fn at(&self, address: u64) -> Option<Foreign> {
        if self.handles.contains(&address) {
            return Some(Foreign::Held("a running thread, that is, its handle".to_owned()));
        }
        if let Some((_, name)) = self.thread_locals.iter().find(|(range, _)| range.contains(&address)) {
            return Some(Foreign::Named(format!("the thread-local `{name}`")));
        }
        let block =
            self.c_blocks.iter().find(|block| (block.address..block.address + block.size).contains(&address))?;
        // C code keeps the first address of a block.
        Some(match address == block.address {
            true => Foreign::Held(block.to_string()),
            false => Foreign::Named(format!("a place in {block}")),
        })
    }
}

impl fmt::Display for CBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes that C code allocated with `malloc` while `{}` was evaluated", self.size, self.root)
    }
}

/// What an address may lie in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Region {
    Image,
    Executable,
    Scratch,
    Stack,
    ThreadLocals,
}

const REGIONS: [Region; 5] = [Region::Image, Region::Executable, Region::Scratch, Region::ThreadLocals, Region::Stack];
pub(super) const WORD: usize = 8;
/// How many words are compared at once.
const STRETCH: usize = 512;
/// From how many words on it takes two to explain them.
const MANY: usize = 10_000;
/// How many words that differ are kept.
const MOST_DIFFERENCES: usize = 1 << 20;
/// How many addresses in another form are kept.
const MOST_DISGUISED: usize = 1 << 20;
/// How far from a word what belongs to the same stack frame is looked for, in bytes.
const REMAINS: usize = 4 * WORD;
/// The bits of a word that an address has: above them may be a tag, which moves with the address.
pub(super) const ADDRESS: u64 = (1 << 48) - 1;

impl<'a> Run<'a> {
    /// The run that left this capture, whose image data is `data`; `place` is 0 for the usual addresses, 1 for the others.
    pub(crate) fn new(capture: &'a Capture, data: &'a [u8], known: &'a Known<'a>, place: usize) -> Self {
        let process = &capture.process;
        let image = capture.data_address();
        Self {
            data,
            objects: capture.memory_len() as usize,
            regions: [
                (image, image + data.len() as u64),
                (process.exe_base, process.exe_end),
                (SCRATCH[place], SCRATCH[place] + SCRATCH_LEN),
                (STACK_TOP[place] - STACKS_LEN, process.thread_locals),
                (process.thread_locals, STACK_TOP[place]),
            ],
            maps: &capture.maps,
            known,
        }
    }

    pub(super) fn word(&self, at: usize) -> Option<u64> {
        Some(u64::from_le_bytes(*self.data.get(at..)?.first_chunk()?))
    }

    /// Inside the region, or one past its end.
    pub(super) fn contains(&self, region: Region, address: u64) -> bool {
        let (start, end) = self.regions[region as usize];
        start <= address && address <= end
    }

    /// Inside of what freezing reserved, where nobody else has memory: two addresses there that did not move with it tell
    /// of two objects, or are no addresses.
    fn is_known(&self, address: u64) -> bool {
        HOME_WINDOW.contains(&address) && !self.contains(Region::ThreadLocals, address)
    }

    /// Whether the word is among what a stack frame left in an object: beside it there are addresses of the stack, or of
    /// temporaries.
    fn is_among_remains(&self, at: usize) -> bool {
        if at >= self.objects {
            return false;
        }
        let near = (at.saturating_sub(REMAINS)..=at + REMAINS).step_by(WORD);
        near.filter_map(|near| self.word(near)).any(|word| self.is_gone(word & ADDRESS))
    }

    /// Whether an address is one of the stack, or of temporaries.
    fn is_gone(&self, address: u64) -> bool {
        [Region::Stack, Region::Scratch].into_iter().any(|region| {
            // Thread-locals begin where the stack ends.
            let (start, end) = self.regions[region as usize];
            (start..end).contains(&address)
        })
    }

    fn mapping(&self, address: u64) -> Option<&'a Mapping> {
        // The kernel lists them in the order of their addresses.
        let index = self.maps.partition_point(|mapping| mapping.range.end <= address);
        self.maps.get(index).filter(|mapping| mapping.range.contains(&address))
    }
}

/// How far each region was moved from the first run to the second.
fn distances(first: Run<'_>, second: Run<'_>) -> [u64; 5] {
    std::array::from_fn(|region| second.regions[region].0.wrapping_sub(first.regions[region].0))
}

/// Whether the executable, if it is a PIE, lay far enough from where it lay in the other run.
pub(crate) fn are_comparable(first: &Capture, second: &Capture) -> bool {
    is_well_apart(second.process.exe_base.wrapping_sub(first.process.exe_base))
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
        proof.unclear.push(Unclear { offset: end as u64, region: Region::Image, in_both: false });
    }
    let distances = distances(first, second);
    if pie && !is_well_apart(distances[Region::Executable as usize]) {
        bail!(
            "the freeze runs had the executable at {:#x} and {:#x}: the system does not randomise addresses enough, so \
             static pointers cannot be told from data; build without --pie",
            first.regions[Region::Executable as usize].0,
            second.regions[Region::Executable as usize].0
        );
    }
    // The lowest bits that no region moved by: most words are told by them alone.
    let low = distances.into_iter().fold(0, |all, distance| all | distance);
    let low = low & low.wrapping_neg();
    // The region that the word at `at` moved with.
    let moved_with = |at: usize| {
        let (a, b) = first.word(at).zip(second.word(at))?;
        if b.wrapping_sub(a) & low.wrapping_sub(1) != 0 {
            return None;
        }
        let moved = |region: &Region| {
            let distance = distances[*region as usize];
            distance != 0 && b.wrapping_sub(a) == distance && first.contains(*region, a & ADDRESS)
        };
        REGIONS.into_iter().find(moved)
    };

    let mut unexplained = Vec::new();
    for at in words_that_differ(first.data, second.data) {
        match moved_with(at) {
            Some(region) => proof.take(region, at as u64, first),
            None => unexplained.push(at),
        }
    }
    // Packed structs hold words that are not aligned.
    let mut unaligned: Vec<(usize, Region)> = Vec::new();
    for &at in &unexplained {
        let window = at.saturating_sub(WORD - 1)..at + WORD;
        let found = window.filter(|start| start % WORD != 0).filter_map(|start| Some((start, moved_with(start)?)));
        for (start, region) in found {
            // Neighbours see the same word.
            if unaligned.iter().rev().take(2 * WORD).all(|(other, _)| *other != start) {
                unaligned.push((start, region));
                proof.take(region, start as u64, first);
            }
        }
    }
    unaligned.sort_unstable_by_key(|(start, _)| *start);
    let explain_all = |words: &[usize]| {
        let (mut proof, mut libraries) = (Proof::default(), Libraries::default());
        for &at in words {
            let from = unaligned.partition_point(|(start, _)| start + WORD <= at);
            let near = || unaligned[from..].iter().map(|(start, _)| *start).take_while(|start| *start < at + WORD);
            let explained = (at..(at + WORD).min(first.data.len()).min(second.data.len())).all(|byte| {
                first.data[byte] == second.data[byte] || near().any(|start| (start..start + WORD).contains(&byte))
            });
            if explained {
                continue;
            }
            if let Some(disguised) = disguise::disguised(at, first, second, &distances) {
                proof.take_disguised(disguised);
            } else {
                explain(at, first, second, pie, &mut libraries, &mut proof);
            }
        }
        proof
    };
    let half = if unexplained.len() > MANY { unexplained.len() / 2 } else { unexplained.len() };
    let (some, others) = unexplained.split_at(half);
    let parts = std::thread::scope(|scope| {
        let others = (!others.is_empty()).then(|| scope.spawn(|| explain_all(others)));
        let some = explain_all(some);
        let others = others.map(|others| others.join().map_err(|_| anyhow!("the runs could not be compared")));
        anyhow::Ok([Some(some), others.transpose()?])
    })?;
    parts.into_iter().flatten().for_each(|part| proof.add(part));
    proof.static_pointers.sort_unstable();
    proof.image_pointers.sort_unstable();
    // The handle of a thread says more than what comes with it, such as the memory that the standard library has for it.
    proof.suspects.sort_by_key(|suspect| {
        !first.word(suspect.offset as usize).is_some_and(|word| first.known.handles.contains(&word))
    });
    Ok(proof)
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

/// A word that differs and moved with nothing.
fn explain(at: usize, first: Run<'_>, second: Run<'_>, pie: bool, libraries: &mut Libraries, proof: &mut Proof) {
    if let Some((a, b)) = first.word(at).zip(second.word(at))
        && ![(first, a), (second, b)].into_iter().any(|(run, address)| run.is_known(address))
        && let Some((here, there)) = first.mapping(a).zip(second.mapping(b))
        && here.name == there.name
        && let Some(foreign) = foreign(here, a, there, b, first.known, libraries)
    {
        foreign.judge(at, first, proof);
        return;
    }
    let slides = distances(first, second);
    let lost_half = |(a, b): (u64, u64)| {
        let region = Region::Executable;
        first.contains(region, a) && !second.contains(region, b) && upper_half_moved(a, b, slides[region as usize])
    };
    if pie && first.word(at).zip(second.word(at)).is_some_and(lost_half) {
        proof.take(Region::Executable, at as u64, first);
        return;
    }
    let window: Range<usize> = at.saturating_sub(WORD - 1)..at + WORD;
    let moving = [Region::Executable, Region::Image].into_iter().skip(usize::from(!pie));
    for (region, start) in moving.flat_map(|region| window.clone().map(move |start| (region, start))) {
        let could_be = |run: Run<'_>| run.word(start).is_some_and(|word| run.contains(region, word & ADDRESS));
        let left = |(a, b)| is_overwritten(a, b, slides[region as usize]);
        if could_be(first) && !first.word(start).zip(second.word(start)).is_some_and(left) {
            let unclear = Unclear { offset: start as u64, region, in_both: could_be(second) };
            // Neighbours see the same word.
            if !proof.unclear.iter().rev().take(2 * WORD).any(|other| other.offset == unclear.offset) {
                proof.unclear.push(unclear);
            }
        }
    }
    // The word itself first: as a rule it is the one.
    let starts = std::iter::once(at).chain(window.filter(|start| *start != at));
    let mut words = starts.filter_map(|start| first.word(start).zip(second.word(start)));
    // No object of the image is there: references to live temporaries were looked for.
    let is_gone = |(a, b): (u64, u64)| first.is_gone(a & ADDRESS) && second.is_gone(b & ADDRESS);
    if words.any(|(a, b)| is_gone((a, b)) || slides.into_iter().any(|slide| is_overwritten(a, b, slide))) {
        proof.dead += 1;
        return;
    }
    proof.differ(at, first, second);
}

/// What an address is the address of.
#[derive(Debug, PartialEq, Eq)]
enum Foreign {
    /// Something that is known to be in use, and whose only purpose is to be referred to.
    Held(String),
    /// Something that has a name.
    Named(String),
    /// Whatever is there.
    Other(String),
    /// What calls leave behind, and values hardly have.
    Left(String),
}

impl Foreign {
    /// What the word at an offset of the image data is if it is this address, next to what it stands.
    fn judge(self, at: usize, first: Run<'_>, proof: &mut Proof) {
        let remains = first.is_among_remains(at);
        let (what, certain) = match self {
            Self::Held(what) => (what, true),
            Self::Named(what) => (what, !remains),
            Self::Left(_) if at < first.objects && !first.known.values.contains(&(at as u64)) => {
                proof.dead += 1;
                return;
            }
            Self::Other(_) if remains => {
                proof.dead += 1;
                return;
            }
            Self::Other(what) | Self::Left(what) => (what, false),
        };
        proof.suspects.push(Suspect { offset: at as u64, what, certain });
    }
}

/// What two addresses in mappings of the same name mean.
fn foreign(
    here: &Mapping,
    a: u64,
    there: &Mapping,
    b: u64,
    known: &Known<'_>,
    libraries: &mut Libraries,
) -> Option<Foreign> {
    if let Some(what) = known.at(a) {
        return Some(what);
    }
    let offset = here.offset + (a - here.range.start);
    match here.name.as_str() {
        name if name.starts_with("[stack") => Some(Foreign::Left("the main thread's stack or environment".to_owned())),
        "" | "[heap]" => Some(Foreign::Other("memory of the C library".to_owned())),
        // Libraries move as a whole.
        _ if offset != there.offset + (b - there.range.start) => None,
        name => Some(match libraries.symbol_at(here, a) {
            Some(symbol) => Foreign::Named(format!("`{symbol}` in {name}")),
            None if known.resolved.binary_search(&a).is_ok() => Foreign::Left(format!("code in {name}")),
            None if here.executable => Foreign::Other(format!("code in {name}")),
            None => Foreign::Other(name.to_owned()),
        }),
    }
}

/// Whether a word of the two runs is what is left of a pointer into a region that moved by `slide`, of which some bytes were
/// overwritten: those are the same in both runs, and all others moved as the region did. A pointer moves as a whole.
fn is_overwritten(a: u64, b: u64, slide: u64) -> bool {
    // As good as all words end here.
    if a == b || slide == 0 {
        return false;
    }
    // Of these bytes the highest bits.
    let changed = not_zero(a ^ b);
    // With or without a carry from below, these bytes of a pointer would have changed.
    let would_change = not_zero(slide) & not_zero(!slide);
    // Something of it is gone, and something moved: one more, by a carry alone, is what a counter is too.
    if would_change & changed == 0 || would_change & !changed == 0 {
        return false;
    }
    // The bits of the bytes that are not done, and of those that changed.
    let (mut rest, all) = (u64::MAX, (changed >> 7) * 0xff);
    while rest & all != 0 {
        // The next bytes that changed, side by side.
        let start = (rest & all).trailing_zeros();
        let mask = u64::MAX >> (64 - (all >> start).trailing_ones());
        let part = |word: u64| (word >> start) & mask;
        let moved = part(b).wrapping_sub(part(a)) & mask;
        // The carry from below may be gone with the bytes it came from.
        if ![part(slide), part(slide).wrapping_add(1) & mask].contains(&moved) {
            return false;
        }
        rest &= !(mask << start);
    }
    true
}

/// The highest bits of the bytes of a word that are not zero.
fn not_zero(word: u64) -> u64 {
    const LOW: u64 = u64::from_ne_bytes([0x7f; WORD]);
    (((word & LOW) + LOW) | word) & !LOW
}

/// Whether the upper half of a word moved by `slide`, and so far that this is no accident.
fn upper_half_moved(a: u64, b: u64, slide: u64) -> bool {
    let upper = |word: u64| (word >> 32) as u32;
    let moved = upper(b).wrapping_sub(upper(a));
    // There may have been a carry from the lower half, or none from what it was overwritten with.
    let expected = [upper(slide), upper(slide).wrapping_add(1)];
    expected.contains(&moved) && expected.iter().all(|distance| !matches!(*distance, 0 | 1 | u32::MAX))
}

impl Proof {
    /// What the comparison of other words, which lie behind, says.
    fn add(&mut self, other: Self) {
        self.static_pointers.extend(other.static_pointers);
        self.image_pointers.extend(other.image_pointers);
        self.dead += other.dead;
        self.suspects.extend(other.suspects);
        self.differences.extend(other.differences);
        self.differences.truncate(MOST_DIFFERENCES);
        other.disguised.into_iter().for_each(|disguised| self.take_disguised(disguised));
        for unclear in other.unclear {
            // Neighbours see the same word.
            if !self.unclear.iter().rev().take(2 * WORD).any(|own| own.offset == unclear.offset) {
                self.unclear.push(unclear);
            }
        }
    }

    /// The first of the unclear words that could be an address of `region`.
    pub(crate) fn unclear_in(&self, region: Region) -> Option<&Unclear> {
        self.unclear.iter().find(|unclear| unclear.region == region)
    }

    /// Settles what is unclear by the proof that another run gave for the same image.
    ///
    /// What moved with its region there is a pointer. What is unclear there too, but was an address of the executable in
    /// all three runs, is one as well: the executable was somewhere else in each of them, and nothing else follows it
    /// around. What is the same in both, or was overwritten, is data.
    pub(crate) fn settle(&mut self, other: &Self) {
        for unclear in std::mem::take(&mut self.unclear) {
            let (mine, theirs) = match unclear.region {
                Region::Executable => (&mut self.static_pointers, &other.static_pointers),
                _ => (&mut self.image_pointers, &other.image_pointers),
            };
            let there =
                other.unclear.iter().find(|there| (there.offset, there.region) == (unclear.offset, unclear.region));
            let in_all = there.is_some_and(|there| there.in_both && unclear.in_both);
            let followed = in_all && unclear.region == Region::Executable;
            if followed || theirs.binary_search(&unclear.offset).is_ok() {
                let at = mine.partition_point(|offset| *offset < unclear.offset);
                mine.insert(at, unclear.offset);
            } else if there.is_some() {
                self.unclear.push(unclear);
            }
        }
    }

    fn take_disguised(&mut self, disguised: Disguised) {
        // Neighbours see the same word.
        let is_known = self.disguised.last().is_some_and(|last| last.offset == disguised.offset);
        match disguised.region {
            // Of these nothing is in use.
            Region::Stack | Region::ThreadLocals => self.dead += 1,
            _ if is_known || self.disguised.len() == MOST_DISGUISED => {}
            _ => self.disguised.push(disguised),
        }
    }

    fn differ(&mut self, at: usize, first: Run<'_>, second: Run<'_>) {
        if self.differences.len() < MOST_DIFFERENCES {
            let values = [first, second].map(|run| run.word(at).unwrap_or(0));
            self.differences.push(Difference { offset: at as u64, values });
        }
    }

    fn take(&mut self, region: Region, at: u64, first: Run<'_>) {
        match region {
            Region::Image => self.image_pointers.push(at),
            Region::Executable => self.static_pointers.push(at),
            // The handle of a thread is an address at the end of its stack.
            Region::Scratch | Region::Stack => match first.word(at as usize).and_then(|word| first.known.at(word)) {
                Some(known) => known.judge(at as usize, first, self),
                None => self.dead += 1,
            },
            Region::ThreadLocals => {
                let known = first.word(at as usize).and_then(|word| first.known.at(word));
                known.unwrap_or_else(|| Foreign::Other("a thread-local".to_owned())).judge(at as usize, first, self);
            }
        }
    }
}

/// The shared libraries that were looked into, each read once.
#[derive(Default)]
struct Libraries(BTreeMap<String, Vec<u8>>);

impl Libraries {
    /// The symbol that a shared library has at exactly this address.
    fn symbol_at(&mut self, mapping: &Mapping, address: u64) -> Option<String> {
        use object::read::elf::{FileHeader as _, ProgramHeader as _, Sym as _};
        use object::{LittleEndian as LE, elf};
        let read = || std::fs::read(&mapping.name).unwrap_or_default();
        let bytes = self.0.entry(mapping.name.clone()).or_insert_with(read).as_slice();
        let header = elf::FileHeader64::<LE>::parse(bytes).ok()?;
        let offset = mapping.offset + (address - mapping.range.start);
        let segments = header.program_headers(LE, bytes).ok()?;
        // Mappings begin at page boundaries, segments do not: the offset may lie in the page before.
        let segment = segments.iter().find(|segment| {
            let start = segment.p_offset(LE) & !0xfff;
            segment.p_type(LE) == elf::PT_LOAD && (start..segment.p_offset(LE) + segment.p_filesz(LE)).contains(&offset)
        })?;
        let value = offset.wrapping_sub(segment.p_offset(LE)).wrapping_add(segment.p_vaddr(LE));
        let sections = header.sections(LE, bytes).ok()?;
        let symbols = sections.symbols(LE, bytes, elf::SHT_DYNSYM).ok()?;
        let symbol = symbols.iter().find(|symbol| symbol.st_value(LE) == value && value != 0)?;
        Some(String::from_utf8_lossy(symbol.name(LE, symbols.strings()).ok()?).into_owned())
    }
}

#[cfg(test)]
mod tests;
