//! Installed: what a program with a cache says of itself, and what it does before `main`.

use super::freezable::Begun;
use crate::config::Config;
use crate::start::cache::Cache;
use crate::start::constructors::Call;
use crate::start::outcome::Outcome;
use crate::start::reason::Reason;
use crate::start::relocate::Stored;
use crate::start::section::Placeholder;
use core::ffi::CStr;
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};

/// Name of the variable that makes a process one that freezes for the cache.
pub(crate) const VARIABLE: &CStr = c"FASTBOOT_FREEZE_CACHE";
/// The variable's value if somebody does.
pub(super) const FOREGROUND: &CStr = c"foreground";

/// What a program with a cache does before `main`. Behind pointers that only `install!` with a cache has: in all others
/// the linker leaves this module out, and with it what it imports, which the dynamic linker would look up at each start.
#[derive(Debug)]
#[doc(hidden)]
pub struct FirstRun {
    /// Freezes, in the process that does, as the value of [`VARIABLE`] says.
    pub(crate) freeze: fn(&Installed, &CStr, Call) -> !,
    /// Looks into the cache of the program with this identity.
    pub(crate) look: fn(&Installed, [u8; 32]) -> Result<Stored, Reason>,
    /// See [`begin`](super::begin::begin).
    pub(crate) begin: fn(&Installed, &mut Outcome) -> Option<Begun>,
}

/// What the program says of itself in `install!`: [`freeze_now`](crate::freeze_now) needs it later.
pub(crate) struct Installed {
    pub(crate) placeholder: &'static Placeholder,
    pub(crate) config: &'static Config,
}

/// Two statics rather than one of the struct, because nothing may be allocated when they are set.
static PLACEHOLDER: AtomicPtr<Placeholder> = AtomicPtr::new(ptr::null_mut());
static CONFIG: AtomicPtr<Config> = AtomicPtr::new(ptr::null_mut());

impl Installed {
    /// Keeps them. Before there is a second thread.
    pub(crate) fn keep(&self) {
        PLACEHOLDER.store(ptr::from_ref(self.placeholder).cast_mut(), Ordering::Relaxed);
        CONFIG.store(ptr::from_ref(self.config).cast_mut(), Ordering::Relaxed);
    }

    pub(super) fn get() -> Option<Self> {
        // SAFETY: null, or the addresses of the statics that `keep` was given, which nobody has a mutable reference to.
        unsafe {
            let placeholder = PLACEHOLDER.load(Ordering::Relaxed).as_ref()?;
            Some(Self { placeholder, config: CONFIG.load(Ordering::Relaxed).as_ref()? })
        }
    }

    /// The program's cache, if it has one.
    pub(crate) fn cache(&self, identity: [u8; 32]) -> Option<Cache> {
        Some(Cache { dir: self.config.cache?, program: self.config.program, identity })
    }
}
