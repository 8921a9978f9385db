//! A library without roots: a hook of one word, and names in a static with the thread that gave the first.

use std::sync::Mutex;
use std::sync::atomic::{AtomicPtr, Ordering};

static HOOK: AtomicPtr<()> = AtomicPtr::new(successor as fn(u32) -> u32 as *mut ());

fn successor(n: u32) -> u32 {
    n + 1
}

/// Has another function called from now on.
pub fn set_hook(hook: fn(u32) -> u32) {
    HOOK.store(hook as *mut (), Ordering::Relaxed);
}

/// Calls the function that was set.
pub fn call(n: u32) -> u32 {
    // SAFETY: nothing else is ever stored there.
    let hook = unsafe { std::mem::transmute::<*mut (), fn(u32) -> u32>(HOOK.load(Ordering::Relaxed)) };
    hook(n)
}

struct Registry {
    names: Vec<String>,
    thread: usize,
}

static REGISTRY: Mutex<Registry> = Mutex::new(Registry { names: Vec::new(), thread: 0 });

/// Registers a name. The answer is how many there are.
pub fn register(name: &str) -> usize {
    let mut registry = REGISTRY.lock().unwrap();
    // SAFETY: it has no preconditions.
    registry.thread = unsafe { libc::pthread_self() as usize };
    registry.names.push(name.to_owned());
    registry.names.len()
}
