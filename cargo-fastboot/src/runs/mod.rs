//! Freeze runs: starts the binary, and reads what it captures while it does.

pub(crate) mod capture;
pub(crate) mod forms;
pub(crate) mod incoming;
pub(crate) mod inputs;
pub(crate) mod memory;
pub(crate) mod processor;
pub(crate) mod records;
pub(crate) mod run;
pub(crate) mod spare;
pub(crate) mod wait;
pub(crate) mod why;
pub(crate) mod world;
