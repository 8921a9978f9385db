//! Operations: what a trace does, decided by its seed alone. [`crate::object`] does it with memory of all kinds,
//! [`crate::model`] says what must come out.

/// How many values a trace works on.
pub(crate) const SLOTS: usize = 8;
/// How deep threads start threads.
const DEPTH: u32 = 2;

/// Marsaglia's xorshift64*.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x2545_f491_4f6c_dd1d | 1);
        random.next();
        random
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        ((self.next() >> 32) as usize * bound) >> 32
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    /// Mostly small.
    fn length(&mut self) -> usize {
        match self.below(800) {
            0 => self.below(150_000),
            1..=9 => self.below(6000),
            10..=399 => self.below(200),
            _ => self.below(24),
        }
    }
}

/// The bytes that follow from a seed.
pub(crate) fn bytes(seed: u64, length: usize) -> Vec<u8> {
    let mut random = Random::new(seed);
    (0..length).map(|_| random.next() as u8).collect()
}

/// One step. Slots hold nothing, bytes, or a list of such.
#[derive(Debug)]
pub(crate) enum Operation {
    /// Bytes, held in one of the ways of [`crate::object::Kind`].
    Make { slot: usize, kind: usize, seed: u64, length: usize },
    /// Nothing is in the slot any more.
    Drop { slot: usize },
    /// More bytes; one more entry for a list.
    Append { slot: usize, seed: u64, length: usize },
    /// The first half only.
    Halve { slot: usize },
    /// No room for more.
    Fit { slot: usize },
    /// Room for so much more.
    Reserve { slot: usize, more: usize },
    /// What is in one slot, into another.
    Move { from: usize, to: usize },
    /// The same in both slots.
    Copy { from: usize, to: usize },
    /// Another entry of the list in `to`; what is there becomes a list if it is none.
    Gather { from: usize, to: usize },
    /// Each part is a trace on a thread of its own, all at the same time. The first gets what is in the slot; their slots
    /// become lists in a list.
    Threads { slot: usize, parts: Vec<Vec<Operation>> },
    /// What is not the same in every run, as far as [`crate::noise::Noise`] says. Changes no contents.
    Differ { slot: usize, seed: u64 },
}

/// The trace of a seed.
pub(crate) fn trace(seed: u64) -> Vec<Operation> {
    let mut random = Random::new(seed);
    let count = 10 + random.below(60);
    operations(&mut random, count, 0)
}

fn operations(random: &mut Random, count: usize, depth: u32) -> Vec<Operation> {
    // The first one makes something, whatever follows.
    let first = make(random);
    [first].into_iter().chain((1..count).map(|_| operation(random, depth))).collect()
}

fn make(random: &mut Random) -> Operation {
    let (slot, kind) = (random.below(SLOTS), random.next() as usize);
    Operation::Make { slot, kind, seed: random.next(), length: random.length() }
}

fn operation(random: &mut Random, depth: u32) -> Operation {
    let slot = random.below(SLOTS);
    let from = random.below(SLOTS);
    match random.below(100) {
        0..40 => make(random),
        40..45 => Operation::Drop { slot },
        45..60 => Operation::Append { slot, seed: random.next(), length: random.length() },
        60..65 => Operation::Halve { slot },
        65..71 => Operation::Fit { slot },
        71..76 => Operation::Reserve { slot, more: random.length() },
        76..81 => Operation::Move { from, to: slot },
        81..86 => Operation::Copy { from, to: slot },
        86..94 => Operation::Gather { from, to: slot },
        94..97 if depth < DEPTH && random.one_in(2) => {
            let parts = (0..1 + random.below(3)).map(|_| {
                let count = 1 + random.below(12);
                operations(random, count, depth + 1)
            });
            Operation::Threads { slot, parts: parts.collect() }
        }
        _ => Operation::Differ { slot, seed: random.next() },
    }
}
