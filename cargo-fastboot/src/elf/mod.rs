//! What ELF files say about themselves: where the `fastboot` section is, which bytes a static has, what a symbol is called.

pub(crate) mod binary;
pub(crate) mod c_objects;
pub(crate) mod cpuid;
pub(crate) mod instructions;
pub(crate) mod names;
pub(crate) mod own;
pub(crate) mod spans;
pub(crate) mod strip;
