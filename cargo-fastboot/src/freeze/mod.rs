//! The way from a cold binary to its image, and what is done around it: judged, trained, verified, and not done again.

pub(crate) mod compare_runs;
mod disguised;
pub(crate) mod fresh;
mod judge;
pub(crate) mod pipeline;
mod stages;
mod threads;
pub(crate) mod train;
pub(crate) mod verify;
