//! The macros: `install!`, `frozen!` and `warm!`.

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
/// With a [`CacheDir`](crate::CacheDir), a program that finds no image freezes itself: it starts cold and answers at once, while a process in
/// the background evaluates all roots and leaves a snapshot for the next start. That takes a binary from
/// `cargo fastboot build --cold`, and is told in `docs/first-run.md`. It goes together with all other forms, in any order:
///
/// ```ignore
/// fastboot_rt::install!(cache = fastboot_rt::CacheDir::User);
/// fastboot_rt::install!(cache = fastboot_rt::CacheDir::Folder("cache"), snapshot = "app.snap", mimalloc::MiMalloc);
/// ```
///
/// Without `install!`, roots are lazily evaluated statics.
#[macro_export]
macro_rules! install {
    ($($parts:tt)*) => {
        $crate::__install! { [] [] [] $($parts)* }
    };
}

// Macros have no names of their own for items: whatever they declare can be seen by expressions of the user's beside it. So
// the names here are such as nobody uses.

/// Sorts what [`install!`](crate::install) was given: allocator, snapshot, cache.
#[doc(hidden)]
#[macro_export]
macro_rules! __install {
    ([$($allocator:tt)*] [] [$($cache:tt)*] snapshot = $snapshot:expr $(, $($rest:tt)*)?) => {
        $crate::__install! { [$($allocator)*] [.__snapshot($snapshot)] [$($cache)*] $($($rest)*)? }
    };
    ([$($allocator:tt)*] [] [$($cache:tt)*] unsafe unchecked_snapshot = $snapshot:expr $(, $($rest:tt)*)?) => {
        $crate::__install! { [$($allocator)*] [unsafe .__unchecked_snapshot($snapshot)] [$($cache)*] $($($rest)*)? }
    };
    ([$($allocator:tt)*] [$($snapshot:tt)*] [] cache = $cache:expr $(, $($rest:tt)*)?) => {
        $crate::__install! { [$($allocator)*] [$($snapshot)*] [$cache] $($($rest)*)? }
    };
    ([$($allocator:tt)*] [$($taken:tt)+] [$($cache:tt)*] snapshot = $($rest:tt)*) => {
        ::core::compile_error!("`install!` takes one snapshot");
    };
    ([$($allocator:tt)*] [$($taken:tt)+] [$($cache:tt)*] unsafe unchecked_snapshot = $($rest:tt)*) => {
        ::core::compile_error!("`install!` takes one snapshot");
    };
    ([$($allocator:tt)*] [$($snapshot:tt)*] [$($taken:tt)+] cache = $($rest:tt)*) => {
        ::core::compile_error!("`install!` takes one cache");
    };
    ([] [$($snapshot:tt)*] [$($cache:tt)*] $allocator:ty = $value:expr $(, $($rest:tt)*)?) => {
        $crate::__install! { [$allocator = $value] [$($snapshot)*] [$($cache)*] $($($rest)*)? }
    };
    ([] [$($snapshot:tt)*] [$($cache:tt)*] $allocator:path $(, $($rest:tt)*)?) => {
        $crate::__install! { [$allocator = $allocator] [$($snapshot)*] [$($cache)*] $($($rest)*)? }
    };
    ([$($taken:tt)+] [$($snapshot:tt)*] [$($cache:tt)*] $($rest:tt)+) => {
        ::core::compile_error!(::core::concat!(
            "`install!` does not know `",
            ::core::stringify!($($rest)+),
            "`: it takes one allocator, `snapshot = ..` or `unsafe unchecked_snapshot = ..`, and `cache = ..`"
        ));
    };
    ([] [$($snapshot:tt)*] [$($cache:tt)*]) => {
        $crate::__install! { [::std::alloc::System = ::std::alloc::System] [$($snapshot)*] [$($cache)*] }
    };
    ([$allocator:ty = $value:expr] [$($snapshot:tt)*] [$($cache:expr)?]) => {
        const _: () = {
            #[global_allocator]
            // Every start writes to it, too: see `frozen!`.
            #[cfg_attr(all(target_os = "linux", target_arch = "x86_64"), unsafe(link_section = "fastboot_values"))]
            static __FASTBOOT_ALLOCATOR: $crate::FastbootAlloc<$allocator> = $crate::FastbootAlloc::with($value);

            static __FASTBOOT_CONFIG: $crate::__private::Config = {
                let config = $crate::__private::Config::__new(match ::core::option_env!("CARGO_BIN_NAME") {
                    ::core::option::Option::Some(name) => name,
                    ::core::option::Option::None => ::core::module_path!(),
                });
                let config = $crate::__snapshot!(config $($snapshot)*);
                $(let config = config.__cache($cache);)?
                config
            };

            $crate::__install_section!(__FASTBOOT_ALLOCATOR, __FASTBOOT_CONFIG, $($cache)?);
        };
    };
}

