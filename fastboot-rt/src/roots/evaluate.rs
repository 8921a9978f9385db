//! The cold path: evaluating a root in this process, once, whoever asks first.
//!
//! Not a `std::sync::Once` for each root, because a root may need another root, and a cycle must be an error with names
//! in it and not a deadlock, even when it runs through several threads. So one table holds who evaluates what and who
//! waits for what. It is locked when an evaluation begins and ends, never while one runs, never once values are there.

use super::record::RootRecord;
use crate::alloc;
use std::cell::Cell;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// A thread. A number, because addresses stay behind on the stack, and from there get into objects.
#[derive(Clone, Copy, PartialEq, Eq)]
struct ThreadToken(usize);

impl ThreadToken {
    fn current() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(1);
        std::thread_local!(static NUMBER: Cell<usize> = const { Cell::new(0) });
        if NUMBER.get() == 0 {
            NUMBER.set(NEXT.fetch_add(1, Ordering::Relaxed));
        }
        Self(NUMBER.get())
    }
}

struct Evaluation {
    record: &'static RootRecord,
    by: ThreadToken,
    panicked: bool,
}

struct Wait {
    thread: ThreadToken,
    until: &'static RootRecord,
}

#[derive(Default)]
struct Table {
    /// In the order in which they began: those of one thread are nested in that order.
    evaluations: Vec<Evaluation>,
    waits: Vec<Wait>,
}

static TABLE: Mutex<Table> = Mutex::new(Table { evaluations: Vec::new(), waits: Vec::new() });
static CHANGED: Condvar = Condvar::new();

fn table() -> MutexGuard<'static, Table> {
    // Nothing panics while the table is locked, and every change to it is a single push or removal.
    TABLE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes room in the table, so that evaluations which begin later hardly have to: what calls of the allocator leave on the
/// stack finds its way into unused parts of values.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub(crate) fn reserve() {
    table().evaluations.reserve(64);
}

impl Table {
    fn evaluation(&self, record: &RootRecord) -> Option<&Evaluation> {
        self.evaluations.iter().find(|evaluation| ptr::eq(evaluation.record, record))
    }

    /// The names on the way from `record` back to itself, if `thread` waiting for it would never end.
    fn cycle(&self, record: &'static RootRecord, thread: ThreadToken) -> Option<String> {
        let mut path = vec![record.name()];
        let mut next = self.evaluation(record)?;
        loop {
            // `next.by` is busy with `next.record` and with all it began later.
            let began = self.evaluations.iter().position(|e| ptr::eq(e.record, next.record))?;
            let nested = self.evaluations.iter().skip(began + 1).filter(|e| e.by == next.by && !e.panicked);
            path.extend(nested.map(|e| e.record.name()));
            if next.by == thread {
                path.push(record.name());
                return Some(path.join("` needs `"));
            }
            let wait = self.waits.iter().find(|wait| wait.thread == next.by)?;
            next = self.evaluation(wait.until).filter(|e| !e.panicked)?;
            if path.contains(&next.record.name()) && next.by != thread {
                return None; // a cycle that does not need this thread: the thread that closes it reports it
            }
            path.push(next.record.name());
        }
    }
}

/// Marks the evaluation as ended, whether it returned or panicked.
struct Ending {
    record: &'static RootRecord,
    value: *mut u8,
}

impl Drop for Ending {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        let mut table = table();
        if let Some(index) = table.evaluations.iter().position(|e| ptr::eq(e.record, self.record)) {
            if self.value.is_null() {
                table.evaluations[index].panicked = true;
            } else {
                table.evaluations.remove(index);
                // SAFETY: `value` is the address of a leaked `Box` of the root's type: `evaluate` was given that by
                // `Frozen::evaluate`, the only caller.
                unsafe { self.record.publish(self.value) };
            }
        }
        drop(table);
        CHANGED.notify_all();
    }
}

