//! Worlds: what is another value in another world, where that is also allocated otherwise there, so that no word can be
//! compared with the one at the same place.
//!
//! ```text
//!               at these addresses   at others
//! this world    run 2                still          the same layout: which words are numbers, which are addresses
//! that world    home                 away           the same layout, but another one than above
//! ```
//! Each world is seen at two places. What is the same at both is a number, whatever it looks like; what moved along is an
//! address of the image or of the executable; anything else says nothing. Then the two worlds are compared, along the pointers
//! from roots and carried statics.

use super::seen::Blamed;
use super::stages::{Freezing, Frozen};
use crate::carry::carried::Statics;
use crate::plan::placement::{Placement, object_at};
use crate::runs::capture::Capture;
use crate::runs::memory::{ImageData, first_word};
use crate::runs::world::Difference;
use anyhow::Result;
use std::collections::BTreeSet;

const WORD: usize = 8;

/// A run, and its memory.
struct Laid {
    run: Capture,
    data: ImageData,
}

impl Laid {
    /// Unless it came to no end.
    fn of(run: Result<Capture>) -> Result<Option<Self>> {
        let Ok(mut run) = run else { return Ok(None) };
        Ok(Some(Self { data: run.take_memory()?, run }))
    }
}

impl Freezing<'_> {
    /// The roots and carried statics that are others in a world with this difference, which makes everything lie otherwise.
    /// Nothing is said of objects that hold what comes of `chance`, by where they begin.
    /// Makes three runs, and if the executable cannot be elsewhere in them, three more. `number` is in the names of their folders.
    pub(super) fn others_there(
        &self,
        frozen: &Frozen,
        statics: &Statics,
        culprit: &Difference,
        chance: &BTreeSet<u64>,
        number: u32,
    ) -> Result<Vec<Blamed>> {
        // The twin's path is another one.
        let may_move = self.twin.is_some() && !matches!(culprit, Difference::Path(..));
        let elsewhere: &[&[Difference]] = if may_move { &[&[Difference::Executable], &[]] } else { &[&[]] };
        for (attempt, executable) in elsewhere.iter().enumerate() {
            let there = std::slice::from_ref(culprit);
            let name = |what: &str| format!("{what}-{number}-{attempt}");
            self.shell.verbose(format_args!("what else depends on {culprit}: three runs, at different addresses"));
            let still = Laid::of(self.run_again(frozen, executable, &name("still")))?;
            let home = self.run_at_home(frozen, &[there, *executable].concat(), &name("home"));
            let (home, away) = (Laid::of(home)?, Laid::of(self.run_again(frozen, there, &name("away")))?);
            let (Some(still), Some(home), Some(away)) = (still, home, away) else { continue };
            if frozen.capture.is_laid_out_as(&still.run) && home.run.is_laid_out_as(&away.run) {
                return Ok(compare(frozen, statics, &still, [&home, &away], chance));
            }
        }
        Ok(Vec::new())
    }
}

/// The roots and carried statics that are others there, each with a word that differs.
fn compare(frozen: &Frozen, statics: &Statics, still: &Laid, there: [&Laid; 2], chance: &BTreeSet<u64>) -> Vec<Blamed> {
    let runs = [[&frozen.capture, &still.run], [&there[0].run, &there[1].run]];
    let data: [[&[u8]; 2]; 2] = [[&frozen.data, &still.data], [&there[0].data, &there[1].data]];
    let world = |index: usize| World {
        data: data[index],
        starts: runs[index].map(Capture::data_address),
        executables: runs[index].map(|run| run.process.exe_base),
    };
    let walk = Walk { worlds: [world(0), world(1)], objects: frozen.placements(), chance };
    let mut blamed = Vec::new();
    let [first, second] = runs.map(|runs| {
        let [one, other] = runs.map(|run| statics.carried_as_left(run));
        one.zip(other).map(|((name, one), (_, other))| (name, [one, other])).collect::<Vec<_>>()
    });
    let places = statics.places();
    for (((name, first), (_, second)), (_, place)) in first.into_iter().zip(second).zip(&places) {
        let found = Some([first, second]).filter(|_| !chance.contains(&place.start));
        let found = found.and_then(|both| walk.difference(both, false));
        blamed.extend(found.map(|values| Blamed { name: name.to_owned(), is_static: true, values }));
    }
    for (index, root) in frozen.capture.roots.iter().enumerate() {
        let own = |world: usize| {
            let value = runs[world][0].roots.get(index)?.value;
            walk.worlds[world].bytes(value.wrapping_sub(walk.worlds[world].starts[0]), root.size)
        };
        let strayed = &there[0].run.strayed;
        let began = strayed.is_empty() || strayed.iter().any(|strayed| strayed.root == root.name);
        let found = own(0).zip(own(1)).and_then(|(first, second)| walk.difference([first, second], began));
        blamed.extend(found.map(|values| Blamed { name: root.name.clone(), is_static: false, values }));
    }
    blamed
}

