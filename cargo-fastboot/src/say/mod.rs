//! Says things on standard error, and writes files.

pub(crate) mod output;
pub(crate) mod remedy;
pub(crate) mod shell;
