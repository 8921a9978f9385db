//! The system calls of the runtime, and what the kernel tells a process about itself. All of it is here.

pub(crate) mod assembly;
pub(crate) mod attributes;
pub(crate) mod cpu;
pub(crate) mod cpuid_mask;
pub(crate) mod environment;
pub(crate) mod files;
pub(crate) mod headers;
pub(crate) mod kernel;
pub(crate) mod line;
pub(crate) mod memory;
pub(crate) mod processes;
pub(crate) mod symbols;
pub(crate) mod threads;
pub(crate) mod time;
