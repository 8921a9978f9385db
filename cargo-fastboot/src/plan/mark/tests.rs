use super::*;

const BASE: u64 = 0x5530_0000_0030;

/// Blocks of these contents, 64 KiB apart; words are put into eight bytes.
fn heap(contents: &[Vec<u8>]) -> (Vec<Block>, Vec<u8>) {
    let mut bytes = Vec::new();
    let mut blocks = Vec::new();
    for (index, content) in contents.iter().enumerate() {
        let address = BASE + index as u64 * 0x100_0000;
        let (size, contents) = (content.len() as u64, bytes.len() as u64);
        blocks.push(Block { address, size, index: index as u64, contents, align: 8, thread: 0 });
        bytes.extend_from_slice(content);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
    }
    (blocks, bytes)
}

fn at(index: u64) -> u64 {
    BASE + index * 0x100_0000
}

fn words(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn order(contents: &[Vec<u8>], seeds: &[Seed<'_>]) -> Vec<u32> {
    let (blocks, bytes) = heap(contents);
    // The seeds live as long as this call.
    let heap = Heap::new(&blocks, &bytes).unwrap();
    let seeds: Vec<Seed<'_>> = seeds.to_vec();
    heap.mark(&seeds).order
}

#[test]
fn depth_first_children_in_order() {
    let contents = [words(&[at(1), at(3)]), words(&[at(2)]), words(&[7]), words(&[at(0), at(2)]), words(&[1])];
    assert_eq!(order(&contents, &[Seed::Address(at(0))]), [0, 1, 2, 3]);
}

#[test]
fn every_kind_of_pointer_keeps_its_block() {
    let pointers = [
        at(1),                // the beginning
        at(1) + 11,           // the inside
        at(1) + 16,           // one past the end
        at(1) | 3,            // a tag in the low bits
        at(1) | 0xfff8 << 48, // a tag in the top bits, as in a NaN box
        (at(1) + 8) | 0x7fff << 48,
    ];
    for pointer in pointers {
        assert_eq!(order(&[words(&[pointer]), words(&[1, 2])], &[Seed::Address(at(0))]), [0, 1], "{pointer:#x}");
    }
    for missed in [(at(1) - 1) & !7, at(1) + 17 + 8, 0, 0x5529_0000_0000] {
        assert_eq!(order(&[words(&[missed]), words(&[1, 2])], &[Seed::Address(at(0))]), [0], "{missed:#x}");
    }
}

#[test]
fn addresses_in_another_form_are_followed_if_that_form_is_known() {
    // `semver` sets the lowest bit, and rotates.
    let rotated = (at(1) | 1).rotate_right(1);
    let shifted = at(2) >> 3 | 5 << 61;
    let tagged = at(3) << 16 | 77;
    let contents = [words(&[7, rotated]), words(&[shifted]), words(&[tagged]), words(&[1])];
    let (blocks, bytes) = heap(&contents);
    let marked = |forms: &[Form]| {
        let heap = Heap::new(&blocks, &bytes).unwrap().with_forms(forms.iter().copied());
        heap.mark(&[Seed::Address(at(0))]).order
    };
    // A shift by whole bytes is an address that is not aligned.
    assert_eq!(marked(&[]), [0]);
    assert_eq!(marked(&[Form::Right(1)]), [0, 1]);
    assert_eq!(marked(&[Form::Right(1), Form::Right(3)]), [0, 1, 2, 3]);
    let heap = Heap::new(&blocks, &bytes).unwrap().with_forms([Form::Right(1)]);
    let seed = words(&[rotated]);
    assert_eq!(heap.mark(&[Seed::Bytes(&seed)]).order, [1], "in a static");
}

#[test]
fn blocks_with_static_pointers_can_be_brought_forward() {
    let executable = 0x5555_5555_4000..0x5555_5565_4000;
    let vtable = executable.start + 0x120;
    let contents = [words(&[at(1), at(2), at(3)]), words(&[1]), words(&[vtable]), words(&[vtable | 0xfff8 << 48])];
    let (blocks, bytes) = heap(&contents);
    let heap = Heap::new(&blocks, &bytes).unwrap();
    let mut marked = heap.mark(&[Seed::Address(at(0))]);
    marked.bring_forward(|block| heap.may_point_into(block, &executable));
    assert_eq!(marked.order, [2, 3, 0, 1]);
}

#[test]
fn preferred_blocks_come_first_and_are_direct() {
    let mut marked = Marked { order: vec![4, 3, 2, 1, 0], direct: 3, seeds: Vec::new() };
    marked.prefer(|block| matches!(block, 0 | 3));
    assert_eq!((marked.order.as_slice(), marked.direct), (&[3, 0, 4, 2, 1][..], 4));
}

#[test]
fn over_aligned_blocks_have_more_tag_bits() {
    let (mut blocks, bytes) = heap(&[words(&[at(1) | 0x0f]), vec![1, 2, 3]]);
    assert_eq!(Heap::new(&blocks, &bytes).unwrap().mark(&[Seed::Address(at(0))]).order, [0]);
    blocks[1].align = 64;
    assert_eq!(Heap::new(&blocks, &bytes).unwrap().mark(&[Seed::Address(at(0))]).order, [0, 1]);
}

#[test]
fn pointers_may_stand_anywhere() {
    for shift in 0..8 {
        let mut packed = vec![0xff; shift];
        packed.extend_from_slice(&at(1).to_le_bytes());
        assert_eq!(order(&[packed, words(&[1])], &[Seed::Address(at(0))]), [0, 1], "shift {shift}");
    }
}

#[test]
fn bytes_are_seeds_too() {
    let text = words(&[5, at(2), at(1)]);
    assert_eq!(order(&[words(&[0]), words(&[0]), words(&[at(1)])], &[Seed::Bytes(&text)]), [2, 1]);
}

#[test]
fn the_low_half_of_a_pointer_into_the_image_is_no_address() {
    let (blocks, _) = heap(&[words(&[1, 2])]);
    let blocks = [Block { address: 0x5530_7a00_0000, ..blocks[0] }];
    let image = 0x5500_0000_1000..0x5500_8000_0000;
    let first = |held: &[u64]| {
        let mut first = None;
        for_each_reference(&words(held), &blocks, &image, |at, _| first = first.or(Some(at)));
        first
    };
    // A length, and behind it the address 0x5500_0055_307a: the last three bytes of the first word and its first three read 0x5530_7a00_0000.
    assert_eq!(first(&[24, 0x5500_0055_307a]), None);
    assert_eq!(first(&[24, 0x6600_0055_307a]), Some(5), "no pointer into the image");
    assert_eq!(first(&[24, 0x5530_7a00_0008]), Some(8));
    assert_eq!(first(&[0x7a00_0008 << 32, 0x5530]), Some(4), "a packed pointer");
}

#[test]
fn a_long_chain_needs_no_stack() {
    let count = 300_000u64;
    let contents: Vec<_> = (0..count).map(|index| words(&[at(index + 1)])).collect();
    assert_eq!(order(&contents, &[Seed::Address(at(0))]).len(), count as usize);
}

#[test]
fn wide_arrays_are_gone_through_once() {
    let count = 200_000u64;
    let mut contents = vec![words(&(1..=count).map(at).collect::<Vec<_>>())];
    contents.extend((0..count).map(|_| words(&[at(0)])));
    assert_eq!(order(&contents, &[Seed::Address(at(0))]), (0..=count as u32).collect::<Vec<_>>());
}

/// The body of a deferred field that holds these words.
fn body(held: &[u64]) -> Vec<u8> {
    [words(&[1, 1]), DEFERRED_MARK.to_vec(), words(held)].concat()
}

fn direct_and_deferred(contents: &[Vec<u8>], seeds: &[Seed<'_>]) -> (Vec<u32>, Vec<u32>) {
    let (blocks, bytes) = heap(contents);
    let heap = Heap::new(&blocks, &bytes).unwrap();
    let seeds: Vec<Seed<'_>> = seeds.to_vec();
    let marked = heap.mark(&seeds);
    let (direct, deferred) = marked.order.split_at(marked.direct);
    (direct.to_vec(), deferred.to_vec())
}

#[test]
fn bodies_come_last_with_what_only_they_lead_to() {
    // 0 → body 1 → 2 and 5; 0 → body 3 → 4; 0 → 5, 6; the seed of another root → 7.
    let contents = [
        words(&[at(1), at(3), at(5), at(6)]),
        body(&[at(2), at(5)]),
        words(&[7]),
        body(&[at(4)]),
        words(&[8]),
        words(&[9]),
        words(&[10]),
        words(&[11]),
    ];
    let seeds = [Seed::Address(at(0)), Seed::Address(at(7))];
    assert_eq!(direct_and_deferred(&contents, &seeds), (vec![0, 5, 6, 7], vec![1, 2, 3, 4]));
}

#[test]
fn bodies_in_bodies_lie_behind_the_body_that_holds_them() {
    // 0 → body 1 → body 2 → 3, and body 4; 0 → body 5. 6 is reached from 1 itself.
    let contents = [
        words(&[at(1), at(5)]),
        body(&[at(2), at(4), at(6)]),
        body(&[at(3)]),
        words(&[0]),
        body(&[0]),
        body(&[0]),
        words(&[0]),
    ];
    assert_eq!(direct_and_deferred(&contents, &[Seed::Address(at(0))]), (vec![0], vec![1, 6, 2, 3, 4, 5]));
}

#[test]
fn shared_bodies_are_placed_once_and_belong_to_the_seed_that_met_them_first() {
    let contents = [words(&[at(2), at(2)]), words(&[at(2)]), body(&[at(3), at(0)]), words(&[at(2)])];
    let (blocks, bytes) = heap(&contents);
    let marked = Heap::new(&blocks, &bytes).unwrap().mark(&[Seed::Address(at(1)), Seed::Address(at(0))]);
    assert_eq!((marked.order.as_slice(), marked.direct), (&[1, 0, 2, 3][..], 2));
    assert_eq!(marked.seeds, [Some(1), Some(0), Some(0), Some(0)]);
    assert_eq!(direct_and_deferred(&contents, &[Seed::Address(at(2))]), (vec![], vec![2, 3, 0]), "a body as a seed");
}

#[test]
fn the_mark_counts_only_where_a_value_begins() {
    let places = [(8, 16, true), (8, 8, false), (8, 24, false), (16, 16, true), (64, 64, true), (64, 16, false)];
    for (align, lead, deferred) in places {
        let content = [vec![0; lead], DEFERRED_MARK.to_vec(), vec![0; 8]].concat();
        let (mut blocks, bytes) = heap(&[words(&[at(1)]), content]);
        blocks[1].align = align;
        let marked = Heap::new(&blocks, &bytes).unwrap().mark(&[Seed::Address(at(0))]);
        assert_eq!((marked.order.len(), marked.direct), (2, if deferred { 1 } else { 2 }), "{align} {lead}");
    }
}

#[test]
fn many_bodies_and_deep_ones_need_no_stack() {
    let count = 100_000u64;
    let contents: Vec<_> = (0..count).map(|index| body(&[at(index + 1), at(index + 1)])).collect();
    let (direct, deferred) = direct_and_deferred(&contents, &[Seed::Address(at(0))]);
    assert_eq!((direct.len(), deferred), (0, (0..count as u32).collect()));
}

#[test]
fn every_block_belongs_to_the_seed_that_met_it_first() {
    let contents = [words(&[at(1)]), words(&[at(2)]), words(&[0]), words(&[0]), words(&[0])];
    let (blocks, bytes) = heap(&contents);
    let heap = Heap::new(&blocks, &bytes).unwrap();
    let marked = heap.mark(&[Seed::Address(at(3)), Seed::Address(at(0)), Seed::Address(at(2))]);
    assert_eq!(marked.order, [3, 0, 1, 2]);
    assert_eq!(marked.seeds, [Some(1), Some(1), Some(1), Some(0), None]);
}

#[test]
fn the_index_finds_what_a_search_finds() {
    // Gaps from one block to the next: near, far, and across the bytes that addresses have in common.
    for gaps in [&[24, 40, 8][..], &[16, 1 << 33, 24, 1 << 20], &[1 << 41, 32, 1 << 12], &[24]] {
        let mut blocks = Vec::new();
        let mut address = BASE;
        for index in 0..200 {
            blocks.push(Block { address, size: 8, index, contents: NOT_HELD, align: 8, thread: 0 });
            address += 16 + gaps[index as usize % gaps.len()];
        }
        let index = BlockIndex::new(&blocks);
        let near = blocks.iter().flat_map(|block| (0..40).map(|more| block.address - 8 + more));
        for address in near.filter(|address| index.addresses.span.contains(address)) {
            let searched = blocks.partition_point(|block| block.address <= address).checked_sub(1);
            assert_eq!(index.last_before(&blocks, address), searched.map(|number| number as u32), "{address:#x}");
        }
    }
}

#[test]
fn addresses_are_found_wherever_they_stand() {
    let spans =
        [0x5530_0000_0030..0x5530_0000_4000, 0x5530_0000_0000..0x5531_0000_0000, 0x54ff_ffff_0000..0x5530_0000_0000];
    for (span, length) in spans.into_iter().flat_map(|span| [(span.clone(), 500), (span, SHORT + 500)]) {
        let mut bytes = vec![0x55u8; length];
        let mut random = 1u64;
        for at in (0..length - 8).step_by(7) {
            random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            // Inside, outside, and neither: the end of one may be the beginning of another.
            let address = span.start - 16 + (random >> 33) % (span.end - span.start + 32);
            bytes[at..at + 8].copy_from_slice(&(address | random << 56).to_le_bytes());
        }
        let word = |at: usize| u64::from_le_bytes(*bytes[at..].first_chunk().unwrap()) & ((1 << 48) - 1);
        let naive: Vec<usize> = (0..length - 8).filter(|at| span.contains(&word(*at))).collect();
        let found = Addresses::new(span.clone());
        let found: Vec<usize> = found.of(&bytes, 0).map(|(at, _)| at).filter(|at| *at < length - 8).collect();
        assert_eq!(found, naive, "{span:x?}");
        assert!(naive.len() > 50, "{}", naive.len());
    }
}
