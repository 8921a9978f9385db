//! Functions that stand in place of the C library's while a program freezes.

#[allow(unsafe_code)]
pub(crate) mod clock;
#[allow(unsafe_code)]
mod files;
#[allow(unsafe_code)]
pub(crate) mod folder;
#[allow(unsafe_code)]
mod memory;
#[allow(unsafe_code)]
pub(crate) mod random;
#[allow(unsafe_code)]
mod threads;
#[allow(unsafe_code)]
pub(crate) mod user;
