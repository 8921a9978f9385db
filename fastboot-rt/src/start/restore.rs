//! Restore: gives the carried statics their bytes.

use super::relocate::Mapped;
use core::ptr;
use fastboot_format::image::{TableKind, carried};

/// Gives the carried statics the bytes they had after the roots were evaluated.
///
/// # Safety
/// The image passed the checks of [`super::thaw`], and its pointers are right. No code of the program has run yet, so that nothing relies on
/// what the statics hold now.
#[inline]
pub(super) unsafe fn restore(image: &Mapped<'_>, exe_base: usize) {
    for entry in carried(image.table(TableKind::Carried), image.header()).flatten() {
        let from = ptr::with_exposed_provenance::<u8>(image.address() + entry.offset as usize);
        let to = ptr::with_exposed_provenance_mut::<u8>(exe_base.wrapping_add(entry.address as usize));
        // SAFETY: `check` found the target inside a writable segment of the executable and the source inside the image
        // data; the two are different mappings. The statics are those of this very binary, and the bytes are what they
        // held in its freeze run: valid values of their types, with their pointers right for this process.
        unsafe { ptr::copy_nonoverlapping(from, to, entry.length as usize) };
    }
}
