//! Seen: what a run in another world shows.

use crate::prove::proof::Proof;
use crate::runs::capture::Own;
use crate::runs::memory::ImageData;

/// What a run shows that has run 2's layout.
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
}

/// A root or static, by name, and a word of it.
#[derive(Clone, Debug)]
pub(super) struct Blamed {
    pub(super) name: String,
    pub(super) is_static: bool,
    pub(super) values: [u64; 2],
}
