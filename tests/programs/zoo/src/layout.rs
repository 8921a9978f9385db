//! Sizes and alignments out of the ordinary, enums, and values without any heap.

use crate::{answer, digest};
use std::num::NonZeroU32;
use witness::evaluated;

fastboot_rt::frozen! {
    /// No bytes at all.
    static NOTHING: () = evaluated("NOTHING", || ());

    /// A list of things without size.
    static NOTHINGS: Vec<Marker> = evaluated("NOTHINGS", || vec![Marker; 1234]);

    /// Nothing, but aligned.
    static ALIGNED_NOTHING: AlignedNothing = evaluated("ALIGNED_NOTHING", || AlignedNothing);

    /// Aligned to a cache line.
    static LINE: CacheLine = evaluated("LINE", || CacheLine([7; 3]));

    /// Aligned to a page.
    static PAGE: Page = evaluated("PAGE", || Page { number: 17, text: "on a page of its own".to_owned() });

    /// Many of each, between things that upset the alignment.
    static MIXED: Vec<(Box<u8>, Box<CacheLine>, Box<Page>)> = evaluated("MIXED", || (0..20).map(mixed).collect());

    /// Every variant.
    static TREE: Tree = evaluated("TREE", || tree(10));

    /// Text in the executable's own read-only data, by address.
    static TEXTS: [&'static str; 4] = evaluated("TEXTS", || ["to", "be", "", "GAUUUU"]);

    /// A number, and options that have no room for a tag.
    static NUMBERS: (u128, Option<NonZeroU32>, Option<Box<str>>, Option<&'static str>) =
        evaluated("NUMBERS", || (u128::MAX - 1, NonZeroU32::new(5), None, Some("some")));
}

#[derive(Clone, Debug, PartialEq)]
struct Marker;

#[derive(Debug)]
#[repr(align(4096))]
struct AlignedNothing;

#[derive(Clone, Debug)]
#[repr(align(64))]
struct CacheLine([u8; 3]);

#[derive(Clone, Debug)]
#[repr(align(4096))]
struct Page {
    number: u32,
    text: String,
}

#[derive(Clone, Debug)]
enum Tree {
    Empty,
    Leaf(u32),
    Named { name: String, of: Box<Tree> },
    Pair(Box<Tree>, Box<Tree>),
}

fn mixed(number: u8) -> (Box<u8>, Box<CacheLine>, Box<Page>) {
    let page = Page { number: number.into(), text: "x".repeat(number.into()) };
    (Box::new(number), Box::new(CacheLine([number; 3])), Box::new(page))
}

fn tree(depth: u32) -> Tree {
    match depth {
        0 => Tree::Empty,
        depth if depth % 3 == 0 => Tree::Named { name: format!("at {depth}"), of: Box::new(tree(depth - 1)) },
        depth if depth % 3 == 1 => Tree::Pair(Box::new(tree(depth - 1)), Box::new(Tree::Leaf(depth))),
        depth => Tree::Pair(Box::new(tree(depth - 1)), Box::new(tree(depth / 2))),
    }
}

fn sum(tree: &Tree) -> u64 {
    match tree {
        Tree::Empty => 1,
        Tree::Leaf(number) => u64::from(*number),
        Tree::Named { name, of } => name.len() as u64 + sum(of),
        Tree::Pair(left, right) => sum(left) + 3 * sum(right),
    }
}

fn aligned<T>(value: &T) -> bool {
    std::ptr::from_ref(value).addr().is_multiple_of(align_of::<T>())
}

pub(crate) fn run() {
    answer("NOTHING", format_args!("{:?}", *NOTHING));
    answer("NOTHINGS", NOTHINGS.iter().filter(|nothing| **nothing == Marker).count());
    let mut nothings = NOTHINGS.clone();
    nothings.push(Marker);
    answer("NOTHINGS, cloned", nothings.len());
    answer("ALIGNED_NOTHING", format_args!("{:?} {}", *ALIGNED_NOTHING, aligned(&*ALIGNED_NOTHING)));
    answer("LINE", format_args!("{:?} {}", *LINE, aligned(&*LINE)));
    answer("PAGE", format_args!("{} {:?} {}", PAGE.number, PAGE.text, aligned(&*PAGE)));

    let all_aligned = |mixed: &[(Box<u8>, Box<CacheLine>, Box<Page>)]| {
        mixed.iter().all(|(_, line, page)| aligned(&**line) && aligned(&**page))
    };
    let bytes =
        MIXED.iter().map(|(byte, line, page)| u64::from(**byte) + u64::from(line.0[2]) + page.text.len() as u64);
    answer("MIXED", format_args!("{} {}", bytes.sum::<u64>(), all_aligned(&MIXED)));
    let mut grown = MIXED.clone();
    grown.extend((20..40).map(mixed));
    grown.reverse();
    answer("MIXED, grown", format_args!("{:?} {}", grown.first().map(|(byte, ..)| byte), all_aligned(&grown)));
    drop(grown);

    answer("TREE", sum(&TREE));
    let grown = Tree::Pair(Box::new(TREE.clone()), Box::new(Tree::Leaf(1)));
    answer("TREE, grown", sum(&grown));
    answer("TEXTS", format_args!("{:?} {:x}", *TEXTS, digest(TEXTS.iter().map(|text| text.as_bytes()))));
    answer("NUMBERS", format_args!("{:?}", *NUMBERS));

    witness::sources!(NOTHING, NOTHINGS, ALIGNED_NOTHING, LINE, PAGE, MIXED, TREE, TEXTS, NUMBERS);
}
