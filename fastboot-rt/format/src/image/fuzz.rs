//! Random damage, and random lies with the right digests: whatever is accepted lies where it may lie.

use super::bytes::digest_from;
use super::header::{DIGEST_OFFSET, VALID_OFFSET};
use super::*;

/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014): a case is its seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// A number that something may get wrong: small, about a boundary, a power of two, enormous, or one that was there.
    fn number(&mut self, before: u64) -> u64 {
        let boundaries = [
            0,
            8,
            PAGE as u64,
            3 * PAGE as u64,
            DEFAULT_HOME,
            DEFAULT_HOME + PAGE as u64,
            HOME_WINDOW.end,
            u64::MAX,
            before,
        ];
        let near = self.below(33).wrapping_sub(16);
        match self.below(6) {
            0 => self.below(256),
            1 => 1 << self.below(64),
            2 => self.next(),
            3 => before ^ 1 << self.below(64),
            _ => boundaries[self.below(boundaries.len() as u64) as usize].wrapping_add(near),
        }
    }
}

/// An image with a table of every kind.
fn sample(random: &mut Random) -> Vec<u8> {
    let (data_offset, data_length) = (PAGE as u64, PAGE as u64 + random.below(PAGE as u64));
    let root = |index: u64| Root {
        value: DEFAULT_HOME + data_offset + 64 * index,
        size: 24,
        align: 8,
        type_digest: 7,
        name: 0,
    };
    let carried = Carried { address: 0x20_0000, length: 32, offset: data_offset + data_length - 32 };
    let mut pointers = [Vec::new(), Vec::new()];
    for table in &mut pointers {
        let step = 1 + random.below(200);
        let offsets = (0..20).map(|index| data_offset + index * step);
        encode_relocations(offsets.take_while(|at| at + 8 <= data_offset + data_length), data_offset, |byte| {
            table.push(byte)
        });
    }
    let [static_pointers, image_pointers] = pointers;
    let text = |text: &str| [&(text.len() as u32).to_le_bytes(), text.as_bytes()].concat();
    let contents = [
        (TableKind::Roots, (0..3).flat_map(|index| root(index).encode()).collect()),
        (TableKind::Carried, carried.encode().to_vec()),
        (TableKind::BoundPointers, Bound { offset: data_offset + 8, place: 0x20_0000 }.encode().to_vec()),
        (TableKind::StaticPointers, static_pointers),
        (TableKind::Strings, text("a::B")),
        (TableKind::CarryReport, [text("a::C"), text("carried")].concat()),
        (TableKind::PageDigests, vec![0; 16]),
        (TableKind::ImagePointers, image_pointers),
    ];
    let mut image = vec![0; 4 * PAGE];
    let (mut in_page, mut behind) = (HEADER_LEN + contents.len() * TABLE_LEN, 3 * PAGE);
    let mut directory = Vec::new();
    for (kind, bytes) in &contents {
        let place = if random.below(2) == 0 { &mut in_page } else { &mut behind };
        image[*place..*place + bytes.len()].copy_from_slice(bytes);
        let table = Table { kind: *kind, offset: *place as u64, length: bytes.len() as u64, digest: digest(bytes) };
        directory.extend_from_slice(&table.encode());
        *place = (*place + bytes.len()).next_multiple_of(8);
    }
    let header = Header {
        page_size: PAGE as u32,
        flags: FLAG_PIE | FLAG_RELOCATABLE,
        home: DEFAULT_HOME,
        length: image.len() as u64,
        exe_base: 0x5555_5555_4000,
        cpu: 3,
        table_count: contents.len() as u32,
        root_count: 3,
        identity: [9; 32],
        data_offset,
        cpu_more: 0,
        data_length,
    };
    image[HEADER_LEN..HEADER_LEN + directory.len()].copy_from_slice(&directory);
    image[..HEADER_LEN].copy_from_slice(&header.encode(&directory));
    image
}

/// Gives header and tables the digests they should have, as far as they can be found.
fn make_digests_right(image: &mut [u8]) {
    let count = image[56] as usize;
    for entry in (0..count.min(MAX_TABLES)).map(|index| HEADER_LEN + index * TABLE_LEN) {
        let word = |at: usize| u64::from_le_bytes(image[entry + at..entry + at + 8].try_into().unwrap());
        let (offset, length) = (word(8) as usize, word(16) as usize);
        if let Some(bytes) = offset.checked_add(length).and_then(|end| image.get(offset..end)) {
            let sum = digest(bytes).to_le_bytes();
            image[entry + 24..entry + 32].copy_from_slice(&sum);
        }
    }
    let directory = &image[HEADER_LEN..HEADER_LEN + count.min(MAX_TABLES) * TABLE_LEN];
    let sum = digest_from(digest(&image[..DIGEST_OFFSET]), directory);
    image[DIGEST_OFFSET..VALID_OFFSET].copy_from_slice(&sum.to_le_bytes());
}

