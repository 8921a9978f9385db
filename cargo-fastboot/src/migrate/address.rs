//! Address: where something lies in the new executable that lay somewhere in the old one.

use crate::image::Image;
use crate::link::{Closure, Reached};
use crate::runs::forms::ADDRESS;
use crate::runs::memory::word_at;
use anyhow::{Context, Result, ensure};
use fastboot_format::image::write::DATA_OFFSET;

/// From old addresses to new ones, for what both executables use.
#[derive(Debug)]
pub(super) struct Moves {
    /// Old address, size, new address, and whether the linker merges it with equal ones; by old address.
    nodes: Vec<(u64, u64, u64, bool)>,
    /// The size of the largest.
    largest: u64,
}

impl Moves {
    /// Of two closures with the same fingerprint.
    pub(super) fn new(before: &Closure, now: &Closure) -> Result<Self> {
        Self::to(before, &now.nodes.iter().map(|node| node.address).collect::<Vec<_>>())
    }

    /// To where the nodes of a closure are elsewhere.
    pub(super) fn to(before: &Closure, now: &[u64]) -> Result<Self> {
        ensure!(before.nodes.len() == now.len(), "the closures differ");
        let lies = |(old, _): &(&Reached, &u64)| old.address != 0;
        let pairs = before.nodes.iter().zip(now).filter(lies);
        let mut nodes: Vec<_> = pairs.map(|(old, new)| (old.address, old.size, *new, old.merged)).collect();
        nodes.sort_unstable();
        nodes.dedup();
        let largest = nodes.iter().map(|(_, size, ..)| *size).max().unwrap_or(0);
        Ok(Self { nodes, largest })
    }

    /// Requires that all lies in the same order as before: something may be sorted by address. Merged constants only count if
    /// one of these old addresses leads to them; where the linker puts the others follows from all that it merges.
    pub(super) fn require_order(&self, used: &[u64]) -> Result<()> {
        let mut used = used.to_vec();
        used.sort_unstable();
        let is_used = |start: u64, size: u64| {
            let first = used.partition_point(|address| *address < start);
            used.get(first).is_some_and(|address| *address - start <= size)
        };
        let counts = |(start, size, _, merged): &&(u64, u64, u64, bool)| !merged || is_used(*start, *size);
        let ordered: Vec<_> = self.nodes.iter().filter(counts).collect();
        for pair in ordered.windows(2) {
            let [(a, _, new_a, _), (b, _, new_b, _)] = pair else { continue };
            ensure!(a.cmp(b) == new_a.cmp(new_b), "what the roots use lies in another order");
        }
        Ok(())
    }

    /// Where an address may be now: what is the end of one thing may be the beginning of another, which went elsewhere.
    fn candidates(&self, old: u64) -> impl Iterator<Item = u64> {
        let last = self.nodes.partition_point(|(start, ..)| *start <= old);
        let near = self.nodes[..last].iter().rev().take_while(move |(start, ..)| old - start <= self.largest);
        near.filter(move |(start, size, ..)| old - start <= *size).map(move |(start, _, new, _)| new + (old - start))
    }

    /// Where an address is now, if that is certain.
    fn address(&self, old: u64) -> Result<u64> {
        let mut found = self.candidates(old);
        let new = found.next().context("the image refers to something that is not known to be used by its roots")?;
        ensure!(
            found.all(|other| other == new),
            "an address may mean the end of one thing or the beginning of another"
        );
        Ok(new)
    }

    /// Where a range of something is now.
    pub(super) fn range(&self, old: u64, length: u64) -> Result<u64> {
        let last = self.nodes.partition_point(|(start, ..)| *start <= old);
        let near = self.nodes[..last].iter().rev().take_while(|(start, ..)| old - start <= self.largest);
        let mut whole = near.filter(|(start, size, ..)| old - start + length <= *size);
        let (start, _, new, _) =
            whole.next().context("a static that is carried is not known to be used by the roots")?;
        Ok(new + (old - start))
    }

    /// The words at these offsets of the image data, each with what it has to be.
    pub(super) fn rewritten(&self, image: &Image, offsets: &[u64]) -> Result<Vec<(u64, u64)>> {
        let base = image.header().exe_base;
        let words = self.words(image, offsets)?;
        let rewritten = |(offset, word): (u64, u64)| Ok((offset, changed(word, self.address(old(word, base))?, base)));
        words.into_iter().map(rewritten).collect()
    }

