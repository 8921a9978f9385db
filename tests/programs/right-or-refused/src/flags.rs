//! Flags: what says that something was done. Each is of another make, and what it guards is done once.

use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{LazyLock, Mutex, Once, OnceLock};

static ONCE: Once = Once::new();
static DONE: AtomicBool = AtomicBool::new(false);
static LOCK: OnceLock<()> = OnceLock::new();
static ANSWER: OnceLock<bool> = OnceLock::new();
static LAZY: LazyLock<()> = LazyLock::new(do_it);
static LAZY_ANSWER: LazyLock<bool> = LazyLock::new(|| {
    do_it();
    true
});
static PARKING: parking_lot::Once = parking_lot::Once::new();
static CELL: once_cell::sync::OnceCell<u8> = once_cell::sync::OnceCell::new();
static SPIN: spin::Once = spin::Once::new();
static STATE: AtomicU32 = AtomicU32::new(0);
static GUARDED: Mutex<bool> = Mutex::new(false);
static WORD: Word = Word(UnsafeCell::new(0));

/// As `static mut` in older code.
struct Word(UnsafeCell<u64>);

// SAFETY: only one thread at a time has anything to do with it here.
unsafe impl Sync for Word {}

unsafe extern "C" {
    /// Whether this is the first call.
    safe fn engine_first() -> core::ffi::c_int;
}

/// What the lazy ones do.
fn do_it() {
    let case = crate::case();
    crate::change(case.split_once(' ').map_or("", |(_, what)| what));
}

/// Changes something unless the flag says that it was done.
pub(crate) fn unless_done(flag: &str, what: &str) {
    let change = || crate::change(what);
    match flag {
        "bare" => change(),
        "once" => ONCE.call_once(change),
        "flag" if !DONE.swap(true, Ordering::Relaxed) => change(),
        "lock" => _ = LOCK.get_or_init(change),
        "answer" => {
            ANSWER.get_or_init(|| {
                change();
                true
            });
        }
        "lazy" => *LAZY,
        "lazy-answer" => assert!(*LAZY_ANSWER),
        "parking" => PARKING.call_once(change),
        "cell" => {
            CELL.get_or_init(|| {
                change();
                1
            });
        }
        "spin" => _ = SPIN.call_once(change),
        "state" if STATE.compare_exchange(0, 2, Ordering::Relaxed, Ordering::Relaxed).is_ok() => change(),
        "guarded" => {
            let mut done = GUARDED.lock().unwrap();
            if !std::mem::replace(&mut done, true) {
                change();
            }
        }
        // SAFETY: no other thread is here.
        "word" if unsafe { std::mem::replace(&mut *WORD.0.get(), 1) } == 0 => change(),
        "c-flag" if engine_first() != 0 => change(),
        _ => {}
    }
}
