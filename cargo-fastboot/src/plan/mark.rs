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
use fastboot_format::protocol::COLD_MARK;
use memchr::memmem::Finder;
use std::hint::black_box;
use std::ops::Range;

/// Blocks of a scratch heap and what they hold.
pub(crate) struct Heap<'a> {
    /// By ascending address. No two touch each other.
    blocks: &'a [Block],
    bytes: &'a [u8],
    index: Index,
    /// The other forms that addresses are kept in.
    forms: Vec<Form>,
}

/// Finds blocks by their addresses, without a search through all of them.
struct Index {
    /// All addresses that may mean a block.
    addresses: Addresses,
    /// Of their span, which is divided into buckets as long as the blocks lie apart, on average.
    parts: Buckets,
}

impl Index {
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
    /// Numbers of the blocks, depth first, in the order in which they are met: first the hot ones, which are reached
    /// without deferred bodies, then each body and what it alone leads to, in the order of the structure.
    pub(crate) order: Vec<u32>,
    /// How many of `order` are hot.
    pub(crate) hot: usize,
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
    let heap = Heap { blocks, bytes: &[], index: Index::new(blocks), forms: Vec::new() };
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
        Some(Self { blocks, bytes, index: Index::new(blocks), forms: Vec::new() })
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
            Marked { order: with_capacity(self.blocks.len()), hot: 0, seeds: with_capacity(self.blocks.len()) };
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
                if self.is_cold(block) {
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
        marked.hot = marked.order.len();
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
                Step::To(child) if self.is_cold(child) => {
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
    fn is_cold(&self, block: u32) -> bool {
        let value = self.blocks[block as usize].align.max(16) as usize;
        self.contents(block).get(value..).is_some_and(|value| value.starts_with(&COLD_MARK))
    }
}

impl Marked {
    /// Moves the chosen blocks before all others of the hot ones; otherwise the order stays.
    pub(crate) fn bring_forward(&mut self, chosen: impl Fn(u32) -> bool) {
        self.order[..self.hot].sort_by_cached_key(|block| !chosen(*block));
    }

    /// Moves the chosen blocks before all others, and those that were cold are hot from now on; otherwise the order stays.
    pub(crate) fn prefer(&mut self, chosen: impl Fn(u32) -> bool) {
        let cold = self.order.split_off(self.hot);
        let (warmed, cold): (Vec<_>, Vec<_>) = cold.into_iter().partition(|block| chosen(*block));
        self.order.extend(warmed);
        self.hot = self.order.len();
        self.bring_forward(chosen);
        self.order.extend(cold);
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
mod tests {
    use super::*;

    const BASE: u64 = 0x5530_0000_0030;

    /// Blocks of these contents, 64 KiB apart; words are put into eight bytes.
    fn heap(contents: &[Vec<u8>]) -> (Vec<Block>, Vec<u8>) {
        let mut bytes = Vec::new();
        let mut blocks = Vec::new();
        for (index, content) in contents.iter().enumerate() {
            let address = BASE + index as u64 * 0x100_0000;
            let (size, contents) = (content.len() as u64, bytes.len() as u64);
            blocks.push(Block { address, size, index: index as u64, contents, align: 8, thread: 0 });
            bytes.extend_from_slice(content);
            bytes.resize(bytes.len().next_multiple_of(8), 0);
        }
        (blocks, bytes)
    }

    fn at(index: u64) -> u64 {
        BASE + index * 0x100_0000
    }

    fn words(words: &[u64]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    fn order(contents: &[Vec<u8>], seeds: &[Seed<'_>]) -> Vec<u32> {
        let (blocks, bytes) = heap(contents);
        // The seeds live as long as this call.
        let heap = Heap::new(&blocks, &bytes).unwrap();
        let seeds: Vec<Seed<'_>> = seeds.to_vec();
        heap.mark(&seeds).order
    }

    #[test]
    fn depth_first_children_in_order() {
        let contents = [words(&[at(1), at(3)]), words(&[at(2)]), words(&[7]), words(&[at(0), at(2)]), words(&[1])];
        assert_eq!(order(&contents, &[Seed::Address(at(0))]), [0, 1, 2, 3]);
    }

    #[test]
    fn every_kind_of_pointer_keeps_its_block() {
        let pointers = [
            at(1),                // the beginning
            at(1) + 11,           // the inside
            at(1) + 16,           // one past the end
            at(1) | 3,            // a tag in the low bits
            at(1) | 0xfff8 << 48, // a tag in the top bits, as in a NaN box
            (at(1) + 8) | 0x7fff << 48,
        ];
        for pointer in pointers {
            assert_eq!(order(&[words(&[pointer]), words(&[1, 2])], &[Seed::Address(at(0))]), [0, 1], "{pointer:#x}");
        }
        for missed in [(at(1) - 1) & !7, at(1) + 17 + 8, 0, 0x5529_0000_0000] {
            assert_eq!(order(&[words(&[missed]), words(&[1, 2])], &[Seed::Address(at(0))]), [0], "{missed:#x}");
        }
    }

    #[test]
    fn addresses_in_another_form_are_followed_if_that_form_is_known() {
        // `semver` sets the lowest bit, and rotates.
        let rotated = (at(1) | 1).rotate_right(1);
        let shifted = at(2) >> 3 | 5 << 61;
        let tagged = at(3) << 16 | 77;
        let contents = [words(&[7, rotated]), words(&[shifted]), words(&[tagged]), words(&[1])];
        let (blocks, bytes) = heap(&contents);
        let marked = |forms: &[Form]| {
            let heap = Heap::new(&blocks, &bytes).unwrap().with_forms(forms.iter().copied());
            heap.mark(&[Seed::Address(at(0))]).order
        };
        // A shift by whole bytes is an address that is not aligned.
        assert_eq!(marked(&[]), [0]);
        assert_eq!(marked(&[Form::Right(1)]), [0, 1]);
        assert_eq!(marked(&[Form::Right(1), Form::Right(3)]), [0, 1, 2, 3]);
        let heap = Heap::new(&blocks, &bytes).unwrap().with_forms([Form::Right(1)]);
        let seed = words(&[rotated]);
        assert_eq!(heap.mark(&[Seed::Bytes(&seed)]).order, [1], "in a static");
    }

    #[test]
    fn blocks_with_static_pointers_can_be_brought_forward() {
        let executable = 0x5555_5555_4000..0x5555_5565_4000;
        let vtable = executable.start + 0x120;
        let contents = [words(&[at(1), at(2), at(3)]), words(&[1]), words(&[vtable]), words(&[vtable | 0xfff8 << 48])];
        let (blocks, bytes) = heap(&contents);
        let heap = Heap::new(&blocks, &bytes).unwrap();
        let mut marked = heap.mark(&[Seed::Address(at(0))]);
        marked.bring_forward(|block| heap.may_point_into(block, &executable));
        assert_eq!(marked.order, [2, 3, 0, 1]);
    }

    #[test]
    fn preferred_blocks_come_first_and_are_hot() {
        let mut marked = Marked { order: vec![4, 3, 2, 1, 0], hot: 3, seeds: Vec::new() };
        marked.prefer(|block| matches!(block, 0 | 3));
        assert_eq!((marked.order.as_slice(), marked.hot), (&[3, 0, 4, 2, 1][..], 4));
    }

    #[test]
    fn over_aligned_blocks_have_more_tag_bits() {
        let (mut blocks, bytes) = heap(&[words(&[at(1) | 0x0f]), vec![1, 2, 3]]);
        assert_eq!(Heap::new(&blocks, &bytes).unwrap().mark(&[Seed::Address(at(0))]).order, [0]);
        blocks[1].align = 64;
        assert_eq!(Heap::new(&blocks, &bytes).unwrap().mark(&[Seed::Address(at(0))]).order, [0, 1]);
    }

    #[test]
    fn pointers_may_stand_anywhere() {
        for shift in 0..8 {
            let mut packed = vec![0xff; shift];
            packed.extend_from_slice(&at(1).to_le_bytes());
            assert_eq!(order(&[packed, words(&[1])], &[Seed::Address(at(0))]), [0, 1], "shift {shift}");
        }
    }

    #[test]
    fn bytes_are_seeds_too() {
        let text = words(&[5, at(2), at(1)]);
        assert_eq!(order(&[words(&[0]), words(&[0]), words(&[at(1)])], &[Seed::Bytes(&text)]), [2, 1]);
    }

    #[test]
    fn the_low_half_of_a_pointer_into_the_image_is_no_address() {
        let (blocks, _) = heap(&[words(&[1, 2])]);
        let blocks = [Block { address: 0x5530_7a00_0000, ..blocks[0] }];
        let image = 0x5500_0000_1000..0x5500_8000_0000;
        let first = |held: &[u64]| {
            let mut first = None;
            for_each_reference(&words(held), &blocks, &image, |at, _| first = first.or(Some(at)));
            first
        };
        // A length, and behind it the address 0x5500_0055_307a: the last three bytes of the first word and its first three read 0x5530_7a00_0000.
        assert_eq!(first(&[24, 0x5500_0055_307a]), None);
        assert_eq!(first(&[24, 0x6600_0055_307a]), Some(5), "no pointer into the image");
        assert_eq!(first(&[24, 0x5530_7a00_0008]), Some(8));
        assert_eq!(first(&[0x7a00_0008 << 32, 0x5530]), Some(4), "a packed pointer");
    }

    #[test]
    fn a_long_chain_needs_no_stack() {
        let count = 300_000u64;
        let contents: Vec<_> = (0..count).map(|index| words(&[at(index + 1)])).collect();
        assert_eq!(order(&contents, &[Seed::Address(at(0))]).len(), count as usize);
    }

    #[test]
    fn wide_arrays_are_gone_through_once() {
        let count = 200_000u64;
        let mut contents = vec![words(&(1..=count).map(at).collect::<Vec<_>>())];
        contents.extend((0..count).map(|_| words(&[at(0)])));
        assert_eq!(order(&contents, &[Seed::Address(at(0))]), (0..=count as u32).collect::<Vec<_>>());
    }

    /// The body of a deferred field that holds these words.
    fn body(held: &[u64]) -> Vec<u8> {
        [words(&[1, 1]), COLD_MARK.to_vec(), words(held)].concat()
    }

    fn hot_and_cold(contents: &[Vec<u8>], seeds: &[Seed<'_>]) -> (Vec<u32>, Vec<u32>) {
        let (blocks, bytes) = heap(contents);
        let heap = Heap::new(&blocks, &bytes).unwrap();
        let seeds: Vec<Seed<'_>> = seeds.to_vec();
        let marked = heap.mark(&seeds);
        let (hot, cold) = marked.order.split_at(marked.hot);
        (hot.to_vec(), cold.to_vec())
    }

    #[test]
    fn bodies_come_last_with_what_only_they_lead_to() {
        // 0 → body 1 → 2 and 5; 0 → body 3 → 4; 0 → 5, 6; the seed of another root → 7.
        let contents = [
            words(&[at(1), at(3), at(5), at(6)]),
            body(&[at(2), at(5)]),
            words(&[7]),
            body(&[at(4)]),
            words(&[8]),
            words(&[9]),
            words(&[10]),
            words(&[11]),
        ];
        let seeds = [Seed::Address(at(0)), Seed::Address(at(7))];
        assert_eq!(hot_and_cold(&contents, &seeds), (vec![0, 5, 6, 7], vec![1, 2, 3, 4]));
    }

    #[test]
    fn bodies_in_bodies_lie_behind_the_body_that_holds_them() {
        // 0 → body 1 → body 2 → 3, and body 4; 0 → body 5. 6 is reached from 1 itself.
        let contents = [
            words(&[at(1), at(5)]),
            body(&[at(2), at(4), at(6)]),
            body(&[at(3)]),
            words(&[0]),
            body(&[0]),
            body(&[0]),
            words(&[0]),
        ];
        assert_eq!(hot_and_cold(&contents, &[Seed::Address(at(0))]), (vec![0], vec![1, 6, 2, 3, 4, 5]));
    }

    #[test]
    fn shared_bodies_are_placed_once_and_belong_to_the_seed_that_met_them_first() {
        let contents = [words(&[at(2), at(2)]), words(&[at(2)]), body(&[at(3), at(0)]), words(&[at(2)])];
        let (blocks, bytes) = heap(&contents);
        let marked = Heap::new(&blocks, &bytes).unwrap().mark(&[Seed::Address(at(1)), Seed::Address(at(0))]);
        assert_eq!((marked.order.as_slice(), marked.hot), (&[1, 0, 2, 3][..], 2));
        assert_eq!(marked.seeds, [Some(1), Some(0), Some(0), Some(0)]);
        assert_eq!(hot_and_cold(&contents, &[Seed::Address(at(2))]), (vec![], vec![2, 3, 0]), "a body as a seed");
    }

    #[test]
    fn the_mark_counts_only_where_a_value_begins() {
        let places = [(8, 16, true), (8, 8, false), (8, 24, false), (16, 16, true), (64, 64, true), (64, 16, false)];
        for (align, lead, cold) in places {
            let content = [vec![0; lead], COLD_MARK.to_vec(), vec![0; 8]].concat();
            let (mut blocks, bytes) = heap(&[words(&[at(1)]), content]);
            blocks[1].align = align;
            let marked = Heap::new(&blocks, &bytes).unwrap().mark(&[Seed::Address(at(0))]);
            assert_eq!((marked.order.len(), marked.hot), (2, if cold { 1 } else { 2 }), "{align} {lead}");
        }
    }

    #[test]
    fn many_bodies_and_deep_ones_need_no_stack() {
        let count = 100_000u64;
        let contents: Vec<_> = (0..count).map(|index| body(&[at(index + 1), at(index + 1)])).collect();
        let (hot, cold) = hot_and_cold(&contents, &[Seed::Address(at(0))]);
        assert_eq!((hot.len(), cold), (0, (0..count as u32).collect()));
    }

    #[test]
    fn every_block_belongs_to_the_seed_that_met_it_first() {
        let contents = [words(&[at(1)]), words(&[at(2)]), words(&[0]), words(&[0]), words(&[0])];
        let (blocks, bytes) = heap(&contents);
        let heap = Heap::new(&blocks, &bytes).unwrap();
        let marked = heap.mark(&[Seed::Address(at(3)), Seed::Address(at(0)), Seed::Address(at(2))]);
        assert_eq!(marked.order, [3, 0, 1, 2]);
        assert_eq!(marked.seeds, [Some(1), Some(1), Some(1), Some(0), None]);
    }

    #[test]
    fn the_index_finds_what_a_search_finds() {
        // Gaps from one block to the next: near, far, and across the bytes that addresses have in common.
        for gaps in [&[24, 40, 8][..], &[16, 1 << 33, 24, 1 << 20], &[1 << 41, 32, 1 << 12], &[24]] {
            let mut blocks = Vec::new();
            let mut address = BASE;
            for index in 0..200 {
                blocks.push(Block { address, size: 8, index, contents: NOT_HELD, align: 8, thread: 0 });
                address += 16 + gaps[index as usize % gaps.len()];
            }
            let index = Index::new(&blocks);
            let near = blocks.iter().flat_map(|block| (0..40).map(|more| block.address - 8 + more));
            for address in near.filter(|address| index.addresses.span.contains(address)) {
                let searched = blocks.partition_point(|block| block.address <= address).checked_sub(1);
                assert_eq!(index.last_before(&blocks, address), searched.map(|number| number as u32), "{address:#x}");
            }
        }
    }

    #[test]
    fn addresses_are_found_wherever_they_stand() {
        let spans = [
            0x5530_0000_0030..0x5530_0000_4000,
            0x5530_0000_0000..0x5531_0000_0000,
            0x54ff_ffff_0000..0x5530_0000_0000,
        ];
        for (span, length) in spans.into_iter().flat_map(|span| [(span.clone(), 500), (span, SHORT + 500)]) {
            let mut bytes = vec![0x55u8; length];
            let mut random = 1u64;
            for at in (0..length - 8).step_by(7) {
                random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                // Inside, outside, and neither: the end of one may be the beginning of another.
                let address = span.start - 16 + (random >> 33) % (span.end - span.start + 32);
                bytes[at..at + 8].copy_from_slice(&(address | random << 56).to_le_bytes());
            }
            let word = |at: usize| u64::from_le_bytes(*bytes[at..].first_chunk().unwrap()) & ((1 << 48) - 1);
            let naive: Vec<usize> = (0..length - 8).filter(|at| span.contains(&word(*at))).collect();
            let found = Addresses::new(span.clone());
            let found: Vec<usize> = found.of(&bytes, 0).map(|(at, _)| at).filter(|at| *at < length - 8).collect();
            assert_eq!(found, naive, "{span:x?}");
            assert!(naive.len() > 50, "{}", naive.len());
        }
    }
}
