//! Objects: which object of an image leads to which, and whose each of them is.
//!
//! ```text
//! root a::B ──+0x8──▶ 4096 bytes ──+0x40──▶ 32 bytes        a::B's own
//!                        └─────────+0x48──▶ 80 bytes ◀──┐   shared
//! root a::C ──────────────────────────+0x0──────────────┘
//! ```
//!
//! For people: for findings, which tell the way from a root to a word, and for the report. A word counts as a pointer
//! if it is aligned, has the address of an object, with whatever tag in its top sixteen bits, and had the address of
//! the same object in the plan run, where every object was elsewhere. A number whose upper half is what is left of an
//! address has not. Neither of these two runs has random addresses, so that, unlike what the proof finds, all of this
//! is the same in every build. What is reached in no such way (by a packed pointer, through the overflow, through a
//! table whose order depends on addresses) belongs to the root from which marking met it.
//!
//! Images have millions of objects, so there is nothing here for each pointer, and only a few words for each object.

use crate::contents::makers::Makers;
use crate::plan::buckets::Buckets;
use crate::plan::placement::Placement;
use crate::runs::capture::{NOT_HELD, Root};
use crate::runs::forms::ADDRESS;
use crate::runs::memory::with_capacity;
use fastboot_format::image::PAGE;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::ops::Range;

/// ObjectNumber of an object: the index of its placement.
type ObjectNumber = u32;

/// Whose an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Ownership {
    /// This root's alone.
    Root(u32),
    /// Of carried statics alone.
    Statics,
    /// Of several roots, or of roots and carried statics.
    Shared,
}

/// A number of objects, and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Size {
    pub(crate) objects: u64,
    pub(crate) bytes: u64,
}

impl Size {
    /// One object more.
    pub(crate) fn add(&mut self, bytes: u64) {
        self.objects += 1;
        self.bytes += bytes;
    }
}

/// Where objects lie, and where they are reached from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ObjectLayout<'a> {
    /// The image data.
    pub(crate) data: &'a [u8],
    /// Its address.
    pub(crate) address: u64,
    /// By ascending offset.
    pub(crate) placements: &'a [Placement],
    pub(crate) roots: &'a [Root],
    /// Names of carried statics, and where in the image data their bytes are.
    pub(crate) statics: &'a [(String, Range<u64>)],
}

/// What marking began with.
#[derive(Debug)]
pub(crate) enum Origin {
    /// The root of this name.
    Root(String),
    /// The carried static of this name.
    Static(String),
    /// What stood in unused parts of objects.
    Remains,
}

impl Origin {
    /// Its name, if it has one.
    pub(crate) fn name(&self) -> Option<&str> {
        match self {
            Self::Root(name) | Self::Static(name) => Some(name),
            Self::Remains => None,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root(name) => write!(f, "root `{name}`"),
            Self::Static(name) => write!(f, "the carried static `{name}`"),
            Self::Remains => f.write_str("unused parts of objects"),
        }
    }
}

/// What was found out about the objects of an image that was made by a plan.
#[derive(Debug)]
pub(crate) struct Kinship {
    /// What marking began with, by the numbers that the plan has for it: first the roots.
    origins: Vec<Origin>,
    /// Who made the objects, if that was traced.
    makers: Makers,
    index: ObjectIndex,
    /// The objects that are values of roots, each with the number of the first such root.
    values: BTreeMap<ObjectNumber, u32>,
    /// For each object.
    owners: Vec<Ownership>,
    /// For each object the one that led to it first; `NONE` for those that roots and statics lead to themselves.
    parents: Vec<ObjectNumber>,
    /// For each root how much it reaches of what is shared; `None` where it would have taken too long to find out.
    shares: Vec<Option<Size>>,
}

const NONE: ObjectNumber = u32::MAX;
const WORD: u64 = 8;
/// How many steps of a way are told: from its beginning and from its end.
const STEPS: (usize, usize) = (4, 3);
/// How many shared objects are visited at most to tell how much of them each root reaches.
const MOST_SHARED: u64 = 1 << 28;

/// Finds objects by their offsets in the image data, without a search through all of them.
#[derive(Debug)]
struct ObjectIndex {
    pages: Buckets,
    /// For each object, where in its page it begins.
    starts: Vec<u16>,
}

impl ObjectIndex {
    fn new(placements: &[Placement]) -> Self {
        let starts = || placements.iter().map(|placement| range(placement).start);
        let end = placements.last().map_or(0, |placement| range(placement).end);
        let within = |start| (start % PAGE as u64) as u16;
        Self { pages: Buckets::new(starts(), end, PAGE.ilog2()), starts: starts().map(within).collect() }
    }

