//! What expressions read, leave behind, and allocate elsewhere.

pub(crate) mod c_heap;
#[allow(unsafe_code)]
pub(crate) mod inputs_seen;
pub(crate) mod leftovers;