/// A config, with a snapshot if there is one.
#[doc(hidden)]
#[macro_export]
macro_rules! __snapshot {
    ($config:ident) => {
        $config
    };
    ($config:ident .__snapshot($snapshot:expr)) => {
        $config.__snapshot($snapshot)
    };
    ($config:ident unsafe .__unchecked_snapshot($snapshot:expr)) => {{
        let snapshot: &'static ::core::primitive::str = $snapshot;
        // SAFETY: whoever wrote `unsafe` promised what `install!` asks for.
        unsafe { $config.__unchecked_snapshot(snapshot) }
    }};
}

/// The part of [`install!`](crate::install) that only exists where images do.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __install_section {
    ($allocator:ident, $config:ident, $($cache:expr)?) => {
        /// Becomes the `fastboot` section; embedding gives that section the image.
        #[used]
        #[unsafe(link_section = "fastboot")]
        static __FASTBOOT_SECTION: $crate::__private::Placeholder = $crate::__private::Placeholder::new();

        #[unsafe(link_section = ".text.fastboot")]
        extern "C" fn __fastboot_start(
            count: ::core::ffi::c_int,
            arguments: *const *const ::core::ffi::c_char,
            environment: *const *const ::core::ffi::c_char,
        ) {
            let first_run = $crate::__first_run!($($cache)?);
            let call = (__FASTBOOT_START, count, arguments, environment);
            // SAFETY: this is what the entry of `.init_array` below runs, and nothing else: once, before `main`, with what the
            // C library passes. Section, allocator and config are those of this program, of which there is one of each.
            unsafe {
                $crate::__private::start(&__FASTBOOT_SECTION, $allocator.__state(), &$config, first_run, call);
            }
        }

        // After the standard library's own entry (.init_array.00099), which keeps the arguments, and before those
        // without a number, which are the user's.
        #[used]
        #[unsafe(link_section = ".init_array.00100")]
        static __FASTBOOT_START: $crate::__private::Constructor = __fastboot_start;
    };
}

/// What a program with a cache does before `main`. All others leave that code out.
#[doc(hidden)]
#[macro_export]
macro_rules! __first_run {
    () => {
        ::core::option::Option::None
    };
    ($cache:expr) => {
        ::core::option::Option::Some(&$crate::__private::FIRST_RUN)
    };
}

/// There are none here.
#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
#[doc(hidden)]
#[macro_export]
macro_rules! __install_section {
    ($allocator:ident, $config:ident, $($cache:expr)?) => {
        const _: &$crate::__private::Config = &$config;
    };
}

