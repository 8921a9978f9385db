//! What expressions read, leave behind, change in the process, and allocate elsewhere.

pub(crate) mod c_heap;
mod c_library;
#[allow(unsafe_code)]
pub(crate) mod inputs_seen;
pub(crate) mod leftovers;
mod libraries;
mod maps;
pub(crate) mod process_state;
