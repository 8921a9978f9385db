//! Cause: on what something depends that is another one elsewhere, and what depends on it.

use crate::runs::world::Difference;
use std::collections::BTreeMap;
use std::fmt;

/// Words that differ from those of run 2, by their offsets in the image data: what they were in run 2, and what they are.
pub(super) type Words = BTreeMap<u64, [u64; 2]>;

/// On what something depends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// What differed in that world.
    World(Difference),
    /// Several of these together.
    Together,
    /// The number of the process.
    Process,
    /// The number of a thread.
    Thread,
    /// What time it is.
    Clock,
    /// Where the system loads the executable, and the shared libraries.
    Place,
}

impl Cause {
    /// Whether it is another one in every run.
    pub(super) fn is_chance(&self) -> bool {
        matches!(self, Self::Process | Self::Thread | Self::Clock | Self::Place | Self::World(Difference::Clock))
    }

    /// How to say that it is known, if there is a way, with what leads on to another one.
    pub(super) fn declaration(&self) -> String {
        match self {
            Self::World(Difference::Variable(variable, _)) => {
                format!("declare it with `fastboot_rt::input_env({variable:?})`, or ")
            }
            _ => String::new(),
        }
    }

    /// Whether it is another one in every process.
    pub(super) fn is_the_process(&self) -> bool {
        match self {
            Self::World(difference) => {
                matches!(difference, Difference::Path(..) | Difference::Arguments | Difference::Clock)
            }
            Self::Process | Self::Thread | Self::Clock => true,
            // What holds an address is not another value because of it.
            Self::Together | Self::Place => false,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::World(difference) => return difference.fmt(f),
            Self::Together => "environment, terminal or machine (several of them together)",
            Self::Process => "the process id",
            Self::Thread => "the id of a thread",
            Self::Clock => "the time of the build",
            Self::Place => "where the program lies in memory",
        })
    }
}

/// What depends on something.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    /// The root or static; empty if it is not known.
    pub(super) name: String,
    pub(super) is_static: bool,
    pub(super) cause: Cause,
    /// How that was seen.
    pub(super) evidence: String,
}
