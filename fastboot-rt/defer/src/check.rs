//! Reading back what was saved, before anybody relies on it.
//!
//! serde's two sides of a type know nothing of each other: what one leaves out, the other may expect. Only loading shows
//! whether a value comes back. So a save loads it once, part by part, and compares digests.

use crate::digest::{self, Label, Node};
use crate::error::{DECODE_REMEDY, Error, ErrorKind, Result, SAVE_PREFIX};
use crate::load;
use crate::open::Origin;
use crate::shapes::Shapes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// Whether the root of `origin` is the saved value again.
pub(crate) fn root<T, L>(value: &T, origin: &Arc<Origin>) -> Result<()>
where
    T: Serialize + ?Sized,
    L: Serialize + DeserializeOwned,
{
    let saved = digest::of(value)?;
    let cause = match load::root::<L>(origin).and_then(|loaded| digest::of(&loaded)) {
        Ok(digest) if digest == saved => return Ok(()),
        Ok(_) => None,
        Err(e) => Some(e),
    };
    let shapes = origin.shapes.get_or_init(Shapes::default);
    let before = digest::outline(value, shapes)?;
    let after = load::root::<L>(origin).and_then(|loaded| digest::outline(&loaded, shapes));
    Err(refusal::<L>(cause, shapes, || difference(&before, &after.ok()?)))
}

/// Whether what has the digest `saved` comes back from a subtree; `sample` is it, or one of its elements.
pub(crate) fn subtree<L, T>(saved: u64, sample: Option<&T>, origin: &Arc<Origin>, extent: u64) -> Result<()>
where
    L: Serialize + DeserializeOwned,
    T: Serialize,
{
    let come_back = || load::part::<L>(origin, origin.header.bodies, extent).and_then(|loaded| digest::of(&loaded));
    let cause = match come_back() {
        Ok(digest) if digest == saved => return Ok(()),
        Ok(_) => None,
        Err(e) => Some(e),
    };
    let shapes = origin.shapes.get_or_init(Shapes::default);
    if let Some(sample) = sample {
        digest::outline(sample, shapes)?;
    }
    // For what it notes; that it fails is known.
    let _ = come_back();
    Err(refusal::<L>(cause, shapes, || None))
}

/// What to tell whoever wanted to save what would be loaded as an `L`.
fn refusal<L>(cause: Option<Error>, shapes: &Shapes, difference: impl FnOnce() -> Option<String>) -> Error {
    let cause = match cause {
        // The disk's fault, not the type's.
        Some(e) if matches!(e.kind(), ErrorKind::Io(_) | ErrorKind::Memory { .. }) => return e,
        cause => cause.map(|e| e.to_string()),
    };
    let name = short(std::any::type_name::<L>());
    if let Some(why) = shapes.disagreement() {
        return Error::save(format!("a `{name}` would not come back from `load`: {why}"));
    }
    Error::save(match cause {
        Some(text) => {
            let text = text.strip_suffix(DECODE_REMEDY).unwrap_or(&text);
            let text = text.strip_prefix(SAVE_PREFIX).unwrap_or(text);
            format!(
                "`load` could not read a `{name}` back ({text}); let Serialize and Deserialize of the type agree, or \
                 keep it as text in a format that describes itself, such as JSON"
            )
        }
        None => {
            let difference = difference().unwrap_or_else(|| "in a place that serde does not name".into());
            format!(
                "`load` would give another `{name}`: {difference}; let Serialize and Deserialize of the type agree, or, \
                 if the difference is meant, call SaveOptions::read_back(false)"
            )
        }
    })
}

/// A type's name without the modules that its parts are in.
fn short(name: &str) -> String {
    let pieces = name.split_inclusive(|c: char| !(c.is_alphanumeric() || "_:".contains(c)));
    pieces.map(|piece| piece.rsplit("::").next().unwrap_or(piece)).collect()
}

/// The first place where two values differ.
fn difference(before: &Node, after: &Node) -> Option<String> {
    let (mut before, mut after) = (before, after);
    let mut path = String::new();
    if before.digest == after.digest {
        return None;
    }
    loop {
        let inside = step(before, after);
        let Some((label, one, other)) = inside else {
            let path = if path.is_empty() { "the value" } else { path.trim_start_matches('.') };
            return Some(format!("{path} is saved as {} and comes back as {}", before.shown(), after.shown()));
        };
        match label {
            Label::Field(name) => path = format!("{path}.{name}"),
            Label::Element(n) => path = format!("{path}[{n}]"),
            Label::Any => {}
        }
        (before, after) = (one, other);
    }
}

/// Into the first part that is not found on the other side, if both sides have as many parts and look alike.
fn step<'a>(before: &'a Node, after: &'a Node) -> Option<(Label, &'a Node, &'a Node)> {
    if before.inside().len() != after.inside().len() || before.shown() != after.shown() {
        return None;
    }
    let missing = |nodes: &'a [(Label, Node)], others: &'a [(Label, Node)]| {
        let others: std::collections::HashSet<u64> = others.iter().map(|(_, node)| node.digest).collect();
        nodes.iter().find(|(_, node)| !others.contains(&node.digest)).map(|(label, node)| (*label, node))
    };
    let mut pairs =
        before.inside().iter().zip(after.inside()).filter(|((_, one), (_, other))| one.digest != other.digest);
    let first = pairs.next().map(|((label, one), (_, other))| (*label, one, other));
    if let Some((Label::Field(_), ..)) = first {
        return first;
    }
    match (missing(before.inside(), after.inside()), missing(after.inside(), before.inside())) {
        (Some((label, one)), Some((_, other))) => Some((label, one, other)),
        _ => first,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_named_without_modules() {
        assert_eq!(short("alloc::vec::Vec<(a::b::Page, core::option::Option<u8>)>"), "Vec<(Page, Option<u8>)>");
        assert_eq!(short("&[u8; 3]"), "&[u8; 3]");
    }
}
