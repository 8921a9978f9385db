//! State of C code: statics of its objects, and its heap.

use core::ffi::c_int;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LazyLock, Once};

unsafe extern "C" {
    fn engine_set_up();
    fn engine_set_up_heap();
    fn engine_square(n: c_int) -> c_int;
    fn engine_cube(n: c_int) -> c_int;
}

static SET_UP: Once = Once::new();
static SET_UP_HEAP: AtomicBool = AtomicBool::new(false);

fn square(n: c_int) -> c_int {
    // SAFETY: it fills a table of the library's own, once.
    SET_UP.call_once(|| unsafe { engine_set_up() });
    // SAFETY: it reads that table, at an index that it makes fit.
    unsafe { engine_square(n) }
}

fn cube(n: c_int) -> c_int {
    if !SET_UP_HEAP.swap(true, Ordering::Relaxed) {
        // SAFETY: it makes a table of the library's own.
        unsafe { engine_set_up_heap() };
    }
    // SAFETY: it reads that table, if there is one.
    unsafe { engine_cube(n) }
}

/// A block of C's heap.
struct Handle {
    raw: *mut u64,
}

// SAFETY: nobody writes to the block after it was made.
unsafe impl Send for Handle {}
// SAFETY: as above.
unsafe impl Sync for Handle {}

impl Handle {
    fn new(value: u64) -> Self {
        // SAFETY: a block of 320 bytes has room for a word, and `malloc` aligns it.
        unsafe {
            let raw = libc::malloc(320).cast::<u64>();
            raw.write(value);
            Self { raw }
        }
    }

    fn value(&self) -> u64 {
        // SAFETY: `new` wrote it, and nobody frees the block.
        unsafe { *self.raw }
    }
}

static HANDLE: LazyLock<Handle> = LazyLock::new(|| Handle::new(42));
/// The same one step away.
static BOXED: LazyLock<Vec<Handle>> = LazyLock::new(|| vec![Handle::new(43)]);

fastboot_rt::frozen! {
    /// In some cases vectors whose lengths depend on an address, as the seeds of some hash maps do: no two runs allocate alike.
    static UNEVEN: Vec<Vec<u8>> = if crate::case().ends_with("uneven") { uneven() } else { Vec::new() };
}

fn uneven() -> Vec<Vec<u8>> {
    let seed = Box::leak(Box::new(7u64)) as *const u64 as u64 >> 4;
    let length = |i: u64| 8 + ((i ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 60) as usize * 8;
    (0..20000u64).map(|i| vec![1; length(i)]).collect()
}

pub(crate) fn evaluate(case: &str) {
    match case {
        "c-statics" => _ = square(3),
        "c-heap" => _ = cube(3),
        // SAFETY: see `square`.
        "c-statics-without-flag" => unsafe { engine_set_up() },
        "c-block-in-static" | "c-block-in-static-uneven" => _ = HANDLE.value(),
        "c-block-behind-static" | "c-block-behind-static-uneven" => _ = BOXED[0].value(),
        _ => {}
    }
}

pub(crate) fn answer(case: &str) {
    println!("{}", UNEVEN.len());
    match case {
        "c-statics" => println!("{}", square(5)),
        "c-heap" => println!("{}", cube(5)),
        "c-statics-without-flag" => println!("set up in the expression"),
        "c-block-in-static" | "c-block-in-static-uneven" => println!("{}", HANDLE.value()),
        "c-block-behind-static" | "c-block-behind-static-uneven" => println!("{}", BOXED[0].value()),
        _ => {}
    }
}
