//! Launch: starts a program with its addresses random or not.
//!
//! A freeze run that does not find it as it shall be executes itself once more, which takes time. It is here because the tool
//! has no `unsafe`.

use crate::sys;

/// Runs `body`, in which this thread starts programs, with their addresses random or not; `None` if it does not matter.
pub fn with_randomization<R>(on: Option<bool>, body: impl FnOnce() -> R) -> R {
    // Threads have a personality of their own.
    let changed = on.filter(|on| sys::set_randomization(*on));
    let result = body();
    if let Some(on) = changed {
        sys::set_randomization(!on);
    }
    result
}
