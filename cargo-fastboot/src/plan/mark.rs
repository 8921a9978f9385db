//! Mark: which objects of a plan run are alive, and in which order they are met.
//!
//! There are no types, so marking is conservative: any word that may be the address of a block is taken for one. That
//! can keep a block too many, never one too few. Addresses are found wherever they stand, aligned or not, with tags in
//! the low bits or in the top sixteen, pointing to the beginning of a block, into it, or one past its end.
//!
//! If the proof of an image found [forms](crate::runs::forms) that addresses are kept in, words of these forms count as addresses too.
//!
//! What deferred fields hold is rarely needed. Their bodies carry a mark; they, and what only they lead to, come last.

use crate::plan::buckets::Buckets;
use crate::runs::capture::{Block, NOT_HELD};
use crate::runs::forms::Form;
use crate::runs::memory::with_capacity;
use fastboot_format::protocol::DEFERRED_MARK;
use memchr::memmem::Finder;
use std::hint::black_box;
use std::ops::Range;

/// Blocks of a scratch heap and what they hold.
pub(crate) struct Heap<'a> {
    /// By ascending address. No two touch each other.
    blocks: &'a [Block],
    bytes: &'a [u8],
    index: BlockIndex,
    /// The other forms that addresses are kept in.
    forms: Vec<Form>,
}

/// Finds blocks by their addresses, without a search through all of them.
struct BlockIndex {
    /// All addresses that may mean a block.
    addresses: Addresses,
    /// Of their span, which is divided into buckets as long as the blocks lie apart, on average.
    parts: Buckets,
}

impl BlockIndex {
    fn new(blocks: &[Block]) -> Self {
        let span = span(blocks);
        let length = span.end - span.start;
        let shift = (length / (blocks.len() as u64).max(1)).max(1).ilog2();
        let starts = blocks.iter().map(|block| block.address - span.start);
        Self { parts: Buckets::new(starts, length, shift), addresses: Addresses::new(span) }
    }

    /// Blocks that begin near an address.
    fn bucket(&self, address: u64) -> Option<Range<u32>> {
        self.parts.bucket(address.checked_sub(self.addresses.span.start)?)
    }

    /// The last block that begins at an address or before it.
    fn last_before(&self, blocks: &[Block], address: u64) -> Option<u32> {
        let at = address.checked_sub(self.addresses.span.start)?;
        self.parts.last_before(blocks, at, |block| block.address <= address)
    }
}

/// The result: what is alive.
#[derive(Debug, Default)]
pub(crate) struct Marked {
    /// Numbers of the blocks, depth first, in the order in which they are met: first the direct ones, which are reached
    /// without deferred bodies, then each body and what it alone leads to, in the order of the structure.
    pub(crate) order: Vec<u32>,
    /// How many of `order` are direct.
    pub(crate) direct: usize,
    /// For each block, the number of the seed that it was first reached from; `None` if it was not.
    pub(crate) seeds: Vec<Option<u32>>,
}

/// Addresses are 48 bits wide; what stands above is a tag, or sign extension.
const ADDRESS_LEN: usize = 6;

/// How many references are followed up at once.
const BATCH: usize = 64;

/// A step of marking.
enum Step {
    /// Go on to this block, unless it was met meanwhile.
    To(u32),
    /// Go through this block, from there on.
    Through(u32, usize),
}

/// How many bytes are few.
const SHORT: usize = 4096;

/// Finds words that may be addresses in a span.
struct Addresses {
    span: Range<u64>,
    /// Looks for the top bytes that all of them have.
    top: Finder<'static>,
}

impl Addresses {
    fn new(span: Range<u64>) -> Self {
        let [first, last] = [span.start, span.end.saturating_sub(1)].map(u64::to_le_bytes);
        let differ = (0..ADDRESS_LEN).rev().find(|byte| first[*byte] != last[*byte]);
        let top = &first[differ.map_or(0, |byte| byte + 1)..ADDRESS_LEN];
        Self { span, top: Finder::new(top).into_owned() }
    }

