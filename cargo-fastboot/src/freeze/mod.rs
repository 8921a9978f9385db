//! The way from a cold binary to its image, and what is done around it: judged, trained, verified, and not done again.

mod disguised;
pub(crate) mod fresh;
mod judge;
pub(crate) mod pipeline;
mod stages;
pub(crate) mod train;
pub(crate) mod verify;
