//! Roots: the values declared with [`frozen!`](crate::frozen), and the registry in which the linker collects them.

pub(crate) mod evaluate;

use core::fmt;
use core::marker::PhantomData;
use core::ops::Deref;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU8, Ordering};

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
/// Each static has the type [`Frozen<T>`], which dereferences to `T`. Any `T: Send + Sync + 'static` will do. Doc
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
            fn value() -> $type {
                $value
            }
            fn check(thawed: &$type) -> $crate::Checked {
                // The method of the reference is taken only where the one of the probe itself is not there.
                #[allow(unused_imports)]
                use $crate::__private::{CompareNot as _, ComparePartialEq as _};
                $crate::__check!(thawed, value(), $type $(, $check)?)
            }
            #[cfg_attr(all(target_os = "linux", target_arch = "x86_64"), used)]
            #[cfg_attr(
                all(target_os = "linux", target_arch = "x86_64"),
                unsafe(link_section = "fastboot_roots2")
            )]
            static RECORD: $crate::__private::RootRecord = $crate::__private::RootRecord::__new(
                &$name,
                || {
                    $crate::Frozen::get(&$name);
                },
                || check($crate::Frozen::get(&$name)),
                ::core::concat!(::core::module_path!(), "::", ::core::stringify!($name)),
            );
            // SAFETY: this becomes `$name`, which `RECORD` was made from.
            unsafe { $crate::Frozen::__new(value, &RECORD) }
        };
        $crate::frozen! { $($rest)* }
    };
    (
        $(#[$attribute:meta])* $visibility:vis static $name:ident: $type:ty = $value:expr $(, check = $check:expr)?
    ) => {
        $crate::frozen! { $(#[$attribute])* $visibility static $name: $type = $value $(, check = $check)?; }
    };
}

/// The comparison of one root: the user's, or `PartialEq`'s, or none.
#[doc(hidden)]
#[macro_export]
macro_rules! __check {
    ($thawed:expr, $fresh:expr, $type:ty, $check:expr) => {{
        let check: fn(&$type, &$type) -> bool = $check;
        // What the thawed value needs must be there already: evaluating a fresh one may put it there.
        if check($thawed, $thawed) && check($thawed, &$fresh) {
            $crate::Checked::Equal
        } else {
            $crate::Checked::Different
        }
    }};
    ($thawed:expr, $fresh:expr, $type:ty) => {
        (&$crate::__private::Probe::<$type>::NEW).compare($thawed, || $fresh)
    };
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
#[macro_export]
macro_rules! warm {
    ($($value:tt)*) => {
        const _: () = {
            #[cfg_attr(all(target_os = "linux", target_arch = "x86_64"), used)]
            #[cfg_attr(
                all(target_os = "linux", target_arch = "x86_64"),
                unsafe(link_section = "fastboot_roots2")
            )]
            static RECORD: $crate::__private::RootRecord = $crate::__private::RootRecord::__warm(
                || {
                    let _ = { $($value)* };
                },
                ::core::concat!("warm! in ", ::core::file!(), ":", ::core::line!()),
            );
        };
    };
}

/// What a check found. See [`frozen!`](crate::frozen).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Checked {
    /// The thawed value equals a fresh one.
    Equal,
    /// It does not.
    Different,
    /// There is nothing to compare with: the type has no `PartialEq` and the root no `check`.
    NotComparable,
}

/// Chooses how values of a type are compared, without asking anything of the type.
#[doc(hidden)]
#[derive(Debug)]
pub struct Probe<T>(PhantomData<fn(T)>);

impl<T> Probe<T> {
    #[doc(hidden)]
    pub const NEW: Self = Self(PhantomData);
}

/// Types with `PartialEq`.
#[doc(hidden)]
pub trait ComparePartialEq<T> {
    #[doc(hidden)]
    fn compare(&self, thawed: &T, fresh: impl FnOnce() -> T) -> Checked;
}

impl<T: PartialEq> ComparePartialEq<T> for Probe<T> {
    fn compare(&self, thawed: &T, fresh: impl FnOnce() -> T) -> Checked {
        // What the thawed value needs must be there already: evaluating a fresh one may put it there.
        if !T::eq(thawed, thawed) {
            return Checked::Different;
        }
        let fresh = fresh();
        // Both ways: a map looks up in the other one what it holds itself, and the lookups that matter are those in the
        // thawed value.
        if T::eq(thawed, &fresh) && T::eq(&fresh, thawed) { Checked::Equal } else { Checked::Different }
    }
}

/// All others.
#[doc(hidden)]
pub trait CompareNot<T> {
    #[doc(hidden)]
    fn compare(&self, thawed: &T, fresh: impl FnOnce() -> T) -> Checked;
}

