//! Whole numbers as postcard writes them: seven bits in a byte, the lowest first, the eighth says that more follow.
//!
//! ```text
//! 5 → 05        300 → ac 02
//! ```

/// A number on its own.
pub(crate) fn varint(n: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(10);
    put_varint(&mut out, n);
    out
}

/// Appends a number.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_postcard() {
        for n in [0, 1, 5, 127, 128, 300, 16383, 16384, u64::from(u32::MAX), u64::MAX] {
            assert_eq!(Some(varint(n)), postcard::to_allocvec(&n).ok(), "{n}");
        }
    }
}
