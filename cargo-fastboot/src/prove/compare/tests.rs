//! Comparisons of small runs that are made up, word by word.

use super::*;
use crate::prove::bindings::Bindings;
use crate::prove::foreign::Known;
use crate::prove::proof::{Suspect, Varying};
use crate::runs::capture::{Allocator, ForeignBlock, Mapping};
use crate::runs::forms::Form;
use fastboot_format::protocol::{SCRATCH, SCRATCH_LEN, STACK_TOP, STACKS_LEN};

const FIRST: u64 = 0x5555_5555_4000;
const SECOND: u64 = 0x5632_1234_5000;
const IMAGE: [u64; 2] = [0x5500_0000_1000, 0x5500_0000_1000 + fastboot_format::protocol::HOME_SHIFT];

/// An executable that the dynamic linker gives nothing.
static UNBOUND: Bindings = Bindings::NONE;

const NOTHING: Known<'static> = Known {
    handles: &[],
    foreign_blocks: &[],
    thread_locals: &[],
    bindings: &UNBOUND,
    texts: &[],
    values: &[],
    numbers: [0; 2],
};

fn run(data: &[u8], set: usize, executable: u64) -> Run<'_> {
    let regions = [
        (IMAGE[set], IMAGE[set] + 0x10_0000),
        (executable, executable + 0x10_0000),
        (SCRATCH[set], SCRATCH[set] + SCRATCH_LEN),
        (STACK_TOP[set] - STACKS_LEN, STACK_TOP[set] - 4096),
        (STACK_TOP[set] - 4096, STACK_TOP[set]),
    ];
    Run { data, objects: data.len(), regions, maps: &[], known: &NOTHING }
}

fn pie(first: &[u8], second: &[u8]) -> Result<Proof> {
    compare(run(first, 0, FIRST), run(second, 1, SECOND), true)
}

