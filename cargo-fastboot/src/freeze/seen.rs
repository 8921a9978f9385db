//! Seen: what a run in another world shows.

use crate::prove::proof::Proof;
use crate::runs::capture::Own;
use crate::runs::memory::ImageData;
use fastboot_format::features::Mask;
use std::collections::BTreeSet;

/// What a run shows that has run 2's layout.
#[expect(clippy::large_enum_variant, reason = "there are a handful in a freeze")]
pub(super) enum Seen {
    /// The comparison, what belongs to the process, and its image data.
    Words(Proof, Own, ImageData),
    /// It has another layout. Roots and statics whose own bytes differ, each with a word.
    Otherwise(Vec<Blamed>),
    /// It came to no end.
    Failed(anyhow::Error),
}

/// What the proof was made of.
pub(super) struct Shown {
    /// What belongs to the process that was compared.
    pub(super) own: Own,
    /// What came of another world, if that could not be compared.
    pub(super) otherwise: Option<Seen>,
    /// What came of that world with these processor features as well, if it was looked at.
    pub(super) with_more: Option<(Mask, Seen)>,
    /// If the proof was made with these features, and on as many processors as run 2, because it came to nothing otherwise:
    /// what came of that.
    pub(super) only_middle: Option<Seen>,
}

/// A root or static, by name, and a word of it.
#[derive(Clone, Debug)]
pub(super) struct Blamed {
    pub(super) name: String,
    pub(super) is_static: bool,
    pub(super) values: [u64; 2],
}

impl Seen {
    /// The roots that are others in a run of another layout, or the one that fails.
    pub(super) fn roots(&self) -> BTreeSet<String> {
        match self {
            Self::Words(..) => BTreeSet::new(),
            Self::Otherwise(blamed) => blamed.iter().map(|blamed| blamed.name.clone()).collect(),
            Self::Failed(error) => {
                let said = format!("{error:#}");
                let name = said.split_once("root `").and_then(|(_, rest)| Some(rest.split_once('`')?.0.to_owned()));
                name.into_iter().collect()
            }
        }
    }
}