    /// Where the top bytes may stand first.
    fn find_top(&self, bytes: &[u8]) -> Option<usize> {
        match self.top.needle() {
            // To begin a search for several bytes takes longer than this one does.
            [before @ .., highest] if bytes.len() < SHORT => memchr::memchr(*highest, bytes.get(before.len()..)?),
            _ => self.top.find(bytes),
        }
    }

    /// Those in `bytes`, each with its position; from `start` on.
    fn of<'a>(&'a self, bytes: &'a [u8], start: usize) -> impl Iterator<Item = (usize, u64)> + 'a {
        // Where there is no address, zeros are not to be looked for.
        let bytes = if self.span.is_empty() { &[] } else { bytes };
        let below = ADDRESS_LEN - self.top.needle().len();
        let mut at = start + below;
        std::iter::from_fn(move || {
            loop {
                let begin = at + self.find_top(bytes.get(at..)?)? - below;
                at = begin + below + 1;
                let mut word = [0; 8];
                word[..ADDRESS_LEN].copy_from_slice(bytes.get(begin..begin + ADDRESS_LEN)?);
                let address = u64::from_le_bytes(word);
                if self.span.contains(&address) {
                    return Some((begin, address));
                }
            }
        })
    }
}

fn ascending(blocks: &[Block]) -> bool {
    blocks.windows(2).all(|pair| pair[0].address + pair[0].size < pair[1].address)
}

fn span(blocks: &[Block]) -> Range<u64> {
    match (blocks.first(), blocks.last()) {
        (Some(first), Some(last)) => first.address..last.address + last.size.max(u64::from(last.align)) + 8,
        _ => 0..0,
    }
}

/// Calls `each` with every word in `bytes` that may be the address of one of `blocks`: where it stands, and the block.
///
/// `bytes` are image data, and `image` is where the image lies. The low half of a pointer into a large image can look
/// like the high half of an address, with what stands before it as the low half: where the highest byte belongs to an
/// aligned pointer into the image, it is one of these, and no address.
pub(crate) fn for_each_reference(
    bytes: &[u8],
    blocks: &[Block],
    image: &Range<u64>,
    mut each: impl FnMut(usize, &Block),
) {
    if !ascending(blocks) {
        return;
    }
    let heap = Heap { blocks, bytes: &[], index: BlockIndex::new(blocks), forms: Vec::new() };
    let in_pointer = |at: usize| {
        let word = bytes.get((at + ADDRESS_LEN - 1) & !7..).and_then(|rest| rest.first_chunk());
        word.is_some_and(|word| image.contains(&u64::from_le_bytes(*word)))
    };
    for (at, address) in heap.index.addresses.of(bytes, 0).filter(|(at, _)| !in_pointer(*at)) {
        if let Some(block) = heap.block_at(address) {
            each(at, &blocks[block as usize]);
        }
    }
}

impl<'a> Heap<'a> {
    /// `bytes` are the contents of those blocks that are held, one behind the other, each padded to eight bytes.
    pub(crate) fn new(blocks: &'a [Block], bytes: &'a [u8]) -> Option<Self> {
        // Behind the last of them.
        let last = blocks.iter().rfind(|block| block.contents != NOT_HELD);
        let end = last.map_or(0, |block| block.contents + block.size.next_multiple_of(8));
        if end != bytes.len() as u64 || !ascending(blocks) {
            return None;
        }
        Some(Self { blocks, bytes, index: BlockIndex::new(blocks), forms: Vec::new() })
    }

    /// The same, in which addresses of these forms count.
    pub(crate) fn with_forms(self, forms: impl IntoIterator<Item = Form>) -> Self {
        Self { forms: forms.into_iter().collect(), ..self }
    }

