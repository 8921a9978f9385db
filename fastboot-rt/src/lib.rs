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
//! # What you can rely on
//! - Without an image the program behaves the same, only slower.
//! - Thawing never panics and never allocates; whatever is wrong, the roots are evaluated as if fastboot were not there.
//!   With `FASTBOOT_LOG=1` in its environment a program says why; [`Frozen::source`] says so in a test.
//! - Only Linux on x86-64 thaws. Elsewhere everything compiles to lazily evaluated statics.
//!
//! # Features
//! - `defer`: deferred fields, the crate `fastboot-defer` as `fastboot_rt::defer`;
//! - `zstd`: compressed blocks in its files.

// A value's way through this crate: `roots` (declared) → `freeze` (evaluated, its memory captured, what it reads noted) → the
// protocol of `fastboot_format` (handed to the tool) → its image format (what the tool makes of it) → `start` (back at start,
// from the section, the footer or a snapshot, at home or made right for another place). `check` compares what came back with
// a fresh value; `first_run` freezes where the program runs. `entry` decides which of these it is.

#![deny(unsafe_code)]

#[allow(unsafe_code)]
mod alloc;
#[allow(unsafe_code)]
mod config;
mod input;
mod macros;
#[allow(unsafe_code)]
mod roots;

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[allow(unsafe_code)]
mod check;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[allow(unsafe_code)]
mod entry;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[allow(unsafe_code)]
mod first_run;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod freeze;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[allow(unsafe_code)]
mod os;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod start;

/// Files of serde values whose parts are read when they are touched: the crate `fastboot-defer`.
#[cfg(feature = "defer")]
pub use fastboot_defer as defer;

// The tool finds the bodies of deferred fields by their mark; with another one they would not lie in the deferred region.
#[cfg(feature = "defer")]
const _: () =
    assert!(u64::from_ne_bytes(defer::DEFERRED_MARK) == u64::from_ne_bytes(fastboot_format::protocol::DEFERRED_MARK));

pub use alloc::FastbootAlloc;
pub use config::{CacheDir, FreezeError, FreezeErrorKind};
pub use input::{input, input_env};
pub use roots::checked::Checked;
pub use roots::frozen::{Frozen, Source};

/// Freezes this program and waits for the end: evaluates all roots anew in a process of its own and replaces the snapshot
/// in the cache (see [`install!`](crate::install!)), whether there is one or not. This process keeps the values it has; the
/// next start has the new ones. Returns the path of the snapshot.
///
/// For installers, and for when the data that roots are made from has changed.
///
/// # Errors
/// Wherever a start would not freeze either, but for an earlier failure; and if it fails. On targets without images
/// always. [`FreezeError::kind`] tells them apart:
///
/// ```
/// use fastboot_rt::FreezeErrorKind;
///
/// match fastboot_rt::freeze_now() {
///     Ok(snapshot) => println!("the next start uses {}", snapshot.display()),
///     Err(error) if error.kind() == FreezeErrorKind::Busy => println!("somebody else does it already"),
///     Err(error) => eprintln!("{error}"), // "cannot freeze: .."
/// }
/// ```
pub fn freeze_now() -> Result<std::path::PathBuf, FreezeError> {
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    return crate::first_run::freeze_now();
    #[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
    Err(FreezeError::new(FreezeErrorKind::Unsupported, "images exist for Linux on x86-64 only"))
}

/// What the macros need. Not for use by hand.
#[doc(hidden)]
pub mod __private {
    pub use crate::config::Config;
    pub use crate::roots::checked::{CompareNot, ComparePartialEq, Probe};
    pub use crate::roots::record::RootRecord;
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    pub use crate::{
        entry::start,
        first_run::FIRST_RUN,
        start::{constructors::Constructor, section::Placeholder},
    };
}
