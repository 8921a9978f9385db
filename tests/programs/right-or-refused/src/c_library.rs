//! State of C code: statics of its objects, and its heap.

use core::ffi::c_int;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LazyLock, Once};

unsafe extern "C" {
    fn engine_set_up();
    fn engine_set_up_heap();
    fn engine_square(n: c_int) -> c_int;
    fn engine_cube(n: c_int) -> c_int;
    fn engine_scale(by: c_int);
    fn engine_scaled(n: c_int) -> c_int;
    fn engine_keep(text: *const core::ffi::c_char) -> c_int;
    fn engine_kept() -> c_int;
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
        Self::of_size(value, 320)
    }

    fn of_size(value: u64, size: usize) -> Self {
        assert!(size >= size_of::<u64>());
        // SAFETY: the block has room for a word, and `malloc` aligns it.
        unsafe {
            let raw = libc::malloc(size).cast::<u64>();
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

/// Blocks that lie elsewhere than others: large ones are mappings of their own, and other threads have heaps of their own.
static LARGE: LazyLock<Handle> = LazyLock::new(|| Handle::of_size(44, 1 << 20));
static OF_A_THREAD: LazyLock<Handle> = LazyLock::new(|| std::thread::spawn(|| Handle::new(45)).join().unwrap());

/// A string of C's that is never freed.
static TEXT: LazyLock<Text> = LazyLock::new(|| {
    // SAFETY: a string that ends with zero.
    Text(unsafe { libc::strdup(c"a string of C's".as_ptr()) })
});

struct Text(*mut libc::c_char);

// SAFETY: nobody writes to the string after it was made.
unsafe impl Send for Text {}
// SAFETY: as above.
unsafe impl Sync for Text {}

impl Text {
    fn length(&self) -> usize {
        // SAFETY: it ends with zero, and nobody frees it.
        unsafe { libc::strlen(self.0) }
    }
}

/// Changes state of the library. In `main` the answer is that it was changed.
pub(crate) fn change(what: &str) {
    match what {
        // SAFETY: they change statics of the library's own, and nobody else is there.
        "c-table" => unsafe { engine_set_up() },
        // SAFETY: as above.
        "c-scale" => unsafe { engine_scale(3) },
        // SAFETY: as above; it copies a string that ends with zero.
        "c-text" => _ = unsafe { engine_keep(c"kept".as_ptr()) },
        _ => {}
    }
}

pub(crate) fn evaluate(case: &str) {
    match case {
        "c-statics" => _ = square(3),
        "c-heap" => _ = cube(3),
        // SAFETY: see `square`.
        "c-statics-without-flag" => unsafe { engine_set_up() },
        "c-text-in-static" => _ = TEXT.length(),
        "c-large-block-in-static" => _ = LARGE.value(),
        "c-block-of-a-thread" => _ = OF_A_THREAD.value(),
        "c-blocks-freed" => {
            // SAFETY: made by `malloc`, and freed once.
            (0..100).for_each(|n| unsafe { libc::free(libc::malloc(n * 50)) });
        }
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
        "c-text-in-static" => println!("{}", TEXT.length()),
        "c-large-block-in-static" => println!("{}", LARGE.value()),
        "c-block-of-a-thread" => println!("{}", OF_A_THREAD.value()),
        "c-block-in-static" | "c-block-in-static-uneven" => println!("{}", HANDLE.value()),
        "c-block-behind-static" | "c-block-behind-static-uneven" => println!("{}", BOXED[0].value()),
        _ => {}
    }
}

/// What the library answers now.
pub(crate) fn state() -> [c_int; 3] {
    // SAFETY: they read statics of the library's own.
    unsafe { [engine_square(4), engine_scaled(4), engine_kept()] }
}
