//! Report: what an image is made of, for people. Made when a binary is frozen, stored in the image as JSON, and shown
//! by `inspect`, wherever the image has got to by then.
//!
//! Nothing of it depends on the proof, where addresses are random, or on the folder: equal builds have equal reports.

use crate::contents::objects::{Objects, Ownership, Size};
use crate::plan::placement::Placement;
use crate::runs::capture::Counts;
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::HashMap;

/// How many of the largest objects are told.
const LARGEST: usize = 10;
/// How many functions are told apart for one root.
const FUNCTIONS: usize = 32;

/// What an image is made of. `docs/image-format.md` says what each field means.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) objects: u64,
    pub(crate) live: u64,
    pub(crate) pointers: u64,
    pub(crate) plan: Option<Fit>,
    pub(crate) contents: Option<Contents>,
}

/// How well a plan fitted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fit {
    pub(crate) planned: u64,
    pub(crate) placed: u64,
    pub(crate) overflowed: u64,
    pub(crate) strayed: u64,
}

/// Whose the bytes are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Contents {
    /// In the order of the root directory.
    pub(crate) roots: Vec<Part>,
    pub(crate) shared: Part,
    pub(crate) statics: Part,
    pub(crate) carried: u64,
    pub(crate) overflow: u64,
    pub(crate) functions: Option<Vec<String>>,
    pub(crate) largest: Vec<Large>,
}

/// A part of the image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    #[serde(flatten)]
    pub(crate) size: Size,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) shares: Option<Size>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) functions: Vec<Made>,
}

/// What one function made of a part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Made {
    pub(crate) function: Option<usize>,
    #[serde(flatten)]
    pub(crate) size: Size,
}

/// One of the largest objects.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Large {
    pub(crate) bytes: u64,
    pub(crate) function: Option<usize>,
    pub(crate) way: String,
}

/// What there is to report of.
pub(crate) struct Tally {
    /// What the last run counted.
    pub(crate) counts: Counts,
    /// How many aligned words of the image data hold an address in it.
    pub(crate) pointers: u64,
    /// Bytes of carried statics and of the overflow in it.
    pub(crate) carried: u64,
    pub(crate) overflow: u64,
    /// If there was a plan, the number of objects that were planned, and [`contents`].
    pub(crate) planned: Option<(u64, Contents)>,
}

impl Report {
    pub(crate) fn new(Tally { counts, pointers, carried, overflow, planned }: Tally) -> Self {
        let Counts { strayed, placed, overflowed, objects, live, .. } = counts;
        let plan = planned.as_ref().map(|(planned, _)| Fit { planned: *planned, placed, overflowed, strayed });
        let contents = planned.map(|(_, contents)| Contents { carried, overflow, ..contents });
        Self { objects, live: live + carried, pointers, plan, contents }
    }
}

/// What is in an image, but for carried statics and the overflow.
pub(crate) fn contents(objects: &Objects<'_>) -> Contents {
    let Objects { layout, kinship } = *objects;
    let makers = kinship.makers();
    let (mut sizes, mut made) = (HashMap::<Ownership, Size>::new(), HashMap::<(Ownership, Option<u32>), Size>::new());
    let mut placements = layout.placements.iter();
    // Neighbours have the same owner more often than not.
    for neighbours in kinship.owners().chunk_by(Ownership::eq) {
        let owner = neighbours[0];
        let size = sizes.entry(owner).or_default();
        for placement in placements.by_ref().take(neighbours.len()) {
            size.add(placement.reserved);
            if makers.are_known() {
                made.entry((owner, makers.of(placement.block))).or_default().add(placement.reserved);
            }
        }
    }
    let mut made_of = HashMap::<Ownership, Vec<(Option<u32>, Size)>>::new();
    for ((owner, function), size) in made {
        made_of.entry(owner).or_default().push((function, size));
    }
    for made in made_of.values_mut() {
        made.sort_unstable_by_key(|(function, size)| (Reverse(size.bytes), function.map(|number| makers.name(number))));
        made.truncate(FUNCTIONS);
    }
    let largest = largest(layout.placements);

    // Those functions that are told of, in the order of their names: numbers are as chance had it.
    let mut named: Vec<u32> = made_of.values().flatten().filter_map(|(function, _)| *function).collect();
    named.extend(largest.iter().filter_map(|placement| makers.of(placement.block)));
    named.sort_unstable_by_key(|number| makers.name(*number));
    named.dedup();
    let index = |number: u32| named.iter().position(|other| *other == number);

    let part = |owner, shares| Part {
        size: sizes.get(&owner).copied().unwrap_or_default(),
        shares,
        functions: made_of.get(&owner).map_or_else(Vec::new, |made| {
            made.iter().map(|(function, size)| Made { function: function.and_then(index), size: *size }).collect()
        }),
    };
    Contents {
        roots: (0..).zip(kinship.shares()).map(|(number, shares)| part(Ownership::Root(number), *shares)).collect(),
        shared: part(Ownership::Shared, None),
        statics: part(Ownership::Statics, None),
        carried: 0,
        overflow: 0,
        largest: largest
            .into_iter()
            .map(|placement| Large {
                bytes: placement.reserved,
                function: makers.of(placement.block).and_then(index),
                way: objects.way_to(placement),
            })
            .collect(),
        functions: makers.are_known().then(|| named.iter().map(|number| makers.name(*number).to_owned()).collect()),
    }
}

