//! Address: where something lies in the new executable that lay somewhere in the old one.

use crate::image::Image;
use crate::link::{Closure, Reached};
use crate::runs::forms::ADDRESS;
use crate::runs::memory::word_at;
use anyhow::{Context, Result, ensure};

/// From old addresses to new ones, for what both executables use.
#[derive(Debug)]
pub(super) struct Moves {
    /// By old address.
    nodes: Vec<Move>,
    /// The size of the largest.
    largest: u64,
}

/// Words of image data, by their offsets.
#[derive(Debug, Default)]
pub(super) struct Rewritten {
    /// Each with what it has to be.
    pub(super) words: Vec<(u64, u64)>,
    /// Of these, what is left of addresses, each with the bits that it was overwritten with.
    pub(super) left: Vec<(u64, u64)>,
}

/// Where one of them was, and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Move {
    old: u64,
    size: u64,
    new: u64,
    /// Whether the linker merges it with equal ones.
    merged: bool,
    /// Whether it is machine code.
    code: bool,
    /// Those with one number may lie in any order; of others, those with lower numbers lie first.
    group: u64,
}

/// Of each node of a closure, its group, where the nodes are elsewhere in a program that makes the same image. What lies in the
/// opposite order there may lie in any: nothing in the image follows from which of two comes first.
pub(super) fn groups(closure: &Closure, there: &[u64]) -> Vec<u64> {
    let mut order: Vec<usize> = (0..closure.nodes.len()).collect();
    let place = |at: usize| (closure.nodes[at].address, std::cmp::Reverse(there.get(at).copied().unwrap_or(0)));
    order.sort_unstable_by_key(|at| place(*at));
    let mut groups = vec![0; order.len()];
    let mut group = 0;
    for pair in order.windows(2) {
        let (before, next) = (place(pair[0]), place(pair[1]));
        let is_reversed = next.1 > before.1 && next.0 != before.0;
        group += u64::from(!is_reversed && next != before);
        groups[pair[1]] = group;
    }
    groups
}

impl Moves {
    /// Of two closures with the same fingerprint, and with these groups.
    pub(super) fn new(before: &Closure, now: &Closure, groups: &[u64]) -> Result<Self> {
        ensure!(before.nodes.len() == groups.len(), "it is not known what may lie in another order");
        Self::of(before, &now.nodes.iter().map(|node| node.address).collect::<Vec<_>>(), groups)
    }

    /// To where the nodes of a closure are elsewhere.
    pub(super) fn to(before: &Closure, now: &[u64]) -> Result<Self> {
        Self::of(before, now, &vec![0; now.len()])
    }

    fn of(before: &Closure, now: &[u64], groups: &[u64]) -> Result<Self> {
        ensure!(before.nodes.len() == now.len(), "the closures differ");
        let lies = |((old, _), _): &((&Reached, &u64), &u64)| old.address != 0;
        let pairs = before.nodes.iter().zip(now).zip(groups).filter(lies);
        let of = |((node, new), group): ((&Reached, &u64), &u64)| {
            let Reached { address, size, merged, code, .. } = *node;
            Move { old: address, size, new: *new, merged, code, group: *group }
        };
        let mut nodes: Vec<Move> = pairs.map(of).collect();
        nodes.sort_unstable();
        nodes.dedup();
        let largest = nodes.iter().map(|node| node.size).max().unwrap_or(0);
        Ok(Self { nodes, largest })
    }

    /// Requires that all lies in the same order as before, as far as anything may follow from that: something may be sorted by
    /// address. Merged constants only count if one of these old addresses leads to them; where the linker puts the others
    /// follows from all that it merges.
    pub(super) fn require_order(&self, used: &[u64]) -> Result<()> {
        let mut used = used.to_vec();
        used.sort_unstable();
        let is_used = |start: u64, size: u64| {
            let first = used.partition_point(|address| *address < start);
            used.get(first).is_some_and(|address| *address - start <= size)
        };
        let mut counted: Vec<&Move> =
            self.nodes.iter().filter(|node| !node.merged || is_used(node.old, node.size)).collect();
        let same = |a: &Move, b: &Move| (a.old == b.old) == (a.new == b.new);
        let all_same = |nodes: &[&Move]| nodes.windows(2).all(|pair| same(pair[0], pair[1]));
        let are_distinct = all_same(&counted);
        // What lies at one place has had one before.
        counted.sort_by_key(|node| (node.new, node.group));
        let (is_ordered, are_distinct) =
            (counted.is_sorted_by_key(|node| node.group), are_distinct && all_same(&counted));
        ensure!(is_ordered && are_distinct, "what the roots use lies in another order");
        Ok(())
    }

