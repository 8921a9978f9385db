//! Folder: the name of the working directory, which is another one in a run that is to take place in another world.
//!
//! `cargo fastboot` links with `--wrap=getcwd`. The other name means the same folder, and so does every path that is made of it:
//! what an expression reads is the same under either. Not seen: what asks for the folder otherwise, such as `realpath`, with which
//! `std::fs::canonicalize` finds the name of `.`.

use crate::os::kernel;
use crate::os::symbols::weak_symbol;
use core::ffi::{c_char, c_long};
use core::ptr;
use core::sync::atomic::{AtomicBool, Ordering};

/// The root directory, as every process may call it.
const ROOT: &[u8] = b"/proc/self/root";

/// Whether the folder has another name.
static IS_OTHER: AtomicBool = AtomicBool::new(false);

/// From now on the working directory has another name, or its own.
pub(crate) fn set_other(is_other: bool) {
    IS_OTHER.store(is_other, Ordering::Relaxed);
}

type GetCwd = unsafe extern "C-unwind" fn(*mut c_char, usize) -> *mut c_char;

/// The C library's `getcwd`, or the kernel's, which finds no memory for the name.
///
/// # Safety
/// As `getcwd(3)`.
unsafe fn real(buffer: *mut c_char, size: usize) -> *mut c_char {
    let real = weak_symbol!("__real_getcwd");
    if real == 0 {
        let arguments = [buffer.expose_provenance() as c_long, size as c_long, 0, 0, 0, 0];
        // SAFETY: the caller's promise, passed on to the kernel.
        let length = unsafe { kernel::raw_syscall(libc::SYS_getcwd, arguments) };
        return if length < 0 { ptr::null_mut() } else { buffer };
    }
    // SAFETY: with --wrap=getcwd the linker resolves this name to the C library's function, of this type.
    let real = unsafe { core::mem::transmute::<usize, GetCwd>(real) };
    // SAFETY: the caller's promise, passed on.
    unsafe { real(buffer, size) }
}

/// In place of `getcwd(3)`. Who has it find memory for the name is told the folder's own.
///
/// # Safety
/// As the function it stands for.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".text.fastboot")]
unsafe extern "C-unwind" fn __wrap_getcwd(buffer: *mut c_char, size: usize) -> *mut c_char {
    if !IS_OTHER.load(Ordering::Relaxed) || buffer.is_null() || size <= ROOT.len() {
        // SAFETY: the caller's promise.
        return unsafe { real(buffer, size) };
    }
    // SAFETY: there are `size` bytes at the buffer, the caller promises, and that is more than these.
    let behind = unsafe { buffer.add(ROOT.len()) };
    // SAFETY: so many are left behind them.
    if unsafe { real(behind, size - ROOT.len()) }.is_null() {
        return ptr::null_mut();
    }
    // SAFETY: as above; a constant of its own does not overlap with the caller's buffer.
    unsafe { ptr::copy_nonoverlapping(ROOT.as_ptr(), buffer.cast(), ROOT.len()) };
    buffer
}

/// Keeps it in the program, under fat LTO too.
#[used]
static KEEP: GetCwd = __wrap_getcwd;

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CStr;
    use std::os::unix::fs::MetadataExt as _;

    /// What it says with a buffer of this size.
    fn folder(size: usize) -> Option<String> {
        let mut buffer = vec![0 as c_char; size];
        // SAFETY: so many bytes are there.
        let result = unsafe { __wrap_getcwd(buffer.as_mut_ptr(), size) };
        if result.is_null() {
            return None;
        }
        // SAFETY: it is the buffer, in which there is a C string now.
        Some(unsafe { CStr::from_ptr(result) }.to_str().unwrap().to_owned())
    }

    #[test]
    fn the_other_name_means_the_same_folder() {
        let own = std::env::current_dir().unwrap();
        let length = own.as_os_str().len();
        assert_eq!(folder(4096).as_deref(), own.to_str());
        set_other(true);
        let other = folder(4096).unwrap();
        assert_eq!(other, format!("/proc/self/root{}", own.display()));
        let number = |path: &str| std::fs::metadata(path).unwrap().ino();
        assert_eq!(number(&other), number("."));
        assert_eq!(folder(length + ROOT.len() + 1), Some(other));
        for size in [0, 5, length, length + ROOT.len()] {
            assert_eq!(folder(size), None, "{size}");
        }
        set_other(false);
        assert_eq!(folder(length + 1).as_deref(), own.to_str());
    }
}
