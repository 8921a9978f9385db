//! Stages: what passes from one stage of a freeze to the next.

use super::seen::Shown;
use crate::carry::carried::Statics;
use crate::contents::makers::Makers;
use crate::contents::objects::{Kinship, ObjectLayout, Objects, Origin};
use crate::contents::report::Contents;
use crate::elf::binary::{Binary, Twin};
use crate::image::Pages;
use crate::options::FreezeOptions;
use crate::plan::placement::{Placement, Plan};
use crate::prove::proof::Proof;
use crate::runs::capture::Capture;
use crate::runs::inputs::Inputs;
use crate::runs::memory::{ImageData, word_at};
use crate::runs::run::Purpose;
use crate::runs::world::Difference;
use crate::say::shell::Shell;
use anyhow::Result;
use fastboot_format::image::{Answer, PAGE};
use fastboot_format::statics::{Reference, words};
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};
use tempfile::TempDir;

/// What all runs of one freeze have in common.
pub(super) struct Freezing<'a> {
    pub(super) binary: &'a Binary,
    /// What run 3 runs, if it is another one.
    pub(super) twin: Option<Twin<'a>>,
    pub(super) options: &'a FreezeOptions,
    pub(super) folder: &'a Path,
    pub(super) shell: &'a Shell,
    /// Statics that are carried because they share objects with the image.
    pub(super) along: Mutex<BTreeSet<String>>,
    /// What `cpuid` was asked for in runs that did not see all features, and answered with bits that nobody knows.
    pub(super) asked: Mutex<BTreeSet<Answer>>,
    /// In what the proving run is to differ, and folders of that world. Known after run 1.
    pub(super) elsewhere: OnceLock<(Vec<Difference>, Vec<TempDir>)>,
    /// What statics are to hold before anything is evaluated. Known after run 1.
    pub(super) presets: OnceLock<Vec<(u64, Vec<u8>)>>,
    /// In what each run differs.
    pub(super) always: &'a [Difference],
}

/// A plan, and what it came from.
pub(super) struct Planned {
    pub(super) plan: Plan,
    /// Where the plan is for the next run.
    pub(super) path: PathBuf,
    /// Until it is known whose the objects are.
    pub(super) first: Option<First>,
}

/// What is known from run 1.
pub(super) struct First {
    pub(super) capture: Capture,
    /// What marking began with.
    pub(super) origins: Vec<Origin>,
    /// Whether there is memory for all this until all runs have ended.
    pub(super) is_small: bool,
}

/// Image data, not yet proved.
pub(super) struct Frozen {
    pub(super) capture: Capture,
    pub(super) inputs: Inputs,
    pub(super) data: ImageData,
    /// `None` for a verbatim freeze.
    pub(super) planned: Option<Planned>,
    /// With a plan: where its objects come from.
    pub(super) kinship: Option<Kinship>,
}

/// What runs 1 and 2 left.
pub(super) struct Placed {
    pub(super) frozen: Frozen,
    pub(super) statics: Statics,
    /// Run 3, if it was made at the same time.
    pub(super) second: Option<Capture>,
}

/// The captured memory from behind the header page on, and behind it the bytes of the carried statics.
pub(super) fn image_data(capture: &mut Capture, statics: &Statics) -> Result<ImageData> {
    let memory = capture.memory_len().next_multiple_of(8);
    let mut data = capture.take_memory()?;
    data.grow((memory + statics.carried_len()).max(8))?;
    statics.copy(capture, &mut data[memory as usize..])?;
    Ok(data)
}

/// Image data, and what is found out about it.
pub(super) struct Examined {
    pub(super) frozen: Frozen,
    pub(super) statics: Statics,
    pub(super) proof: Proof,
    pub(super) shown: Shown,
    /// To statics that are not carried.
    pub(super) references: Vec<Reference>,
    pub(super) pages: Pages,
    /// If there was a plan.
    pub(super) contents: Option<Contents>,
}