    /// The last object that begins at an offset in the image data, or before it.
    fn last_before(&self, offset: u64) -> Option<ObjectNumber> {
        let within = offset % PAGE as u64;
        self.pages.last_before(&self.starts, offset, |start| u64::from(*start) <= within)
    }
}

/// Where in the image data an object lies.
fn range(placement: &Placement) -> Range<u64> {
    let start = placement.offset - PAGE as u64;
    start..start + placement.reserved
}

impl<'a> ObjectLayout<'a> {
    fn range(&self, object: ObjectNumber) -> Range<u64> {
        range(&self.placements[object as usize])
    }

    /// The object that an address means, its inside or its end, and how far into it that is.
    fn target(&self, index: &ObjectIndex, word: u64) -> Option<(ObjectNumber, u64)> {
        let offset = (word & ADDRESS).wrapping_sub(self.address);
        if offset > self.data.len() as u64 {
            return None;
        }
        let object = index.last_before(offset)?;
        let within = offset - self.range(object).start;
        (within <= self.placements[object as usize].reserved).then_some((object, within))
    }

    /// The object that a root's value is, or is part of.
    fn value(&self, index: &ObjectIndex, root: &Root) -> Option<ObjectNumber> {
        Some(self.target(index, root.value).filter(|_| root.size > 0)?.0)
    }

    /// What the words in a range of the image data may lead to: where each word stands, the object, and how far into
    /// it.
    fn pointers<'i>(
        &self,
        index: &'i ObjectIndex,
        range: Range<u64>,
    ) -> impl Iterator<Item = (u64, ObjectNumber, u64)> + use<'a, 'i> {
        let layout = *self;
        self.words(range).filter_map(move |(at, word)| {
            let (object, within) = layout.target(index, word)?;
            Some((at, object, within))
        })
    }

    /// The aligned words in a range of the image data, each with where it stands.
    fn words(&self, range: Range<u64>) -> impl Iterator<Item = (u64, u64)> + use<'a> {
        let start = range.start.next_multiple_of(WORD).min(range.end);
        let words = self.data.get(start as usize..range.end as usize).unwrap_or_default().as_chunks::<8>().0;
        (start..).step_by(WORD as usize).zip(words).map(|(at, word)| (at, u64::from_le_bytes(*word)))
    }
}

/// Finding out whose objects are, root by root.
struct Walk<'a> {
    layout: ObjectLayout<'a>,
    index: ObjectIndex,
    /// What the same objects held in the plan run.
    bytes: &'a [u8],
    owners: Vec<Option<Ownership>>,
    parents: Vec<ObjectNumber>,
}

impl Walk<'_> {
    /// The objects that an object leads to.
    fn children(&self, object: ObjectNumber) -> impl Iterator<Item = ObjectNumber> {
        let ObjectLayout { placements, .. } = self.layout;
        let Range { start, end } = self.layout.range(object);
        let before = placements[object as usize].held(self.bytes);
        // What held no address then holds no pointer.
        let range = start..end.min(start + before.len() as u64);
        self.layout.pointers(&self.index, range).filter_map(move |(at, child, within)| {
            let word = before.get((at - start) as usize..)?.first_chunk()?;
            let meant = placements[child as usize].was + within;
            (u64::from_le_bytes(*word) & ADDRESS == meant).then_some(child)
        })
    }

    /// Follows everything from these objects on, broad first, so that ways are short. An object is gone through when it
    /// gets its owner, and once more when it turns out to be shared.
    fn follow(&mut self, first: impl IntoIterator<Item = ObjectNumber>, owner: Ownership) {
        let placements = self.layout.placements;
        let leads = |object: &ObjectNumber| placements[*object as usize].contents != NOT_HELD;
        let mut queue: VecDeque<ObjectNumber> = VecDeque::new();
        let mut met = Vec::new();
        queue.extend(first.into_iter().filter(|object| self.meet(*object, NONE, owner)).filter(leads));
        while let Some(object) = queue.pop_front() {
            met.extend(self.children(object));
            queue.extend(met.drain(..).filter(|child| self.meet(*child, object, owner)).filter(leads));
        }
    }

    /// Whether that says something new about the object.
    fn meet(&mut self, object: ObjectNumber, parent: ObjectNumber, owner: Ownership) -> bool {
        let slot = &mut self.owners[object as usize];
        match slot {
            None => {
                *slot = Some(owner);
                self.parents[object as usize] = parent;
            }
            Some(other) if *other == owner || *other == Ownership::Shared => return false,
            Some(other) => *other = Ownership::Shared,
        }
        true
    }

    /// How much of what is shared each root reaches.
    fn shares(&self) -> Vec<Option<Size>> {
        let roots = self.layout.roots;
        if !self.owners.contains(&Some(Ownership::Shared)) {
            return vec![Some(Size::default()); roots.len()];
        }
        // For each object the last root that came by, counted from 1.
        let mut visited = vec![0; self.owners.len()];
        let mut work = 0;
        let mut of_root = |(number, root)| {
            let (mut size, mut stack) = (Size::default(), Vec::new());
            stack.extend(self.layout.value(&self.index, root));
            while let Some(object) = stack.pop() {
                let at = object as usize;
                if std::mem::replace(&mut visited[at], number) == number {
                    continue;
                }
                if self.owners[at] == Some(Ownership::Shared) {
                    size.add(self.layout.placements[at].reserved);
                    work += 1;
                }
                if work > MOST_SHARED {
                    return None;
                }
                stack.extend(self.children(object).filter(|child| visited[*child as usize] != number));
            }
            Some(size)
        };
        (1..).zip(roots).map(&mut of_root).collect()
    }
}

