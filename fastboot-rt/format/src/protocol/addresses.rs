//! Addresses: where the parts of a freeze run lie.

use crate::image::{DEFAULT_HOME, HOME_ALIGN};

/// First addresses that the scratch heap may have: two, because the proof wants another one.
pub const SCRATCH: [u64; 2] = [0x5530_0000_0000, 0x5540_0000_0000];
/// Length in bytes of the scratch heap's address space.
pub const SCRATCH_LEN: u64 = 0x10_0000_0000;
/// Highest addresses that the freeze thread's stack may have: two, for the same reason, and well apart.
pub const STACK_TOP: [u64; 2] = [0x5555_5000_0000, 0x5552_f5c3_b000];
/// Length in bytes of that stack. Only pages that are touched cost memory.
pub const STACK_LEN: u64 = 1 << 30;
/// How many of the threads that expressions start have a stack below it, at addresses that do not depend on chance.
pub const THREAD_STACKS: usize = 512;
/// Length in bytes of the address space for each of those.
pub const THREAD_STACK_LEN: u64 = 16 << 20;
/// Length in bytes of the address space below these, for what the runtime itself has to remember: its addresses remain in
/// unused parts of objects as those of stack frames do.
pub const NOTES_LEN: u64 = 32 << 20;
/// Length in bytes of all that address space.
pub const STACKS_LEN: u64 = STACK_LEN + THREAD_STACKS as u64 * THREAD_STACK_LEN + NOTES_LEN;
/// How far the home address is moved for the proof; also the most that an image can have. Its bytes differ from zero
/// where a multiple of [`HOME_ALIGN`] can, see [`is_well_apart`].
pub const HOME_SHIFT: u64 = 0x17_b5a0_0000;

const _: () = assert!(HOME_SHIFT.is_multiple_of(HOME_ALIGN));
const _: () = assert!(DEFAULT_HOME + 2 * HOME_SHIFT <= SCRATCH[0]);
const _: () = assert!(SCRATCH[1] + SCRATCH_LEN <= STACK_TOP[1] - STACKS_LEN);
const _: () = assert!(STACK_TOP[1] <= STACK_TOP[0] - STACKS_LEN);

/// Whether executables at this distance from each other can be told apart by every byte of their addresses that can
/// differ: if one byte of a pointer was overwritten, it did not move as its neighbours did, and that must be visible.
pub fn is_well_apart(distance: u64) -> bool {
    let [_, pages, rest @ ..] = distance.to_le_bytes();
    let [first, second, third, ..] = rest;
    // The lowest twelve bits are those of a page and never differ; the highest 16 belong to no address.
    let pages_differ = !matches!(pages >> 4, 0 | 0xf) || is_aligned(distance);
    let differ = [first, second, third].into_iter().all(|byte| !matches!(byte, 0 | 1 | 0xff));
    // One that moved as far as the image could not be told from it.
    distance != HOME_SHIFT && pages_differ && differ
}

/// Whether executables at this distance from each other were loaded at multiples of 2 MiB, as some file systems have large
/// files loaded. Then the bits below do not differ, here or, because
/// [`FLAG_EXE_ALIGNED`](crate::image::FLAG_EXE_ALIGNED) requires it, where the image is used.
pub fn is_aligned(distance: u64) -> bool {
    distance.is_multiple_of(HOME_ALIGN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_moved_is_well_apart() {
        assert!(is_well_apart(HOME_SHIFT | 0x1000));
        // What files of more than 2 MiB may have; but not one that moves as the image does.
        assert!(is_well_apart(HOME_SHIFT + HOME_ALIGN) && !is_well_apart(HOME_SHIFT));
        assert!(is_aligned(0x12_34a0_0000) && !is_aligned(0x12_34a0_1000));
        assert!(is_well_apart(STACK_TOP[0] - STACK_TOP[1]));
    }
}
