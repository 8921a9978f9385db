//! What a process does that freezes: evaluates the roots, and captures the memory they occupy.

//!
//! From the bottom to the top: each uses those above it in this list, and none below.

#[allow(unsafe_code)]
pub(crate) mod evaluated;
pub(crate) mod heap;
#[allow(unsafe_code)]
mod identity;
#[allow(unsafe_code)]
mod lock;
pub(crate) mod observe;
#[allow(unsafe_code)]
mod placements;
mod prefault;
#[allow(unsafe_code)]
pub(crate) mod random;
#[allow(unsafe_code)]
pub(crate) mod run;
mod shims;
#[allow(unsafe_code)]
pub(crate) mod tell;
#[allow(unsafe_code)]
mod trace;
#[allow(unsafe_code)]
mod write;
