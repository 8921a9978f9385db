//! A function that is chosen by a bit of the processor for which the standard library has no name.

use std::arch::x86_64::__cpuid_count;

fastboot_rt::install!();

fn there() -> &'static str {
    "there"
}

fn missing() -> &'static str {
    "missing"
}

/// Whether instructions can read the base of FS, which has nothing to do with what is chosen.
#[allow(unused_unsafe, reason = "later compilers know that the instruction is safe")]
fn has_bit() -> bool {
    // SAFETY: every processor that has x86-64 has the instruction.
    unsafe { __cpuid_count(7, 0) }.ebx & 1 != 0
}

fastboot_rt::frozen! {
    static CHOSEN: fn() -> &'static str = if has_bit() { there } else { missing };
}

fn main() {
    println!("{}", CHOSEN());
}
