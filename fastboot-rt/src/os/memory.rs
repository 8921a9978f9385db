//! Memory: mapping it, protecting it, giving it back.
//!
//! Miri knows no system calls: there what reserves, protects or advises does nothing, and tests bring memory of their own.

use super::files::Descriptor;
use super::kernel::{self, errno};
use core::ops::Range;
use core::ptr;
use libc::{c_int, c_void};

/// First address behind the heap of the C library.
pub(crate) fn heap_end() -> usize {
    // SAFETY: brk(2), "C library/kernel differences": on failure it returns the current break, and there is none at 0.
    unsafe { kernel::brk(0) }
}

/// What memory holds, whatever it is: as bytes, which are not used as values.
///
/// Not with `memcpy`, in whose place sanitizers have one that objects to what lies between two statics.
///
/// # Safety
/// The range is mapped and readable. What another thread writes to meanwhile comes out as some mixture of old and new.
pub(crate) unsafe fn copy_memory(range: Range<usize>) -> Vec<u8> {
    let mut bytes = vec![0u8; range.len()];
    // SAFETY: reads the range, which the caller promises to be readable, and writes as many bytes to `bytes`, another
    // allocation. The direction flag is clear, as it always is in Rust code.
    unsafe {
        core::arch::asm!(
            "rep movsb",
            inout("rcx") range.len() => _, inout("rsi") range.start => _, inout("rdi") bytes.as_mut_ptr() => _,
            options(nostack, preserves_flags)
        );
    }
    bytes
}

/// Reserves `length` bytes of address space at exactly `address`, without access and without cost.
///
/// # Errors
/// The `errno`; `EEXIST` when something is mapped there, also from kernels before 4.17, which do not know the flag.
pub(crate) fn reserve(address: usize, length: usize) -> Result<(), i32> {
    if cfg!(miri) {
        return Ok(());
    }
    // mmap(2), MAP_FIXED_NOREPLACE: "if the requested range would collide with an existing mapping, then this call
    // fails with the error EEXIST".
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED_NOREPLACE;
    // SAFETY: a new mapping that replaces none.
    let got = unsafe { kernel::mmap(ptr::without_provenance_mut(address), length, libc::PROT_NONE, flags, -1, 0) };
    if got == libc::MAP_FAILED {
        return Err(errno());
    }
    if got.addr() != address {
        // SAFETY: the mapping was made just now, by this function, and nobody knows of it.
        unsafe { kernel::munmap(got, length) };
        return Err(libc::EEXIST);
    }
    Ok(())
}

/// Gives back what [`reserve`] reserved, or [`map_private`] mapped.
///
/// # Safety
/// The caller got it from there, and nothing refers to it.
pub(crate) unsafe fn release(address: usize, length: usize) {
    // SAFETY: the caller's promise.
    unsafe { kernel::munmap(ptr::without_provenance_mut(address), length) };
}

/// Makes pages readable and writable.
///
/// # Errors
/// The `errno`, such as `ENOMEM`.
///
/// # Safety
/// The caller reserved them with [`reserve`].
pub(crate) unsafe fn make_writable(address: usize, length: usize) -> Result<(), i32> {
    // SAFETY: the caller's promise: what it has a reservation of, nobody else relies on.
    unsafe { protect(address, length, true) }
}

/// Moves the pages of `from` to `to`, if nothing is there.
///
/// # Safety
/// Nothing refers to the memory at `from`, now or later, and nobody wrote to it. Both are page-aligned.
///
/// # Errors
/// The `errno`; then `from` is as it was. `EEXIST` when something is mapped there.
#[inline]
pub(crate) unsafe fn move_pages(from: Range<usize>, to: usize) -> Result<(), i32> {
    // mremap(2), MREMAP_DONTUNMAP: the new address is a hint, taken if there is room enough, and the old mapping stays,
    // without pages. All in one call, which takes half as long as to reserve the place first. It is removed, because it
    // would count against limits, and `mlockall` would fill it.
    // SAFETY: a new mapping that replaces none. What is at `from` is read from its file again, where it was not changed.
    match unsafe { remap(&from, to, libc::MREMAP_MAYMOVE | libc::MREMAP_DONTUNMAP) } {
        Ok(got) if got == to => {
            // SAFETY: the caller promises that nothing refers to it.
            unsafe { release(from.start, from.len()) };
            return Ok(());
        }
        // SAFETY: a mapping that the kernel made just now, which nobody knows of.
        Ok(elsewhere) => unsafe { release(elsewhere, from.len()) },
        Err(_) => {}
    }
    // SAFETY: the caller's promise.
    unsafe { move_to_reserved(from, to) }
}