/// What a word is, by what it is at both places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Number(u64),
    /// The address of this offset in the executable.
    Executable(u64),
    /// The address of this offset in the image data.
    Image(u64),
    /// Another one at each place.
    Unknown,
}

/// One world, seen at two places.
struct World<'a> {
    /// Image data of each run, and its address.
    data: [&'a [u8]; 2],
    starts: [u64; 2],
    /// Where the executable lay in each.
    executables: [u64; 2],
}

impl<'a> World<'a> {
    /// The same bytes at both places.
    fn bytes(&self, at: u64, length: u64) -> Option<[&'a [u8]; 2]> {
        let start = usize::try_from(at).ok()?;
        let range = start..start.checked_add(usize::try_from(length).ok()?)?;
        let [first, second] = self.data.map(|data| data.get(range.clone()));
        Some([first?, second?])
    }

    fn word(&self, [first, second]: [u64; 2]) -> Word {
        let moved = second.wrapping_sub(first);
        let distance = |of: [u64; 2]| of[1].wrapping_sub(of[0]);
        if moved == 0 {
            Word::Number(first)
        } else if moved == distance(self.executables) {
            Word::Executable(first.wrapping_sub(self.executables[0]))
        } else if moved == distance(self.starts) {
            Word::Image(first.wrapping_sub(self.starts[0]))
        } else {
            Word::Unknown
        }
    }
}

/// Going through the values of two worlds, side by side.
struct Walk<'a> {
    worlds: [World<'a>; 2],
    /// Of this world, where the plan has them.
    objects: &'a [Placement],
    /// Where objects begin that hold what comes of chance.
    chance: &'a BTreeSet<u64>,
}

/// The same bytes in both worlds, at both places.
type Both<'a> = [[&'a [u8]; 2]; 2];

impl<'a> Walk<'a> {
    /// The first word that differs, in these bytes or in what they lead to: here, and there. `began`: whether these are what
    /// allocated otherwise. From there on memory is used again in that world, so that unused parts of objects hold something
    /// there; here they are zero.
    fn difference(&self, both: Both<'a>, began: bool) -> Option<[u64; 2]> {
        let (mut seen, mut stack) = (BTreeSet::new(), vec![(both, false)]);
        while let Some((both, is_nested)) = stack.pop() {
            let length = both.as_flattened().iter().map(|bytes| bytes.len()).min().unwrap_or(0);
            for start in (0..length).step_by(WORD) {
                let words = both.map(|places| places.map(|bytes| first_word(&bytes[start..length])));
                match [self.worlds[0].word(words[0]), self.worlds[1].word(words[1])] {
                    [Word::Image(first), Word::Image(second)] => {
                        let target = self.target(first, second).filter(|(object, _)| seen.insert(*object));
                        stack.extend(target.map(|(_, both)| (both, true)));
                    }
                    both if differ(both, words, is_nested && !began) => {
                        // There without the twin, if there is one.
                        return Some([words[0][0], words[1][1]]);
                    }
                    _ => {}
                }
            }
        }
        None
    }

    /// The object that two pointers mean, by where it begins, and its bytes.
    fn target(&self, first: u64, second: u64) -> Option<(u64, Both<'a>)> {
        let (start, object) = object_at(self.objects, first)?;
        if self.chance.contains(&start) {
            return None;
        }
        let there = second.checked_sub(first - start)?;
        // What lies at the end may be shorter there.
        let rest = (self.worlds[1].data[0].len() as u64).saturating_sub(there);
        let length = object.reserved.min(rest);
        Some((start, [self.worlds[0].bytes(start, length)?, self.worlds[1].bytes(there, length)?]))
    }
}