fn words(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

#[test]
fn every_word_is_what_it_moved_with() {
    let first = words(&[1, FIRST + 16, IMAGE[0] + 8, SCRATCH[0] + 64, STACK_TOP[0] - 8192, 7]);
    let second = words(&[1, SECOND + 16, IMAGE[1] + 8, SCRATCH[1] + 64, STACK_TOP[1] - 8192, 7]);
    let expected = Proof { static_pointers: vec![8], image_pointers: vec![16], dead: 2, ..Proof::default() };
    assert_eq!(pie(&first, &second).unwrap(), expected);
}

#[test]
fn a_static_pointer_may_lose_its_lower_half_in_the_other_run() {
    let slide = SECOND.wrapping_sub(FIRST);
    let lost = |word: u64| (word.wrapping_add(slide) >> 32 << 32) | 3;
    let first = words(&[1, FIRST + 16, FIRST + 0xffff, 7]);
    let second = words(&[1, lost(FIRST + 16), lost(FIRST + 0xffff), 7]);
    let expected = Proof { static_pointers: vec![8, 16], ..Proof::default() };
    assert_eq!(pie(&first, &second).unwrap(), expected);
    // Neither does data follow, nor does what is no address in the first run.
    assert_eq!(pie(&words(&[FIRST + 16]), &words(&[FIRST + 3])).unwrap().static_pointers, [0u64; 0]);
    assert_eq!(pie(&words(&[FIRST - 16]), &words(&[lost(FIRST)])).unwrap().static_pointers, [0u64; 0]);
    assert!(
        !upper_half_moved(5, 6, 1 << 12) && !upper_half_moved(5 << 32, 6 << 32, 1 << 32),
        "the distance says too little"
    );
}

#[test]
fn tags_move_with_their_addresses() {
    for tag in [0xfff8 << 48, 1 << 63, 0x7ff8 << 48 | 3] {
        let first = words(&[1, (FIRST + 16) | tag, (IMAGE[0] + 8) | tag, (SCRATCH[0] + 64) | tag]);
        let second = words(&[1, (SECOND + 16) | tag, (IMAGE[1] + 8) | tag, (SCRATCH[1] + 64) | tag]);
        let expected = Proof { static_pointers: vec![8], image_pointers: vec![16], dead: 1, ..Proof::default() };
        assert_eq!(pie(&first, &second).unwrap(), expected, "{tag:#x}");
    }
    let (first, second) = (words(&[(FIRST + 16) | 1 << 48]), words(&[(SECOND + 16) | 2 << 48]));
    assert!(pie(&first, &second).unwrap().static_pointers.is_empty(), "another tag is another word");
}

#[test]
fn addresses_of_other_objects_are_no_suspects() {
    let maps = |set: usize| {
        let range = IMAGE[set] - 4096..IMAGE[set] + 0x100_0000;
        vec![Mapping { range, executable: false, offset: 0, name: String::new() }]
    };
    // The second one is a sum of addresses: behind the end of the image, but still where only freezing has memory.
    for (a, b) in [(IMAGE[0] + 8, IMAGE[1] + 16), (IMAGE[0] + 0x20_0000, IMAGE[1] + 0x20_0008)] {
        let (first, second) = (words(&[a]), words(&[b]));
        let (here, there) = (maps(0), maps(1));
        let first = Run { maps: &here, ..run(&first, 0, FIRST) };
        let second = Run { maps: &there, ..run(&second, 1, FIRST) };
        let proof = compare(first, second, false).unwrap();
        assert_eq!((proof.suspects, proof.differences.len()), (Vec::new(), 1), "{a:#x}");
    }
}

#[test]
fn what_may_be_a_pointer_or_not_keeps_an_image_where_it_is() {
    let of = |first: &[u8], second: &[u8]| compare(run(first, 0, FIRST), run(second, 1, FIRST), false).unwrap();
    // Another object in the other run, or none.
    for (a, b) in [(IMAGE[0] + 8, IMAGE[1] + 16), (IMAGE[0] + 8, 5)] {
        let unclear = of(&words(&[1, a, 2]), &words(&[1, b, 2])).unclear;
        assert!(unclear.iter().any(|one| one.offset == 8 && one.region == Region::Image), "{a:#x} {b:#x}");
        let shifted = |word: u64| [vec![0; 3], words(&[word, 2])].concat();
        assert!(of(&shifted(a), &shifted(b)).unclear_in(Region::Image).is_some(), "unaligned {a:#x} {b:#x}");
    }
    assert!(of(&words(&[5]), &words(&[IMAGE[1]])).unclear_in(Region::Image).is_none(), "what is kept is no address");
    // Pointers, data, and numbers that differ, beside a pointer or not.
    let first = words(&[IMAGE[0], 5, 0x1234_5678_9abc_def0, IMAGE[0] + 8]);
    let second = words(&[IMAGE[1], 5, 0x0fed_cba9_8765_4321, IMAGE[1] + 8]);
    assert!(of(&first, &second).unclear_in(Region::Image).is_none());
    assert!(of(&first, &second[..24]).unclear_in(Region::Image).is_some(), "another length");
}

#[test]
fn thread_locals_are_suspects() {
    let proof = pie(&words(&[STACK_TOP[0] - 8]), &words(&[STACK_TOP[1] - 8])).unwrap();
    let expected = Suspect { offset: 0, what: "a thread-local".to_owned(), certain: false, held: false };
    assert_eq!(proof.suspects, [expected]);
}

#[test]
fn what_is_known_to_be_there_is_certain() {
    let block = ForeignBlock { allocator: Allocator::Malloc, root: "a::B".to_owned(), address: 0x6000_0010, size: 24 };
    let known = Known {
        handles: &[0x7000_0000, STACK_TOP[0] - STACKS_LEN + 64],
        foreign_blocks: &[block],
        thread_locals: &[(STACK_TOP[0] - 64..STACK_TOP[0] - 32, "a::LOCAL".to_owned())],
        ..NOTHING
    };
    let heap = |start| Mapping { range: start..start + 0x2000_0000, executable: false, offset: 0, name: String::new() };
    let (here, there) = ([heap(0x6000_0000)], [heap(0x9000_0000)]);
    let stacks = STACK_TOP.map(|top| top - STACKS_LEN + 64);
    let a = [0x6000_0010, 0x6000_0030, 0x7000_0000, STACK_TOP[0] - 64, 0x6000_0020, 0, 0, 0, 0, stacks[0]];
    let b = [0x9000_0010, 0x9000_0030, 0xa000_0000, STACK_TOP[1] - 64, 0x9000_0020, 0, 0, 0, 0, stacks[1]];
    let (a, b) = (words(&a), words(&b));
    let first = Run { maps: &here, known: &known, ..run(&a, 0, FIRST) };
    let proof = compare(first, Run { maps: &there, ..run(&b, 1, SECOND) }, true).unwrap();
    let mut certain: Vec<_> = proof.suspects.iter().filter(|s| s.certain).map(|s| s.offset).collect();
    certain.sort_unstable();
    assert_eq!((certain, proof.suspects.len()), (vec![0, 16, 24, 32, 72], 6));
    assert_eq!([0, 1].map(|index| proof.suspects[index].offset), [72, 16], "threads come first");
}

#[test]
fn what_lies_between_addresses_of_the_stack_is_not_certain() {
    let local = |set: usize| STACK_TOP[set] - 4096;
    let frame = |set: usize| local(set) - 8;
    let thread_locals = [(local(0)..local(0) + 8, "a::LOCAL".to_owned())];
    let known = Known { thread_locals: &thread_locals, ..NOTHING };
    for (zeros, certain) in [(0, false), (3, false), (4, true)] {
        let data = |set: usize| {
            let mut data = vec![0; zeros + 2];
            (data[0], data[zeros + 1]) = (frame(set), local(set));
            words(&data)
        };
        let (a, b) = (data(0), data(1));
        let first = Run { known: &known, ..run(&a, 0, FIRST) };
        let proof = compare(first, run(&b, 1, SECOND), true).unwrap();
        let suspect = proof.suspects.first().unwrap();
        assert_eq!((suspect.what.as_str(), suspect.certain), ("the thread-local `a::LOCAL`", certain), "{zeros}");
    }
    let (a, b) = (words(&[frame(0), local(0)]), words(&[frame(1), local(1)]));
    let proof = pie(&a, &b).unwrap();
    assert_eq!((proof.suspects, proof.dead), (Vec::new(), 2), "what has no name is like its neighbours");
    let in_static = Run { objects: 0, ..run(&a, 0, FIRST) };
    let proof = compare(in_static, Run { objects: 0, ..run(&b, 1, SECOND) }, true).unwrap();
    assert_eq!((proof.suspects.len(), proof.dead), (1, 1), "no frame leaves anything in a static");
    let (a, b) = (words(&[local(0), local(0)]), words(&[local(1), local(1)]));
    let proof = compare(Run { known: &known, ..run(&a, 0, FIRST) }, run(&b, 1, SECOND), true).unwrap();
    assert!(proof.suspects.iter().all(|suspect| suspect.certain), "they are no addresses of the stack themselves");
}

#[test]
fn text_that_looks_like_an_address_is_data() {
    let text = u64::from_le_bytes(*b"GAUUUU\0\0");
    assert!((FIRST..FIRST + 0x10_0000).contains(&text), "the example is a valid PIE address");
    assert_eq!(pie(&words(&[text, IMAGE[0]]), &words(&[text, IMAGE[0]])).unwrap(), Proof::default());
}

#[test]
fn addresses_of_what_is_gone_in_both_runs_are_dead() {
    let heaps = |set: usize| [SCRATCH[set] + 0x1230 * (1 + set as u64), STACK_TOP[set] - 8192 - 48 * set as u64];
    for (a, b) in heaps(0).into_iter().flat_map(|a| heaps(1).map(|b| (a, b))) {
        for shift in 0..8 {
            let data = |word: u64| [vec![0; shift], words(&[word, 2])].concat();
            let (a, b) = (data(a), data(b));
            let proof = compare(run(&a, 0, FIRST), run(&b, 1, FIRST), false).unwrap();
            assert_eq!((proof.differences.len(), proof.dead > 0), (0, true), "{shift}: {a:x?} {b:x?}");
        }
    }
    assert_eq!(disguise(SCRATCH[0] + 8, 77).differences.len(), 1, "in one run alone");
    // A stack address of each run, rounded, with a bit set, and shifted.
    let rounded = |top: u64| (((top - 1) & !0xffff) | 4) >> 2;
    let (a, b) = (rounded(STACK_TOP[0]), rounded(STACK_TOP[1]));
    assert_eq!((disguise(a, b).differences.len(), disguise(a, b).dead), (0, 1));
    assert_eq!(disguise(a, b << 1).differences.len(), 1, "in another form in the other run");
}

#[test]
fn what_was_unmapped_among_the_libraries_is_dead() {
    let map = |start: u64| {
        let (range, name) = (start..start + 0x1000, "/no/such/libc.so.6".to_owned());
        [Mapping { range, executable: false, offset: 0, name }]
    };
    let (here, there) = (map(0x7fff_f7dd_5000), map(0x7f02_d214_e000));
    let distance = there[0].range.start.wrapping_sub(here[0].range.start);
    let of = |word: u64, other: u64| {
        let (a, b) = (words(&[5, word, 5]), words(&[5, other, 5]));
        let first = Run { maps: &here, ..run(&a, 0, FIRST) };
        let proof = compare(first, Run { maps: &there, ..run(&b, 1, FIRST) }, false).unwrap();
        (proof.dead, proof.suspects.len(), proof.differences.len())
    };
    let gone = 0x7fff_f7db_1498_u64;
    assert_eq!(of(gone, gone.wrapping_add(distance)), (1, 0, 0));
    assert_eq!(of(gone, gone.wrapping_add(distance) + 8), (0, 0, 1), "it did not move with them");
    let within = here[0].range.start + 16;
    assert_eq!(of(within, within.wrapping_add(distance)), (0, 1, 0), "what is mapped is a suspect");
}

#[test]
fn what_the_dynamic_linker_put_elsewhere_as_well_is_bound() {
    let (here, there) = (0x7f00_0000_4560_u64, 0x7f55_5550_9990_u64);
    let bindings = [([here, there], 0x48), ([here + 16, there + 64], 0x50)].into();
    let known = Known { bindings: &bindings, ..NOTHING };
    let of = |a: &[u8], b: &[u8]| {
        let first = Run { known: &known, objects: 8, ..run(a, 0, FIRST) };
        compare(first, Run { objects: 8, ..run(b, 1, SECOND) }, true).unwrap()
    };
    // Where objects are, and where statics are; beside a pointer or not.
    let proof = of(&words(&[here, IMAGE[0], here + 16]), &words(&[there, IMAGE[1], there + 64]));
    assert_eq!((proof.bound, proof.image_pointers, proof.differences), (vec![(0, 0x48), (16, 0x50)], vec![8], vec![]));
    // In a packed struct.
    let packed = |word: u64| [&[7, 7, 7], words(&[word, 5]).as_slice(), &[7; 5]].concat();
    let proof = of(&packed(here), &packed(there));
    assert_eq!((proof.bound, proof.differences), (vec![(3, 0x48)], vec![]));
    // One function in the one run and another one in the other.
    let proof = of(&words(&[here]), &words(&[there + 64]));
    assert_eq!((proof.bound, proof.differences.len()), (vec![], 1));
}

#[test]
fn what_calls_leave_behind_is_dead_but_not_in_a_roots_value() {
    let map = |name: &str, start: u64, executable: bool| Mapping {
        range: start..start + 0x10_0000,
        executable,
        offset: 0,
        name: name.to_owned(),
    };
    let here = [map("/no/such/libc.so.6", 0x7f00_0000_0000, true), map("[stack]", 0x7ffc_0000_0000, false)];
    let there = [map("/no/such/libc.so.6", 0x7f55_5550_0000, true), map("[stack]", 0x7ffd_5550_0000, false)];
    let a = words(&[0x7ffc_0000_1238, 0, 0, 0, 0, 0x7f00_0000_4560, 0, 0, 0, 0, 0x7f00_0000_7890]);
    let b = words(&[0x7ffd_5550_2238, 0, 0, 0, 0, 0x7f55_5550_4560, 0, 0, 0, 0, 0x7f55_5550_7890]);
    let of = |known: &Known<'_>, objects: usize| {
        let first = Run { maps: &here, known, objects, ..run(&a, 0, FIRST) };
        let proof = compare(first, Run { maps: &there, objects, ..run(&b, 1, FIRST) }, false).unwrap();
        assert_eq!(proof.differences, []);
        (proof.dead, proof.suspects.iter().map(|suspect| suspect.offset).collect::<Vec<_>>())
    };
    // In the other run the executable had the address of another function at that place.
    let known = Known { bindings: &[([0x7f00_0000_4560, 0x7f55_5550_4590], 8)].into(), ..NOTHING };
    assert_eq!(of(&known, a.len()), (2, vec![80]), "code that nobody resolved is a suspect");
    assert_eq!(of(&NOTHING, a.len()), (1, vec![40, 80]));
    assert_eq!(of(&Known { values: &[0, 40], ..known }, a.len()), (0, vec![0, 40, 80]), "a value of a root");
    assert_eq!(of(&known, 0), (0, vec![0, 40, 80]), "in statics");
}