/// Declares statics whose values are evaluated when the program is built with `cargo fastboot build`, and on first use
/// when it is not.
///
/// ```
/// use std::collections::HashMap;
///
/// fastboot_rt::frozen! {
///     /// How often each word occurs.
///     pub static COUNTS: HashMap<&'static str, usize> = {
///         let mut counts = HashMap::new();
///         for word in "to be or not to be".split(' ') {
///             *counts.entry(word).or_default() += 1;
///         }
///         counts
///     };
///     static TOTAL: usize = COUNTS.values().sum();
/// }
///
/// assert_eq!(COUNTS["be"], 2);
/// assert_eq!(*TOTAL, 6);
/// ```
///
/// Each static has the type [`Frozen<T>`](crate::Frozen), which dereferences to `T`. Any `T: Send + Sync + 'static` will do. Doc
/// comments and attributes are passed through, and a root may use another root.
///
/// What a value may hold is in `docs/safety.md`: memory and code, but no file, thread, or other thing of the operating
/// system.
///
/// # Checks
/// `cargo fastboot verify` evaluates every root again and compares: with `==` where the type has it, else with what the
/// root says, if it says something:
///
/// ```
/// # struct Index(Vec<u32>);
/// fastboot_rt::frozen! {
///     static INDEX: Index = Index(vec![3, 1, 2]), check = |thawed, fresh| thawed.0 == fresh.0;
/// }
/// # assert_eq!(INDEX.0.len(), 3);
/// ```
///
/// What it says must also hold of the thawed value and itself, before there is a fresh one.
#[macro_export]
macro_rules! frozen {
    () => {};
    (
        $(#[$attribute:meta])* $visibility:vis static $name:ident: $type:ty = $value:expr $(, check = $check:expr $(,)?)?;
        $($rest:tt)*
    ) => {
        $(#[$attribute])*
        // All of them side by side, and right before `.bss`: the kernel has written to that page when the program begins, so
        // giving them their values costs no page fault of its own, as long as there are not many.
        #[cfg_attr(all(target_os = "linux", target_arch = "x86_64"), unsafe(link_section = "fastboot_values"))]
        $visibility static $name: $crate::Frozen<$type> = {
            // A function and not a closure: it has a symbol, which traces and debuggers show.
            fn __fastboot_value() -> $type {
                $value
            }
            let record = $crate::__record!($name, $type $(, $check)?);
            // SAFETY: this becomes `$name`, which the record was made from.
            unsafe { $crate::Frozen::__new(__fastboot_value, record) }
        };
        $crate::frozen! { $($rest)* }
    };
    (
        $(#[$attribute:meta])* $visibility:vis static $name:ident: $type:ty = $value:expr $(, check = $check:expr)?
    ) => {
        $crate::frozen! { $(#[$attribute])* $visibility static $name: $type = $value $(, check = $check)?; }
    };
}

/// Name of the section with the roots' records. It ends with the version of their layout, which changes whenever that of
/// [`RootRecord`](crate::__private::RootRecord) does; `linker/start.ld` names it as well.
#[doc(hidden)]
#[macro_export]
macro_rules! __record_section {
    () => {
        "fastboot_roots2"
    };
}

/// The record of a root.
#[doc(hidden)]
#[macro_export]
macro_rules! __record {
    ($name:ident, $type:ty $(, $check:expr)?) => {{
        #[cfg_attr(all(target_os = "linux", target_arch = "x86_64"), used)]
        #[cfg_attr(
            all(target_os = "linux", target_arch = "x86_64"),
            unsafe(link_section = $crate::__record_section!())
        )]
        static __FASTBOOT_RECORD: $crate::__private::RootRecord = $crate::Frozen::__record(
            &$name,
            || {
                $crate::Frozen::get(&$name);
            },
            || $crate::__check!($name, $type $(, $check)?),
            ::core::concat!(::core::module_path!(), "::", ::core::stringify!($name)),
        );
        &__FASTBOOT_RECORD
    }};
}

/// The comparison of one root: the user's, or `PartialEq`'s, or none.
#[doc(hidden)]
#[macro_export]
macro_rules! __check {
    ($name:ident, $type:ty, $check:expr) => {{
        let check: fn(&$type, &$type) -> ::core::primitive::bool = $check;
        $crate::Frozen::__compare(&$name, check)
    }};
    ($name:ident, $type:ty) => {{
        // The method of the reference is taken only where the one of the probe itself is not there.
        #[allow(unused_imports)]
        use $crate::__private::{CompareNot as _, ComparePartialEq as _};
        (&$crate::__private::Probe::<$type>::NEW)
            .compare($crate::Frozen::get(&$name), || $crate::Frozen::__fresh(&$name))
    }};
}

/// Has an expression evaluated when the program is frozen, after the roots, so that the statics it uses come out warm:
/// `LazyLock`s, `lazy_static`s and `once_cell`s of any crate are carried in the image if they changed.
///
/// ```
/// # use std::sync::LazyLock;
/// static TABLE: LazyLock<Vec<u32>> = LazyLock::new(|| (0..1000).collect());
///
/// fastboot_rt::warm! { TABLE.len() }
/// # assert_eq!(TABLE.len(), 1000);
/// ```
///
/// The value is dropped. A program that is only warmed needs no [`frozen!`](crate::frozen). Without an image, nothing
/// happens.
/// Any expression will do, or several statements. It may borrow from what it makes on the way:
///
/// ```
/// static NAMES: std::sync::RwLock<Vec<String>> = std::sync::RwLock::new(Vec::new());
///
/// fastboot_rt::warm! { NAMES.read().unwrap().first() }
/// fastboot_rt::warm! { let names = NAMES.read().unwrap(); names.iter().max(); }
/// ```
#[macro_export]
macro_rules! warm {
    // What begins like this is a statement, and no expression.
    (let $($rest:tt)*) => {
        $crate::__warm! { let $($rest)* }
    };
    (# $($rest:tt)*) => {
        $crate::__warm! { # $($rest)* }
    };
    ($value:expr $(,)?) => {
        $crate::__warm! {
            // Not a `let`, at whose end temporaries are dropped that the value may borrow from, and which takes no value
            // without a size.
            match $value {
                _ => {}
            }
        }
    };
    ($($statements:tt)*) => {
        $crate::__warm! { $($statements)* }
    };
}

/// The record of something to warm.
#[doc(hidden)]
#[macro_export]
macro_rules! __warm {
    ($($statements:tt)*) => {
        const _: () = {
            #[cfg_attr(all(target_os = "linux", target_arch = "x86_64"), used)]
            #[cfg_attr(
                all(target_os = "linux", target_arch = "x86_64"),
                unsafe(link_section = $crate::__record_section!())
            )]
            static __FASTBOOT_RECORD: $crate::__private::RootRecord = $crate::__private::RootRecord::__warm(
                || {
                    #[allow(unused_must_use, clippy::all)]
                    let _: () = { $($statements)*; };
                },
                ::core::concat!("warm! in ", ::core::file!(), ":", ::core::line!()),
            );
        };
    };
}
