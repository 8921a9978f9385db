//! Noise: what makes one freeze run allocate otherwise than the one before, so that plans are wrong.

use std::io::Write;

/// How this run differs from others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Noise {
    pub(crate) kind: Kind,
    /// How many runs there were before this one.
    pub(crate) run: u64,
}

/// In which way runs differ: the variable `TRACE_NOISE`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    /// In none.
    #[default]
    Nothing,
    /// `extra`: some allocate temporaries that others do not.
    Extra,
    /// `swap`: of two equal objects, now the one lives on, now the other.
    Swap,
    /// `slack`: every one reserves more than the one before.
    Slack,
}

impl Noise {
    /// As the environment says. The variable `TRACE_RUNS` names a file that has a byte for each run.
    pub(crate) fn from_environment() -> Self {
        let kind = match std::env::var("TRACE_NOISE").as_deref() {
            Ok("extra") => Kind::Extra,
            Ok("swap") => Kind::Swap,
            Ok("slack") => Kind::Slack,
            _ => return Self::default(),
        };
        let path = std::env::var_os("TRACE_RUNS").expect("TRACE_NOISE needs TRACE_RUNS");
        let mut file = std::fs::File::options().append(true).create(true).open(path).expect("cannot count runs");
        let run = file.metadata().expect("cannot count runs").len();
        file.write_all(b".").expect("cannot count runs");
        // As in programs whose first run fills a cache: in the end they settle.
        let settles = std::env::var_os("TRACE_SETTLES").is_some();
        Self { kind, run: if settles { run.min(2) } else { run } }
    }
}
