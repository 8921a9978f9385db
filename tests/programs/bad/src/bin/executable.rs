//! A root that is code, made while its expression ran, as just-in-time compilers make it.

use std::alloc::{Layout, alloc_zeroed};

fastboot_rt::install!();

const PAGE: usize = 4096;
/// `lea rax, [rdi + 42]; ret`.
const CODE: [u8; 5] = [0x48, 0x8d, 0x47, 0x2a, 0xc3];

fastboot_rt::frozen! {
    static ADD: extern "C" fn(u64) -> u64 = add();
}

fn add() -> extern "C" fn(u64) -> u64 {
    let layout = Layout::from_size_align(PAGE, PAGE).expect("a size and a power of two");
    // SAFETY: the layout has a size.
    let page = unsafe { alloc_zeroed(layout) };
    assert!(!page.is_null());
    // SAFETY: the page was allocated just now and is larger than the code, which nobody else writes to.
    let result = unsafe {
        page.copy_from_nonoverlapping(CODE.as_ptr(), CODE.len());
        libc::mprotect(page.cast(), PAGE, libc::PROT_READ | libc::PROT_EXEC)
    };
    assert_eq!(result, 0);
    // SAFETY: the page begins with the code of such a function, can be executed, and is never freed.
    unsafe { std::mem::transmute::<*mut u8, extern "C" fn(u64) -> u64>(page) }
}

fn main() {
    println!("{}", ADD(8));
}
