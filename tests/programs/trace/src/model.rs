//! The model: what a trace leaves, without a thought for where it is.

use crate::operation::{Operation, SLOTS, bytes};

/// What is in a slot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Content {
    #[default]
    Nothing,
    Bytes(Vec<u8>),
    List(Vec<Content>),
}

impl Content {
    /// How many bytes there are.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Bytes(bytes) => bytes.len(),
            Self::List(list) => list.iter().map(Self::len).sum(),
        }
    }
}

/// All slots of a trace, empty.
pub(crate) fn empty() -> Vec<Content> {
    vec![Content::Nothing; SLOTS]
}

/// Does what the operations say.
pub(crate) fn follow(slots: &mut [Content], operations: &[Operation]) {
    for operation in operations {
        match operation {
            Operation::Make { slot, seed, length, .. } => slots[*slot] = Content::Bytes(bytes(*seed, *length)),
            Operation::Drop { slot } => slots[*slot] = Content::Nothing,
            Operation::Append { slot, seed, length } => match &mut slots[*slot] {
                Content::Nothing => {}
                Content::Bytes(old) => old.extend(bytes(*seed, *length)),
                Content::List(list) => list.push(Content::Bytes(bytes(*seed, *length))),
            },
            Operation::Halve { slot } => match &mut slots[*slot] {
                Content::Nothing => {}
                Content::Bytes(old) => old.truncate(old.len() / 2),
                Content::List(list) => list.truncate(list.len() / 2),
            },
            Operation::Move { from, to } => {
                let content = std::mem::take(&mut slots[*from]);
                slots[*to] = content;
            }
            Operation::Copy { from, to } => slots[*to] = slots[*from].clone(),
            Operation::Gather { from, to } => {
                let content = std::mem::take(&mut slots[*from]);
                match &mut slots[*to] {
                    Content::List(list) => list.push(content),
                    other => *other = Content::List(vec![std::mem::take(other), content]),
                }
            }
            Operation::Threads { slot, parts } => {
                let mut given = std::mem::take(&mut slots[*slot]);
                let lists = parts.iter().map(|part| {
                    let mut slots = empty();
                    slots[0] = std::mem::take(&mut given);
                    follow(&mut slots, part);
                    Content::List(slots)
                });
                slots[*slot] = Content::List(lists.collect());
            }
            Operation::Fit { .. } | Operation::Reserve { .. } | Operation::Differ { .. } => {}
        }
    }
}
