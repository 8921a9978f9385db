//! `parking_lot`: locks that threads waited for when they were frozen, and wait for again.

use crates::{answer, evaluated, word};
use parking_lot::{Condvar, Mutex, Once, ReentrantMutex, RwLock};
use std::thread;

fastboot_rt::install!();

#[derive(Default)]
struct Locks {
    words: Mutex<Vec<String>>,
    count: RwLock<usize>,
    nested: ReentrantMutex<u32>,
    changed: Condvar,
    once: std::sync::OnceLock<String>,
}

fastboot_rt::frozen! {
    static LOCKS: Locks = evaluated("LOCKS", || {
        let locks = Locks::default();
        locks.fill(2000);
        locks
    }), check = |thawed, fresh| thawed.sum() == fresh.sum();
}

static ONCE: Once = Once::new();

impl Locks {
    /// Four threads put words in, one waits until all are there. Which of them makes room for more is a matter of chance, so
    /// no plan fits them.
    fn fill(&self, count: usize) {
        let before = self.words.lock().len();
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut words = self.words.lock();
                while words.len() < before + 4 * count {
                    self.changed.wait(&mut words);
                }
                words.sort();
            });
            for thread in 0..4 {
                scope.spawn(move || {
                    for number in 0..count {
                        self.words.lock().push(word(thread * count + number));
                        *self.count.write() += 1;
                        let outer = self.nested.lock();
                        assert_eq!(*outer, *self.nested.lock());
                    }
                    self.changed.notify_all();
                });
            }
        });
        ONCE.call_once(|| ());
        self.once.get_or_init(|| "set once".to_owned());
    }

    fn sum(&self) -> (usize, usize, u64, Option<&String>) {
        let words = self.words.lock();
        (words.len(), *self.count.read(), crates::digest(&*words), self.once.get())
    }
}

fn main() {
    answer("locks", format_args!("{:?}", LOCKS.sum()));
    LOCKS.fill(500);
    answer("locks, used again", format_args!("{:?}", LOCKS.sum()));
    crates::sources!(LOCKS);
}
