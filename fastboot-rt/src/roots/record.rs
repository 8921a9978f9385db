//! Record: what the program knows of each root before it has a value.

use super::checked::Checked;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU8, Ordering};

/// Size in bytes of the static of a root, whatever type its value has.
pub(super) const STATIC_LEN: usize = 3 * size_of::<usize>();

/// What the registry knows of one root. The linker puts these side by side.
#[doc(hidden)]
#[repr(C)]
#[derive(Debug)]
pub struct RootRecord {
    /// The `value` of the `Frozen`; `None` for the anchor, which keeps the section there when a program has no roots.
    slot: Option<&'static AtomicPtr<u8>>,
    evaluate: fn(),
    check: fn() -> Checked,
    name: &'static str,
    type_name: fn() -> &'static str,
    size: usize,
    align: usize,
    /// No bytes, but something that can change: so every record is writable data, also in a crate that is compiled for a
    /// fixed address. Where some are and some are not, mold makes two sections of the one.
    writable: [AtomicU8; 0],
}

// The tool reads records in object files.
#[cfg(target_pointer_width = "64")]
const _: () = {
    use fastboot_format::protocol::{RECORD_CHECK, RECORD_LEN, RECORD_NAME};
    assert!(size_of::<RootRecord>() as u64 == RECORD_LEN, "the length that the tool knows");
    assert!(core::mem::offset_of!(RootRecord, check) as u64 == RECORD_CHECK, "where the tool looks for it");
    assert!(core::mem::offset_of!(RootRecord, name) as u64 == RECORD_NAME, "where the tool looks for it");
};

impl RootRecord {
    /// The record of the root whose value is noted in `slot`, and which `evaluate` evaluates.
    pub(super) const fn of<T: 'static>(
        slot: &'static AtomicPtr<u8>,
        evaluate: fn(),
        check: fn() -> Checked,
        name: &'static str,
    ) -> Self {
        Self {
            slot: Some(slot),
            evaluate,
            check,
            name,
            type_name: core::any::type_name::<T>,
            size: size_of::<T>(),
            align: align_of::<T>(),
            writable: [],
        }
    }

    /// For [`warm!`](crate::warm) only: something to evaluate that is no root.
    #[doc(hidden)]
    pub const fn __warm(evaluate: fn(), name: &'static str) -> Self {
        let check = || Checked::NotComparable;
        Self { slot: None, evaluate, check, name, type_name: || "()", size: 0, align: 1, writable: [] }
    }

    /// What keeps the registry there when a program has no roots.
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    pub(super) const fn anchor() -> Self {
        Self {
            slot: None,
            evaluate: || {},
            check: || Checked::NotComparable,
            name: "",
            type_name: || "",
            size: 0,
            align: 1,
            writable: [],
        }
    }

    /// Whether it is that of a root, and not of something that is only warmed.
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    pub(super) fn is_root(&self) -> bool {
        self.slot.is_some()
    }

    /// The root's path, such as `mycrate::INDEX`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The name of its type.
    pub fn type_name(&self) -> &'static str {
        (self.type_name)()
    }

    /// Size of the value in bytes.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Alignment of the value in bytes.
    pub fn align(&self) -> usize {
        self.align
    }

    /// Address of the value, null if it is not there yet.
    pub fn value(&self) -> *mut u8 {
        self.slot.map_or(ptr::null_mut(), |slot| slot.load(Ordering::Acquire))
    }

    /// The addresses of the root's static.
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    pub(crate) fn place(&self) -> core::ops::Range<usize> {
        let start = self.slot.map_or(0, |slot| ptr::from_ref(slot).addr());
        start..start + STATIC_LEN // the slot is the first field of it
    }

    /// Evaluates the root unless its value is there.
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    pub(crate) fn evaluate(&self) {
        (self.evaluate)();
    }

    /// Evaluates the root anew and compares it with the value it has.
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    pub(crate) fn check(&self) -> Checked {
        (self.check)()
    }

    /// Makes `value` the root's value.
    ///
    /// # Safety
    /// `value` is the address of a valid value of the root's type that nothing else refers to mutably and that lives
    /// as long as the process.
    pub(crate) unsafe fn publish(&self, value: *mut u8) {
        if let Some(slot) = self.slot {
            slot.store(value, Ordering::Release);
        }
    }
}
