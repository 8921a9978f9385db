//! What LeakSanitizer has to be told, if it is in the program (AddressSanitizer includes it), so that the program can
//! end well: when it ends, memory is looked through for the addresses of what was allocated.

use crate::os::memory;
use core::ffi::c_void;
use core::ops::Range;
use core::ptr;

/// Part of the sanitizer's public interface.
type RegisterRootRegion = unsafe extern "C" fn(*const c_void, usize);

fn register_root_region() -> Option<RegisterRootRegion> {
    let address = crate::os::symbols::weak_symbol!("__lsan_register_root_region");
    // SAFETY: not null, hence the sanitizer's function of that name and type, which is not to be defined by anybody else.
    (address != 0).then(|| unsafe { core::mem::transmute::<usize, RegisterRootRegion>(address) })
}

/// Memory that was mapped for an image may hold the only addresses of objects: values of the image can grow.
#[inline]
pub(crate) fn look_into(address: usize, length: usize) {
    if let Some(register) = register_root_region() {
        // SAFETY: the range is only noted. When the program ends, no more of it is read than is mapped then.
        unsafe { register(ptr::without_provenance(address), length) };
    }
}

/// A segment was moved away. All segments that the program headers name are looked through, this one too: so there have
/// to be pages, of zeros, that are never written to.
#[inline]
pub(crate) fn refill(hole: Range<usize>) {
    if register_root_region().is_some() && memory::reserve(hole.start, hole.len()).is_ok() {
        // SAFETY: reserved just now.
        let _ = unsafe { memory::protect(hole.start, hole.len(), false) };
    }
}
