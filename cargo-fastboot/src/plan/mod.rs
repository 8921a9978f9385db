//! Which objects are reached, and where in the image they go.

pub(crate) mod buckets;
pub(crate) mod mark;
pub(crate) mod placement;
pub(crate) mod shared;
