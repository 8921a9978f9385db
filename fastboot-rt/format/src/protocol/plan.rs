//! Plan: where each allocation of a place run belongs.

use super::record::Payload;

/// First eight bytes of a plan.
pub const PLAN_MAGIC: [u8; 8] = *b"fb-plan2";
/// Size in bytes of the header of a plan.
pub const PLAN_HEADER_LEN: usize = 40;
/// Size in bytes of what a plan says of a thread: `u64` key, `u64` number of its first entry, `u64` number of entries.
pub const PLAN_THREAD_LEN: usize = 24;
/// Size in bytes of what it says of an allocation: `u32` fingerprint, `u32` number of its placement plus one, or 0.
pub const PLAN_ENTRY_LEN: usize = 8;
/// Size in bytes of a placement: `u64` offset from the home address, `u64` reserved bytes. Offsets ascend.
pub const PLAN_PLACEMENT_LEN: usize = 16;
/// Size in bytes of what it says of a page, from the home address to where placements end: the `u32` number of placements
/// that begin before it. There is one more.
pub const PLAN_PAGE_LEN: usize = 4;
/// The header of a plan. Behind it come the threads, the entries, the placements and the pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlanHeader {
    /// Number of threads.
    pub threads: u64,
    /// Number of entries, of all threads.
    pub entries: u64,
    /// Number of placements.
    pub placements: u64,
    /// Offset from the home address where placements end and the overflow begins; a multiple of the page size.
    pub end: u64,
}

impl PlanHeader {
    /// The header as bytes.
    pub fn encode(&self) -> [u8; PLAN_HEADER_LEN] {
        let mut bytes = [0; PLAN_HEADER_LEN];
        let (head, words) = bytes.split_at_mut(8);
        head.copy_from_slice(&PLAN_MAGIC);
        for (to, word) in words.chunks_mut(8).zip([self.threads, self.entries, self.placements, self.end]) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// Reads a header; `None` when it is not one.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fields = Payload::new(bytes.strip_prefix(&PLAN_MAGIC)?);
        Some(Self {
            threads: fields.number()?,
            entries: fields.number()?,
            placements: fields.number()?,
            end: fields.number()?,
        })
    }
}
