//! Lock: for what the allocator itself needs. It allocates nothing, and is open when all its bytes are zero.
//!
//! A child process that an expression forks has one thread, and copies of all locks: one that another thread held is never
//! opened there. So a lock says in which process it was taken, and who finds out that this was another one takes it. What it
//! guards may be half done then: at worst a slot of the heap is lost, in a process whose memory nobody captures.

use crate::os::threads;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU32, Ordering};

/// How often somebody waits before it is asked in which process that is, which takes a system call.
const PATIENCE: u32 = 1000;

/// The number of this process, or that of the one it was forked from if nobody has asked since; 0 before that.
static PROCESS: AtomicU32 = AtomicU32::new(0);

/// The number of this process.
fn process() -> u32 {
    match PROCESS.load(Ordering::Relaxed) {
        0 => find_process(),
        known => known,
    }
}

#[cold]
fn find_process() -> u32 {
    let process = std::process::id();
    PROCESS.store(process, Ordering::Relaxed);
    process
}

/// A value that one thread at a time may use.
pub(crate) struct Lock<T> {
    /// The process of the thread that has it; 0 if none has.
    holder: AtomicU32,
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
        Self { holder: AtomicU32::new(0), value: UnsafeCell::new(value) }
    }

    /// Runs `body` with the value.
    ///
    /// # Safety
    /// `body` does not come back here with the same lock, and does not unwind.
    pub(crate) unsafe fn with<R>(&self, body: impl FnOnce(&mut T) -> R) -> R {
        self.take();
        // SAFETY: this thread holds the lock and `body` does not take it again, so this is the only reference.
        let result = body(unsafe { &mut *self.value.get() });
        self.holder.store(0, Ordering::Release);
        result
    }

    /// Waits until this thread has it.
    fn take(&self) {
        let mut waited = 0;
        while let Err(holder) = self.holder.compare_exchange_weak(0, process(), Ordering::Acquire, Ordering::Relaxed) {
            threads::yield_now();
            waited += 1;
            if waited % PATIENCE == 0 && holder != 0 {
                let own = find_process();
                let taken = || self.holder.compare_exchange(holder, own, Ordering::Acquire, Ordering::Relaxed).is_ok();
                if holder != own && taken() {
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thread_at_a_time_has_the_value() {
        static LOCK: Lock<[u64; 2]> = Lock::new([0; 2]);
        let rounds = if cfg!(miri) { 20 } else { 20_000 };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..rounds {
                        // SAFETY: nothing in it takes the lock, or unwinds.
                        unsafe {
                            LOCK.with(|[first, second]| {
                                *first += 1;
                                std::hint::spin_loop();
                                *second = *first;
                            });
                        }
                    }
                });
            }
        });
        // SAFETY: as above.
        assert_eq!(unsafe { LOCK.with(|value| *value) }, [4 * rounds; 2]);
    }

    #[test]
    #[cfg(not(miri))]
    fn a_forked_child_takes_what_another_thread_held() {
        static LOCK: Lock<u32> = Lock::new(0);
        // As if a thread of this process had it now, and for ever.
        LOCK.holder.store(process(), Ordering::Relaxed);
        // SAFETY: the child makes system calls, takes the lock, and ends; `alarm` ends one that waits for ever.
        let status = unsafe {
            let child = libc::fork();
            if child == 0 {
                libc::alarm(20);
                LOCK.with(|value| *value += 1);
                libc::_exit(7);
            }
            let mut status = 0;
            assert_eq!(libc::waitpid(child, &raw mut status, 0), child);
            status
        };
        assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 7, "{status:#x}");
        assert_eq!(LOCK.holder.load(Ordering::Relaxed), process(), "here it is still taken");
    }
}
