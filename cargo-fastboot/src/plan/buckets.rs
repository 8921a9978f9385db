//! Buckets: finds things by where they begin, without a search through all of them. A few bytes for each, because there are
//! millions.

use crate::runs::memory::with_capacity;
use std::ops::Range;

/// An index of things that are numbered in the order of where they begin.
#[derive(Debug)]
pub(crate) struct Buckets {
    /// A bucket is two to this power long.
    shift: u32,
    /// For each bucket, how many things begin before it; and one more.
    before: Vec<u32>,
}

impl Buckets {
    /// For things that begin at `starts`, ascending; the last one ends at `end`.
    pub(crate) fn new(starts: impl IntoIterator<Item = u64>, end: u64, shift: u32) -> Self {
        let mut before = with_capacity((end >> shift) as usize + 2);
        let mut count = 0;
        for start in starts {
            before.resize(((start >> shift) as usize + 1).max(before.len()), count);
            count += 1;
        }
        before.resize(((end >> shift) as usize + 2).max(before.len()), count);
        Self { shift, before }
    }

    /// The number of the last of the `things` that begins at `at` or before it; `begins` says whether one does that is in the
    /// same bucket. Nothing if `at` is in a bucket behind all of them.
    pub(crate) fn last_before<T>(&self, things: &[T], at: u64, begins: impl Fn(&T) -> bool) -> Option<u32> {
        let Range { start, end } = self.bucket(at)?;
        let within = things[start as usize..end as usize].partition_point(begins);
        (start + within as u32).checked_sub(1)
    }

    /// The things that begin in the bucket that `at` is in, by their numbers.
    pub(crate) fn bucket(&self, at: u64) -> Option<Range<u32>> {
        let bucket = usize::try_from(at >> self.shift).ok()?;
        Some(*self.before.get(bucket)?..*self.before.get(bucket + 1)?)
    }
}