    /// What may hold an address, or end there: those that begin no further before it than the largest is long.
    fn near(&self, old: u64) -> impl Iterator<Item = &Move> {
        let last = self.nodes.partition_point(|node| node.old <= old);
        self.nodes[..last].iter().rev().take_while(move |node| old - node.old <= self.largest)
    }

    /// Where an address may be now: what is the end of one thing may be the beginning of another, which went elsewhere.
    fn candidates(&self, old: u64) -> impl Iterator<Item = u64> {
        self.near(old).filter(move |node| old - node.old <= node.size).map(move |node| node.new + (old - node.old))
    }

    /// If a word, which is `now` there, is what is left of an address inside a function, of which the lowest bytes were
    /// overwritten with something that is not zero: which bits these are.
    ///
    /// Such addresses are those that calls return to. What a program makes of an address for itself, rounded to whatever it
    /// may be, or with bits of its own in place of those that are zero, is none of them.
    fn is_left(&self, old: u64, now: u64) -> Option<u64> {
        [0xff_u64, 0xffff].into_iter().find(|low| {
            let (first, last) = (old & !low, old | low);
            let inside = |node: &&Move| node.code && node.size > 1 && node.old < last && node.old + node.size > first;
            let may_be = |node: &Move| {
                let [from, to] = [first.max(node.old + 1), last.min(node.old + node.size - 1)];
                let [from, to] = [from, to].map(|address| (node.new + (address - node.old)) & !low);
                from <= to && (from..=to).contains(&(now & !low))
            };
            (old ^ now) & low == 0 && old & low != 0 && self.near(last).filter(inside).any(may_be)
        })
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
        let mut whole = self.near(old).filter(|node| old - node.old + length <= node.size);
        let node = whole.next().context("a static that is carried is not known to be used by the roots")?;
        Ok(node.new + (old - node.old))
    }

    /// The words at these offsets of the image data, each with what it has to be.
    pub(super) fn rewritten(&self, image: &Image, offsets: &[u64]) -> Result<Vec<(u64, u64)>> {
        let base = image.header().exe_base;
        let words = self.words(image, offsets)?;
        self.require_order(&words.iter().map(|(_, word)| old(*word, base)).collect::<Vec<_>>())?;
        let rewritten = |(offset, word): (u64, u64)| Ok((offset, changed(word, self.address(old(word, base))?, base)));
        words.into_iter().map(rewritten).collect()
    }

    /// The same; but what is not certain is as it is in other image data, if it may be that; and so is what is left of an address
    /// that was overwritten.
    pub(super) fn rewritten_as_in(&self, image: &Image, offsets: &[u64], data: &[u8]) -> Result<Rewritten> {
        let base = image.header().exe_base;
        let mut rewritten = Rewritten::default();
        for (offset, word) in self.words(image, offsets)? {
            let there = word_at(data, offset).context("a word outside of the image")?;
            let all = self.candidates(old(word, base)).map(|new| changed(word, new, base)).collect::<Vec<_>>();
            if all.contains(&there) {
                rewritten.words.push((offset, there));
            } else if let Some(low) = self.is_left(old(word, base), old(there, base)).filter(|_| base == 0) {
                rewritten.left.push((offset, low));
                rewritten.words.push((offset, there));
            } else {
                let first =
                    all.first().context("the image refers to something that is not known to be used by its roots")?;
                rewritten.words.push((offset, *first));
            }
        }
        Ok(rewritten)
    }