/// The address of the root's value, made by `make` unless it is there: by this thread, or by another that is waited for.
///
/// # Panics
/// If `make` panics or has panicked before, or if the root needs itself.
pub(crate) fn evaluate(record: &'static RootRecord, make: impl FnOnce() -> *mut u8) -> *mut u8 {
    let thread = ThreadToken::current();
    let mut locked = table();
    loop {
        let value = record.value();
        if !value.is_null() {
            return value;
        }
        match locked.evaluation(record) {
            None => break,
            Some(evaluation) if evaluation.panicked => {
                drop(locked);
                panic!("root `{}` cannot be used: its expression panicked", record.name());
            }
            Some(_) => {}
        }
        if let Some(path) = locked.cycle(record, thread) {
            drop(locked);
            panic!("cycle of roots: `{path}`");
        }
        alloc::exempt(|| locked.waits.push(Wait { thread, until: record }));
        locked = CHANGED.wait(locked).unwrap_or_else(PoisonError::into_inner);
        locked.waits.retain(|wait| wait.thread != thread);
    }
    // No part of any root: were it planned, an old address of the table could bring it into the image.
    alloc::exempt(|| locked.evaluations.push(Evaluation { record, by: thread, panicked: false }));
    drop(locked);

    let mut ending = Ending { record, value: ptr::null_mut() };
    ending.value = make();
    ending.value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::roots::checked::Checked;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Barrier;
    use std::sync::atomic::AtomicPtr;

    /// A record that is in no registry: the program of the unit tests has no roots.
    fn record(name: &'static str) -> &'static RootRecord {
        let slot = Box::leak(Box::new(AtomicPtr::new(ptr::null_mut())));
        Box::leak(Box::new(RootRecord::of::<u32>(slot, || {}, || Checked::NotComparable, name)))
    }

    fn leak(value: u32) -> *mut u8 {
        Box::into_raw(Box::new(value)).cast()
    }

    /// What a panic said.
    fn said(result: std::thread::Result<*mut u8>) -> String {
        *result.unwrap_err().downcast::<String>().unwrap()
    }

    #[test]
    fn one_thread_evaluates_and_all_get_its_value() {
        let root = record("a::ROOT");
        let evaluated = AtomicUsize::new(0);
        let begin = Barrier::new(4);
        let values: Vec<usize> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        begin.wait();
                        let make = || {
                            evaluated.fetch_add(1, Ordering::Relaxed);
                            std::thread::yield_now();
                            leak(7)
                        };
                        evaluate(root, make).expose_provenance()
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(evaluated.into_inner(), 1);
        assert!(values.iter().all(|value| *value == values[0]));
        // SAFETY: a leaked `u32`.
        assert_eq!(unsafe { root.value().cast::<u32>().read() }, 7);
    }

    #[test]
    fn a_cycle_is_told_with_its_names() {
        let (first, second) = (record("a::FIRST"), record("a::SECOND"));
        let result = catch_unwind(|| evaluate(first, || evaluate(second, || evaluate(first, || leak(0)))));
        assert_eq!(said(result), "cycle of roots: `a::FIRST` needs `a::SECOND` needs `a::FIRST`");
        // What panicked once is not evaluated again.
        assert!(said(catch_unwind(|| evaluate(second, || leak(0)))).contains("`a::SECOND` cannot be used"));
    }

    #[test]
    fn a_cycle_through_two_threads_ends() {
        let (first, second) = (record("b::FIRST"), record("b::SECOND"));
        let both_began = Barrier::new(2);
        let need = |own: &'static RootRecord, other: &'static RootRecord| {
            catch_unwind(AssertUnwindSafe(|| {
                evaluate(own, || {
                    both_began.wait();
                    evaluate(other, || leak(0))
                })
                .expose_provenance()
            }))
            .is_err()
        };
        let failed = std::thread::scope(|scope| {
            let other = scope.spawn(|| need(second, first));
            [need(first, second), other.join().unwrap()]
        });
        assert_eq!(failed, [true; 2], "one finds the cycle, and the other one that what it needs has panicked");
    }
}
