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
//! captured) and `watch` (what it reads, noted) → [`capture`] (handed to the tool) → [`mod@format`] (what the tool makes of it) → `thaw` (back at start, from
//! `section`, `footer` or `snapshot`, at home or where `relocate` makes it right).
//!
//! # Invariants
//! - Without an image the program behaves the same, only slower.
//! - Thawing never panics and never allocates; whatever is wrong, the roots are evaluated as if fastboot were not there.
//! - [`mod@format`] and [`capture`] do no I/O and have no `unsafe`.
//! - Only Linux on x86-64 thaws. Elsewhere everything compiles to lazily evaluated statics.

#![deny(unsafe_code)]

mod cold;
mod input;
#[allow(unsafe_code)]
pub mod roots;

#[allow(unsafe_code)]
pub mod alloc;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[allow(unsafe_code)]
mod arena;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod c_heap;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod check;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[allow(unsafe_code)]
mod freeze;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod left;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[allow(unsafe_code)]
mod lock;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[allow(unsafe_code)]
mod mask;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[allow(unsafe_code)]
mod number;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[allow(unsafe_code)]
mod place;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[allow(unsafe_code)]
mod plan;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[allow(unsafe_code)]
mod scratch;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[allow(unsafe_code)]
mod trace;

pub mod capture;
#[cfg(feature = "defer")]
pub mod defer;
pub mod format;
pub mod statics;

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod cache;
#[allow(unsafe_code)]
pub mod cpu;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[allow(unsafe_code)]
mod first_run;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod footer;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod path;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[allow(unsafe_code)]
mod relocate;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[allow(unsafe_code)]
mod section;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod snapshot;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[allow(unsafe_code)]
mod sys;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[allow(unsafe_code)]
mod thaw;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod train;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[allow(unsafe_code)]
mod watch;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[allow(unsafe_code)]
mod wrap;

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[allow(unsafe_code)]
mod start;

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[allow(unsafe_code)]
pub mod verity;

#[allow(unsafe_code)]
mod install;

pub use alloc::FastbootAlloc;
pub use input::{input, input_env};
pub use install::{CacheDir, FreezeError, freeze_now};
pub use roots::{Checked, Frozen, Source};

/// What the macros need. Not for use by hand.
#[doc(hidden)]
pub mod __private {
    pub use crate::format::{HEADER_LEN, Header};
    pub use crate::install::Config;
    pub use crate::roots::{CompareNot, ComparePartialEq, Probe, RootRecord};
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    pub use crate::start::{Constructor, Placeholder, start};
}
