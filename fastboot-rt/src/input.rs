//! Inputs: what the value of a root depends on besides the program, declared by the expression that reads it.
//!
//! `cargo fastboot build` freezes again when an input has changed, and reuses the image when none has.

use std::ffi::{OsStr, OsString};
use std::path::Path;

/// Declares that what is frozen depends on a file, or on everything in a folder. Returns the path, for use on the spot.
///
/// Relative paths start from the current folder, which is the package's while freezing. A file that is not there may
/// be declared too: the build is frozen again when it appears. Outside of a freeze nothing happens.
///
/// Files that are opened without having been declared are inputs as well if `cargo fastboot` notices, with a warning. It
/// cannot notice everything (see `docs/how-it-works.md`); what is declared is certain.
///
/// ```
/// fastboot_rt::frozen! {
///     static WORDS: Vec<String> = {
///         let text = std::fs::read_to_string(fastboot_rt::input("words.txt")).unwrap_or_default();
///         text.lines().map(str::to_owned).collect()
///     };
/// }
/// # assert!(WORDS.is_empty());
/// ```
pub fn input<P: AsRef<Path>>(path: P) -> P {
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    crate::freeze::observe::inputs_seen::declare_file(path.as_ref());
    path
}

/// Declares that what is frozen depends on an environment variable. Returns its value, as [`std::env::var_os`] does.
///
/// ```
/// let locale = fastboot_rt::input_env("BUILD_LOCALE").unwrap_or_else(|| "en".into());
/// # assert_eq!(locale, "en");
/// ```
pub fn input_env(name: impl AsRef<OsStr>) -> Option<OsString> {
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    crate::freeze::observe::inputs_seen::declare_variable(name.as_ref());
    std::env::var_os(name)
}
