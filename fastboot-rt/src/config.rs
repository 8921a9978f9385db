//! Install: what makes a program one that can be frozen, what it says of itself, and what it can ask for.

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
use crate::first_run::FirstRun;
use core::fmt;
use std::path::PathBuf;

/// Makes the program one that can be frozen: once, in the binary, outside of any function.
///
/// ```
/// fastboot_rt::install!();
/// # fn main() {}
/// ```
///
/// Sets the global allocator. To keep another one, name its type (a unit struct), or its type and how to make it:
///
/// ```ignore
/// fastboot_rt::install!(mimalloc::MiMalloc);
/// fastboot_rt::install!(MyAllocator = MyAllocator::new());
/// ```
///
/// # Snapshots
/// A program whose image is in a file of its own (`cargo fastboot freeze`) says where that is, with a constant; a path
/// that does not begin with `/` is relative to the folder of the executable. The user can name another file in the
/// environment variable `FASTBOOT_SNAPSHOT`.
///
/// ```ignore
/// fastboot_rt::install!(snapshot = "app.snap");
/// fastboot_rt::install!(mimalloc::MiMalloc, snapshot = "/usr/lib/app/app.snap");
/// ```
///
/// A snapshot belongs to one build of one binary, and no other is used. `unsafe unchecked_snapshot` uses the one at that path
/// whatever it belongs to:
///
/// ```ignore
/// fastboot_rt::install!(unsafe unchecked_snapshot = "app.snap");
/// ```
///
/// With that you promise, of any file that can be there: each function, vtable, constant and static that the values refer
/// to, or that the snapshot carries, is at the same address in this binary as in the one it was frozen from (in a
/// position-independent one, at the same distance from its load address) and means the same; and so do the types of all
/// values, their own and those they lead to. The compiler promises nothing of the kind between two builds, even of the same
/// source. It holds for a binary that was only changed after it was linked, in bytes that no value depends on. What is still
/// checked: that the file is whole and trusted, the processor, the number of the roots, and of each the size, the alignment
/// and the name of its type. `docs/safety.md` has more.
///
/// # Freezing where the program runs
/// With a [`CacheDir`], a program that finds no image freezes itself: it starts cold and answers at once, while a process in
/// the background evaluates all roots and leaves a snapshot for the next start. That takes a binary from
/// `cargo fastboot build --cold`, and is told in `docs/first-run.md`. It goes together with all other forms, behind them:
///
/// ```ignore
/// fastboot_rt::install!(cache = fastboot_rt::CacheDir::User);
/// fastboot_rt::install!(mimalloc::MiMalloc, snapshot = "app.snap", cache = fastboot_rt::CacheDir::Folder("cache"));
/// ```
///
/// Without `install!`, roots are lazily evaluated statics.
#[macro_export]
macro_rules! install {
    () => {
        $crate::install!(::std::alloc::System = ::std::alloc::System);
    };
    (snapshot = $($rest:tt)+) => {
        $crate::install!(::std::alloc::System = ::std::alloc::System, snapshot = $($rest)+);
    };
    (unsafe $($rest:tt)+) => {
        $crate::install!(::std::alloc::System = ::std::alloc::System, unsafe $($rest)+);
    };
    (cache = $($rest:tt)+) => {
        $crate::install!(::std::alloc::System = ::std::alloc::System, cache = $($rest)+);
    };
    (
        $allocator:path
        $(, snapshot = $snapshot:expr)? $(, unsafe unchecked_snapshot = $unchecked:expr)? $(, cache = $cache:expr)? $(,)?
    ) => {
        $crate::install!(
            $allocator = $allocator
            $(, snapshot = $snapshot)? $(, unsafe unchecked_snapshot = $unchecked)? $(, cache = $cache)?
        );
    };
    (
        $allocator:ty = $value:expr
        $(, snapshot = $snapshot:expr)? $(, unsafe unchecked_snapshot = $unchecked:expr)? $(, cache = $cache:expr)? $(,)?
    ) => {
        const _: () = {
            #[global_allocator]
            // Every start writes to it, too: see `frozen!`.
            #[cfg_attr(all(target_os = "linux", target_arch = "x86_64"), unsafe(link_section = "fastboot_values"))]
            static ALLOCATOR: $crate::FastbootAlloc<$allocator> = $crate::FastbootAlloc::with($value);

            static CONFIG: $crate::__private::Config = {
                let config = $crate::__private::Config::__new(match ::core::option_env!("CARGO_BIN_NAME") {
                    ::core::option::Option::Some(name) => name,
                    ::core::option::Option::None => ::core::module_path!(),
                });
                $(let config = config.__snapshot($snapshot);)?
                // SAFETY: whoever wrote `unsafe` promised what `install!` asks for.
                $(let config = unsafe { config.__unchecked_snapshot($unchecked) };)?
                $(let config = config.__cache($cache);)?
                config
            };

            $crate::__install_section!(ALLOCATOR, CONFIG);
        };
    };
}

/// The part of [`install!`](crate::install) that only exists where images do.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __install_section {
    ($allocator:ident, $config:ident) => {
        /// Becomes the `fastboot` section; embedding gives that section the image.
        #[used]
        #[unsafe(link_section = "fastboot")]
        static SECTION: $crate::__private::Placeholder = $crate::__private::Placeholder::new();

        #[unsafe(link_section = ".text.fastboot")]
        extern "C" fn start(
            count: ::core::ffi::c_int,
            arguments: *const *const ::core::ffi::c_char,
            environment: *const *const ::core::ffi::c_char,
        ) {
            $crate::__private::start(&SECTION, $allocator.__state(), &$config, (START, count, arguments, environment));
        }

        // After the standard library's own entry (.init_array.00099), which keeps the arguments, and before those
        // without a number, which are the user's.
        #[used]
        #[unsafe(link_section = ".init_array.00100")]
        static START: $crate::__private::Constructor = start;
    };
}

/// There are none here.
#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
#[doc(hidden)]
#[macro_export]
macro_rules! __install_section {
    ($allocator:ident, $config:ident) => {
        const _: &$crate::__private::Config = &$config;
    };
}

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
    /// What it does that for: the code that no other program needs.
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    pub(crate) first_run: Option<&'static FirstRun>,
}

impl Config {
    #[doc(hidden)]
    pub const fn __new(program: &'static str) -> Self {
        Self {
            program,
            snapshot: None,
            unchecked: false,
            cache: None,
            #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
            first_run: None,
        }
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
        Self {
            cache: Some(cache),
            #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
            first_run: Some(&FirstRun::CODE),
            ..self
        }
    }
}

/// Why [`freeze_now`] left no snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FreezeError(pub(crate) String);

impl fmt::Display for FreezeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot freeze: {}", self.0)
    }
}

impl core::error::Error for FreezeError {}

/// Freezes this program and waits for the end: evaluates all roots anew in a process of its own and replaces the snapshot
/// in the cache (see [`install!`](crate::install!)), whether there is one or not. This process keeps the values it has; the
/// next start has the new ones. Returns the path of the snapshot.
///
/// For installers, and for when the data that roots are made from has changed.
///
/// # Errors
/// Wherever a start would not freeze either, but for an earlier failure; and if it fails. On targets without images
/// always.
pub fn freeze_now() -> Result<PathBuf, FreezeError> {
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    return crate::first_run::freeze_now();
    #[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
    Err(FreezeError("images exist for Linux on x86-64 only".to_owned()))
}