impl Kinship {
    /// Finds out whose each object is. `bytes` are what the blocks of the plan run held.
    pub(crate) fn find(layout: ObjectLayout<'_>, bytes: &[u8], origins: Vec<Origin>, makers: Makers) -> Self {
        let ObjectLayout { placements, roots, statics, .. } = layout;
        let (mut owners, mut parents) = (with_capacity(placements.len()), with_capacity(placements.len()));
        owners.resize(placements.len(), None);
        parents.resize(placements.len(), NONE);
        let mut walk = Walk { layout, index: ObjectIndex::new(placements), bytes, owners, parents };
        let mut values = BTreeMap::new();
        for (root, number) in roots.iter().zip(0..) {
            let value = layout.value(&walk.index, root);
            walk.follow(value, Ownership::Root(number));
            value.map(|value| *values.entry(value).or_insert(number));
        }
        let held = statics.iter().flat_map(|(_, range)| layout.pointers(&walk.index, range.clone()));
        let held: Vec<ObjectNumber> = held.map(|(_, object, _)| object).collect();
        walk.follow(held, Ownership::Statics);

        let shares = walk.shares();
        let by_marking = |placement: &Placement| match origins.get(placement.seed as usize) {
            Some(Origin::Root(_)) => Ownership::Root(placement.seed),
            Some(Origin::Static(_)) => Ownership::Statics,
            Some(Origin::Remains) | None => Ownership::Shared,
        };
        let owners = walk.owners.iter().zip(placements);
        let owners = owners.map(|(owner, placement)| owner.unwrap_or_else(|| by_marking(placement))).collect();
        Self { origins, makers, index: walk.index, values, owners, parents: walk.parents, shares }
    }

    /// Who made the objects.
    pub(crate) fn makers(&self) -> &Makers {
        &self.makers
    }

    /// For each root how much it reaches of what is shared; `None` where that is not known.
    pub(crate) fn shares(&self) -> &[Option<Size>] {
        &self.shares
    }

    /// Whose each object is.
    pub(crate) fn owners(&self) -> &[Ownership] {
        &self.owners
    }
}

/// The objects of an image that was made by a plan, with all that is known about them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Objects<'a> {
    pub(crate) layout: ObjectLayout<'a>,
    pub(crate) kinship: &'a Kinship,
}

impl<'a> Objects<'a> {
    /// The way to an object: its root, and the allocations down to it, without their makers.
    pub(crate) fn way_to(&self, placement: &Placement) -> String {
        let way = self.tell(placement.offset - PAGE as u64, false).unwrap_or_default();
        // How far into the object itself is of no interest: it is the beginning.
        way.strip_suffix(", +0x0").map_or(way.clone(), str::to_owned)
    }

    /// The way to a word at an offset in the image data, such as
    /// ``root `a::B`, +0x8 → 4096 bytes made by `a::f`, +0x40 → 32 bytes made by `a::g`, +0x0``.
    ///
    /// `None` where there is no object that was planned.
    pub(crate) fn way(&self, offset: u64) -> Option<String> {
        self.tell(offset, true)
    }

