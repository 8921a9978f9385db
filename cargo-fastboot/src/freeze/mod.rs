//! The way from a cold binary to its image, and what is done around it: judged, trained, verified, and not done again.

mod asked;
mod cause;
mod causes;
pub(crate) mod compare_runs;
mod disguised;
mod evidence;
pub(crate) mod finish;
pub(crate) mod fresh;
mod halving;
mod judge;
mod judge_world;
mod layouts;
mod levels;
pub(crate) mod pipeline;
mod place;
mod process_words;
mod proving;
mod running;
mod seen;
mod sharing;
mod stages;
mod threads;
pub(crate) mod train;
pub(crate) mod verify;
mod whose;
mod worlds;