/// The largest objects, the largest first; of equal ones those that lie first.
fn largest(placements: &[Placement]) -> Vec<&Placement> {
    let mut largest: Vec<&Placement> = Vec::with_capacity(LARGEST + 1);
    for placement in placements {
        let at = largest.partition_point(|other| other.reserved >= placement.reserved);
        if at < LARGEST {
            largest.insert(at, placement);
            largest.truncate(LARGEST);
        }
    }
    largest
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use std::collections::BTreeSet;

    /// A report in which nothing is left out.
    fn full() -> Report {
        let part = Part { shares: Some(Size::default()), functions: vec![Made::default()], ..Part::default() };
        let contents = Contents {
            roots: vec![part.clone()],
            shared: Part { shares: None, ..part.clone() },
            statics: Part { shares: None, ..part },
            functions: Some(vec!["a::f".to_owned()]),
            largest: vec![Large::default()],
            ..Contents::default()
        };
        Report { plan: Some(Fit::default()), contents: Some(contents), ..Report::default() }
    }

    /// The names of all fields, with what they are in.
    fn names(value: &Value, prefix: &str, into: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    let path = format!("{prefix}{name}");
                    names(value, &format!("{path}."), into);
                    into.insert(path);
                }
            }
            Value::Array(values) => values.iter().for_each(|value| names(value, prefix, into)),
            _ => {}
        }
    }

    #[test]
    fn the_documentation_has_every_field() {
        let document = include_str!("../../../docs/image-format.md");
        let table = document.split_once("### Report").and_then(|(_, rest)| rest.split_once("| field | meaning |"));
        let rows = table.expect("the table is there").1.lines().skip(2).take_while(|line| line.starts_with('|'));
        let documented: BTreeSet<&str> = rows.filter_map(|row| row.split('`').nth(1)).collect();
        let mut found = BTreeSet::new();
        names(&serde_json::to_value(full()).expect("a report is JSON"), "", &mut found);
        // What the text before the table and the rows of the fields around them say.
        let explained = ["objects", "bytes", "function", "way"];
        let by_itself = |path: &&String| {
            let (parent, name) = path.rsplit_once('.').unwrap_or(("", path));
            let part_of_shared = name == "functions" && ["contents.shared", "contents.statics"].contains(&parent);
            !(part_of_shared || parent.starts_with("contents") && explained.contains(&name))
        };
        let found: BTreeSet<&str> = found.iter().filter(by_itself).map(String::as_str).collect();
        assert_eq!(found, documented);
    }

    #[test]
    fn reports_survive_the_journey() {
        for report in [full(), Report::default(), Report { contents: Some(Contents::default()), ..full() }] {
            let text = serde_json::to_vec(&report).expect("a report is JSON");
            assert_eq!(serde_json::from_slice::<Report>(&text).expect("and is read again"), report);
        }
    }

    #[test]
    fn the_largest_come_first_and_of_equal_ones_those_that_lie_first() {
        let sizes = [5, 9, 1, 9, 7, 7, 7, 7, 7, 7, 7, 3, 10];
        let placement =
            |(offset, reserved): (u64, &u64)| Placement { offset, reserved: *reserved, ..Placement::default() };
        let placements: Vec<Placement> = (0..).zip(&sizes).map(placement).collect();
        let found: Vec<_> =
            largest(&placements).iter().map(|placement| (placement.reserved, placement.offset)).collect();
        let expected = [(10, 12), (9, 1), (9, 3), (7, 4), (7, 5), (7, 6), (7, 7), (7, 8), (7, 9), (7, 10)];
        assert_eq!(found, expected);
    }
}