    fn tell(&self, offset: u64, with_makers: bool) -> Option<String> {
        let Self { layout, kinship } = self;
        if let Some((name, range)) = layout.statics.iter().find(|(_, range)| range.contains(&offset)) {
            return Some(format!("the carried static `{name}`, +{:#x}", offset - range.start));
        }
        let object = self.object_at(offset)?;
        // Objects from the end to the beginning, and how far into each.
        let mut steps = vec![(object, offset - layout.range(object).start)];
        let top = self.climb(object, |parent, child| {
            steps.push((parent, self.first_pointer(layout.range(parent), child).unwrap_or(0)));
        });
        let mut text = match self.beginning(top) {
            Beginning::Value(root) => {
                // The root's value is the first of the objects.
                let (_, within) = steps.pop().unwrap_or_default();
                format!("root `{}`, +{within:#x}", root.name)
            }
            Beginning::Static(name, within) => format!("the carried static `{name}`, +{within:#x}"),
            Beginning::Marked(origin) => format!("{origin} → …"),
            Beginning::Unknown => "…".to_owned(),
        };
        steps.reverse();
        let step = |(object, within): &(ObjectNumber, u64)| {
            let placement = &layout.placements[*object as usize];
            let maker = kinship.makers.of(placement.block).filter(|_| with_makers);
            let maker = maker.map_or(String::new(), |number| format!(" made by `{}`", kinship.makers.name(number)));
            format!(" → {} bytes{maker}, +{within:#x}", placement.reserved)
        };
        let (first, last) = STEPS;
        let left_out = steps.len().saturating_sub(first + last);
        let behind = if left_out > 1 { first + left_out } else { first };
        text.extend(steps.iter().take(first).map(step));
        if left_out > 1 {
            text += &format!(" → {left_out} more");
        }
        text.extend(steps.iter().skip(behind).map(step));
        Some(text)
    }

    /// Name of the root or static where the way to an offset in the image data begins.
    pub(crate) fn origin(&self, offset: u64) -> Option<&'a str> {
        if let Some((name, _)) = self.layout.statics.iter().find(|(_, range)| range.contains(&offset)) {
            return Some(name);
        }
        let top = self.climb(self.object_at(offset)?, |_, _| {});
        match self.beginning(top) {
            Beginning::Value(root) => Some(&root.name),
            Beginning::Static(name, _) => Some(name),
            Beginning::Marked(origin) => origin.name(),
            Beginning::Unknown => None,
        }
    }

    /// The object that has a byte of the image data in it.
    fn object_at(&self, offset: u64) -> Option<ObjectNumber> {
        let found = self.kinship.index.last_before(offset);
        found.filter(|object| self.layout.range(*object).contains(&offset))
    }

    /// The first object of the way to an object: a root's value, or one that no other led to. `each` is told every
    /// parent, and its child.
    fn climb(&self, mut object: ObjectNumber, mut each: impl FnMut(ObjectNumber, ObjectNumber)) -> ObjectNumber {
        let values = &self.kinship.values;
        while !values.contains_key(&object) && self.kinship.parents[object as usize] != NONE {
            let parent = self.kinship.parents[object as usize];
            each(parent, object);
            object = parent;
        }
        object
    }

    /// How far into a range of the image data the first word stands that leads to an object.
    fn first_pointer(&self, range: Range<u64>, object: ObjectNumber) -> Option<u64> {
        let Self { layout, kinship } = self;
        let own = layout.range(object);
        let addresses = layout.address + own.start..=layout.address + own.end;
        // Most words are seen to be something else without a search.
        let mut words = layout.words(range.clone()).filter(|(_, word)| addresses.contains(&(word & ADDRESS)));
        let is_it = |word| layout.target(&kinship.index, word).is_some_and(|(found, _)| found == object);
        words.find(|(_, word)| is_it(*word)).map(|(at, _)| at - range.start)
    }

    /// Where the way to the first of its objects begins.
    fn beginning(&self, object: ObjectNumber) -> Beginning<'a> {
        let Self { layout, kinship } = *self;
        if let Some(root) = kinship.values.get(&object) {
            return Beginning::Value(&layout.roots[*root as usize]);
        }
        for (name, range) in layout.statics {
            if let Some(within) = self.first_pointer(range.clone(), object) {
                return Beginning::Static(name, within);
            }
        }
        let origin = kinship.origins.get(layout.placements[object as usize].seed as usize);
        origin.map_or(Beginning::Unknown, Beginning::Marked)
    }
}

/// What leads to the first object of a way.
enum Beginning<'a> {
    /// It is this root's value.
    Value(&'a Root),
    /// A carried static, and how far into it.
    Static(&'a str, u64),
    /// Whatever marking began with: what led to the object from there is not known.
    Marked(&'a Origin),
    Unknown,
}

#[cfg(test)]
mod tests;
