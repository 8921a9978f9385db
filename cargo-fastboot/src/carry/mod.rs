//! Which statics that changed travel in the image.

pub(crate) mod attribute;
pub(crate) mod carried;
pub(crate) mod changes;
pub(crate) mod decide;
pub(crate) mod dropped;
pub(crate) mod flags;
pub(crate) mod known;
mod linked;
pub(crate) mod outside;
pub(crate) mod policy;
pub(crate) mod rules;
pub(crate) mod thread_local;
