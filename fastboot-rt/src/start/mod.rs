//! What every start runs, and nothing else: looks for an image and makes it available.

pub(crate) mod cache;
#[allow(unsafe_code)]
pub(crate) mod constructors;
pub(crate) mod footer;
#[allow(unsafe_code)]
pub(crate) mod lsan;
pub(crate) mod outcome;
pub(crate) mod path;
#[allow(unsafe_code)]
mod publish;
pub(crate) mod reason;
#[allow(unsafe_code)]
pub(crate) mod relocate;
#[allow(unsafe_code)]
mod restore;
#[allow(unsafe_code)]
pub(crate) mod section;
pub(crate) mod snapshot;
#[allow(unsafe_code)]
pub(crate) mod thaw;
