//! Changes: what was done while roots were evaluated that the finished program does not have.

use super::attribute::Static;
use super::carried::Statics;
use super::policy::{REGISTERS_ANEW, is_path_prefix};
use crate::runs::capture::{Allocator, Capture, ForeignBlock};
use fastboot_format::protocol::Leftover;

fn is_membarrier_registration(kind: Leftover, what: &str) -> bool {
    kind == Leftover::Attribute && what.starts_with("membarrier registration ")
}

/// What was done while roots were evaluated that the finished program does not have, each in a few words.
pub(crate) fn changes(statics: &Statics, capture: &Capture, flags: &[&Static]) -> Vec<String> {
    let registers_anew = statics.left_out(capture).any(|(one, _)| is_path_prefix(REGISTERS_ANEW, one.name));
    let left = capture
        .left_behind
        .iter()
        .filter(|(_, kind, what)| kind.is_change() && !(registers_anew && is_membarrier_registration(*kind, what)));
    let left = left.map(|(root, kind, what)| {
        let verb = match kind {
            Leftover::AtExit | Leftover::AtFork => "registered",
            Leftover::Timer | Leftover::Key => "created",
            _ => "changed",
        };
        format!("root `{root}` {verb} {} {what}", kind.name())
    });
    let hooks =
        statics.hooks(capture).map(|(name, what)| format!("a root's expression changed {what} (the static `{name}`)"));
    let taken = statics.doubtful_dispatch_caches(capture).map(|name| {
        format!("a root's expression put the address of a function into the static `{name}`, which is not carried")
    });
    // Its warning says more, where there is no flag.
    let taken = taken.filter(|_| !flags.is_empty());
    let own: Vec<&str> = statics.of_c().collect();
    let of_c = own.first().map(|first| {
        let more = if own.len() > 1 { format!(" and {} more", own.len() - 1) } else { String::new() };
        format!("a root's expression changed statics of C code (`{first}`{more})")
    });
    let new = capture.foreign_blocks.iter().filter(|block| !block.root.is_empty());
    let held: Vec<_> = new.filter_map(|block| Some((block, statics.holder(block.address, capture)?))).collect();
    let missed = statics.outside().iter().filter(|one| one.is_missed(flags));
    let missed = missed.filter(|one| held.iter().all(|(_, holder)| *holder != one.name)).map(|one| {
        let (name, what) = (&one.name, &one.what);
        format!("a root's expression left the address of {what} in the static `{name}`, so that it is not carried")
    });
    let missed: Vec<String> = missed.collect();
    let blocks = held.iter().map(|(ForeignBlock { allocator, root, size, .. }, holder)| {
        let place = match allocator {
            Allocator::Malloc => "in C's heap",
            Allocator::Mmap => "of memory mapped",
        };
        format!("root `{root}` left {size} bytes {place} (the static `{holder}` refers to them)")
    });
    let mut all: Vec<String> = left.chain(hooks).chain(taken).chain(of_c).chain(blocks).chain(missed).collect();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_membarrier_registration_is_told_from_other_attributes() {
        assert!(is_membarrier_registration(Leftover::Attribute, "membarrier registration 16"));
        assert!(!is_membarrier_registration(Leftover::Attribute, "nice value 16"));
        assert!(!is_membarrier_registration(Leftover::Variable, "membarrier registration 16"));
    }
}