#[test]
fn where_the_text_of_a_variable_begins_is_a_suspect() {
    let stack = |start: u64| {
        [Mapping { range: start..start + 0x2_0000, executable: false, offset: 0, name: "[stack]".to_owned() }]
    };
    let (here, there) = (stack(0x7ffc_0000_0000), stack(0x7ffd_5550_0000));
    let (text, other) = (0x7ffc_0000_1238, 0x7ffd_5550_2238);
    let of = |name: &str| {
        let texts = [text, other].map(|start| [(start, if start == text { "`HOME`" } else { name }.to_owned())]);
        let known = texts.each_ref().map(|texts| Known { texts, ..NOTHING });
        let (a, b) = (words(&[text, 0, 0, 0, 0, text + 1]), words(&[other, 0, 0, 0, 0, other + 1]));
        let first = Run { maps: &here, known: &known[0], ..run(&a, 0, FIRST) };
        let proof = compare(first, Run { maps: &there, known: &known[1], ..run(&b, 1, FIRST) }, false).unwrap();
        (proof.dead, proof.suspects.iter().map(|one| (one.offset, one.what.clone(), one.certain)).collect::<Vec<_>>())
    };
    assert_eq!(of("`HOME`"), (1, vec![(0, "the text of `HOME`".to_owned(), false)]));
    assert_eq!(of("`USER`"), (2, vec![]), "of another one in the other run");
}

