//! One file per command, where a command is more than a call.

pub(crate) mod build;
mod compare_run;
pub(crate) mod completions;
pub(crate) mod doctor;
pub(crate) mod embed;
pub(crate) mod inspect;
mod kept;
pub(crate) mod man;
pub(crate) mod new;
