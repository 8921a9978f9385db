//! Bytes: digests, and numbers one behind the other.

/// A 64-bit digest against damage, not against malice: every step is a bijection of the state, so any change confined
/// to one eight-byte word is always seen, and any other change is missed once in 2^64.
#[inline]
pub fn digest(bytes: &[u8]) -> u64 {
    digest_from(0x9e37_79b9_7f4a_7c15, bytes)
}

#[inline(always)]
pub(super) fn digest_from(mut state: u64, bytes: &[u8]) -> u64 {
    let mut step = |word: u64| {
        state = (state ^ word).wrapping_mul(0xff51_afd7_ed55_8ccd);
        state ^= state >> 32;
    };
    chunks(bytes).for_each(|word| step(u64::from_le_bytes(*word)));
    let mut last = [0u8; 8];
    for (to, from) in last.iter_mut().zip(bytes.chunks_exact(8).remainder()) {
        *to = *from;
    }
    step(u64::from_le_bytes(last));
    step(bytes.len() as u64);
    state
}

/// The arrays of `N` bytes that lie one behind the other in `bytes`; without what is left over at the end.
// The standard library has it as `as_chunks` from Rust 1.88 on.
#[inline(always)]
pub fn chunks<const N: usize>(bytes: &[u8]) -> impl ExactSizeIterator<Item = &[u8; N]> {
    // The compiler sees that there are always `N` bytes.
    bytes.chunks_exact(N).map(|chunk| chunk.first_chunk().unwrap_or(&[0; N]))
}

/// Reads little-endian integers one after another; `None` past the end.
pub(super) struct Reader<'a> {
    pub(super) rest: &'a [u8],
}

impl<'a> Reader<'a> {
    #[inline]
    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*first)
    }
    #[inline]
    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }
    #[inline]
    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }
    #[inline]
    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
}

/// Puts fields one after another into a buffer of exactly the right size.
pub(super) struct Writer<const N: usize> {
    bytes: [u8; N],
    at: usize,
}

impl<const N: usize> Writer<N> {
    pub(super) const fn new() -> Self {
        Self { bytes: [0; N], at: 0 }
    }
    pub(super) fn put(mut self, field: &[u8]) -> Self {
        for (to, from) in self.bytes.iter_mut().skip(self.at).zip(field) {
            *to = *from;
        }
        self.at += field.len();
        self
    }
    pub(super) fn finish(self) -> [u8; N] {
        debug_assert_eq!(self.at, N, "every field written, no byte left over");
        self.bytes
    }
}