#[test]
fn numbers_of_processes_are_not_what_is_left_of_pointers() {
    // As the image moved, in a byte, with the highest byte of its addresses beside it.
    let apart = fastboot_format::protocol::HOME_SHIFT >> 32;
    for (shift, numbers, place) in [(32, [0x5505, 0], 0), (32, [0, 0x5505], 1), (0, [0x5505, 0], 0)] {
        let [a, b] = [0x5505, 0x5505 + apart].map(|number: u64| words(&[1, number << shift, 2]));
        let there = std::array::from_fn(|index| if index == place { 0x5505 + apart } else { 0 });
        let of = |here: [u64; 2], there: [u64; 2]| {
            let [here, there] = [here, there].map(|numbers| Known { numbers, ..NOTHING });
            let first = Run { known: &here, ..run(&a, 0, FIRST) };
            let proof = compare(first, Run { known: &there, ..run(&b, 1, FIRST) }, false).unwrap();
            (proof.dead, proof.differences.len() + proof.disguised.len())
        };
        assert_eq!(of(numbers, there), (0, 1), "{numbers:?}");
        assert_eq!(of([0; 2], [0; 2]), (1, 0), "whose numbers are not known");
    }
}

#[test]
fn a_number_that_differs_by_a_byte_of_a_distance_is_no_address() {
    let apart = fastboot_format::protocol::HOME_SHIFT >> 32;
    let slide = (SECOND.wrapping_sub(FIRST) >> 32) & 0xff;
    for (number, apart) in [(0x12, apart), (80, apart), (200, apart + 1), (0x12, slide), (7 << 32, slide << 32)] {
        let proof = pie(&words(&[1, number, 2]), &words(&[1, number + apart, 2])).unwrap();
        assert_eq!((proof.dead, proof.differences.len()), (0, 1), "{number:#x} {apart:#x}");
    }
}