impl Planned {
    /// The root or static from which marking met what lies at an offset in the image data.
    pub(super) fn origin(&self, offset: u64) -> Option<&str> {
        let placements = &self.plan.placements;
        let behind = placements.partition_point(|placement| placement.offset <= offset + PAGE as u64);
        let seed = placements.get(behind.checked_sub(1)?)?.seed as usize;
        self.first.as_ref()?.origins.get(seed)?.name()
    }
}

impl First {
    /// Finds out whose each object of some image data is.
    pub(super) fn relate(mut self, binary: &Binary, layout: ObjectLayout<'_>) -> Result<Kinship> {
        let bytes = self.capture.take_blocks()?;
        Ok(Kinship::find(layout, &bytes, self.origins, Makers::find(binary, &self.capture)?))
    }
}

impl Frozen {
    /// Where the plan has objects; nowhere in a verbatim image.
    pub(super) fn placements(&self) -> &[Placement] {
        self.planned.as_ref().map_or(&[][..], |planned| &planned.plan.placements)
    }

    /// What a run is for that is to leave the same.
    pub(super) fn purpose(&self) -> Purpose<'_> {
        self.planned.as_ref().map_or(Purpose::Verbatim, |planned| Purpose::Place(&planned.path))
    }

    /// Where in the image data lies what was allocated against the plan.
    pub(super) fn overflow(&self) -> Option<Range<u64>> {
        let start = self.planned.as_ref()?.plan.end - PAGE as u64;
        Some(start..self.capture.memory_len().max(start))
    }

    /// The way to an offset in the image data; where nothing was planned, at least what was being evaluated when it was
    /// allocated.
    pub(super) fn way(&self, objects: Option<&Objects<'_>>, offset: u64) -> String {
        if let Some(way) = objects.and_then(|objects| objects.way(offset)) {
            return way;
        }
        match self.capture.allocated_for(offset).filter(|_| !self.is_planned(offset)) {
            Some(root) => format!("what was allocated for root `{root}`, at offset {offset:#x} of the image data"),
            None => format!("what is no root's, at offset {offset:#x} of the image data"),
        }
    }

    /// Whether the word at an offset in the image data is the handle of the thread that evaluated: the standard library has the
    /// same among the thread's own data, as an address behind the two counts of an `Arc`.
    pub(super) fn has_thread_at(&self, offset: u64) -> bool {
        const COUNTS: u64 = 16;
        let handle = word_at(&self.data, offset).map(|word| word.wrapping_add(COUNTS));
        words(&self.capture.thread_locals.after).any(|(_, word)| Some(word) == handle)
    }

    /// Where in the image data the roots' values are.
    pub(super) fn values(&self) -> Vec<u64> {
        let start = self.capture.data_address();
        let values = self.capture.roots.iter().filter(|root| root.size >= 8);
        values.filter_map(|root| root.value.checked_sub(start)).collect()
    }

    /// The root or static that an offset in the image data belongs to, by its name.
    pub(super) fn origin<'a>(&'a self, objects: Option<&Objects<'a>>, offset: u64) -> Option<&'a str> {
        let known = objects.and_then(|objects| objects.origin(offset));
        known.or_else(|| self.capture.allocated_for(offset).filter(|_| !self.is_planned(offset)))
    }

    /// Whether an offset in the image data is that of something that was planned.
    pub(super) fn is_planned(&self, offset: u64) -> bool {
        self.planned.as_ref().is_some_and(|planned| offset + (PAGE as u64) < planned.plan.end)
    }

    /// Where the objects that were planned lie; `statics` is where the bytes of carried statics are.
    pub(super) fn layout<'a>(&'a self, statics: &'a [(String, Range<u64>)]) -> Option<ObjectLayout<'a>> {
        let (placements, roots) = (&self.planned.as_ref()?.plan.placements, &self.capture.roots);
        Some(ObjectLayout { data: &self.data, address: self.capture.data_address(), placements, roots, statics })
    }

    /// These objects, with all that is known about them.
    pub(super) fn objects<'a>(&'a self, statics: &'a [(String, Range<u64>)]) -> Option<Objects<'a>> {
        Some(Objects { layout: self.layout(statics)?, kinship: self.kinship.as_ref()? })
    }
}
