//! Placements: what the tool made of a plan run, mapped into a place run.
//!
//! ```text
//! header │ threads: key, first entry, count │ entries: fingerprint and placement │ placements: offset, reserved bytes │ pages
//! ```
//! The layout is defined in [`fastboot_format::protocol`].

use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use fastboot_format::image::PAGE;
use fastboot_format::protocol::{
    PLAN_ENTRY_LEN, PLAN_HEADER_LEN, PLAN_PAGE_LEN, PLAN_PLACEMENT_LEN, PLAN_THREAD_LEN, PlanHeader,
};

/// Where an allocation belongs.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Placement {
    /// Offset from the home address.
    pub(crate) offset: u64,
    /// Bytes kept for it: its size at the end of the plan run.
    pub(crate) reserved: u64,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
struct ThreadPlan {
    key: u64,
    first: u64,
    count: u64,
}

const _: () = {
    assert!(size_of::<Placement>() == PLAN_PLACEMENT_LEN);
    assert!(size_of::<ThreadPlan>() == PLAN_THREAD_LEN);
    assert!(size_of::<u64>() == PLAN_ENTRY_LEN);
    assert!(size_of::<u32>() == PLAN_PAGE_LEN);
};

static THREADS: (AtomicPtr<ThreadPlan>, AtomicUsize) = (AtomicPtr::new(core::ptr::null_mut()), AtomicUsize::new(0));
static ENTRIES: (AtomicPtr<u64>, AtomicUsize) = (AtomicPtr::new(core::ptr::null_mut()), AtomicUsize::new(0));
static PLACEMENTS: (AtomicPtr<Placement>, AtomicUsize) = (AtomicPtr::new(core::ptr::null_mut()), AtomicUsize::new(0));
/// For each page, how many placements begin before it.
static PAGES: (AtomicPtr<u32>, AtomicUsize) = (AtomicPtr::new(core::ptr::null_mut()), AtomicUsize::new(0));

/// Makes the plan in these bytes the plan of this run. They stay mapped and unchanged.
pub(crate) fn set(bytes: &'static [u8]) -> Option<PlanHeader> {
    let header = PlanHeader::decode(bytes)?;
    let behind =
        |start: usize, count: u64, length: usize| start.checked_add(usize::try_from(count).ok()?.checked_mul(length)?);
    let threads = PLAN_HEADER_LEN;
    let entries = behind(threads, header.threads, PLAN_THREAD_LEN)?;
    let placements = behind(entries, header.entries, PLAN_ENTRY_LEN)?;
    let pages = behind(placements, header.placements, PLAN_PLACEMENT_LEN)?;
    let page_count = header.end as usize / PAGE + 1;
    let end = behind(pages, page_count as u64, PLAN_PAGE_LEN)?;
    if end != bytes.len() || bytes.as_ptr().addr() % 8 != 0 {
        return None;
    }
    THREADS.0.store(bytes[threads..].as_ptr().cast_mut().cast(), Ordering::Release);
    THREADS.1.store(header.threads as usize, Ordering::Release);
    ENTRIES.0.store(bytes[entries..].as_ptr().cast_mut().cast(), Ordering::Release);
    ENTRIES.1.store(header.entries as usize, Ordering::Release);
    PLACEMENTS.0.store(bytes[placements..].as_ptr().cast_mut().cast(), Ordering::Release);
    PLACEMENTS.1.store(header.placements as usize, Ordering::Release);
    PAGES.0.store(bytes[pages..].as_ptr().cast_mut().cast(), Ordering::Release);
    PAGES.1.store(page_count, Ordering::Release);
    Some(header)
}

fn array<T>(of: &(AtomicPtr<T>, AtomicUsize)) -> &'static [T] {
    let (start, count) = (of.0.load(Ordering::Acquire), of.1.load(Ordering::Acquire));
    if start.is_null() || count == 0 {
        return &[];
    }
    // SAFETY: set by `set` to parts of a mapping that stays unchanged: it found `count` elements there, aligned to
    // eight bytes, and the types are made of integers, so any bytes are valid.
    unsafe { core::slice::from_raw_parts(start, count) }
}

/// The plan for a thread; empty if the plan does not have that thread. Bits 0 to 31 of an entry are the fingerprint, the others the
/// placement's number plus one, or 0.
pub(crate) fn of_thread(key: u64) -> &'static [u64] {
    let plan = array(&THREADS).iter().find(|thread| thread.key == key);
    plan.and_then(|plan| array(&ENTRIES).get(plan.first as usize..plan.first.checked_add(plan.count)? as usize))
        .unwrap_or(&[])
}

/// A placement by its number.
pub(crate) fn placement(number: u32) -> Option<Placement> {
    array(&PLACEMENTS).get(number as usize).copied()
}

/// The number of the placement that begins at `offset`. Placements ascend.
pub(crate) fn placement_at(offset: u64) -> Option<u32> {
    let page = usize::try_from(offset).ok()? / PAGE;
    let [first, end] = *array(&PAGES).get(page..page + 2)?.first_chunk()?;
    let on_page = array(&PLACEMENTS).get(first as usize..end as usize)?;
    let found = on_page.binary_search_by_key(&offset, |placement| placement.offset).ok()?;
    Some(first + found as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_that_is_larger_than_memory_is_none() {
        let bytes = |threads, entries, placements, end| {
            let header = PlanHeader { threads, entries, placements, end };
            Vec::leak(header.encode().to_vec())
        };
        for plan in [
            bytes(u64::MAX, 0, 0, 0),
            bytes(0, u64::MAX / 2, 0, 0),
            bytes(0, 0, u64::MAX / 16 + 1, 0),
            bytes(0, 0, 0, u64::MAX),
            // It would end where it begins, were the product cut.
            bytes(1 << 61, 0, 0, 0),
        ] {
            assert!(set(plan).is_none());
        }
        assert!(array(&THREADS).is_empty());
    }
}
