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
/// where a multiple of [`HOME_ALIGN`] can, see [`are_well_apart`].
pub const HOME_SHIFT: u64 = 0x17_b5a0_0000;

const _: () = assert!(HOME_SHIFT % HOME_ALIGN == 0);
const _: () = assert!(DEFAULT_HOME + 2 * HOME_SHIFT <= SCRATCH[0]);
const _: () = assert!(SCRATCH[1] + SCRATCH_LEN <= STACK_TOP[1] - STACKS_LEN);
const _: () = assert!(STACK_TOP[1] <= STACK_TOP[0] - STACKS_LEN);

/// Whether executables with these load biases can be told apart by every byte of their addresses that can differ: if one
/// byte of a pointer was overwritten, it did not move as its neighbours did, and that must be visible.
pub fn are_well_apart(first: u64, second: u64) -> bool {
    let distance = second.wrapping_sub(first);
    let [_, pages, rest @ ..] = distance.to_le_bytes();
    let [first_byte, second_byte, third_byte, ..] = rest;
    // The lowest twelve bits are those of a page and never differ; the highest 16 belong to no address. Some say nothing
    // where the system wants it so; where it is chance, that would be asked of every start.
    let pages_differ = !matches!(pages >> 4, 0 | 0xf) || are_aligned(first, second);
    let differ = [first_byte, second_byte, third_byte].into_iter().all(|byte| !matches!(byte, 0 | 1 | 0xff));
    // One that moved as far as the image could not be told from it.
    distance != HOME_SHIFT && pages_differ && differ
}

/// Whether executables with these load biases were loaded at multiples of 2 MiB, as some file systems have large files loaded.
/// Then the bits below do not differ, here or, because [`FLAG_EXE_ALIGNED`](crate::image::FLAG_EXE_ALIGNED) requires it, where
/// the image is used. That only the distance is such a multiple, one of 512 is, by chance.
pub fn are_aligned(first: u64, second: u64) -> bool {
    [first, second].into_iter().all(|bias| bias % HOME_ALIGN == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_moved_is_well_apart() {
        assert!(are_well_apart(DEFAULT_HOME, DEFAULT_HOME + (HOME_SHIFT | 0x1000)));
        assert!(are_well_apart(STACK_TOP[1], STACK_TOP[0]));
        assert!(!are_well_apart(0x5555_5555_4000, 0x5555_5555_4000) && !are_well_apart(0, 0));
    }

    #[test]
    fn multiples_of_2_mib_do_where_they_are_no_chance() {
        let (aligned, other) = (0x5555_5560_0000, 0x5555_5560_4000);
        // What files of more than 2 MiB may have; but not one that moves as the image does.
        let distance = HOME_SHIFT + HOME_ALIGN;
        assert!(are_well_apart(aligned, aligned + distance) && !are_well_apart(aligned, aligned + HOME_SHIFT));
        assert!(are_aligned(aligned, aligned + distance));
        // The distance is the same, but nobody made it so.
        assert!(!are_well_apart(other, other + distance) && !are_aligned(other, other + distance));
        assert!(are_well_apart(other, other + distance + 0x5000) && !are_aligned(aligned, other + distance));
    }
}