impl<T> CompareNot<T> for &Probe<T> {
    fn compare(&self, _: &T, _: impl FnOnce() -> T) -> Checked {
        Checked::NotComparable
    }
}

/// How the value of a root came to be. See [`Frozen::source`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Source {
    /// It has not been evaluated yet, and there is no image.
    Unevaluated,
    /// This process evaluated it.
    Evaluated,
    /// It was thawed from the `fastboot` section of the executable.
    Section,
    /// It was thawed from the footer of the executable.
    Footer,
    /// It was thawed from a snapshot.
    Snapshot,
    /// It was thawed from the snapshot that the program made of itself.
    Cache,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unevaluated => "unevaluated",
            Self::Evaluated => "evaluated",
            Self::Section => "section",
            Self::Footer => "footer",
            Self::Snapshot => "snapshot",
            Self::Cache => "cache",
        })
    }
}

/// Which source the image was thawed from: the number of a [`Source`], or 0 for the section. Written before there is a
/// second thread.
static THAWED_FROM: AtomicU8 = AtomicU8::new(0);

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub(crate) fn set_thawed_from(source: Source) {
    if source != Source::Section {
        THAWED_FROM.store(source as u8, Ordering::Relaxed);
    }
}

fn thawed_from() -> Source {
    let number = THAWED_FROM.load(Ordering::Relaxed);
    let of_files = [Source::Footer, Source::Snapshot, Source::Cache].into_iter().find(|source| *source as u8 == number);
    of_files.unwrap_or(Source::Section)
}

/// A root: a value that was evaluated when the program was built, or is evaluated on first use.
///
/// Declared with [`frozen!`](crate::frozen). Dereferences to `T`; once the value is there, that is one load and a
/// branch.
#[repr(C)]
pub struct Frozen<T: 'static> {
    /// Null, or the address of a `T` that lives as long as the process. Written once, with `Release`.
    value: AtomicPtr<u8>,
    evaluate: fn() -> T,
    record: &'static RootRecord,
    /// `Sync` exactly when `T` is.
    owns: PhantomData<T>,
}

impl<T: Send + Sync + 'static> Frozen<T> {
    /// For [`frozen!`](crate::frozen) only.
    ///
    /// # Safety
    /// The result must become the static that `record` was made from, and nothing else.
    #[doc(hidden)]
    pub const unsafe fn __new(evaluate: fn() -> T, record: &'static RootRecord) -> Self {
        Self { value: AtomicPtr::new(ptr::null_mut()), evaluate, record, owns: PhantomData }
    }

    /// The value, evaluated first if it has to be.
    ///
    /// # Panics
    /// If the root's expression panics, now or in an earlier evaluation, and if the root needs itself.
    #[inline]
    pub fn get(this: &Self) -> &T {
        let mut value = this.value.load(Ordering::Acquire);
        if value.is_null() {
            value = this.evaluate();
        }
        // SAFETY: `value` is not null, so it was stored by `cold::evaluate` (the address of a leaked `Box<T>`) or by
        // `thaw` (the address of a `T` in the image of this very program, checked for size, alignment and bounds); in
        // both cases a valid `T` that is never freed and never handed out mutably. Acquire pairs with the Release of
        // the store.
        unsafe { &*value.cast::<T>() }
    }

    #[cold]
    #[inline(never)]
    fn evaluate(&self) -> *mut u8 {
        // `__new` was promised that `self` is the static of `self.record`, so what is stored there is stored here.
        crate::roots::evaluate::evaluate(self.record, || Box::into_raw(Box::new((self.evaluate)())).cast())
    }

    /// How the value came to be.
    pub fn source(this: &Self) -> Source {
        let value = this.value.load(Ordering::Acquire);
        if value.is_null() {
            Source::Unevaluated
        } else if crate::alloc::has_image() && (crate::alloc::in_image(value) || size_of::<T>() == 0) {
            thawed_from()
        } else {
            Source::Evaluated
        }
    }
}

impl<T: Send + Sync + 'static> Deref for Frozen<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        Self::get(self)
    }
}

impl<T: Send + Sync + fmt::Debug + 'static> fmt::Debug for Frozen<T> {
    /// Shows the value; like a `LazyLock`, does not evaluate it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut tuple = f.debug_tuple("Frozen");
        if self.value.load(Ordering::Acquire).is_null() {
            tuple.field(&format_args!("<unevaluated>"));
        } else {
            tuple.field(&**self);
        }
        tuple.finish()
    }
}

