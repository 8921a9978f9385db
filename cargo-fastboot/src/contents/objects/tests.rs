//! Ways and owners in small images that are made up, object by object.

use super::*;
use std::collections::BTreeSet;

const START: u64 = 0x5500_0000_1000;
/// Where the plan run had the same objects: each at another distance from the next.
const SCRATCH: u64 = 0x5530_0000_0030;

/// An image, made object by object, and the plan run that it came from.
#[derive(Default)]
struct Model {
    data: Vec<u8>,
    placements: Vec<Placement>,
    roots: Vec<Root>,
    statics: Vec<(String, Range<u64>)>,
    /// What the blocks hold, one behind the other, padded to eight bytes.
    bytes: Vec<u8>,
    offsets: Vec<usize>,
}

impl Model {
    /// Objects of these sizes, aligned to as many bytes in the image.
    fn new(sizes: &[u64], align: u64) -> Self {
        let mut model = Self::default();
        let mut address = SCRATCH;
        for (block, size) in sizes.iter().enumerate() {
            let offset = (model.data.len() as u64).next_multiple_of(align);
            let offset_at_home = offset + PAGE as u64;
            model.placements.push(Placement {
                offset: offset_at_home,
                reserved: *size,
                was: address,
                contents: model.bytes.len() as u64,
                block: block as u32,
                ..Placement::default()
            });
            model.data.resize((offset + size) as usize, 0);
            model.offsets.push(model.bytes.len());
            model.bytes.resize(model.bytes.len() + size.next_multiple_of(8) as usize, 0);
            address += size.next_multiple_of(16) + 64;
        }
        model
    }

    fn start(&self, object: usize) -> u64 {
        self.placements[object].offset - PAGE as u64
    }

    /// Puts words into an object, as the image has them and as the plan run had them.
    fn words(mut self, object: usize, within: u64, word: u64, earlier: u64) -> Self {
        let at = (self.start(object) + within) as usize;
        self.data[at..at + 8].copy_from_slice(&word.to_le_bytes());
        let at = self.offsets[object] + within as usize;
        self.bytes[at..at + 8].copy_from_slice(&earlier.to_le_bytes());
        self
    }

    /// Lets one object refer to another one, by an address that is made from its own.
    fn refer(self, from: usize, within: u64, to: usize, address: impl Fn(u64) -> u64) -> Self {
        let (word, earlier) = (address(START + self.start(to)), address(self.placements[to].was));
        self.words(from, within, word, earlier)
    }

    fn link(self, from: usize, within: u64, to: usize) -> Self {
        self.refer(from, within, to, |address| address)
    }

    fn root(mut self, name: &str, object: usize) -> Self {
        self.roots.push(Root {
            value: START + self.start(object),
            size: 8,
            align: 8,
            place: 0..0,
            nanoseconds: 0,
            end: 0,
            name: name.to_owned(),
            type_name: String::new(),
        });
        self
    }

    /// The bytes of a carried static behind the objects.
    fn carried(mut self, name: &str, held: &[usize]) -> Self {
        let start = self.data.len().next_multiple_of(8) as u64;
        self.data.resize(start as usize, 0);
        for object in held {
            self.data.extend((START + self.start(*object)).to_le_bytes());
        }
        self.statics.push((name.to_owned(), start..self.data.len() as u64));
        self
    }

    fn layout(&self) -> ObjectLayout<'_> {
        let Self { data, placements, roots, statics, .. } = self;
        ObjectLayout { data, address: START, placements, roots, statics }
    }

    fn kinship(&self) -> Kinship {
        let origins = self.roots.iter().map(|root| Origin::Root(root.name.clone())).collect();
        Kinship::find(self.layout(), &self.bytes, origins, Makers::default())
    }

    /// The way to an offset in the image data.
    fn way(&self, offset: u64) -> String {
        Objects { layout: self.layout(), kinship: &self.kinship() }.way(offset).unwrap_or_else(|| "nothing".to_owned())
    }

    fn origin(&self, offset: u64) -> Option<String> {
        let kinship = self.kinship();
        Objects { layout: self.layout(), kinship: &kinship }.origin(offset).map(str::to_owned)
    }

    fn way_to(&self, object: usize) -> String {
        Objects { layout: self.layout(), kinship: &self.kinship() }.way_to(&self.placements[object])
    }
}