/// What became of a word that is one of these in the two runs.
fn disguise(a: u64, b: u64) -> Proof {
    compare(run(&words(&[5, a, 5]), 0, FIRST), run(&words(&[5, b, 5]), 1, FIRST), false).unwrap()
}

#[test]
fn addresses_in_another_form_are_told_from_numbers() {
    let heap = (SCRATCH[0] + 0x1230, SCRATCH[1] + 0x1230, Region::Scratch);
    let image = (IMAGE[0] + 0x4560, IMAGE[1] + 0x4560, Region::Image);
    for (here, there, region) in [heap, image] {
        for bits in 1..=16 {
            let tag = 5u64.rotate_right(3);
            let shifted = [here, there].map(|address| address >> bits | tag);
            let rotated = [here, there].map(|address: u64| (address | 1).rotate_right(bits));
            let left = [here, there].map(|address| address << bits | 1);
            for (name, [a, b], form) in [
                ("shifted", shifted, Form::Right(bits)),
                ("rotated", rotated, Form::Right(bits)),
                ("left", left, Form::Left(bits)),
            ] {
                let proof = disguise(a, b);
                // By whole bytes: an address that is not aligned.
                if bits % 8 == 0 && proof.disguised.is_empty() {
                    assert_eq!(proof.image_pointers.len() as u64 + proof.dead, 1, "{name} by {bits}");
                    continue;
                }
                let found = proof.disguised.first().map(|found| (found.offset, found.region, found.disguise));
                assert_eq!(found, Some((8, region, Disguise::Moved(form))), "{name} by {bits}: {proof:x?}");
                let meant = proof.disguised[0].addresses(IMAGE[0]).unwrap();
                let lost = if form == Form::Right(bits) { (1 << bits) - 1 } else { 0 };
                assert!(meant.iter().any(|address| address & !lost == here & !lost), "{name} by {bits}: {meant:x?}");
                assert_eq!((proof.differences.len(), proof.unclear.len()), (0, 0), "{name} by {bits}");
            }
        }
        let key = 0x0123_4567_89ab_cdef;
        for (a, b, expected) in [
            (here ^ key, there ^ key, Disguise::Xored),
            (here.wrapping_neg(), there.wrapping_neg(), Disguise::Negative),
            (!here, !there, Disguise::Negative),
        ] {
            let proof = disguise(a, b);
            let found = proof.disguised.first().map(|found| (found.offset, found.region, found.disguise));
            assert_eq!((found, proof.differences.len()), (Some((8, region, expected)), 0), "{a:#x} {b:#x}");
        }
    }
    let (a, b) = (heap.0 ^ image.0, heap.1 ^ image.1);
    assert_eq!(disguise(a, b).disguised[0].disguise, Disguise::Xored, "of two objects");
    let (a, b) = (heap.0.wrapping_sub(IMAGE[0] + 8), heap.1.wrapping_sub(IMAGE[1] + 8));
    let found = disguise(a, b).disguised[0];
    assert_eq!((found.disguise, found.addresses(IMAGE[0])), (Disguise::Distance, Some([heap.0; 2])));
}

