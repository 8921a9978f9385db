//! What the test programs say on standard error, so that a test can tell which build expressions ran in which process.
//!
//! ```text
//! evaluated NAME         the build expression of the root NAME ran in this process
//! source NAME SOURCE     the value of the root NAME came from SOURCE
//! ```

#[doc(hidden)]
pub use fastboot_rt::Frozen;

/// Runs the build expression of the root `name`, and says so.
pub fn evaluated<T>(name: &str, build: impl FnOnce() -> T) -> T {
    eprintln!("evaluated {name}");
    build()
}

/// Says of each root where its value came from.
#[macro_export]
macro_rules! sources {
    ($($root:path),* $(,)?) => {
        $(eprintln!("source {} {}", stringify!($root), $crate::Frozen::source(&$root));)*
    };
}