#[test]
fn ways_lead_from_the_root_down() {
    let model = Model::new(&[24, 64, 16, 16], 8).root("a::B", 0).link(0, 8, 1).link(1, 0x28, 2);
    assert_eq!(model.way(16), "root `a::B`, +0x10");
    assert_eq!(model.way(model.start(2) + 8), "root `a::B`, +0x8 → 64 bytes, +0x28 → 16 bytes, +0x8");
    assert_eq!(model.way_to(1), "root `a::B`, +0x8 → 64 bytes");
    assert_eq!(model.way_to(0), "root `a::B`");
    assert_eq!(model.way(model.start(3)), "root `a::B` → … → 16 bytes, +0x0", "only marking met it");
}

#[test]
fn ways_of_statics_and_of_what_is_no_object() {
    let model = Model::new(&[24, 13, 24], 8).root("a::B", 0).carried("s::SEED", &[2]);
    assert_eq!(model.way(model.statics[0].1.start), "the carried static `s::SEED`, +0x0");
    assert_eq!(model.way(model.start(2) + 16), "the carried static `s::SEED`, +0x0 → 24 bytes, +0x10");
    assert_eq!(model.way(model.start(1) + 13), "nothing", "between two objects");
    let origins = [model.statics[0].1.start, model.start(2), model.start(1), model.start(1) + 13];
    let origins = origins.map(|offset| model.origin(offset).unwrap_or_default());
    assert_eq!(origins, ["s::SEED", "s::SEED", "a::B", ""]);
}

#[test]
fn a_way_begins_at_the_nearest_root() {
    let model = Model::new(&[8, 8, 8], 8).root("a::OUTER", 0).root("a::INNER", 1).link(0, 0, 1).link(1, 0, 2);
    assert_eq!(model.way(16), "root `a::INNER`, +0x0 → 8 bytes, +0x0");
    assert_eq!(model.origin(16), Some("a::INNER".to_owned()));
}

#[test]
fn long_ways_are_cut_in_the_middle() {
    let count = 100_000;
    let mut model = Model::new(&vec![16; count], 8).root("a::LIST", 0);
    for object in 1..count {
        model = model.link(object - 1, 8, object);
    }
    let step = |count: usize| " → 16 bytes, +0x8".repeat(count);
    assert_eq!(model.way(16 * 8), format!("root `a::LIST`, +0x8{} → 16 bytes, +0x0", step(7)));
    let cut = |more: u64| format!("root `a::LIST`, +0x8{} → {more} more{} → 16 bytes, +0x0", step(4), step(2));
    assert_eq!(model.way(16 * 9), cut(2));
    assert_eq!(model.way(16 * (count as u64 - 1)), cut(count as u64 - 8));
    assert!(model.kinship().owners.iter().all(|owner| *owner == Ownership::Root(0)));
}

#[test]
fn tags_and_insides_lead_to_objects() {
    let way = |address: &dyn Fn(u64) -> u64| Model::new(&[64, 24], 8).root("a::B", 0).refer(0, 32, 1, address).way(64);
    for (kind, address) in [
        ("the inside", (|address| address + 11) as fn(u64) -> u64),
        ("a low tag", |address| address | 3),
        ("a high tag", |address| address | 0xfff8 << 48),
        ("both", |address| (address + 8) | 0x7fff << 48),
        ("the end", |address| address + 24),
    ] {
        assert_eq!(way(&address), "root `a::B`, +0x20 → 24 bytes, +0x0", "{kind}");
    }
    for address in [|address| address + 25, |address| address - 1, |_| 7, |_| u64::MAX] as [fn(u64) -> u64; 4] {
        assert_eq!(way(&address), "root `a::B` → … → 24 bytes, +0x0");
    }
}

#[test]
fn what_meant_another_object_in_the_plan_run_is_no_pointer() {
    let model = || Model::new(&[64, 24, 24], 8).root("a::B", 0);
    // A length of 70, behind it what is left of an address.
    let stale = model().words(0, 0, 0x5500 << 32 | 0x1046, 0x5530 << 32 | 0x1046);
    assert_eq!(stale.way(64), "root `a::B` → … → 24 bytes, +0x0");
    // The end of the first, which is where the second begins.
    let end = model().refer(0, 0, 1, |address| address + 24);
    assert_eq!(end.way(64 + 24), "root `a::B` → … → 24 bytes, +0x0");
}

