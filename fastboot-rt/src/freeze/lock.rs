//! Lock: for what the allocator itself needs. It allocates nothing, and is open when all its bytes are zero.

use crate::os::threads;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, Ordering};

/// A value that one thread at a time may use.
pub(crate) struct Lock<T> {
    locked: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: the value is only reached through `with`, which lets one thread in at a time, and through `alone`, whose callers
// promise the same. It may be used by any of them, because values of `T` may be sent.
unsafe impl<T: Send> Sync for Lock<T> {}

impl<T> Lock<T> {
    /// Runs `body` with the value, without taking the lock.
    ///
    /// # Safety
    /// No other thread uses it, not even with the lock; and `body` does not come back here.
    pub(crate) unsafe fn alone<R>(&self, body: impl FnOnce(&mut T) -> R) -> R {
        // SAFETY: the caller promises that this is the only reference.
        body(unsafe { &mut *self.value.get() })
    }

    pub(crate) const fn new(value: T) -> Self {
        Self { locked: AtomicBool::new(false), value: UnsafeCell::new(value) }
    }

    /// Runs `body` with the value.
    ///
    /// # Safety
    /// `body` does not come back here with the same lock, and does not unwind.
    pub(crate) unsafe fn with<R>(&self, body: impl FnOnce(&mut T) -> R) -> R {
        while self.locked.compare_exchange_weak(false, true, Ordering::Acquire, Ordering::Relaxed).is_err() {
            threads::yield_now();
        }
        // SAFETY: this thread holds the lock and `body` does not take it again, so this is the only reference.
        let result = body(unsafe { &mut *self.value.get() });
        self.locked.store(false, Ordering::Release);
        result
    }
}
