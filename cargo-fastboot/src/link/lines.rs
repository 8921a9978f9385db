//! Lines: other ones in the twin, so that what follows from the line that something is on is seen to differ.

use super::linked::Linked;
use super::location::{LEN, NUMBERS};
use super::walk::{Closure, Reached};
use crate::say::output;
use anyhow::{Context, Result};
use std::io::Write as _;
use std::path::Path;

/// By how much line and column differ in the twin: more than any file has of either.
const CHANGE: [u32; 2] = [0x0012_3457, 0x0765_4321];

/// Changes line and column of all locations that the roots use in the twin of an executable, where they must be as they are
/// in the executable.
pub(super) fn change_lines(executable: &[u8], closure: &Closure, twin: &Path) -> Result<()> {
    let mut bytes = std::fs::read(twin)?;
    let places = {
        let [before, after] = [Linked::parse(executable)?, Linked::parse(&bytes)?];
        let first =
            |linked: &Linked<'_>| linked.loads().first().map(|(start, ..)| *start).context("no PT_LOAD segment");
        let distance = first(&after)?.wrapping_sub(first(&before)?);
        let place = |node: &Reached| {
            let was = before.at(node.address, LEN)?.get(NUMBERS)?;
            let place = after.place(node.address.wrapping_add(distance), LEN)?;
            let place = place.start + NUMBERS.start..place.start + NUMBERS.end;
            (bytes.get(place.clone())? == was).then_some(place)
        };
        let cannot_find = |node: &Reached| format!("{} is not the same in the twin", node.name);
        let locations = closure.nodes.iter().filter(|node| node.location);
        locations.map(|node| place(node).with_context(|| cannot_find(node))).collect::<Result<Vec<_>>>()?
    };
    for place in places {
        let numbers = bytes.get_mut(place).unwrap_or_default().as_chunks_mut::<4>().0;
        for (number, change) in numbers.iter_mut().zip(CHANGE) {
            *number = u32::from_le_bytes(*number).wrapping_add(change).to_le_bytes();
        }
    }
    output::replace(twin, Some(twin), |file| Ok(file.write_all(&bytes)?))
}