/// The same for kernels before 5.13, where there is no address space for both, and where the place is taken or tight.
///
/// # Safety
/// That of [`move_pages`].
#[cold]
#[inline(never)]
unsafe fn move_to_reserved(from: Range<usize>, to: usize) -> Result<(), i32> {
    let length = from.len();
    reserve(to, length)?;
    // mremap(2), MREMAP_FIXED: "any previous mapping at the address range specified by new_address and new_size is
    // unmapped".
    // SAFETY: that is the reservation just made; nothing refers to either range.
    let moved = unsafe { remap(&from, to, libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED) };
    if moved.is_err() {
        // SAFETY: the reservation made above, which nobody else knows of.
        unsafe { release(to, length) };
    } else if is_in_valgrind() {
        // It ends the program at the next mapping if there is a hole that low.
        let _ = reserve(from.start, length);
    }
    moved.map(drop)
}

/// Whether valgrind runs this program: its client request `RUNNING_ON_VALGRIND`, to any processor four rotations that
/// together change nothing, and an exchange of a register with itself.
fn is_in_valgrind() -> bool {
    const RUNNING_ON_VALGRIND: u64 = 0x1001;
    let request = [RUNNING_ON_VALGRIND, 0, 0, 0, 0, 0];
    let depth: u64;
    // SAFETY: it reads `request`, at most, and changes the flags and `rdx`: `rdi` is rotated by 128 bits.
    unsafe {
        core::arch::asm!(
            "rol rdi, 3",
            "rol rdi, 13",
            "rol rdi, 61",
            "rol rdi, 51",
            "xchg rbx, rbx",
            in("rax") &raw const request,
            inlateout("rdx") 0_u64 => depth,
            options(readonly, nostack),
        );
    }
    depth != 0
}

/// `mremap` to another address, of the same length.
///
/// # Safety
/// That of the flags.
#[inline]
unsafe fn remap(from: &Range<usize>, to: usize, flags: c_int) -> Result<usize, i32> {
    let (old, new) = (ptr::without_provenance_mut::<c_void>(from.start), ptr::without_provenance_mut::<c_void>(to));
    // SAFETY: the caller's promise.
    let got = unsafe { kernel::mremap(old, from.len(), from.len(), flags, new) };
    if got == libc::MAP_FAILED { Err(errno()) } else { Ok(got.addr()) }
}

/// Makes pages writable, or read-only.
///
/// # Errors
/// The `errno`, such as `ENOMEM`.
///
/// # Safety
/// They are pages of an image that nothing refers to yet, or of a reservation of the caller's, which had no access and hence
/// no references into it, or is writable already.
pub(crate) unsafe fn protect(address: usize, length: usize, writable: bool) -> Result<(), i32> {
    if cfg!(miri) {
        return Ok(());
    }
    let access = libc::PROT_READ | if writable { libc::PROT_WRITE } else { 0 };
    // SAFETY: the caller's promise.
    let result = unsafe { kernel::mprotect(ptr::without_provenance_mut(address), length, access) };
    if result == 0 { Ok(()) } else { Err(errno()) }
}

/// Maps part of a file, privately: at `home` if nothing is there, else wherever the kernel likes. Says where.
///
/// # Errors
/// The `errno`, such as `ENOMEM`.
pub(crate) fn map_private(
    file: &Descriptor,
    offset: u64,
    length: usize,
    home: usize,
    writable: bool,
) -> Result<usize, i32> {
    let access = libc::PROT_READ | if writable { libc::PROT_WRITE } else { 0 };
    // mmap(2), without MAP_FIXED: "If another mapping already exists there, the kernel picks a new address". One call
    // where MAP_FIXED_NOREPLACE would need a second one then.
    // SAFETY: a new mapping that replaces none.
    let got = unsafe {
        kernel::mmap(
            ptr::without_provenance_mut(home),
            length,
            access,
            libc::MAP_PRIVATE,
            file.0,
            offset as libc::off_t,
        )
    };
    if got == libc::MAP_FAILED { Err(errno()) } else { Ok(got.expose_provenance()) }
}