#[test]
fn what_differs_in_a_table_as_an_xored_address_does_is_none() {
    let compared = |between: usize| {
        let run_of = |set: usize| {
            let address = (SCRATCH[set] + 0x1230) ^ 0x0123_4567_89ab_cdef;
            // As the bytes of a hash table that say what is in its places.
            let tags = (0..1000).map(|place| 0xffff_ff00_ffff_ffff | (place * (set as u64 + 2) % 0x80) << 32);
            let chance = 0xffff_ff06_ffff_ffff ^ SCRATCH[0] ^ SCRATCH[set];
            let same = std::iter::repeat_n(5, between);
            words(&[address, address].into_iter().chain(same).chain(tags).chain([chance]).collect::<Vec<_>>())
        };
        let proof = compare(run(&run_of(0), 0, FIRST), run(&run_of(1), 1, FIRST), false).unwrap();
        let last = 8 * (between + 1002) as u64;
        assert!(proof.differences.iter().any(|word| word.offset == last), "{proof:x?}");
        proof.disguised.iter().map(|word| word.offset).collect::<Vec<_>>()
    };
    assert_eq!(compared(NEAR / 8), [0, 8]);
    assert!(compared(0).is_empty(), "beside the table");
}

#[test]
fn a_static_pointer_in_another_form_is_told() {
    let found =
        |form: fn(u64) -> u64| pie(&words(&[form(FIRST + 16)]), &words(&[form(SECOND + 16)])).unwrap().disguised;
    for form in
        [|address: u64| address.rotate_right(1), |address: u64| address >> 3 | 1 << 63, |address: u64| address << 5]
    {
        assert_eq!(found(form).first().map(|found| found.region), Some(Region::Executable));
    }
}

#[test]
fn a_static_pointer_shifted_by_whole_bytes_is_one_that_is_not_aligned() {
    // The word behind it is another one in the other run, too.
    let data = |address: u64, shift: u32, tag: u64| words(&[address << shift | tag, address + 8]);
    for (shift, tag) in [(8, 0), (8, 7), (16, 0), (16, 0xbeef)] {
        let proof = pie(&data(FIRST + 16, shift, tag), &data(SECOND + 16, shift, tag)).unwrap();
        assert_eq!((proof.static_pointers, proof.disguised), (vec![u64::from(shift) / 8, 8], vec![]));
        // Behind the last word there are no bytes that it could be read with.
        let cut = |address| data(address, shift, tag)[..8].to_vec();
        assert_eq!(pie(&cut(FIRST), &cut(SECOND)).unwrap().disguised.len(), 1);
    }
    // In the twin of a program that stays where it is nothing has to be made right.
    let (a, b) = (data(FIRST, 16, 1), data(SECOND, 16, 1));
    assert_eq!(compare(run(&a, 0, FIRST), run(&b, 1, SECOND), false).unwrap().disguised.len(), 1);
}

#[test]
fn the_lower_bytes_of_a_static_pointer_beside_something_else_are_dead() {
    // A tag, and behind it what was there before.
    let of = |a: u64, b: u64| {
        let proof = pie(&words(&[a << 24 | 4, 77]), &words(&[b << 24 | 4, 77])).unwrap();
        assert_eq!((proof.static_pointers, proof.disguised), (vec![], vec![]));
        (proof.dead, proof.differences.len())
    };
    assert_eq!(of(FIRST + 0xded, SECOND + 0xded), (1, 0));
    assert_eq!(of(FIRST + 0xded, SECOND + 0xdee), (0, 1), "another distance");
    assert_eq!(of(FIRST + 0xded + 0x1000_0000, SECOND + 0xded + 0x1000_0000), (0, 1), "behind the executable");
}

