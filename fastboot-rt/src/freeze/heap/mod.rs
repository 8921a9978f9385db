//! Where the allocations of a freeze run lie.

#[allow(unsafe_code)]
pub(crate) mod arena;
#[allow(unsafe_code)]
pub(crate) mod place;
#[allow(unsafe_code)]
pub(crate) mod scratch;
