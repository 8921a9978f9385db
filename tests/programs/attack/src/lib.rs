//! Preloaded into a program, does what `ATTACK` says before the program's own constructors run:
//!
//! - `occupy`: maps a page at the home address;
//! - `auxv`: makes the auxiliary vector say that the program headers are where nothing is mapped.

use std::ffi::c_char;
use std::ptr;

#[used]
#[unsafe(link_section = ".init_array")]
static CONSTRUCTOR: extern "C" fn(i32, *const *const c_char, *const *const c_char) = attack;

extern "C" fn attack(_: i32, _: *const *const c_char, environment: *const *const c_char) {
    match std::env::var("ATTACK").as_deref() {
        Ok("occupy") => occupy(),
        // SAFETY: glibc passes constructors the environment, as it does to `main`.
        Ok("auxv") => unsafe { mislead(environment) },
        other => panic!("ATTACK={other:?}"),
    }
}

fn occupy() {
    let home = ptr::without_provenance_mut(0x5500_0000_0000);
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
    // SAFETY: a new mapping that replaces none.
    let got = unsafe { libc::mmap(home, 4096, libc::PROT_READ, flags, -1, 0) };
    // In a non-PIE that is embedded, the kernel was faster.
    eprintln!("attack: home address {}", if got == home { "occupied" } else { "was taken" });
}

/// # Safety
/// `environment` is the one that the kernel put on the stack: the auxiliary vector follows it.
unsafe fn mislead(environment: *const *const c_char) {
    let mut at = environment;
    // SAFETY: the array ends with a null, and behind it are pairs of words, the last of kind 0 (AT_NULL). The stack is
    // writable.
    unsafe {
        while !(*at).is_null() {
            at = at.add(1);
        }
        let mut pair = at.add(1).cast::<u64>().cast_mut();
        while *pair != libc::AT_NULL {
            if *pair == libc::AT_PHDR {
                *pair.add(1) = 0x1_0000_0000;
            }
            pair = pair.add(2);
        }
    }
    // SAFETY: reads the auxiliary vector.
    eprintln!("attack: program headers at {:#x}", unsafe { libc::getauxval(libc::AT_PHDR) });
}
