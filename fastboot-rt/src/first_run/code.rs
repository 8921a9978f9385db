//! Code: what a program with a cache has, and no other.

use super::installed::{FirstRun, Installed};
use super::{begin, freezer};
use crate::start::cache::Home;
use crate::start::reason::Reason;
use crate::start::relocate::Stored;

/// The functions of this folder. A constant, so that only a program that names it refers to them.
#[doc(hidden)]
pub const FIRST_RUN: FirstRun = FirstRun { freeze: freezer::run, look, begin: begin::begin };

/// The snapshot in the cache.
fn look(installed: &Installed, identity: [u8; 32]) -> Result<Stored, Reason> {
    // SAFETY: a start looks before `main`.
    installed.cache(identity).ok_or(Reason::NotCached)?.image(&unsafe { Home::of_start() })
}
