//! A root that is a list whose elements hold the XOR of the addresses of both neighbours.

use std::ptr::with_exposed_provenance_mut;

fastboot_rt::install!();

struct Element {
    number: u64,
    neighbours: usize,
}

struct List {
    first: usize,
}

fastboot_rt::frozen! {
    static LIST: List = {
        let (mut first, mut before) = (0, 0);
        for number in 0..20 {
            let element = Box::into_raw(Box::new(Element { number, neighbours: before })).expose_provenance();
            if before == 0 {
                first = element;
            } else {
                // SAFETY: the box that was leaked one round before, to which there is no reference.
                unsafe { (*with_exposed_provenance_mut::<Element>(before)).neighbours ^= element };
            }
            before = element;
        }
        List { first }
    };
}

fn main() {
    let (mut before, mut here, mut sum) = (0, LIST.first, 0);
    while here != 0 {
        // SAFETY: one of the boxes that the expression leaked, and nobody changes it any more.
        let element = unsafe { &*with_exposed_provenance_mut::<Element>(here) };
        sum += element.number;
        (before, here) = (here, element.neighbours ^ before);
    }
    println!("{sum}");
}