#[test]
fn what_stack_frames_left_is_dead_in_every_form() {
    let proof = disguise((STACK_TOP[0] - 8192) >> 3, (STACK_TOP[1] - 8192) >> 3);
    assert_eq!((proof.dead, proof.disguised, proof.differences), (1, vec![], vec![]));
}

#[test]
fn random_numbers_are_nondeterminism() {
    let proof = pie(&words(&[0x1234_5678_9abc_def0]), &words(&[0x0fed_cba9_8765_4321])).unwrap();
    let values = [0x1234_5678_9abc_def0, 0x0fed_cba9_8765_4321];
    assert_eq!(proof.differences, [Varying { offset: 0, values }]);
}

#[test]
fn unaligned_pointers_are_found() {
    for shift in 1..8 {
        let (mut first, mut second) = (vec![0xaa; shift], vec![0xaa; shift]);
        for (to, executable, image) in [(&mut first, FIRST, IMAGE[0]), (&mut second, SECOND, IMAGE[1])] {
            to.extend_from_slice(&(executable + 0x123).to_le_bytes());
            to.extend_from_slice(&(image + 0x456).to_le_bytes());
            to.resize(32, 0xbb);
        }
        let proof = pie(&first, &second).unwrap();
        let (at, next) = (shift as u64, shift as u64 + 8);
        assert_eq!((proof.static_pointers, proof.image_pointers), (vec![at], vec![next]), "shift {shift}");
        assert_eq!(proof.differences, []);
    }
}

/// A third set for the executable.
const THIRD: u64 = 0x5571_3571_1000;

#[test]
fn a_static_pointer_that_stood_elsewhere_is_unclear() {
    let first = words(&[FIRST + 16, 5]);
    let mut proof = pie(&first, &words(&[5, SECOND + 16])).unwrap();
    let unclear = Unclear { offset: 0, region: Region::Executable, in_both: false, is_number: false };
    assert_eq!(proof.unclear, [unclear]);
    assert_eq!(proof.addresses_in_executable().collect::<Vec<_>>(), [0]);
    proof.settle(&pie(&first, &words(&[6, SECOND + 16])).unwrap());
    assert_eq!(proof.unclear, [unclear]);
    // Nowhere any more, as where the one or the other address is taken: it may be one.
    let gone = pie(&first, &words(&[5, SECOND + 24])).unwrap();
    assert_eq!(gone.addresses_in_executable().collect::<Vec<_>>(), [0]);
    let number = pie(&first, &words(&[5, FIRST + 16])).unwrap();
    assert_eq!(number.unclear, [Unclear { is_number: true, ..unclear }], "a number in another place");
    assert_eq!(number.addresses_in_executable().count(), 0);
    let other = pie(&first, &words(&[SECOND + 40, FIRST + 16])).unwrap();
    assert_eq!(other.addresses_in_executable().collect::<Vec<_>>(), [0], "another address stands there");
}

#[test]
fn numbers_are_told_from_addresses_if_the_executable_moved() {
    // An address, a number that looks like one, an address with a tag, and one that is not aligned.
    let packed = |address: u64| (u128::from(address) << 24) | (7 << 88);
    let data = |executable: u64| {
        let packed = packed(executable + 0x40);
        words(&[executable + 16, FIRST + 16, (executable + 32) | (5 << 48), packed as u64, (packed >> 64) as u64])
    };
    for second in [FIRST + 0x2345_0000, SECOND] {
        let proof = compare(run(&data(FIRST), 0, FIRST), run(&data(second), 1, second), false).unwrap();
        assert_eq!((proof.static_pointers, proof.stayed), (vec![0, 16, 27], false));
    }
    let stayed = compare(run(&data(FIRST), 0, FIRST), run(&data(FIRST), 1, FIRST), false).unwrap();
    assert_eq!(stayed, Proof { stayed: true, ..Proof::default() });
}

#[test]
fn a_third_run_settles_what_is_unclear() {
    let first = words(&[FIRST + 16, FIRST + 32, FIRST + 48, IMAGE[0] + 8]);
    let second = words(&[SECOND + 96, 7, 7, IMAGE[1] + 16]);
    let third = words(&[THIRD + 24, THIRD + 32, FIRST + 48, IMAGE[1] + 8]);
    let mut proof = pie(&first, &second).unwrap();
    assert_eq!(proof.unclear.len(), 4);
    proof.settle(&compare(run(&first, 0, FIRST), run(&third, 1, THIRD), true).unwrap());
    assert_eq!(proof.unclear, []);
    assert_eq!((proof.static_pointers, proof.image_pointers), (vec![0, 8], vec![24]), "the third word is data");
}

