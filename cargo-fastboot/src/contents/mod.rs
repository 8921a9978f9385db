//! Whose the objects of an image are, and which functions made them.

pub(crate) mod makers;
pub(crate) mod objects;
pub(crate) mod report;
