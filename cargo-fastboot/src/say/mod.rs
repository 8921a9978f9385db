//! Says things on standard error, and writes files.

pub(crate) mod output;
pub(crate) mod shell;
