//! Layouts: what differs between two runs that allocate otherwise, so that words at the same place mean nothing.
//!
//! Values are gone through side by side, from roots and carried statics along their pointers. What an object is, and how
//! long, is known of the first run alone; in the other it is where the same pointer leads.

use super::seen::Blamed;
use super::stages::Frozen;
use crate::carry::carried::Statics;
use crate::plan::placement::{Placement, object_at};
use crate::runs::capture::Capture;
use crate::runs::memory::first_word;
use anyhow::Result;
use std::collections::BTreeSet;

/// Numbers below it are not taken for addresses.
const LEAST_ADDRESS: u64 = 1 << 40;
/// Numbers from here on are not, either.
const END_OF_ADDRESSES: u64 = 1 << 47;

/// The roots and carried statics that are others in a run of another layout, each with a word that differs and is no address.
pub(super) fn blamed(frozen: &Frozen, statics: &Statics, run: &mut Capture) -> Result<Vec<Blamed>> {
    let starts = [frozen.capture.data_address(), run.data_address()];
    let data = run.take_memory()?;
    let moved = run.process.exe_base.wrapping_sub(frozen.capture.process.exe_base);
    let walk = Walk { data: [&frozen.data, &data], starts, moved, objects: frozen.placements() };
    let mut blamed = Vec::new();
    let both = statics.carried_as_left(&frozen.capture).zip(statics.carried_as_left(run));
    for ((name, first), (_, second)) in both {
        let found = walk.first_difference(first, second).filter(|(_, nested)| !nested);
        blamed.extend(found.map(|(values, _)| values).map(|values| Blamed {
            name: name.to_owned(),
            is_static: true,
            values,
        }));
    }
    for (first, second) in frozen.capture.roots.iter().zip(&run.roots) {
        let [at, there] = [first.value.wrapping_sub(starts[0]), second.value.wrapping_sub(starts[1])];
        let values = walk.bytes(0, at, first.size).zip(walk.bytes(1, there, second.size));
        let found = values.and_then(|(first, second)| walk.first_difference(first, second));
        // From where on everything lies otherwise, unused parts of objects hold something else as well.
        let is_where_it_began = run.strayed.iter().any(|strayed| strayed.root == first.name);
        let found = found.filter(|(_, nested)| !nested || is_where_it_began).map(|(values, _)| values);
        let name = &first.name;
        blamed.extend(found.map(|values| Blamed { name: name.clone(), is_static: false, values }));
    }
    Ok(blamed)
}

/// Whether two words differ in what they say: as numbers that are no addresses, or as text. What is left of an address of
/// which some bytes were overwritten is neither.
fn tells(values: [u64; 2]) -> bool {
    let is_text = |word: u64| {
        let bytes = word.to_le_bytes();
        let length = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        length > 1 && bytes[..length].iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ')
    };
    values.into_iter().all(|value| value < LEAST_ADDRESS >> 8) || values.into_iter().all(is_text)
}

/// Going through the values of two runs of different layouts, side by side.
struct Walk<'a> {
    /// Image data of each, and its address.
    data: [&'a [u8]; 2],
    starts: [u64; 2],
    /// How far the second run's executable is from the first one's.
    moved: u64,
    /// Of the first run, where the plan has them.
    objects: &'a [Placement],
}

impl<'a> Walk<'a> {
    fn bytes(&self, run: usize, at: u64, length: u64) -> Option<&'a [u8]> {
        let start = usize::try_from(at).ok()?;
        self.data[run].get(start..start.checked_add(usize::try_from(length).ok()?)?)
    }

    /// The first word that differs and is no address, in these bytes or in what they lead to.
    /// Whether it is in what they lead to.
    fn first_difference(&self, first: &'a [u8], second: &'a [u8]) -> Option<([u64; 2], bool)> {
        let (mut seen, mut stack) = (BTreeSet::new(), vec![(first, second, false)]);
        while let Some((first, second, nested)) = stack.pop() {
            let words = first.chunks(8).zip(second.chunks(8)).map(|(first, second)| [first, second].map(first_word));
            let differs = |[first, second]: &[u64; 2]| first != second && !self.moved_with_executable(*first, *second);
            for values in words.filter(differs) {
                if let Some((object, first, second)) = self.targets(values) {
                    stack.extend(seen.insert(object).then_some((first, second, true)));
                } else if tells(values) {
                    return Some((values, nested));
                } else if let Some(values) = self.overwritten(values) {
                    return Some((values, nested));
                }
            }
        }
        None
    }

    /// Whether a word is an address in the executable.
    fn moved_with_executable(&self, first: u64, second: u64) -> bool {
        self.moved != 0 && second.wrapping_sub(first) == self.moved
    }

    /// What stands in place of the lower bytes of an address in the executable, if some of them were overwritten, each time
    /// with something else: such as what a `LazyLock` made, where the address of its function was.
    fn overwritten(&self, [first, second]: [u64; 2]) -> Option<[u64; 2]> {
        let rest = |size: u32| [first >> size, second >> size, self.moved >> size];
        let size = [8, 16, 32].into_iter().find(|size| {
            let [first, second, moved] = rest(*size);
            moved != 0 && [moved, moved + 1].contains(&second.wrapping_sub(first))
        })?;
        let values = [first, second].map(|value| value & ((1 << size) - 1));
        (self.moved != 0 && values[0] != values[1]).then_some(values)
    }

    /// The object that two pointers mean, in both runs.
    fn targets(&self, values: [u64; 2]) -> Option<(u64, &'a [u8], &'a [u8])> {
        let offset = |run: usize| {
            let offset = (values[run] & (END_OF_ADDRESSES * 2 - 1)).wrapping_sub(self.starts[run]);
            (offset <= self.data[run].len() as u64).then_some(offset)
        };
        let [first, second] = [offset(0)?, offset(1)?];
        let (start, object) = object_at(self.objects, first)?;
        let there = second.wrapping_sub(first - start);
        // What lies at the end may be shorter there.
        let length = object.reserved.min((self.data[1].len() as u64).saturating_sub(there));
        Some((start, self.bytes(0, start, length)?, self.bytes(1, there, length)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_other_layouts_are_compared_along_their_pointers() {
        let objects = [(4096, 16), (4112, 16), (4128, 8)];
        let objects = objects.map(|(offset, reserved)| Placement { offset, reserved, ..Placement::default() });
        let bytes = |words: &[u64]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<_>>();
        let starts = [0x5500_0000_1000, 0x5518_0000_1000];
        let first = bytes(&[starts[0] + 16, 2, starts[0] + 32, 5, 7]);
        // In between there is something that only the second run has.
        let same = bytes(&[starts[1] + 24, 2, 99, starts[1] + 40, 5, 7]);
        let other = bytes(&[starts[1] + 24, 2, 99, starts[1] + 40, 5, 8]);
        for (second, found) in [(&same, None), (&other, Some([7, 8]))] {
            let walk = Walk { data: [&first, second], starts, moved: 0, objects: &objects };
            assert_eq!(walk.first_difference(&first[..16], &second[..16]), found.map(|found| (found, true)));
        }
        let walk = Walk { data: [&[], &[]], starts, moved: 0x12_3456_7000, objects: &[] };
        let address = 0x5555_5555_4500_u64;
        assert!(walk.moved_with_executable(address, address + walk.moved));
        assert_eq!(walk.overwritten([address | 1, address + walk.moved]), Some([1, 0]));
    }
}
