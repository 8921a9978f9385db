//! Lines: other ones, so that what follows from the line that something is on is seen to differ.

use super::linked::Linked;
use super::location::{LEN, NUMBERS};
use super::walk::Closure;
use anyhow::{Context, Result};

/// By how much line and column differ: more than any file has of either.
const CHANGE: [u32; 2] = [0x0012_3457, 0x0765_4321];

/// Changes line and column of all locations that the roots of an executable use in another one, where its nodes have these
/// addresses.
pub(super) fn change_lines(executable: &[u8], closure: &Closure, addresses: &[u64], other: &mut [u8]) -> Result<()> {
    let places = {
        let [before, after] = [Linked::parse(executable)?, Linked::parse(other)?];
        let place = |was: u64, now: u64| {
            let was = before.at(was, LEN)?.get(NUMBERS)?;
            let place = after.place(now, LEN)?;
            let place = place.start + NUMBERS.start..place.start + NUMBERS.end;
            (other.get(place.clone())? == was).then_some(place)
        };
        let locations = closure.nodes.iter().zip(addresses).filter(|(node, _)| node.location);
        locations
            .map(|(node, now)| {
                place(node.address, *now).with_context(|| format!("`{}` has other lines already", node.name))
            })
            .collect::<Result<Vec<_>>>()?
    };
    for place in places {
        let numbers = other.get_mut(place).unwrap_or_default().as_chunks_mut::<4>().0;
        for (number, change) in numbers.iter_mut().zip(CHANGE) {
            *number = u32::from_le_bytes(*number).wrapping_add(change).to_le_bytes();
        }
    }
    Ok(())
}
