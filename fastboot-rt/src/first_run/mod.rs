//! First run: a program that has no image freezes itself, for its next start.
//!
//! ```text
//! start ─ no image ─ folder locked ─ HASH.failed written ─┬─ cold, at once
//!                                                         └─ process in the background: the same executable, with the lock
//!                                                              roots evaluated ─ HASH.tmp ─ checked ─ HASH.snap
//! next start ─ thawed from the cache
//! ```
//!
//! [`begin`] is the side of the program that runs; [`freezer`] is the process that freezes; [`now`] waits for one.

#![expect(clippy::result_large_err, clippy::large_enum_variant, reason = "before `main` nothing is allocated")]

mod begin;
mod cache_folder;
mod code;
mod freezable;
mod freezer;
mod installed;
mod now;

pub use code::FIRST_RUN;
pub(crate) use freezable::Begun;

pub(crate) use installed::{FirstRun, Installed, VARIABLE};
pub(crate) use now::freeze_now;
