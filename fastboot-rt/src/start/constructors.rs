//! Constructors: those that run after ours.

use crate::os::symbols::weak_symbol;
use core::ffi::{c_char, c_int};
use core::ptr;

/// An entry of `.init_array`. glibc passes arguments and environment, as it does to `main`.
#[doc(hidden)]
pub type Constructor = extern "C" fn(c_int, *const *const c_char, *const *const c_char);

/// One of the user's, in whatever language: it may throw.
type Later = extern "C-unwind" fn(c_int, *const *const c_char, *const *const c_char);

/// What our constructor was called as, and with.
pub(crate) type Call = (Constructor, c_int, *const *const c_char, *const *const c_char);

/// Runs the entries of `.init_array` that come after this one. In freeze and check mode the program never gets to them,
/// and the roots' expressions may rely on what they do: registries that fill themselves before `main`.
pub(crate) fn run_later_constructors((own, count, arguments, environment): Call) {
    let start = ptr::with_exposed_provenance::<usize>(weak_symbol!("__init_array_start"));
    let end = ptr::with_exposed_provenance::<usize>(weak_symbol!("__init_array_end"));
    if start.is_null() || end <= start {
        return;
    }
    // SAFETY: the linker defines the two symbols as the bounds of the array of constructors, which is relocated by now,
    // because one of its entries is running; nothing writes to it.
    let entries = unsafe { core::slice::from_raw_parts(start, end.offset_from(start) as usize) };
    let later = entries.iter().skip_while(|entry| **entry != own as usize).skip(1);
    // The gABI reserves 0 and -1 for entries that are to be ignored.
    for entry in later.filter(|entry| !matches!(**entry, 0 | usize::MAX)) {
        // SAFETY: every other entry is the address of a function that the C library calls with these three arguments; on
        // x86-64 one that takes fewer ignores them. In this process nobody else will call it: what follows ends with
        // `_exit`.
        unsafe { core::mem::transmute::<usize, Later>(*entry)(count, arguments, environment) };
    }
}
