//! Whose: the root or static that a word belongs to, and what is to be said of it.

use super::cause::{Cause, Finding};
use super::evidence::evidence;
use super::seen::{Blamed, Seen};
use super::stages::Frozen;
use crate::contents::objects::Objects;
use crate::runs::world::Difference;
use fastboot_format::image::PAGE;
use std::collections::BTreeSet;

const WORD: u64 = 8;
/// Crates whose statics hold what they drew by lot: another value in each run is what they are for.
const DRAWN_BY_LOT: [&str; 5] = ["foldhash", "ahash", "fastrand", "rand", "const_random"];

/// Whose words are.
pub(super) struct Names<'a> {
    pub(super) frozen: &'a Frozen,
    /// Names of the carried statics, and where their bytes are.
    pub(super) statics: Vec<(String, std::ops::Range<u64>)>,
    pub(super) objects: Option<&'a Objects<'a>>,
}

impl Names<'_> {
    /// The root or static that a word belongs to, and whether it is a static.
    pub(super) fn owner(&self, at: u64) -> Option<(&str, bool)> {
        if let Some((name, _)) = self.statics.iter().find(|(_, range)| range.contains(&at)) {
            return Some((name, true));
        }
        // A verbatim image is full of garbage, and so is the overflow.
        let planned = self.frozen.planned.as_ref()?;
        if at + PAGE as u64 >= planned.plan.end {
            return None;
        }
        let name = self.objects?.origin(at)?;
        Some((name, !self.frozen.capture.roots.iter().any(|root| root.name == name)))
    }

    /// Where the object or the static begins that has this word.
    pub(super) fn unit(&self, at: u64) -> u64 {
        if let Some((_, range)) = self.statics.iter().find(|(_, range)| range.contains(&at)) {
            return range.start;
        }
        let placements = self.frozen.planned.as_ref().map_or(&[][..], |planned| &planned.plan.placements);
        let index = placements.partition_point(|placement| placement.offset - PAGE as u64 <= at);
        index.checked_sub(1).map_or(at, |index| placements[index].offset - PAGE as u64)
    }

    /// Whether a word belongs to a static that holds what was drawn by lot, or to nothing that was planned.
    pub(super) fn is_drawn_by_lot(&self, at: u64) -> bool {
        let drawn = |name: &str| DRAWN_BY_LOT.iter().any(|one| name.split("::").next() == Some(one));
        self.owner(at).is_some_and(|(name, is_static)| is_static && drawn(name))
    }

    /// What is to be said of a word that has this cause. Several small objects may lie in it.
    pub(super) fn of_word(&self, at: u64, [here, there]: [u64; 2], cause: &Cause) -> Vec<Finding> {
        let units: Vec<u64> = (0..WORD).map(|byte| self.unit(at + byte)).collect();
        let units = &units;
        let bytes_of = |unit: u64| (0..WORD).filter(move |byte| units[*byte as usize] == unit);
        let changed = |byte: &u64| (here ^ there) >> (byte * 8) & 0xff != 0;
        let finding = |unit: u64| {
            let (name, is_static) = self.owner(at + bytes_of(unit).find(changed)?)?;
            let evidence = match cause {
                Cause::Process | Cause::Thread | Cause::Clock | Cause::Place => String::new(),
                _ => {
                    let mask = bytes_of(unit).fold(0, |mask, byte| mask | 0xff << (byte * 8));
                    evidence([here, there].map(|word: u64| (word & mask) >> mask.trailing_zeros()))
                }
            };
            Some(Finding { name: name.to_owned(), is_static, cause: cause.clone(), evidence })
        };
        let all: BTreeSet<u64> = (0..WORD).filter(changed).map(|byte| self.unit(at + byte)).collect();
        all.into_iter().filter_map(finding).collect()
    }

    /// What is to be said of a difference with which everything lies otherwise, or nothing ends.
    pub(super) fn of_layout(&self, culprit: &Difference, seen: Seen) -> Vec<Finding> {
        let cause = Cause::World(culprit.clone());
        match seen {
            Seen::Failed(error) => {
                let evidence = format!("{:#}", error.root_cause());
                vec![Finding { name: String::new(), is_static: false, cause, evidence }]
            }
            // If it is nothing that is in the image, it does not matter.
            Seen::Otherwise(blamed) => {
                let finding = |Blamed { name, is_static, values }| {
                    let evidence = evidence(values);
                    Finding { name, is_static, cause: cause.clone(), evidence }
                };
                blamed.into_iter().map(finding).collect()
            }
            Seen::Words(..) => Vec::new(),
        }
    }
}

/// Where the first byte is that differs in a word.
pub(super) fn first_byte(at: u64, [here, there]: [u64; 2]) -> u64 {
    at + u64::from((here ^ there).trailing_zeros() / 8).min(WORD - 1)
}
