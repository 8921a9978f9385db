//! What a process does that freezes: evaluates the roots, and captures the memory they occupy.

pub(crate) mod heap;
#[allow(unsafe_code)]
pub(crate) mod identity;
#[allow(unsafe_code)]
pub(crate) mod lock;
pub(crate) mod observe;
#[allow(unsafe_code)]
pub(crate) mod placements;
pub(crate) mod prefault;
#[allow(unsafe_code)]
pub(crate) mod run;
pub(crate) mod shims;
#[allow(unsafe_code)]
pub(crate) mod trace;
#[allow(unsafe_code)]
pub(crate) mod write;
