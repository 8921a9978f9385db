//! Frozen: the static that stands for a root, and how its value came to be.

use super::checked::{Checked, compare_with};
use super::evaluate::evaluate;
use super::record::{RootRecord, STATIC_LEN};
use core::fmt;
use core::marker::PhantomData;
use core::ops::Deref;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU8, Ordering};

/// How the value of a root came to be. See [`Frozen::source`].
// One type and not two, a state and an origin: every value is in exactly one of these, and who asks wants to know which.
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

impl Source {
    /// Whether the value was there when the program started, from whichever place: what a test of a finished program
    /// asks.
    pub fn is_thawed(self) -> bool {
        !matches!(self, Self::Unevaluated | Self::Evaluated)
    }
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
/// Declared with [`frozen!`](crate::frozen), which shows examples. Dereferences to `T`; once the value is there, that is one
/// load and a branch. Like those of `Arc`, its functions are called as `Frozen::get(&ROOT)`, so that they hide no method of
/// `T`.
#[repr(C)]
pub struct Frozen<T: 'static> {
    /// Null, or the address of a `T` that lives as long as the process. Written once, with `Release`.
    value: AtomicPtr<u8>,
    evaluate: fn() -> T,
    record: &'static RootRecord,
    /// `Sync` exactly when `T` is.
    owns: PhantomData<T>,
}

const _: () = assert!(size_of::<Frozen<()>>() == STATIC_LEN);

impl<T: Send + Sync + 'static> Frozen<T> {
    /// For [`frozen!`](crate::frozen) only.
    ///
    /// # Safety
    /// The result must become the static that `record` was made from, and nothing else.
    #[doc(hidden)]
    pub const unsafe fn __new(evaluate: fn() -> T, record: &'static RootRecord) -> Self {
        Self { value: AtomicPtr::new(ptr::null_mut()), evaluate, record, owns: PhantomData }
    }

    /// For [`frozen!`](crate::frozen) only: the record of `root`, which `evaluate` evaluates.
    #[doc(hidden)]
    pub const fn __record(
        root: &'static Self,
        evaluate: fn(),
        check: fn() -> Checked,
        name: &'static str,
    ) -> RootRecord {
        RootRecord::of::<T>(&root.value, evaluate, check, name)
    }

    /// For [`frozen!`](crate::frozen) only: another value, evaluated anew.
    #[doc(hidden)]
    pub fn __fresh(this: &Self) -> T {
        (this.evaluate)()
    }

    /// For [`frozen!`](crate::frozen) only: what `check` says of the value and a fresh one.
    #[doc(hidden)]
    pub fn __compare(this: &Self, check: fn(&T, &T) -> bool) -> Checked {
        compare_with(Self::get(this), || Self::__fresh(this), check)
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
        // SAFETY: `value` is not null, so it was stored by `evaluate` (the address of a leaked `Box<T>`) or by
        // `thaw` (the address of a `T` in the image of this very program, checked for size, alignment and bounds); in
        // both cases a valid `T` that is never freed and never handed out mutably. Acquire pairs with the Release of
        // the store.
        unsafe { &*value.cast::<T>() }
    }

    #[cold]
    #[inline(never)]
    fn evaluate(&self) -> *mut u8 {
        // `__new` was promised that `self` is the static of `self.record`, so what is stored there is stored here.
        evaluate(self.record, || Box::into_raw(Box::new((self.evaluate)())).cast())
    }

    /// How the value came to be. Does not evaluate it.
    ///
    /// ```
    /// use fastboot_rt::{Frozen, Source};
    ///
    /// fastboot_rt::frozen! {
    ///     static WORDS: Vec<&'static str> = "some words".split(' ').collect();
    /// }
    ///
    /// // This was built by `cargo test`: there is no image.
    /// assert_eq!(Frozen::source(&WORDS), Source::Unevaluated);
    /// assert_eq!(WORDS.len(), 2);
    /// assert_eq!(Frozen::source(&WORDS), Source::Evaluated);
    /// assert!(!Frozen::source(&WORDS).is_thawed());
    /// ```
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
