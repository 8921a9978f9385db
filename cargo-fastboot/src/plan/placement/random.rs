//! Random heaps, marked and planned, and compared with what is obvious: every reference that was put in counts, any six
//! bytes that may be an address are one, and no two objects share a place.

use super::*;
use crate::plan::mark::{self, Heap, Seed};
use std::collections::BTreeSet;

const CASES: u64 = 3000;
const MORE_CASES: u64 = 300_000;

/// Marsaglia's xorshift64*.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 16) % bound
    }
}

/// A heap, and which blocks were made to refer to which.
struct Case {
    blocks: Vec<Block>,
    contents: Vec<Vec<u8>>,
    references: Vec<(usize, usize)>,
    /// Bytes that are a seed, and what they were made to refer to.
    seed: Vec<u8>,
    seed_references: Vec<usize>,
}

/// An address that means the block: as it is, or with tags.
fn pointer(random: &mut Random, block: &Block) -> u64 {
    let inside = block.address + random.below(block.size + 1);
    // Low tags stand in bits that are zero without them.
    let even = if block.align >= 8 { inside & !7 } else { block.address & !7 };
    let low = if even >= block.address { even | random.below(8) } else { inside };
    let high = [0xffff << 48, 0xfff8 << 48, random.next() << 48][random.below(3) as usize];
    [block.address, inside, block.address + block.size, low, inside | high, low | high][random.below(6) as usize]
}

/// Writes pointers into bytes, anywhere but over each other: returns what they point to.
fn fill(random: &mut Random, bytes: &mut [u8], blocks: &[Block]) -> Vec<usize> {
    for byte in bytes.iter_mut() {
        *byte = [0, random.next() as u8][random.below(2) as usize];
    }
    let (mut at, mut targets) = (0, Vec::new());
    loop {
        at += [0, 8, random.below(30) as usize][random.below(3) as usize];
        let Some(word) = bytes.get_mut(at..at + 8) else { return targets };
        let target = random.below(blocks.len() as u64) as usize;
        word.copy_from_slice(&pointer(random, &blocks[target]).to_le_bytes());
        targets.push(target);
        at += 8;
        if random.below(2) == 0 {
            return targets;
        }
    }
}

impl Case {
    fn new(random: &mut Random) -> Self {
        // Some heaps lie across an address whose top bytes change.
        let mut address = [0x5530_0000_0030, 0x55ff_ffff_fc00, 0x2_0000_0000][random.below(3) as usize];
        let (mut blocks, mut contents) = (Vec::new(), 0);
        for index in 0..1 + random.below(24) {
            let align = 1 << [random.below(4), random.below(9)][random.below(2) as usize];
            let size = [random.below(4), random.below(40), random.below(300)][random.below(3) as usize];
            // In the scratch heap, headers keep blocks further apart than that.
            address = (address + 8 + random.below(60)).next_multiple_of(align);
            blocks.push(Block { address, size, index, contents, align: align as u32, thread: random.below(4) as u32 });
            contents += size.next_multiple_of(8);
            address += size.max(align);
        }
        let (mut contents, mut references) = (Vec::new(), Vec::new());
        for from in 0..blocks.len() {
            let mut bytes = vec![0; blocks[from].size as usize];
            references.extend(fill(random, &mut bytes, &blocks).into_iter().map(|to| (from, to)));
            contents.push(bytes);
        }
        let mut seed = vec![0; random.below(60) as usize];
        let seed_references = fill(random, &mut seed, &blocks);
        Self { blocks, contents, references, seed, seed_references }
    }

    /// The block that an address means, looked for in the slowest way.
    fn target(&self, address: u64) -> Option<usize> {
        // Tags may lead beyond the end of a block whose alignment is larger than its size.
        let last = |block: &Block| block.address + block.size.max(u64::from(block.align) - 1);
        let find = |address| self.blocks.iter().position(|block| (block.address..=last(block)).contains(&address));
        find(address).or_else(|| find(address & !7))
    }

    /// Every place in the bytes, with the block that an address there would mean.
    fn targets(&self, bytes: &[u8]) -> impl Iterator<Item = (usize, usize)> {
        let word = |six: &[u8]| six.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
        bytes.windows(6).enumerate().filter_map(move |(at, six)| Some((at, self.target(word(six))?)))
    }

