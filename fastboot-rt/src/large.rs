//! Large: vectors in large pages, with fewer page faults and faster access.
//!
//! The tool has as much to remember as images have objects. It is here because the tool has no `unsafe`.

use crate::sys;

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
        sys::expect_dense_use(start.next_multiple_of(crate::format::PAGE)..end & !(crate::format::PAGE - 1));
    }
    vec
}