    /// The same; but what is not certain is as it is in other image data, if it may be that.
    pub(super) fn rewritten_as_in(&self, image: &Image, offsets: &[u64], data: &[u8]) -> Result<Vec<(u64, u64)>> {
        let base = image.header().exe_base;
        let rewritten = |(offset, word): (u64, u64)| {
            let there = word_at(data, offset).context("a word outside of the image")?;
            let all = self.candidates(old(word, base)).map(|new| changed(word, new, base)).collect::<Vec<_>>();
            let first =
                *all.first().context("the image refers to something that is not known to be used by its roots")?;
            Ok((offset, if all.contains(&there) { there } else { first }))
        };
        self.words(image, offsets)?.into_iter().map(rewritten).collect()
    }

    /// The words at these offsets, if all lies in the same order.
    fn words(&self, image: &Image, offsets: &[u64]) -> Result<Vec<(u64, u64)>> {
        let data = image.bytes().get(usize::try_from(DATA_OFFSET)?..).context("no image data")?;
        let word = |offset: &u64| Ok((*offset, word_at(data, *offset).context("a word outside of the image")?));
        let words = offsets.iter().map(word).collect::<Result<Vec<_>>>()?;
        let base = image.header().exe_base;
        self.require_order(&words.iter().map(|(_, word)| old(*word, base)).collect::<Vec<_>>())?;
        Ok(words)
    }
}

/// The address in a word, as it is in the file of the executable.
fn old(word: u64, base: u64) -> u64 {
    (word & ADDRESS).wrapping_sub(base)
}

/// The word, with another address.
fn changed(word: u64, new: u64, base: u64) -> u64 {
    word & !ADDRESS | new.wrapping_add(base) & ADDRESS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moves(nodes: &[(u64, u64, u64)]) -> Result<Moves> {
        let side = |of: fn(&(u64, u64, u64)) -> u64| {
            let node = |one: &(u64, u64, u64)| Reached {
                name: String::new(),
                address: of(one),
                size: one.1,
                hash: 0,
                merged: one.1 == 4,
                location: false,
            };
            Closure { fingerprint: [0; 32], nodes: nodes.iter().map(node).collect() }
        };
        Moves::new(&side(|node| node.0), &side(|node| node.2))
    }

    #[test]
    fn the_same_place_in_the_same_thing() {
        let moves = moves(&[(0x1000, 0x10, 0x2000), (0x1040, 8, 0x2080), (0, 0, 0)]).unwrap();
        assert_eq!(moves.address(0x1008).unwrap(), 0x2008);
        assert_eq!(moves.address(0x1010).unwrap(), 0x2010);
        assert_eq!(moves.address(0x1048).unwrap(), 0x2088);
        for unknown in [0xfff, 0x1011, 0x103f, 0x1049, 0] {
            assert!(moves.address(unknown).is_err(), "{unknown:#x}");
        }
        assert_eq!(moves.range(0x1008, 8).unwrap(), 0x2008);
        assert!(moves.range(0x1008, 9).is_err());
    }

    #[test]
    fn what_may_mean_two_things_is_refused() {
        assert_eq!(moves(&[(0x1000, 0x10, 0x2000), (0x1010, 8, 0x2010)]).unwrap().address(0x1010).unwrap(), 0x2010);
        assert!(moves(&[(0x1000, 0x10, 0x2000), (0x1010, 8, 0x2020)]).unwrap().address(0x1010).is_err());
    }

    #[test]
    fn what_may_mean_two_things_may_be_either() {
        let moves = moves(&[(0x1000, 0x10, 0x2000), (0x1010, 8, 0x2020)]).unwrap();
        let candidates = |old| moves.candidates(old).collect::<Vec<_>>();
        assert_eq!(candidates(0x1010), [0x2020, 0x2010]);
        assert_eq!(candidates(0x1008), [0x2008]);
        assert!(candidates(0x1019).is_empty());
        assert_eq!(changed(0x7_0000_0000_1234, 0x10, 0x5000), 0x7_0000_0000_5010);
    }

    #[test]
    fn another_order_is_refused() {
        let order = |nodes: &[(u64, u64, u64)], used: &[u64]| moves(nodes).unwrap().require_order(used).is_ok();
        assert!(order(&[(0x1000, 8, 0x2000), (0x1008, 8, 0x2100)], &[]));
        assert!(!order(&[(0x1000, 8, 0x2008), (0x1008, 8, 0x2000)], &[]));
        assert!(!order(&[(0x1000, 8, 0x2000), (0x1008, 8, 0x2000)], &[]));
        // Those with four bytes are merged.
        let merged = [(0x1000, 4, 0x2008), (0x1004, 4, 0x2000)];
        assert!(order(&merged, &[0x1000]));
        assert!(!order(&merged, &[0x1000, 0x1006]));
    }
}
