//! Publish: gives every root its value.

use super::relocate::Mapped;
use crate::roots;
use core::ptr;
use fastboot_format::image::TableKind;

/// Gives every root its value.
///
/// # Safety
/// The image passed the checks of [`super::thaw`], its pointers are right, and it stays mapped.
#[inline]
pub(super) unsafe fn publish(image: &Mapped<'_>) {
    let entries = image.table(TableKind::Roots);
    for (index, record) in roots::all().enumerate() {
        if let Ok(root) = image.header().root(entries, index) {
            // A value without bytes has no place in the image.
            let distance = if root.size == 0 { 0 } else { image.distance() };
            let value = root.value.wrapping_add(distance) as usize;
            // SAFETY: the image belongs to this very binary, so entry `index` is this record's, and its size and
            // alignment were compared. The bytes at its address are the value that this binary evaluated in its freeze
            // run, with everything it points to at the same distance from it as there; the freeze process is gone, so
            // nothing else refers to it. The mapping is never removed.
            unsafe { record.publish(ptr::with_exposed_provenance_mut(value)) };
        }
    }
}