    /// The blocks that words of other forms in `bytes` may refer to, in order, wherever the words stand.
    fn disguised_references(&self, bytes: &[u8]) -> Vec<u32> {
        let mut found = Vec::new();
        if self.forms.is_empty() {
            return found;
        }
        for word in bytes.windows(8).filter_map(|window| window.first_chunk()) {
            let word = u64::from_le_bytes(*word);
            let addresses = self.forms.iter().flat_map(|form| form.addresses(word));
            let near = addresses.filter(|address| self.index.addresses.span.contains(address));
            found.extend(near.filter_map(|address| self.block_at(address)));
        }
        found
    }

    /// What a block holds.
    pub(super) fn contents(&self, block: u32) -> &'a [u8] {
        self.blocks[block as usize].contents(self.bytes)
    }

    /// Where a block begins.
    pub(super) fn address(&self, block: u32) -> u64 {
        self.blocks[block as usize].address
    }

    /// Whether an aligned word of a block is, or looks like, an address in a range, whatever its tag.
    pub(crate) fn may_point_into(&self, block: u32, range: &Range<u64>) -> bool {
        let words = self.contents(block).as_chunks::<8>().0;
        words.iter().any(|word| range.contains(&(u64::from_le_bytes(*word) & ((1 << (8 * ADDRESS_LEN)) - 1))))
    }

    /// The block that an address means: its beginning, its inside, its end, or any of these with a tag in the low bits,
    /// of which an over-aligned block has more than three to spare.
    pub(crate) fn block_at(&self, address: u64) -> Option<u32> {
        let find = |address: u64| {
            let number = self.index.last_before(self.blocks, address)?;
            let block = &self.blocks[number as usize];
            let last = block.address + block.size.max(u64::from(block.align) - 1);
            (address <= last).then_some(number)
        };
        find(address).or_else(|| find(address & !7))
    }

    /// The blocks that `bytes` may refer to, in order.
    pub(crate) fn references(&self, bytes: &'a [u8], from: usize) -> impl Iterator<Item = (usize, u32)> + '_ {
        self.index.addresses.of(bytes, from).filter_map(|(at, address)| Some((at, self.block_at(address)?)))
    }

    /// Everything that can be reached from the seeds, seed by seed, depth first, the references in a block in their
    /// order.
    pub(crate) fn mark(&self, seeds: &[Seed<'a>]) -> Marked {
        let mut marked =
            Marked { order: with_capacity(self.blocks.len()), direct: 0, seeds: with_capacity(self.blocks.len()) };
        marked.seeds.resize(self.blocks.len(), None);
        // Blocks, and the seeds that they were first reached from.
        let mut put_off: Vec<(u32, u32)> = Vec::new();
        for (number, seed) in seeds.iter().enumerate() {
            let mut from = 0;
            loop {
                let next = match seed {
                    Seed::Address(address) if from == 0 => self.block_at(*address).map(|block| (0, block)),
                    Seed::Address(_) => None,
                    Seed::Bytes(bytes) => self.references(bytes, from).next(),
                };
                let Some((at, block)) = next else { break };
                from = at + 1;
                if self.is_deferred(block) {
                    put_off.push((block, number as u32));
                } else {
                    self.follow(block, number as u32, &mut marked, &mut put_off);
                }
            }
            if let Seed::Bytes(bytes) = seed {
                for block in self.disguised_references(bytes) {
                    self.follow(block, number as u32, &mut marked, &mut put_off);
                }
            }
        }
        marked.direct = marked.order.len();
        // The next one to be gone through is the last one.
        put_off.reverse();
        while let Some((block, seed)) = put_off.pop() {
            let from = put_off.len();
            self.follow(block, seed, &mut marked, &mut put_off);
            // The bodies below this one lie right behind it.
            put_off[from..].reverse();
        }
        marked
    }

    /// Marks a block and everything that can be reached from it without deferred bodies; these are put off.
    fn follow(&self, first: u32, seed: u32, marked: &mut Marked, put_off: &mut Vec<(u32, u32)>) {
        if !marked.meet(first, seed) {
            return;
        }
        // What is still to be done, the next thing last: a recursion, but as deep as memory allows.
        let mut steps = vec![Step::Through(first, 0)];
        let (mut addresses, mut children) = (Vec::with_capacity(BATCH), Vec::with_capacity(BATCH));
        while let Some(step) = steps.pop() {
            let (block, from) = match step {
                Step::Through(block, from) => (block, from),
                Step::To(child) if marked.seeds[child as usize].is_some() => continue,
                Step::To(child) if self.is_deferred(child) => {
                    put_off.push((child, seed));
                    continue;
                }
                Step::To(child) => {
                    marked.meet(child, seed);
                    if self.blocks[child as usize].contents == NOT_HELD {
                        continue;
                    }
                    (child, 0)
                }
            };
            let mut found = self.index.addresses.of(self.contents(block), from);
            addresses.clear();
            addresses.extend(found.by_ref().take(BATCH));
            if let [.., (last, _)] = addresses[..]
                && addresses.len() == BATCH
            {
                steps.push(Step::Through(block, last + 1));
            }
            self.find_all(&addresses, marked, &mut children);
            if from == 0 {
                children.extend(self.disguised_references(self.contents(block)));
            }
            steps.extend(children.drain(..).rev().map(Step::To));
        }
    }

    /// The blocks that these addresses mean. Memory is asked for all of them before the first is needed: what takes time is to
    /// wait for it.
    fn find_all(&self, addresses: &[(usize, u64)], marked: &Marked, children: &mut Vec<u32>) {
        if addresses.len() > 1 {
            let near = addresses.iter().filter_map(|(_, address)| {
                let bucket = self.index.bucket(*address)?;
                Some(self.blocks.get(bucket.start as usize)?.address)
            });
            black_box(near.fold(0, u64::wrapping_add));
        }
        children.extend(addresses.iter().filter_map(|(_, address)| self.block_at(*address)));
        if children.len() > 1 {
            let ahead = children.iter().map(|child| {
                let first = self.contents(*child).first();
                u32::from(first.copied().unwrap_or(0)) ^ marked.seeds[*child as usize].unwrap_or(0)
            });
            black_box(ahead.fold(0, u32::wrapping_add));
        }
    }

    /// Whether a block is the body of a deferred field: an `Arc`, two counts and then a value as aligned as the block,
    /// and the value begins with the mark.
    fn is_deferred(&self, block: u32) -> bool {
        let value = self.blocks[block as usize].align.max(16) as usize;
        self.contents(block).get(value..).is_some_and(|value| value.starts_with(&DEFERRED_MARK))
    }
}

impl Marked {
    /// Moves the chosen blocks before all others of the direct ones; otherwise the order stays.
    pub(crate) fn bring_forward(&mut self, chosen: impl Fn(u32) -> bool) {
        self.order[..self.direct].sort_by_cached_key(|block| !chosen(*block));
    }

    /// Moves the chosen blocks before all others, and those that were deferred are direct from now on; otherwise the order
    /// stays.
    pub(crate) fn prefer(&mut self, chosen: impl Fn(u32) -> bool) {
        let deferred = self.order.split_off(self.direct);
        let (now_direct, deferred): (Vec<_>, Vec<_>) = deferred.into_iter().partition(|block| chosen(*block));
        self.order.extend(now_direct);
        self.direct = self.order.len();
        self.bring_forward(chosen);
        self.order.extend(deferred);
    }

    fn meet(&mut self, block: u32, seed: u32) -> bool {
        let slot = &mut self.seeds[block as usize];
        if slot.is_some() {
            return false;
        }
        *slot = Some(seed);
        self.order.push(block);
        true
    }
}

/// Where marking begins.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Seed<'a> {
    /// The address of a root's value.
    Address(u64),
    /// The bytes of a carried static.
    Bytes(&'a [u8]),
}

#[cfg(test)]
mod tests;
