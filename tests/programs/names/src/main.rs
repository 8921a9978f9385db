//! A program in which everything has the name of something that `install!`, `frozen!` and `warm!` declare, and expressions
//! of every kind that they take.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::RwLock;

// In another order than the documentation has it.
fastboot_rt::install!(cache = fastboot_rt::CacheDir::Folder("names-cache"), Allocator = Allocator,);

/// The system's, in a type that has to be made.
struct Allocator;

// SAFETY: all is passed on.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(block, layout) }
    }
}

/// Functions, constants and types of which macros had, or could have, one of their own.
fn value() -> u32 {
    7
}
fn check() -> u32 {
    8
}
fn evaluate() -> u32 {
    1
}
const RECORD: u32 = 9;
const ALLOCATOR: u32 = 2;
const CONFIG: u32 = 3;
const SECTION: u32 = 4;
const START: u32 = 5;
fn start() -> u32 {
    CONFIG + SECTION + START
}
#[allow(non_camel_case_types)]
type bool = u32;
#[allow(non_camel_case_types)]
type str = u32;

fastboot_rt::frozen! {
    static A: u32 = value();
    static B: u32 = check() + evaluate(), check = |value, record| value == record && check() == 8 && RECORD == 9;
    static C: bool = RECORD + ALLOCATOR + start();
    // A `return` of the expression's own.
    static D: str = {
        if value() == 7 {
            return 5;
        }
        6
    };
}

static NAMES: RwLock<Vec<String>> = RwLock::new(Vec::new());

fastboot_rt::warm! { NAMES.write().unwrap().push("warmed".to_owned()) }
// What is borrowed from something that lives as long as the expression.
fastboot_rt::warm! { NAMES.read().unwrap().first() }
// Of no size that is known.
fastboot_rt::warm! { *NAMES.read().unwrap().as_slice() }
fastboot_rt::warm! { value(); check() }
fastboot_rt::warm! { let names = NAMES.read().unwrap(); names.iter().max(); }
fastboot_rt::warm! { if value() == 7 { 1 } else { 2 } }
fastboot_rt::warm! { #[allow(unused_variables)] let record = RECORD; }
fastboot_rt::warm! {}

fn main() {
    println!("{} {} {} {} {:?}", *A, *B, *C, *D, NAMES.read().unwrap());
}
