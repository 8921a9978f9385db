//! Data compiled in. `BENCH_DATA` names the folder with the data when this is built.

/// Bytes at an address that anything may be at.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Aligned<T: ?Sized>(pub T);