#[test]
fn what_several_own_is_shared() {
    // a → 2 → 3, b → 2 and 4 → 3; a static → 5 and 4.
    let model = Model::new(&[16, 24, 8, 8, 16, 8], 8).root("a", 0).root("b", 1);
    let model = model.link(0, 0, 2).link(2, 0, 3).link(1, 0, 2).link(1, 8, 4).link(4, 0, 3);
    let model = model.carried("s", &[5, 4]);
    let kinship = model.kinship();
    let shared = Ownership::Shared;
    assert_eq!(kinship.owners, [Ownership::Root(0), Ownership::Root(1), shared, shared, shared, Ownership::Statics]);
    let size = |objects, bytes| Some(Size { objects, bytes });
    assert_eq!(kinship.shares, [size(2, 16), size(3, 32)]);
}

/// Marsaglia's xorshift64*.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % end
    }
}

#[test]
fn objects_are_found_at_every_offset() {
    for seed in 1..100 {
        let mut random = Random(seed);
        let largest = [9, 100, 9000][random.below(3) as usize];
        let sizes: Vec<u64> = (0..1 + random.below(200)).map(|_| random.below(largest)).collect();
        let model = Model::new(&sizes, 1 << random.below(13));
        let index = ObjectIndex::new(&model.placements);
        for _ in 0..200 {
            let offset = random.below(model.data.len() as u64 + 100);
            let expected = (0..sizes.len()).rfind(|object| model.start(*object) <= offset);
            let found = index.last_before(offset);
            // Behind the last page nothing is looked for.
            if found.is_some() || offset < model.data.len() as u64 {
                assert_eq!(found, expected.map(|object| object as ObjectNumber), "{offset} of seed {seed}");
            }
        }
    }
}

#[test]
fn owners_are_who_reaches_an_object_and_nobody_else() {
    for seed in 1..200 {
        let mut random = Random(seed);
        let count = 2 + random.below(40) as usize;
        let sizes: Vec<u64> = (0..count).map(|_| 8 + 8 * random.below(200)).collect();
        let mut model = Model::new(&sizes, 1 << random.below(7));
        let mut edges = Vec::new();
        for (from, size) in sizes.iter().enumerate() {
            // Each word is used once: a later link would take the place of an earlier one.
            for word in 0..(size / 8).min(random.below(4)) {
                let to = random.below(count as u64) as usize;
                model = model.link(from, 8 * word, to);
                edges.push((from, to));
            }
        }
        let values: Vec<usize> = (0..1 + random.below(4)).map(|_| random.below(count as u64) as usize).collect();
        for value in &values {
            model = model.root("root", *value);
        }
        let held: Vec<usize> = (0..random.below(3)).map(|_| random.below(count as u64) as usize).collect();
        model = model.carried("held", &held);

        let reach = |from: &[usize]| {
            let mut reached: BTreeSet<usize> = from.iter().copied().collect();
            while let Some((_, to)) = edges.iter().find(|(from, to)| reached.contains(from) && !reached.contains(to)) {
                reached.insert(*to);
            }
            reached
        };
        let sources: Vec<_> = values.iter().map(|value| reach(&[*value])).chain([reach(&held)]).collect();
        let expected: Vec<Ownership> = (0..count)
            .map(|object| {
                let mut owners = (0..sources.len()).filter(|source| sources[*source].contains(&object));
                match (owners.next(), owners.next()) {
                    (Some(_), Some(_)) => Ownership::Shared,
                    (Some(source), None) if source == values.len() => Ownership::Statics,
                    (Some(source), None) => Ownership::Root(source as u32),
                    // By marking: the seed of all is 0 here.
                    (None, _) => Ownership::Root(0),
                }
            })
            .collect();
        let kinship = model.kinship();
        assert_eq!(kinship.owners, expected, "seed {seed}");
        for (source, size) in sources.iter().zip(kinship.shares) {
            let shared = source.iter().filter(|object| expected[**object] == Ownership::Shared);
            let bytes = shared.clone().map(|object| sizes[*object]).sum();
            assert_eq!(size, Some(Size { objects: shared.count() as u64, bytes }), "seed {seed}");
        }
        for object in 0..count {
            let way = model.way_to(object);
            assert!(way.starts_with("root `root`") || way.starts_with("the carried static `held`"), "{way}");
        }
    }
}
