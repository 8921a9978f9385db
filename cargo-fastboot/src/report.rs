//! Report: what an image is made of, for people. Made when a binary is frozen, stored in the image as JSON, and shown by
//! `inspect`, wherever the image has got to by then.
//!
//! Nothing of it depends on the proof, where addresses are random, or on the folder: equal builds have equal reports.

use crate::capture::Counts;
use serde::{Deserialize, Serialize};

/// What an image is made of. `docs/image-format.md` says what each field means.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) objects: u64,
    pub(crate) live: u64,
    pub(crate) plan: Option<Fit>,
}

/// How well a plan fitted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fit {
    pub(crate) planned: u64,
    pub(crate) placed: u64,
    pub(crate) overflowed: u64,
    pub(crate) strayed: u64,
}

impl Report {
    /// The report of a freeze whose last run counted this, with so many bytes of carried statics. `planned`: how many
    /// objects had a place, if there was a plan.
    pub(crate) fn new(counts: Counts, planned: Option<usize>, carried: u64) -> Self {
        let Counts { strayed, placed, overflowed, objects, live, .. } = counts;
        let plan = planned.map(|planned| Fit { planned: planned as u64, placed, overflowed, strayed });
        Self { objects, live: live + carried, plan }
    }
}