#[test]
fn another_pointer_that_seems_overwritten_is_one_if_it_moved_in_a_third_run() {
    // The two lowest bytes are the same by chance: in the second run it means another function.
    let (first, second) = (words(&[FIRST + 0x8010]), words(&[SECOND + 0x7010]));
    let mut proof = pie(&first, &second).unwrap();
    assert_eq!((proof.static_pointers.len(), proof.unclear.len(), proof.dead), (0, 0, 1));
    proof.settle(&compare(run(&first, 0, FIRST), run(&words(&[THIRD + 0x8010]), 1, THIRD), true).unwrap());
    assert_eq!(proof.static_pointers, [0]);
}

#[test]
fn an_overwritten_pointer_is_data() {
    for (here, there, executable) in [(FIRST, SECOND, SECOND), (FIRST, THIRD, THIRD), (IMAGE[0], IMAGE[1], SECOND)] {
        let (a, b) = ((here + 0x5_4321).to_le_bytes(), (there + 0x5_4321).to_le_bytes());
        for overwritten in [0..3, 0..4, 2..3, 3..4, 1..3, 2..5] {
            let (mut a, mut b) = (a, b);
            a[overwritten.clone()].fill(1);
            b[overwritten.clone()].fill(1);
            let proof = compare(run(&a, 0, FIRST), run(&b, 1, executable), true).unwrap();
            let dead = u64::from(a != b);
            let parts = if here == FIRST { dead } else { 0 };
            assert_eq!(
                proof,
                Proof { dead, parts, ..Proof::default() },
                "bytes {overwritten:?} of {here:#x}, then {there:#x}"
            );
        }
    }
    // Two different pointers are not one that was overwritten.
    for distance in [1, 8, 0x1000, 0x1_0000] {
        let (a, b) = (words(&[FIRST + 16]), words(&[SECOND + 16 + distance]));
        assert_eq!(pie(&a, &b).unwrap().unclear.len(), 1, "{distance:#x}");
    }
    // Unless the second one lies outside of the executable: then it lost its lower half.
    let (a, b) = (words(&[FIRST + 16]), words(&[SECOND + 16 + 0x100_0000]));
    assert_eq!(pie(&a, &b).unwrap(), Proof { static_pointers: vec![0], ..Proof::default() });
}

#[test]
fn a_number_that_is_one_more_or_less_is_not_what_is_left_of_a_pointer() {
    for (a, b) in [(0x8123, 0x8124), (0x8124, 0x8123), (7, 8), (0x1_0000_0007, 0x2_0000_0007)] {
        let (a, b) = (words(&[5, a, 5]), words(&[5, b, 5]));
        let proof = compare(run(&a, 0, FIRST), run(&b, 1, FIRST), false).unwrap();
        assert_eq!((proof.differences.len(), proof.dead), (1, 0));
    }
}

#[test]
fn executables_that_are_not_well_apart_prove_nothing() {
    for second in [FIRST, FIRST + 0x1_0000, FIRST + 0x12_3456_0000, FIRST + 0x11_0022_3000] {
        assert!(compare(run(&[], 0, FIRST), run(&[], 1, second), true).is_err(), "{second:#x}");
    }
    // A multiple of 2 MiB by chance, which every start would have to have.
    assert!(compare(run(&[], 0, FIRST), run(&[], 1, FIRST + 0x12_34a0_0000), true).is_err());
    assert!(are_well_apart(FIRST, SECOND) && are_well_apart(FIRST, THIRD));
}

#[test]
fn executables_that_were_loaded_at_multiples_of_2_mib_prove_that_much() {
    let (first, second) = (0x5555_5560_0000, 0x5555_5560_0000 + 0x12_34a0_0000);
    let (a, b) = (words(&[first + 16, 5]), words(&[second + 16, 5]));
    let proof = compare(run(&a, 0, first), run(&b, 1, second), true).unwrap();
    assert_eq!(proof, Proof { static_pointers: vec![0], aligned: true, ..Proof::default() });
}

#[test]
fn runs_of_different_length_are_an_error_for_a_pie() {
    assert!(pie(&words(&[1, 2]), &words(&[1])).is_err());
    let (first, second) = (words(&[1, 2]), words(&[1]));
    assert_eq!(compare(run(&first, 0, FIRST), run(&second, 1, FIRST), false).unwrap().differences.len(), 1);
}