/// Whether two words, that are not both addresses in the image, say something else. Of one that is another one at each place, a
/// half may say something. `used`: only if it is not zero here.
fn differ(both: [Word; 2], words: [[u64; 2]; 2], used: bool) -> bool {
    let half_differs = |shift: u32| {
        let [first, second] = words.map(|places| places.map(|word| (word >> shift) as u32));
        first[0] == first[1] && second[0] == second[1] && first != second && (first[0] != 0 || !used)
    };
    match both {
        [Word::Unknown | Word::Number(_), Word::Unknown | Word::Number(_)] => half_differs(0) || half_differs(32),
        [Word::Unknown, _] | [_, Word::Unknown] => false,
        [first, second] => first != second && (first != Word::Number(0) || !used),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STARTS: [u64; 2] = [0x5500_0000_1000, 0x5518_0000_1000];
    const EXECUTABLES: [u64; 2] = [0, 0x2345_0000];

    /// What the two worlds hold: words, each at both places.
    fn found(first: &[[u64; 2]], second: &[[u64; 2]], chance: &[u64], began: bool) -> Option<[u64; 2]> {
        let bytes = |words: &[[u64; 2]], place: usize| -> Vec<u8> {
            words.iter().flat_map(|word| word[place].to_le_bytes()).collect()
        };
        let all = [first, second].map(|words| [bytes(words, 0), bytes(words, 1)]);
        let world = |index: usize| {
            let data = [all[index][0].as_slice(), all[index][1].as_slice()];
            World { data, starts: STARTS, executables: EXECUTABLES }
        };
        let objects = [(4096, 16), (4112, 16)];
        let objects = objects.map(|(offset, reserved)| Placement { offset, reserved, ..Placement::default() });
        let chance = chance.iter().copied().collect();
        let walk = Walk { worlds: [world(0), world(1)], objects: &objects, chance: &chance };
        walk.difference([walk.worlds[0].bytes(0, 16)?, walk.worlds[1].bytes(0, 16)?], began)
    }

    fn image(offset: u64) -> [u64; 2] {
        STARTS.map(|start| start + offset)
    }

    fn executable(offset: u64) -> [u64; 2] {
        EXECUTABLES.map(|base| base + offset)
    }

    #[test]
    fn what_stays_where_everything_moves_is_a_number_whatever_its_size() {
        let float = |number: f64| [number.to_bits(); 2];
        let of = |first, second| found(&[[7; 2], first], &[[7; 2], second], &[], false);
        for (first, second) in [
            (float(80.0), float(132.0)),
            ([0xff00_0000_ff00; 2], [u64::MAX; 2]),
            ([0x1_0000_0001; 2], [0x1_0000_0000; 2]),
            (executable(0x40_1000), executable(0x40_1010)),
            ([0; 2], image(8)),
            // A number above what is left of an address, and below it.
            ([5 << 32 | 0x1234, 5 << 32 | 0x9999], [6 << 32 | 0x1234, 6 << 32 | 0x9999]),
            ([0x5500_0000_0001, 0x5528_0000_0001], [0x5500_0000_0002, 0x5528_0000_0002]),
        ] {
            let told = Some([first[0], second[1]]);
            assert_eq!(of(first, second), told, "{first:x?} {second:x?}");
        }
        for (first, second) in [
            (float(80.0), float(80.0)),
            (executable(0x40_1000), executable(0x40_1000)),
            // Of memory that is gone, and of a library.
            ([0x5530_0000_1230, 0x5540_0000_1238], [0x5530_0000_4560, 0x5540_0000_4568]),
            ([0x7fff_f7c0_1000, 0x7f12_3450_1000], [1; 2]),
        ] {
            assert_eq!(of(first, second), None, "{first:x?} {second:x?}");
        }
    }

    #[test]
    fn other_layouts_are_compared_along_their_pointers() {
        let first = [image(16), [2; 2], [1 << 40; 2], [3; 2]];
        // In between there is something that only the other world has.
        let of = |number: u64| [image(24), [2; 2], [99; 2], [number; 2], [3; 2]];
        let told = Some([1 << 40, 5 << 40]);
        for began in [false, true] {
            assert_eq!(found(&first, &of(1 << 40), &[], began), None);
            assert_eq!(found(&first, &of(5 << 40), &[], began), told);
            assert_eq!(found(&first, &of(5 << 40), &[16], began), None, "chance");
        }
        // Not used here, and there perhaps something of what lay there before.
        let unused = [image(16), [2; 2], [0; 2], [3; 2]];
        assert_eq!(found(&unused, &of(5 << 40), &[], false), None);
        assert_eq!(found(&unused, &of(5 << 40), &[], true), Some([0, 5 << 40]));
    }
}