    fn visit(&self, block: usize, reached: &mut BTreeSet<usize>, order: &mut Vec<u32>) {
        if reached.insert(block) {
            order.push(block as u32);
            self.targets(&self.contents[block]).for_each(|(_, target)| self.visit(target, reached, order));
        }
    }

    fn check(&self, random: &mut Random) {
        let mut bytes = Vec::new();
        for content in &self.contents {
            bytes.extend_from_slice(content);
            // What stands between blocks must not count.
            bytes.resize(bytes.len().next_multiple_of(8), 0x55);
        }
        let heap = Heap::new(&self.blocks, &bytes).unwrap();
        let root = random.below(self.blocks.len() as u64) as usize;
        let value = self.blocks[root].address + random.below(self.blocks[root].size + 1);
        let seeds = [Seed::Address(value), Seed::Bytes(&self.seed)];
        let marked = heap.mark(&seeds);

        let (mut reached, mut order) = (BTreeSet::new(), Vec::new());
        self.visit(root, &mut reached, &mut order);
        let from_root = order.len();
        self.targets(&self.seed).for_each(|(_, target)| self.visit(target, &mut reached, &mut order));
        assert_eq!(marked.order, order);
        for (block, seed) in marked.seeds.iter().enumerate() {
            let place = order.iter().position(|other| *other as usize == block);
            assert_eq!(*seed, place.map(|place| u32::from(place >= from_root)), "the seed of block {block}");
        }
        let alive = |block: usize| marked.seeds[block].is_some();
        for (from, to) in &self.references {
            assert!(!alive(*from) || alive(*to), "block {from} refers to {to}");
        }
        assert!(self.seed_references.iter().all(|block| alive(*block)));

        let first = self.targets(&bytes).next().map(|(at, block)| (at, self.blocks[block]));
        let mut found = None;
        mark::for_each_reference(&bytes, &self.blocks, &(0..0), |at, block| found = found.or(Some((at, *block))));
        assert_eq!(found, first);
        self.check_plan(&Plan::new(&self.blocks, &marked, vec![1, 2, 3]), &marked);
    }

    fn check_plan(&self, plan: &Plan, marked: &Marked) {
        // Thread 3 is one too many.
        let alive = marked.order.iter().map(|number| &self.blocks[*number as usize]);
        let expected: Vec<_> = alive.filter(|block| block.thread < 3).collect();
        assert_eq!(plan.len(), expected.len());
        let mut end = PAGE as u64;
        for (placement, block) in plan.placements.iter().zip(&expected) {
            assert_eq!((placement.thread, placement.index), (block.thread, block.index));
            assert_eq!(&&self.blocks[placement.block as usize], block);
            assert_eq!(Some(placement.seed), marked.seeds[placement.block as usize]);
            assert_eq!(placement.reserved, block.size);
            assert!(
                placement.offset >= end && placement.offset < end + u64::from(block.align),
                "{placement:?} behind {end}"
            );
            assert!(placement.offset.is_multiple_of(block.align.into()));
            end = placement.offset + placement.reserved;
        }
        assert!(plan.end >= end && plan.end < end + PAGE as u64 && plan.end.is_multiple_of(PAGE as u64));
        assert_eq!(plan.live, expected.iter().map(|block| block.size).sum::<u64>());
    }
}

fn check(seeds: std::ops::Range<u64>) {
    let mut without_references = 0;
    for seed in seeds.clone() {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let case = Case::new(&mut random);
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| case.check(&mut random)));
        assert!(result.is_ok(), "that was seed {seed}");
        without_references += u64::from(case.references.is_empty());
    }
    assert!(without_references * 4 < seeds.end - seeds.start, "too many heaps without a reference");
}

#[test]
fn random_heaps_are_marked_and_planned_as_is_obvious() {
    check(1..1 + CASES);
}

#[test]
#[ignore = "takes a while; more of the above"]
fn many_random_heaps_are_marked_and_planned_as_is_obvious() {
    check(1 + CASES..1 + MORE_CASES);
}
