//! What the tool and the runtime of fastboot share: `cargo-fastboot` writes it, `fastboot-rt` reads it, or the other way
//! round. Not for use by hand: any version may change all of it.
//!
//! | module | holds |
//! |---|---|
//! | [`image`] | the image format: what lies in a frozen program, and what a start makes of it |
//! | [`protocol`] | what passes between the tool and a process that freezes, checks or trains |
//! | [`features`] | the processor features that an image may depend on |
//! | [`statics`] | which of a program's statics changed, and which of them an image refers to |
//!
//! Nothing here does I/O or has `unsafe`.

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod features;
pub mod image;
pub mod protocol;
pub mod statics;
