//! Huge pages: vectors in large pages, with fewer page faults and faster access.
//!
//! The tool has as much to remember as images have objects.

/// Size in bytes of the pages that the kernel puts together to large ones.
const PAGE: usize = 4096;

/// From how many bytes on it is worth a system call.
const LARGE: usize = 4 << 20;

/// An empty vector that has room for so many, in large pages where the system has them. Where there is not as much memory, it
/// has no room yet.
pub fn with_capacity<T>(capacity: usize) -> Vec<T> {
    let mut vec: Vec<T> = Vec::new();
    let _ = vec.try_reserve_exact(capacity);
    let start = vec.as_ptr().addr();
    let end = start + vec.capacity() * size_of::<T>();
    if end - start >= LARGE {
        let (start, end) = (start.next_multiple_of(PAGE), end & !(PAGE - 1));
        // SAFETY: advice changes neither contents nor permissions. That it is refused is no error.
        unsafe { libc::madvise(core::ptr::with_exposed_provenance_mut(start), end - start, libc::MADV_HUGEPAGE) };
    }
    vec
}
