//! Diagnosis: one thing that was looked at, whether it is well, and what to do if not.

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Ok,
    /// Building works, with a restriction.
    Warn,
    /// Building cannot work.
    Fail,
}

/// One line of the report.
#[derive(Debug)]
pub(super) struct Diagnosis {
    pub(super) level: Level,
    pub(super) about: &'static str,
    pub(super) found: String,
    /// What to do about it; for what is not well.
    pub(super) remedy: Option<String>,
}

impl Diagnosis {
    pub(super) fn ok(about: &'static str, found: impl Into<String>) -> Self {
        Self { level: Level::Ok, about, found: found.into(), remedy: None }
    }

    pub(super) fn warn(about: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { level: Level::Warn, about, found: found.into(), remedy: Some(remedy.into()) }
    }

    pub(super) fn fail(about: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { level: Level::Fail, about, found: found.into(), remedy: Some(remedy.into()) }
    }
}
