//! The runtime of fastboot: statics whose values are evaluated when the program is built and are simply *there* when
//! it starts.
//!
//! ```
//! use std::collections::BTreeMap;
//!
//! fastboot_rt::install!(); // once, in the binary
//!
//! fastboot_rt::frozen! {
//!     /// Squares by number.
//!     static SQUARES: BTreeMap<u64, u64> = (0..1000).map(|n| (n, n * n)).collect();
//! }
//!
//! fn main() {
//!     assert_eq!(SQUARES[&12], 144);
//! }
//! ```
//!
//! Built with `cargo build`, `SQUARES` is an ordinary static that is evaluated on first use. Built with
//! `cargo fastboot build`, its value is evaluated during the build, the memory it occupies is stored in the binary, and
//! the program starts with it in place: no parsing, no allocation, no `derive`, any type.
//!
//! # Reading order
//! A value's way through this crate: [`roots`] (declared) → `freeze`, [`alloc`] and `place` (evaluated, its memory
//! captured) and `watch` (what it reads, noted) → the protocol of [`fastboot_format`] (handed to the tool) →
//! its image format (what the tool makes of it) → `thaw` (back at start, from `section`, `footer` or `snapshot`, at home or
//! where `relocate` makes it right) → `train` (if the tool asks, what of it is used).
//!
//! # Invariants
//! - Without an image the program behaves the same, only slower.
//! - Thawing never panics and never allocates; whatever is wrong, the roots are evaluated as if fastboot were not there.
//! - Only Linux on x86-64 thaws. Elsewhere everything compiles to lazily evaluated statics.

#![deny(unsafe_code)]

#[allow(unsafe_code)]
pub mod alloc;
mod cold;
mod input;
#[allow(unsafe_code)]
mod install;
#[allow(unsafe_code)]
pub mod roots;

/// Files of serde values whose parts are read when they are touched: the crate `fastboot-defer`.
#[cfg(feature = "defer")]
pub use fastboot_defer as defer;

// The tool finds the bodies of deferred fields by their mark; with another one they would not lie in the cold region.
#[cfg(feature = "defer")]
const _: () = assert!(u64::from_ne_bytes(defer::COLD_MARK) == u64::from_ne_bytes(fastboot_format::protocol::COLD_MARK));

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
use linux::*;

/// What only exists where programs thaw. Its files lie beside the others.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[path = "."]
mod linux {
    pub(crate) mod ahead;
    #[allow(unsafe_code)]
    pub(crate) mod arena;
    pub(crate) mod c_heap;
    pub(crate) mod cache;
    pub(crate) mod check;
    #[allow(unsafe_code)]
    pub(crate) mod cpu;
    #[allow(unsafe_code)]
    pub(crate) mod first_run;
    pub(crate) mod footer;
    #[allow(unsafe_code)]
    pub(crate) mod freeze;
    #[allow(unsafe_code)]
    pub(crate) mod leaks;
    pub(crate) mod left;
    #[allow(unsafe_code)]
    pub(crate) mod lock;
    #[allow(unsafe_code)]
    pub(crate) mod mask;
    #[allow(unsafe_code)]
    pub(crate) mod number;
    pub(crate) mod path;
    #[allow(unsafe_code)]
    pub(crate) mod place;
    #[allow(unsafe_code)]
    pub(crate) mod plan;
    #[allow(unsafe_code)]
    pub(crate) mod relocate;
    #[allow(unsafe_code)]
    pub(crate) mod scratch;
    #[allow(unsafe_code)]
    pub(crate) mod section;
    pub(crate) mod snapshot;
    #[allow(unsafe_code)]
    pub(crate) mod start;
    #[allow(unsafe_code)]
    pub(crate) mod sys;
    #[allow(unsafe_code)]
    pub(crate) mod thaw;
    #[allow(unsafe_code)]
    pub(crate) mod trace;
    pub(crate) mod train;
    #[allow(unsafe_code)]
    pub(crate) mod watch;
    #[allow(unsafe_code)]
    pub(crate) mod wrap;
}

pub use alloc::FastbootAlloc;
pub use input::{input, input_env};
pub use install::{CacheDir, FreezeError, freeze_now};
pub use roots::{Checked, Frozen, Source};

/// What the macros need. Not for use by hand.
#[doc(hidden)]
pub mod __private {
    pub use crate::install::Config;
    pub use crate::roots::{CompareNot, ComparePartialEq, Probe, RootRecord};
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    pub use crate::start::{Constructor, Placeholder, start};
}
