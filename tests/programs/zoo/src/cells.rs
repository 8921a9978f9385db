//! Values with interior mutability: changed in place after the thaw.

use crate::answer;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, mpsc};
use std::thread;
use witness::evaluated;

fastboot_rt::frozen! {
    /// Set when it is frozen.
    static FULL: OnceLock<String> = evaluated("FULL", || OnceLock::from("set at build time".to_owned()));

    /// Set only by the program.
    static EMPTY: OnceLock<String> = evaluated("EMPTY", OnceLock::new);

    /// A list to push to.
    static QUEUE: Mutex<Vec<String>> =
        evaluated("QUEUE", || Mutex::new((0..100).map(|number| format!("job {number}")).collect()));

    /// A map for many readers.
    static TABLE: RwLock<HashMap<String, u64>> =
        evaluated("TABLE", || RwLock::new((0..1000).map(|number| (format!("key {number}"), number)).collect()));

    /// A counter.
    static COUNTER: AtomicU64 = evaluated("COUNTER", || AtomicU64::new(41));

    /// Something to wait for.
    static GATE: (Mutex<bool>, Condvar) = evaluated("GATE", || (Mutex::new(false), Condvar::new()));

    /// A channel with a letter in it.
    static LETTERS: (mpsc::SyncSender<String>, Mutex<mpsc::Receiver<String>>) = evaluated("LETTERS", || {
        let (sender, receiver) = mpsc::sync_channel(8);
        sender.send("written at build time".to_owned()).expect("the receiver is there");
        (sender, Mutex::new(receiver))
    });
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn run() {
    answer("FULL", format_args!("{:?} {:?}", FULL.get(), FULL.set("too late".to_owned())));
    answer("EMPTY", format_args!("{:?}", EMPTY.get()));
    answer("EMPTY, set", EMPTY.get_or_init(|| "set at run time".to_owned()));

    answer("QUEUE", format_args!("{:?}", locked(&QUEUE).last_chunk::<2>()));
    thread::scope(|scope| {
        for thread in 0..4 {
            scope.spawn(move || {
                for number in 0..250 {
                    locked(&QUEUE).push(format!("thread {thread}, job {number}"));
                }
            });
        }
    });
    locked(&QUEUE).sort();
    answer("QUEUE, pushed to", format_args!("{:?}", locked(&QUEUE).get(1097..)));
    let taken = std::mem::take(&mut *locked(&QUEUE));
    answer("QUEUE, taken", format_args!("{} {}", taken.len(), locked(&QUEUE).len()));
    drop(taken);
    locked(&QUEUE).push("after the drop".to_owned());
    answer("QUEUE, used again", format_args!("{:?}", locked(&QUEUE)));

    let read = || TABLE.read().unwrap_or_else(PoisonError::into_inner);
    answer("TABLE", format_args!("{} {:?}", read().len(), read().get("key 567")));
    {
        let mut table = TABLE.write().unwrap_or_else(PoisonError::into_inner);
        table.extend((1000..5000).map(|number| (format!("key {number}"), number)));
        table.retain(|_, number| *number % 3 == 0);
        table.shrink_to_fit();
    }
    answer("TABLE, grown", format_args!("{} {:?} {:?}", read().len(), read().get("key 567"), read().get("key 568")));

    answer("COUNTER", COUNTER.fetch_add(1, Ordering::Relaxed));
    answer("COUNTER, counted", COUNTER.load(Ordering::Relaxed));

    thread::scope(|scope| {
        scope.spawn(|| {
            *locked(&GATE.0) = true;
            GATE.1.notify_all();
        });
        let open = GATE.1.wait_while(locked(&GATE.0), |open| !*open).unwrap_or_else(PoisonError::into_inner);
        answer("GATE", *open);
    });

    let receive = || locked(&LETTERS.1).recv().unwrap_or_default();
    answer("LETTERS", receive());
    thread::scope(|scope| {
        scope.spawn(|| LETTERS.0.send("written at run time".to_owned()));
    });
    answer("LETTERS, sent", receive());

    witness::sources!(FULL, EMPTY, QUEUE, TABLE, COUNTER, GATE, LETTERS);
}
