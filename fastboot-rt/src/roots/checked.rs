//! Checked: how a thawed value is compared with a fresh one.

use core::marker::PhantomData;
use fastboot_format::protocol::verdict::Stage;
use std::sync::OnceLock;

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

/// Compares a thawed value with itself and then with a fresh one: what the thawed value needs must be there already, for
/// evaluating a fresh one may put it there.
pub(crate) fn compare_with<T>(thawed: &T, fresh: impl FnOnce() -> T, is_equal: impl Fn(&T, &T) -> bool) -> Checked {
    reached(Stage::Itself);
    if !is_equal(thawed, thawed) {
        return Checked::Different;
    }
    reached(Stage::Evaluating);
    let fresh = fresh();
    reached(Stage::Comparing);
    if is_equal(thawed, &fresh) { Checked::Equal } else { Checked::Different }
}

/// Who wants to know how far the comparison of a root has come.
static ON_STAGE: OnceLock<fn(Stage)> = OnceLock::new();

/// Has `listen` told how far the comparison of each root has come.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub(crate) fn on_stage(listen: fn(Stage)) {
    let _ = ON_STAGE.set(listen);
}

fn reached(stage: Stage) {
    if let Some(listen) = ON_STAGE.get() {
        listen(stage);
    }
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
        // Both ways: a map looks up in the other one what it holds itself, and the lookups that matter are those in the
        // thawed value.
        compare_with(thawed, fresh, |one, other| T::eq(one, other) && T::eq(other, one))
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
