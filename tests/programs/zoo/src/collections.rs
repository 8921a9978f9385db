//! The collections of the standard library.

use crate::{answer, digest};
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use witness::evaluated;

fastboot_rt::frozen! {
    /// A million strings.
    static LINES: Vec<String> = evaluated("LINES", || (0..1_000_000).map(line).collect());

    /// Where each of the first lines is.
    static INDEX: HashMap<String, usize> =
        evaluated("INDEX", || (0..50_000).map(|number| (line(number), number)).collect());

    /// Squares by number.
    static SQUARES: BTreeMap<u64, u64> = evaluated("SQUARES", || (0..50_000).map(|n| (n, n * n)).collect());

    /// A ring buffer that has wrapped around.
    static RING: VecDeque<u32> = evaluated("RING", || {
        let mut ring: VecDeque<u32> = (0..1000).collect();
        ring.rotate_left(300);
        for number in 0..500 {
            ring.pop_front();
            ring.push_back(number * 7);
        }
        ring
    });

    /// Sets of different sizes, the empty one too.
    static SETS: Vec<HashSet<u64>> = evaluated("SETS", || (0..100).map(|size| (0..size).collect()).collect());
}

fn line(number: usize) -> String {
    format!("line {number} of {}", number.wrapping_mul(2_654_435_761) % 1_000_003)
}

pub(crate) fn run() {
    answer(
        "LINES",
        format_args!("{} {:?} {:x}", LINES.len(), LINES[123_456], digest(LINES.iter().map(String::as_bytes))),
    );
    let mut lines = LINES.clone();
    lines[0].push_str(", grown");
    lines.push("one more".to_owned());
    lines.retain(|line| !line.contains('7'));
    answer("LINES, cloned", format_args!("{} {:?} {:?}", lines.len(), lines[0], LINES[0]));
    drop(lines);

    let found = (0..60_000).filter(|number| INDEX.get(&line(*number)) == Some(number)).count();
    answer("INDEX", format_args!("{} entries, {found} of 60000 found", INDEX.len()));
    let mut index = INDEX.clone();
    index.extend((50_000..60_000).map(|number| (line(number), number)));
    index.retain(|_, number| *number % 2 == 0);
    let found = (0..60_000).filter(|number| index.contains_key(&line(*number))).count();
    answer("INDEX, cloned", format_args!("{} entries, {found} of 60000 found", index.len()));

    answer("SQUARES", format_args!("{:?} {:?}", SQUARES.get(&1234), SQUARES.range(40_000..).nth(3)));
    let mut squares = SQUARES.clone();
    let upper = squares.split_off(&25_000);
    squares.insert(1_000_000, 0);
    answer("SQUARES, cloned", format_args!("{} {} {:?}", squares.len(), upper.len(), squares.last_key_value()));

    answer("RING", format_args!("{} {:?} {:?} {}", RING.len(), RING.front(), RING.back(), RING.iter().sum::<u32>()));
    let mut ring = RING.clone();
    ring.extend(0..1000);
    ring.make_contiguous().sort_unstable();
    answer("RING, cloned", format_args!("{} {:?}", ring.len(), ring.range(1500..1503).collect::<Vec<_>>()));

    let right =
        SETS.iter().enumerate().all(|(size, set)| set.len() == size && (0..size as u64).all(|n| set.contains(&n)));
    answer("SETS", right);
    let union = SETS.iter().fold(HashSet::new(), |union, set| &union | set);
    answer("SETS, united", union.len());

    witness::sources!(LINES, INDEX, SQUARES, RING, SETS);
}
