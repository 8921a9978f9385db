//! Config: what a program says of itself in `install!`.

use core::fmt;

/// Where a program keeps the snapshot that it makes of itself: one file for each binary, with all roots. See
/// [`install!`](crate::install!).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CacheDir {
    /// In `$XDG_CACHE_HOME`, else in `$HOME/.cache`, in a folder with the program's name.
    User,
    /// In this folder. A path that does not begin with `/` is relative to the folder of the executable.
    Folder(&'static str),
}

/// What a program says in [`install!`](crate::install!).
#[doc(hidden)]
#[derive(Debug)]
#[cfg_attr(not(all(target_os = "linux", target_arch = "x86_64")), expect(dead_code, reason = "there are no images"))]
pub struct Config {
    /// Its name.
    pub(crate) program: &'static str,
    /// Where its snapshot is, if it has one.
    pub(crate) snapshot: Option<&'static str>,
    /// Whether it promises that the snapshot fits it.
    pub(crate) unchecked: bool,
    /// Where it keeps what it makes of itself, if it does that.
    pub(crate) cache: Option<CacheDir>,
}

impl Config {
    #[doc(hidden)]
    pub const fn __new(program: &'static str) -> Self {
        Self { program, snapshot: None, unchecked: false, cache: None }
    }

    #[doc(hidden)]
    pub const fn __snapshot(self, snapshot: &'static str) -> Self {
        Self { snapshot: Some(snapshot), ..self }
    }

    /// # Safety
    /// The promise that [`install!`](crate::install!) asks for.
    #[doc(hidden)]
    pub const unsafe fn __unchecked_snapshot(self, snapshot: &'static str) -> Self {
        Self { snapshot: Some(snapshot), unchecked: true, ..self }
    }

    #[doc(hidden)]
    pub const fn __cache(self, cache: CacheDir) -> Self {
        Self { cache: Some(cache), ..self }
    }
}

/// Why [`freeze_now`](crate::freeze_now) left no snapshot: its [kind](Self::kind), and a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FreezeError {
    kind: FreezeErrorKind,
    text: String,
}

/// A kind of [`FreezeError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FreezeErrorKind {
    /// There are no images here: on this system, for a position-independent executable, under an emulator.
    Unsupported,
    /// The program has no [`install!`](crate::install!), or one without a cache.
    NotInstalled,
    /// The program was not built with `cargo fastboot build --cold`.
    NotBuiltForIt,
    /// The program has no roots.
    NoRoots,
    /// It is not to be: `FASTBOOT=off`, a program with privileges that its user does not have, an expression of a root.
    Refused,
    /// Another process is freezing.
    Busy,
    /// The folder of the cache cannot be used, or no process started.
    System,
    /// An expression failed, or what came of it cannot be kept.
    Failed,
}

impl FreezeError {
    pub(crate) fn new(kind: FreezeErrorKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }

    /// What kind of error it is.
    pub fn kind(&self) -> FreezeErrorKind {
        self.kind
    }
}

impl fmt::Display for FreezeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot freeze: {}", self.text)
    }
}

impl core::error::Error for FreezeError {}
