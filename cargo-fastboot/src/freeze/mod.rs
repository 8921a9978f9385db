//! The way from a cold binary to its image, and what is done around it: judged, trained, verified, and not done again.

mod causes;
pub(crate) mod compare_runs;
mod disguised;
pub(crate) mod finish;
pub(crate) mod fresh;
mod judge;
mod judge_world;
mod layouts;
pub(crate) mod pipeline;
mod proving;
mod running;
mod seen;
mod sharing;
mod stages;
mod threads;
pub(crate) mod train;
pub(crate) mod verify;