    /// The words at these offsets.
    fn words(&self, image: &Image, offsets: &[u64]) -> Result<Vec<(u64, u64)>> {
        let data = image.data()?;
        let word = |offset: &u64| Ok((*offset, word_at(data, *offset).context("a word outside of the image")?));
        let words = offsets.iter().map(word).collect::<Result<Vec<_>>>()?;
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

    /// Nodes at these addresses, of these sizes.
    fn closure_at(nodes: &[(u64, u64)]) -> Closure {
        let node = |(address, size): &(u64, u64)| Reached {
            name: String::new(),
            address: *address,
            size: *size,
            hash: 0,
            merged: *size == 4,
            code: *size >= 0x100,
            location: false,
        };
        Closure { fingerprint: [0; 32], nodes: nodes.iter().map(node).collect() }
    }

    fn moves(nodes: &[(u64, u64, u64)]) -> Result<Moves> {
        let side = |of: fn(&(u64, u64, u64)) -> u64| {
            closure_at(&nodes.iter().map(|node| (of(node), node.1)).collect::<Vec<_>>())
        };
        let groups: Vec<u64> = (0..nodes.len() as u64).collect();
        Moves::new(&side(|node| node.0), &side(|node| node.2), &groups)
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
    fn what_lies_the_other_way_round_elsewhere_may_lie_in_any_order() {
        let of = |places: &[(u64, u64)]| {
            let (here, there): (Vec<_>, Vec<_>) = places.iter().map(|(here, there)| ((*here, 8), *there)).unzip();
            groups(&closure_at(&here), &there)
        };
        // A constant and two functions, which are reversed; a static behind them.
        assert_eq!(of(&[(0x3000, 0x9000), (0x1000, 0x7000), (0x2008, 0x8000), (0x2000, 0x8100)]), [2, 0, 1, 1]);
        assert_eq!(of(&[(0x1000, 0x7000), (0x1008, 0x7100), (0x1010, 0x7200)]), [0, 1, 2]);
        // At one place, at one place there.
        assert_eq!(of(&[(0x1000, 0x7000), (0x1000, 0x7000), (0x1000, 0x7008)]), [1, 1, 0]);
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
    fn what_is_left_of_an_address_in_a_function() {
        // The second and the third are functions, which went to different distances.
        let moves = moves(&[(0x1000, 0x80, 0x9000), (0x1100, 0x200, 0x9340), (0x1300, 0x100, 0xa000)]).unwrap();
        assert_eq!(moves.is_left(0x1201, 0x9401), Some(0xff), "0x1200 is 0x9440 now, and 0x12ff 0x953f");
        assert_eq!(moves.is_left(0x1201, 0x9501), Some(0xff));
        assert_eq!(moves.is_left(0x1201, 0x9601), None, "nothing of it is there");
        assert_eq!(moves.is_left(0x1201, 0x9402), None, "that is not what it was overwritten with");
        assert_eq!(moves.is_left(0x1200, 0x9400), None, "rounded");
        assert_eq!(moves.is_left(0x1001, 0x9001), None, "no function");
        assert_eq!(moves.is_left(0x2001, 0xa101), None, "outside of all");
    }

    #[test]
    fn another_order_is_refused() {
        let order = |nodes: &[(u64, u64, u64)], used: &[u64]| moves(nodes).unwrap().require_order(used).is_ok();
        assert!(order(&[(0x1000, 8, 0x2000), (0x1008, 8, 0x2100)], &[]));
        assert!(!order(&[(0x1000, 8, 0x2008), (0x1008, 8, 0x2000)], &[]));
        assert!(!order(&[(0x1000, 8, 0x2000), (0x1008, 8, 0x2000)], &[]));
        // What may lie in any order, and what may not.
        let grouped = |new: [u64; 3], groups: [u64; 3]| {
            let of = |addresses: [u64; 3]| closure_at(&addresses.map(|address| (address, 8)));
            Moves::new(&of([0x1000, 0x1008, 0x1010]), &of(new), &groups).unwrap().require_order(&[]).is_ok()
        };
        assert!(grouped([0x2008, 0x2000, 0x2010], [0, 0, 1]) && !grouped([0x2008, 0x2000, 0x2010], [0, 1, 1]));
        assert!(!grouped([0x2000, 0x2010, 0x2008], [0, 0, 1]) && !grouped([0x2000, 0x2000, 0x2008], [0, 0, 0]));
        // The end of one section, say, and what begins there.
        let at_one_place = |place: u64| closure_at(&[(place, 0), (place, 8)]);
        let tie = |groups: &[u64]| Moves::new(&at_one_place(0x1000), &at_one_place(0x2000), groups).unwrap();
        assert!(tie(&[1, 0]).require_order(&[]).is_ok() && tie(&[0, 1]).require_order(&[]).is_ok());
        // Those with four bytes are merged.
        let merged = [(0x1000, 4, 0x2008), (0x1004, 4, 0x2000)];
        assert!(order(&merged, &[0x1000]));
        assert!(!order(&merged, &[0x1000, 0x1006]));
    }
}
