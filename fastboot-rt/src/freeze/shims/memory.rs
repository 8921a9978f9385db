//! Memory: what expressions map themselves, which is not in the image.
//!
//! `cargo fastboot` links with `--wrap=mmap` and the like. The runtime itself asks the kernel, and the C library calls its own
//! functions by other names, so what comes here is what other code of the executable maps: the standard library, a crate such
//! as `memmap2`, C code. Not seen: what is mapped without the C library, and `mremap`. `mmap` and `mmap64` are one function here;
//! both ask the C library for the one that the standard library imports, so that no program imports another one for this.

use super::super::observe::inputs_seen::without_trace;
use super::super::tell;
use crate::os::kernel;
use crate::os::symbols::weak_symbol;
use core::ffi::{c_int, c_void};

type Map = unsafe extern "C-unwind" fn(*mut c_void, usize, c_int, c_int, c_int, libc::off_t) -> *mut c_void;
type Unmap = unsafe extern "C-unwind" fn(*mut c_void, usize) -> c_int;

/// Notes memory that was mapped without a file.
fn note(mapped: *mut c_void, length: usize, flags: c_int) {
    if mapped != libc::MAP_FAILED && flags & libc::MAP_ANONYMOUS != 0 {
        without_trace(|| tell::write_mapped(mapped.addr(), length));
    }
}

/// Defines a function that stands in place of one of the C library's which map memory.
macro_rules! stand_in {
    ($name:ident) => {
        /// # Safety
        /// As `mmap(2)`.
        #[unsafe(no_mangle)]
        #[unsafe(link_section = ".text.fastboot")]
        unsafe extern "C-unwind" fn $name(
            address: *mut c_void,
            length: usize,
            protection: c_int,
            flags: c_int,
            file: c_int,
            offset: libc::off_t,
        ) -> *mut c_void {
            let real = weak_symbol!("__real_mmap64");
            if real == 0 {
                // SAFETY: the caller's promise, passed on to the kernel.
                return unsafe { kernel::mmap(address, length, protection, flags, file, offset) };
            }
            // SAFETY: with --wrap the linker resolves this name to the C library's function, of this type.
            let real = unsafe { core::mem::transmute::<usize, Map>(real) };
            // SAFETY: the caller's promise, passed on.
            let mapped = unsafe { real(address, length, protection, flags, file, offset) };
            note(mapped, length, flags);
            mapped
        }

        // In the program under fat LTO too, where only what is used survives.
        const _: () = {
            #[used]
            static KEEP: Map = $name;
        };
    };
}

stand_in!(__wrap_mmap);
stand_in!(__wrap_mmap64);

/// In place of `munmap(2)`.
///
/// # Safety
/// As the function it stands for.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".text.fastboot")]
unsafe extern "C-unwind" fn __wrap_munmap(address: *mut c_void, length: usize) -> c_int {
    // Before it is done: afterwards another thread may be given the same addresses.
    without_trace(|| tell::write_unmapped(address.addr(), length));
    let real = weak_symbol!("__real_munmap");
    if real == 0 {
        // SAFETY: the caller's promise, passed on to the kernel.
        return unsafe { kernel::munmap(address, length) };
    }
    // SAFETY: with --wrap=munmap the linker resolves this name to the C library's function, of this type.
    let real = unsafe { core::mem::transmute::<usize, Unmap>(real) };
    // SAFETY: the caller's promise, passed on.
    unsafe { real(address, length) }
}

/// Keeps it in the program, under fat LTO too.
#[used]
static KEEP: Unmap = __wrap_munmap;
