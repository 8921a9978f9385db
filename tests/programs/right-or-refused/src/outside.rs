//! Statics with an address in their own bytes that is right in one process only: that of the thread's own data.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex};

/// Names, of which roots hold numbers, and the thread that made the first.
struct State {
    names: Vec<String>,
    thread: usize,
}

static STATE: Mutex<State> = Mutex::new(State { names: Vec::new(), thread: 0 });
/// Nothing but the thread.
static ALONE: AtomicUsize = AtomicUsize::new(0);
static LAZY: LazyLock<usize> = LazyLock::new(this_thread);

fastboot_rt::frozen! {
    static NUMBERS: Vec<usize> = if crate::case() == "outside-state" { vec![number("zero"), number("one")] } else { Vec::new() };
}

fn this_thread() -> usize {
    // SAFETY: it has no preconditions.
    unsafe { libc::pthread_self() as usize }
}

fn number(name: &str) -> usize {
    let mut state = STATE.lock().unwrap();
    if state.thread == 0 {
        state.thread = this_thread();
    }
    state.names.iter().position(|known| known == name).unwrap_or_else(|| {
        state.names.push(name.to_owned());
        state.names.len() - 1
    })
}

/// Notes the thread.
pub(crate) fn change(what: &str) {
    if what == "owner" {
        ALONE.store(this_thread(), Ordering::Relaxed);
    }
}

pub(crate) fn evaluate(case: &str) {
    if case == "outside-lazy" {
        LazyLock::force(&LAZY);
    }
}

pub(crate) fn answer(case: &str) {
    match case {
        "outside-state" => {
            for number in NUMBERS.iter() {
                println!("{number} {:?}", STATE.lock().unwrap().names.get(*number));
            }
        }
        // What it says is another thing: it has to be there, and not what only is written to.
        _ if case.ends_with(" owner") => _ = std::hint::black_box(ALONE.load(Ordering::Relaxed)),
        "outside-lazy" => println!("{}", *LAZY == this_thread()),
        _ => {}
    }
}
