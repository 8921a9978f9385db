//! Changes: what was done while roots were evaluated that the finished program does not have.

use super::carried::Statics;
use crate::runs::capture::{Allocator, Capture, ForeignBlock};
use fastboot_format::protocol::Leftover;

/// What was done while roots were evaluated that the finished program does not have, each in a few words.
pub(crate) fn changes(statics: &Statics, capture: &Capture) -> Vec<String> {
    let left = capture.left_behind.iter().filter(|(_, kind, _)| kind.is_change());
    let left = left.map(|(root, kind, what)| {
        let verb = match kind {
            Leftover::AtExit | Leftover::AtFork => "registered",
            Leftover::Timer | Leftover::Key => "created",
            _ => "changed",
        };
        format!("root `{root}` {verb} {} {what}", kind.name())
    });
    let hooks = statics.hooks().map(|(name, what)| format!("a root's expression changed {what} (the static `{name}`)"));
    let own: Vec<&str> = statics.of_c().collect();
    let of_c = own.first().map(|first| {
        let more = if own.len() > 1 { format!(" and {} more", own.len() - 1) } else { String::new() };
        format!("a root's expression changed statics of C code (`{first}`{more})")
    });
    let new = capture.foreign_blocks.iter().filter(|block| !block.root.is_empty());
    let held = new.filter_map(|block| Some((block, statics.holder(block.address, capture)?)));
    let blocks = held.map(|(ForeignBlock { allocator, root, size, .. }, holder)| {
        let place = match allocator {
            Allocator::Malloc => "in C's heap",
            Allocator::Mmap => "of memory mapped",
        };
        format!("root `{root}` left {size} bytes {place} (the static `{holder}` refers to them)")
    });
    let mut all: Vec<String> = left.chain(hooks).chain(of_c).chain(blocks).collect();
    all.dedup();
    all
}
