//! Checked: how a thawed value is compared with a fresh one.

use core::marker::PhantomData;

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