/// What the registry knows of one root. The linker puts these side by side; [`all`] is the result.
#[doc(hidden)]
#[repr(C)]
#[derive(Debug)]
pub struct RootRecord {
    /// The `value` of the `Frozen`; `None` for the anchor, which keeps the section there when a program has no roots.
    slot: Option<&'static AtomicPtr<u8>>,
    evaluate: fn(),
    check: fn() -> Checked,
    name: &'static str,
    type_name: fn() -> &'static str,
    size: usize,
    align: usize,
    /// No bytes, but something that can change: so every record is writable data, also in a crate that is compiled for a
    /// fixed address. Where some are and some are not, mold makes two sections of the one.
    writable: [AtomicU8; 0],
}

impl RootRecord {
    /// For [`frozen!`](crate::frozen) only: the record of `root`, which `evaluate` evaluates.
    #[doc(hidden)]
    pub const fn __new<T: 'static>(
        root: &'static Frozen<T>,
        evaluate: fn(),
        check: fn() -> Checked,
        name: &'static str,
    ) -> Self {
        Self {
            slot: Some(&root.value),
            evaluate,
            check,
            name,
            type_name: core::any::type_name::<T>,
            size: size_of::<T>(),
            align: align_of::<T>(),
            writable: [],
        }
    }

    /// For [`warm!`](crate::warm) only: something to evaluate that is no root.
    #[doc(hidden)]
    pub const fn __warm(evaluate: fn(), name: &'static str) -> Self {
        let check = || Checked::NotComparable;
        Self { slot: None, evaluate, check, name, type_name: || "()", size: 0, align: 1, writable: [] }
    }

    /// The root's path, such as `mycrate::INDEX`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The name of its type.
    pub fn type_name(&self) -> &'static str {
        (self.type_name)()
    }

    /// Size of the value in bytes.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Alignment of the value in bytes.
    pub fn align(&self) -> usize {
        self.align
    }

    /// Address of the value, null if it is not there yet.
    pub fn value(&self) -> *mut u8 {
        self.slot.map_or(ptr::null_mut(), |slot| slot.load(Ordering::Acquire))
    }

    /// The addresses of the root's static.
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    pub(crate) fn place(&self) -> core::ops::Range<usize> {
        let start = self.slot.map_or(0, |slot| ptr::from_ref(slot).addr());
        start..start + size_of::<Frozen<()>>() // `repr(C)`: the slot is the first field, and `T` is not stored
    }

    /// Evaluates the root unless its value is there.
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    pub(crate) fn evaluate(&self) {
        (self.evaluate)();
    }

    /// Evaluates the root anew and compares it with the value it has.
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    pub(crate) fn check(&self) -> Checked {
        (self.check)()
    }

    /// Makes `value` the root's value.
    ///
    /// # Safety
    /// `value` is the address of a valid value of the root's type that nothing else refers to mutably and that lives
    /// as long as the process.
    pub(crate) unsafe fn publish(&self, value: *mut u8) {
        if let Some(slot) = self.slot {
            slot.store(value, Ordering::Release);
        }
    }
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod registry {
    use super::RootRecord;

    #[used]
    #[unsafe(link_section = "fastboot_roots2")]
    static ANCHOR: RootRecord = RootRecord {
        slot: None,
        evaluate: || {},
        check: || super::Checked::NotComparable,
        name: "",
        type_name: || "",
        size: 0,
        align: 1,
        writable: [],
    };

    // The linker's symbols: only their addresses mean something.
    #[allow(improper_ctypes)]
    unsafe extern "C" {
        #[link_name = "__start_fastboot_roots2"]
        static START: RootRecord;
        #[link_name = "__stop_fastboot_roots2"]
        static STOP: RootRecord;
    }

    fn records() -> &'static [RootRecord] {
        let start = &raw const START;
        let stop = &raw const STOP;
        // SAFETY: the linker defines both symbols as the bounds of the output section that holds every input section
        // of that name. Only `ANCHOR` above, `frozen!` and `warm!` put something there, always one `RootRecord` (the
        // `2` in the name is the version of its layout), whose size is a multiple of its alignment: the section is an
        // array. `ANCHOR` makes sure that it exists. The records are statics and never written to.
        unsafe { core::slice::from_raw_parts(start, stop.offset_from_unsigned(start)) }
    }

    /// Every root linked into this program, in the linker's order, which is the same in every run of one binary.
    pub(crate) fn all() -> impl Iterator<Item = &'static RootRecord> + Clone {
        records().iter().filter(|record| record.slot.is_some())
    }

    /// What is to be warmed, in the same order.
    pub(crate) fn warm_ups() -> impl Iterator<Item = &'static RootRecord> + Clone {
        records().iter().filter(|record| record.slot.is_none() && !record.name.is_empty())
    }

    /// Refers to the anchor, so that no linker drops it.
    pub(crate) fn anchor() -> &'static RootRecord {
        &ANCHOR
    }
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub(crate) use registry::{all, anchor, warm_ups};
