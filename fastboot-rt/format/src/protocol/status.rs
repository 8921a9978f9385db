//! Status: how far a freeze run has come, on a page that both sides have mapped.

use alloc::string::String;

/// Size in bytes of the status file.
pub const STATUS_LEN: usize = 4096;
/// Offset of the `u64` number of bytes captured so far.
pub const STATUS_BYTES: usize = 0;
/// Offset of the `u32` number of roots evaluated so far.
pub const STATUS_DONE: usize = 8;
/// Offset of the `u32` number of roots in all.
pub const STATUS_TOTAL: usize = 12;
/// Offset of the `u32` [`Phase`].
pub const STATUS_PHASE: usize = 16;
/// Offset of the `u32` length of the name of the root being evaluated; the name follows.
pub const STATUS_NAME: usize = 20;

/// How far a freeze run has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Phase {
    /// The process has not reached freeze mode.
    Starting = 0,
    /// A root is being evaluated: the one named in the status.
    Evaluating = 1,
    /// All roots are there; the capture is being written.
    Writing = 2,
    /// The capture is complete.
    Done = 3,
}

/// A status page, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Bytes captured so far.
    pub bytes: u64,
    /// Roots evaluated.
    pub done: u32,
    /// Roots in all.
    pub total: u32,
    /// How far the run has come.
    pub phase: Phase,
    /// Name of the root being evaluated; empty between roots.
    pub root: String,
}

impl Status {
    /// Reads a status page.
    pub fn decode(page: &[u8; STATUS_LEN]) -> Self {
        let u32_at = |at: usize| page[at..].first_chunk().map_or(0, |b| u32::from_le_bytes(*b));
        let length = u32_at(STATUS_NAME) as usize;
        let name = page[STATUS_NAME + 4..].get(..length).unwrap_or(&[]);
        Self {
            bytes: page[STATUS_BYTES..].first_chunk().map_or(0, |b| u64::from_le_bytes(*b)),
            done: u32_at(STATUS_DONE),
            total: u32_at(STATUS_TOTAL),
            phase: match u32_at(STATUS_PHASE) {
                1 => Phase::Evaluating,
                2 => Phase::Writing,
                3 => Phase::Done,
                _ => Phase::Starting,
            },
            root: String::from_utf8_lossy(name).into_owned(),
        }
    }
}
