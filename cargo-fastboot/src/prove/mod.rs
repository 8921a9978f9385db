//! What the words of an image are: data, pointers into the image, pointers into the executable, and others.

pub(crate) mod bindings;
mod c_heap;
pub(crate) mod compare;
pub(crate) mod disguise;
pub(crate) mod foreign;
mod overwritten;
pub(crate) mod proof;
pub(crate) mod regions;
