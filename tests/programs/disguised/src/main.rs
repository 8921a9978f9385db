//! Roots that keep addresses shifted, rotated, unaligned or negated. Prints what it finds by them.

use disguised::{Chain, Form, Hidden};
use witness::evaluated;

fastboot_rt::install!();

/// Shifted to the right, with a tag in the highest bits.
struct Shifted;

impl Form for Shifted {
    fn disguise(address: usize) -> usize {
        address >> 3 | 5 << 60
    }

    fn reveal(word: usize) -> usize {
        word << 3 & ((1 << 48) - 1)
    }
}

/// Shifted to the left, with a tag in the lowest bits.
struct Left;

impl Form for Left {
    fn disguise(address: usize) -> usize {
        address << 12 | 0xabc
    }

    fn reveal(word: usize) -> usize {
        word >> 12
    }
}

/// What has to be added for zero.
struct Negated;

impl Form for Negated {
    fn disguise(address: usize) -> usize {
        address.wrapping_neg()
    }

    fn reveal(word: usize) -> usize {
        word.wrapping_neg()
    }
}

/// A word that is not aligned.
#[repr(C, packed)]
struct Packed {
    tag: u8,
    hidden: Hidden<Shifted>,
}

fastboot_rt::frozen! {
    /// Rotated to the right by one bit, the lowest bit set.
    static ROTATED: Vec<(String, semver::Version)> = evaluated("ROTATED", || {
        let version = |number| format!("1.2.{number}-release.candidate.{number}").parse().expect("it is valid");
        (0..50).map(|number| (format!("package {number}"), version(number))).collect()
    });

    static SHIFTED: Chain<Shifted> = evaluated("SHIFTED", || Chain::new(100));

    static LEFT: Vec<Hidden<Left>> = evaluated("LEFT", || (0..20).map(Hidden::new).collect());

    static PACKED: Vec<Packed> = evaluated("PACKED", || {
        (0..20).map(|number| Packed { tag: 7, hidden: Hidden::new(number) }).collect()
    });

    static NEGATED: Vec<Hidden<Negated>> = evaluated("NEGATED", || (0..20).map(Hidden::new).collect());
}

fn main() {
    println!("{:?}", &ROTATED[..]);
    println!("{}", SHIFTED.sum());
    println!("{:?}", LEFT.iter().map(Hidden::get).collect::<Vec<_>>());
    let packed = |packed: &Packed| {
        let address = &raw const packed.hidden;
        // SAFETY: it is a field of `packed`, read wherever it stands; nothing is dropped twice, because nothing is dropped.
        u64::from(packed.tag) + unsafe { address.read_unaligned() }.get()
    };
    println!("{:?}", PACKED.iter().map(packed).collect::<Vec<_>>());
    println!("{:?}", NEGATED.iter().map(Hidden::get).collect::<Vec<_>>());
    witness::sources!(ROTATED, SHIFTED, LEFT, PACKED, NEGATED);
}