/// Maps `length` bytes of a file, shared with other processes.
pub(crate) fn map_shared(file: &std::fs::File, length: usize) -> Option<*mut u8> {
    use std::os::fd::AsRawFd;
    // SAFETY: a new mapping wherever the kernel likes; it replaces none.
    let got = unsafe {
        kernel::mmap(ptr::null_mut(), length, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED, file.as_raw_fd(), 0)
    };
    (got != libc::MAP_FAILED).then_some(got.cast())
}

/// Fresh memory, zero, wherever the kernel likes, that costs nothing until it is touched.
///
/// # Errors
/// The `errno`.
pub(crate) fn map_anonymous(length: usize) -> Result<*mut u8, i32> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a new mapping that replaces none.
    let got = unsafe { kernel::mmap(ptr::null_mut(), length, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
    if got == libc::MAP_FAILED { Err(errno()) } else { Ok(got.cast()) }
}

/// Maps a whole file, read-only, for the rest of the process.
///
/// # Safety
/// The file does not change as long as the process runs.
pub(crate) unsafe fn map_file(file: &std::fs::File) -> Option<&'static [u8]> {
    use std::os::fd::AsRawFd;
    let length = usize::try_from(file.metadata().ok()?.len()).ok()?;
    // SAFETY: a new mapping wherever the kernel likes; it replaces none.
    let got = unsafe { kernel::mmap(ptr::null_mut(), length, libc::PROT_READ, libc::MAP_PRIVATE, file.as_raw_fd(), 0) };
    if got == libc::MAP_FAILED {
        return None;
    }
    // SAFETY: `length` bytes were mapped just now and are never unmapped. That the file stays as it is, is the caller's
    // promise.
    Some(unsafe { core::slice::from_raw_parts(got.cast::<u8>(), length) })
}

/// Gives the memory of pages back; when they are touched again they are zero, or what the file has there.
///
/// # Safety
/// Nobody relies on what they hold: pages of a slot that was just freed, which nobody reads before writing; or pages of a
/// private mapping that are still those of the file, so that nothing is lost; or memory of a process that is about to end.
pub(crate) unsafe fn forget_pages(address: usize, length: usize) {
    if cfg!(miri) {
        return;
    }
    // SAFETY: the caller's promise.
    unsafe { kernel::madvise(ptr::with_exposed_provenance_mut(address), length, libc::MADV_DONTNEED) };
}

/// Advises the kernel that mapped pages will be accessed at random. What matters is that it keeps them in a mapping apart
/// from pages of other advice; that it refuses is not an error.
pub(crate) fn expect_random_access(address: usize, length: usize) {
    // SAFETY: changes neither contents nor permissions.
    unsafe { kernel::madvise(ptr::with_exposed_provenance_mut(address), length, libc::MADV_RANDOM) };
}

/// Size in bytes of a large page, the smaller kind.
pub(crate) const LARGE_PAGE: usize = 2 << 20;

/// Advises the kernel that memory will be used from end to end, so that it comes in large pages, with fewer page faults.
/// That it refuses is not an error.
pub(crate) fn expect_dense_use(range: Range<usize>) {
    if cfg!(miri) {
        return;
    }
    // SAFETY: changes neither contents nor permissions.
    unsafe { kernel::madvise(ptr::without_provenance_mut(range.start), range.len(), libc::MADV_HUGEPAGE) };
}

/// Has the kernel put memory behind writable addresses, as if they had been written to; `false` if it does not.
pub(crate) fn make_ready(address: usize, length: usize) -> bool {
    // Since Linux 5.14; the C library need not know of it.
    const MADV_POPULATE_WRITE: c_int = 23;
    // SAFETY: changes neither contents nor permissions.
    unsafe { kernel::madvise(ptr::without_provenance_mut(address), length, MADV_POPULATE_WRITE) == 0 }
}