/// Changes some words or bytes of header, directory and tables.
fn damage(image: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..1 + random.below(4) {
        let at = match random.below(8) {
            0 => 3 * PAGE as u64 + random.below(256),
            1 | 2 => random.below(HEADER_LEN as u64),
            _ => random.below(HEADER_LEN as u64 + 8 * TABLE_LEN as u64 + 400),
        } as usize;
        if random.below(3) == 0 {
            image[at] ^= 1 << random.below(8);
        } else {
            let at = at & !7;
            let before = u64::from_le_bytes(image[at..at + 8].try_into().unwrap());
            image[at..at + 8].copy_from_slice(&random.number(before).to_le_bytes());
        }
    }
    if random.below(16) == 0 {
        image.truncate(random.below(image.len() as u64) as usize);
    }
}

/// Reads all there is, as the runtime and the tool do, and requires of what is accepted that it lies where it may lie.
fn read(image: &[u8]) -> Result<(), FormatError> {
    let page = HeaderPage::decode(image)?;
    let header = &page.header;
    let data = header.data_offset..header.data_offset + header.data_length;
    assert!(header.length % PAGE as u64 == 0 && data.start >= PAGE as u64 && data.end <= header.length);
    assert!(header.home.checked_add(header.length).is_some_and(|end| end <= HOME_WINDOW.end));
    let first = (HEADER_LEN + page.tables().count() * TABLE_LEN) as u64;
    let tables: Vec<_> = page.tables().map(|table| table.offset..table.offset + table.length).collect();
    for (index, range) in tables.iter().enumerate() {
        assert!(first <= range.start && range.end <= header.length, "a table in the header, or behind the image");
        assert!(range.end <= data.start || data.end <= range.start, "a table in the data");
        let apart = |other: &core::ops::Range<u64>| other.end <= range.start || range.end <= other.start;
        assert!(tables[..index].iter().all(apart), "a table in a table");
    }
    let table = |kind| page.table(kind, image);
    let roots = table(TableKind::Roots)?;
    for index in 0..roots.len() / ROOT_LEN + 1 {
        let Ok(root) = header.root(roots, index) else { continue };
        let value = root.value.wrapping_sub(header.home);
        assert!(root.align.is_power_of_two() && root.value % root.align == 0);
        assert!(root.size == 0 || data.contains(&value) && root.size <= data.end - value, "a root outside of the data");
        let strings = table(TableKind::Strings)?;
        let _ = string_at(strings, root.name).and_then(|(_, next)| string_at(strings, next));
    }
    for entry in carried(table(TableKind::Carried)?, header).flatten() {
        assert!(data.contains(&entry.offset) && entry.length <= data.end - entry.offset || entry.length == 0);
    }
    for Bound { offset, .. } in bound(table(TableKind::BoundPointers)?, header).flatten() {
        assert!(data.contains(&offset) && 8 <= data.end - offset, "a bound pointer elsewhere");
    }
    for kind in [TableKind::StaticPointers, TableKind::ImagePointers] {
        let mut before = None;
        for offset in relocations(table(kind)?, header).flatten() {
            assert!(data.contains(&offset) && 8 <= data.end - offset && Some(offset) > before, "a pointer elsewhere");
            before = Some(offset);
        }
    }
    let _ = (table(TableKind::CarryReport)?, table(TableKind::PageDigests)?);
    Ok(())
}

/// One case: an image, damaged, and a footer made of whatever is there.
fn case(seed: u64) -> bool {
    let mut random = Random(seed);
    let mut image = sample(&mut random);
    assert_eq!(read(&image), Ok(()), "seed {seed}: an image that is whole");
    damage(&mut image, &mut random);
    if image.len() > HEADER_LEN + MAX_TABLES * TABLE_LEN && random.below(8) != 0 {
        make_digests_right(&mut image);
    }
    let mut footer = Footer { offset: random.number(0), length: random.number(8192) }.encode();
    if random.below(2) == 0 {
        footer[random.below(FOOTER_LEN as u64) as usize] ^= 1 << random.below(8);
    }
    let length = random.number(1 << 20);
    if let Ok(Some(footer)) = Footer::decode(&footer, length) {
        assert!(
            footer.offset < length && footer.length < length - footer.offset,
            "seed {seed}: {footer:?} of {length}"
        );
    }
    read(&image).is_ok()
}

/// Seeds of cases that something got wrong once.
const FOUND: [u64; 0] = [];

fn cases(seeds: core::ops::Range<u64>) {
    let count = seeds.end - seeds.start;
    let case = |seed: &u64| std::panic::catch_unwind(|| case(*seed)).unwrap_or_else(|_| panic!("seed {seed}"));
    let accepted = FOUND.into_iter().chain(seeds).filter(case).count() as u64;
    // Lies that change nothing that counts are accepted; most are not.
    assert!((count / 50..count / 2).contains(&accepted), "{accepted} of {count} accepted: these cases try nothing");
}

#[test]
fn whatever_is_accepted_lies_where_it_may_lie() {
    cases(0..20_000);
}

#[test]
#[ignore = "takes minutes: `cargo xtask test --full` runs it"]
fn whatever_is_accepted_lies_where_it_may_lie_in_a_million_cases() {
    cases(20_000..1_000_000);
}
