use super::layout::KNOWN_FLAGS;
use super::*;

fn sample() -> (Header, Vec<u8>, Vec<u8>) {
    let root = Root { value: DEFAULT_HOME + 4096, size: 24, align: 8, type_digest: 7, name: 0 };
    let roots = root.encode();
    let table = Table { kind: TableKind::Roots, offset: 160, length: ROOT_LEN as u64, digest: digest(&roots) };
    let header = Header {
        page_size: PAGE as u32,
        flags: FLAG_VERBATIM,
        home: DEFAULT_HOME,
        length: 8192,
        exe_base: 0,
        cpu: 3,
        table_count: 1,
        root_count: 1,
        identity: [9; 32],
        data_offset: 4096,
        cpu_more: 0,
        data_length: 4096,
    };
    let directory = table.encode();
    let mut image = header.encode(&directory).to_vec();
    image.extend_from_slice(&directory);
    image.extend_from_slice(&roots);
    image.resize(8192, 0);
    (header, image, roots.to_vec())
}

fn read(image: &[u8]) -> Result<(Header, Root), FormatError> {
    let page = HeaderPage::decode(image)?;
    let root = page.header.root(page.table(TableKind::Roots, image)?, 0)?;
    Ok((page.header, root))
}

#[test]
fn what_was_written_is_read() {
    let (header, image, _) = sample();
    let (found, root) = read(&image).unwrap();
    assert_eq!(found, header);
    assert_eq!(root.value, DEFAULT_HOME + 4096);
}

#[test]
fn every_flipped_bit_of_header_and_tables_is_refused() {
    let (_, image, _) = sample();
    for byte in 0..HEADER_LEN + TABLE_LEN + ROOT_LEN {
        for bit in 0..8 {
            let mut damaged = image.clone();
            damaged[byte] ^= 1 << bit;
            assert!(read(&damaged).is_err(), "byte {byte} bit {bit} went unnoticed");
        }
    }
}

#[test]
fn every_truncation_of_header_and_tables_is_refused() {
    let (_, image, _) = sample();
    for length in 0..HEADER_LEN + TABLE_LEN + ROOT_LEN {
        assert!(read(&image[..length]).is_err(), "{length} bytes were accepted");
    }
}

#[test]
fn a_placeholder_is_cold_and_carries_its_stamp() {
    let mut placeholder = Header::placeholder();
    assert_eq!(HeaderPage::decode(&placeholder).unwrap_err(), FormatError::Cold);
    placeholder[IDENTITY_OFFSET..IDENTITY_OFFSET + 32].copy_from_slice(&[5; 32]);
    assert_eq!(Header::stamped_identity(&placeholder), Some([5; 32]));
    assert_eq!(HeaderPage::decode(&placeholder).unwrap_err(), FormatError::Cold);
}

#[test]
fn lying_headers_with_a_right_digest_are_refused() {
    let (header, _, _) = sample();
    let lies = [
        Header { home: 0x1000, ..header },
        Header { home: DEFAULT_HOME + 4096, ..header },
        Header { length: !4095, ..header },
        Header { length: 0, ..header },
        Header { data_offset: 0, ..header },
        Header { data_offset: !4095, ..header },
        Header { data_length: u64::MAX, ..header },
        Header { table_count: 1 << 30, ..header },
        Header { flags: 1 << 40, ..header },
        Header { page_size: 16384, ..header },
    ];
    for lie in lies {
        let mut image = lie.encode(&[0; 32]).to_vec();
        image.resize(8192, 0);
        assert!(HeaderPage::decode(&image).is_err(), "accepted {lie:?}");
    }
}

#[test]
fn tables_over_the_data_or_past_the_end_are_refused() {
    let (header, _, _) = sample();
    for (offset, length) in [(4096, 40), (0, 40), (128, 40), (8192, 40), (u64::MAX, 40), (160, u64::MAX), (161, 40)] {
        let directory = Table { kind: TableKind::Roots, offset, length, digest: 0 }.encode();
        let mut image = header.encode(&directory).to_vec();
        image.extend_from_slice(&directory);
        image.resize(8192, 0);
        assert!(HeaderPage::decode(&image).is_err(), "accepted a table at {offset}, {length} bytes");
    }
}

#[test]
fn roots_outside_the_data_are_refused() {
    let (header, image, _) = sample();
    let page = HeaderPage::decode(&image).unwrap();
    let root = Root { value: DEFAULT_HOME + 4096, size: 24, align: 8, type_digest: 0, name: 0 };
    let end = header.data_range().end;
    for bad in [
        Root { value: 0, ..root },
        Root { value: DEFAULT_HOME, ..root },
        Root { value: end - 8, ..root },
        Root { value: u64::MAX - 7, ..root },
        Root { size: u64::MAX, ..root },
        Root { align: 3, ..root },
        Root { value: root.value + 4, ..root },
        Root { value: 0, size: 0, ..root },
    ] {
        assert!(page.header.root(&bad.encode(), 0).is_err(), "accepted {bad:?}");
    }
    let zero_sized = Root { value: 8, size: 0, ..root };
    assert_eq!(page.header.root(&zero_sized.encode(), 0), Ok(zero_sized));
}

#[test]
fn two_tables_of_one_kind_or_at_one_place_are_refused() {
    let (header, _, _) = sample();
    let header = Header { table_count: 2, ..header };
    let table = |kind, offset| Table { kind, offset, length: 40, digest: 0 };
    let decode = |tables: [Table; 2]| {
        let directory = tables.map(|table| table.encode()).concat();
        let mut image = header.encode(&directory).to_vec();
        image.extend_from_slice(&directory);
        image.resize(8192, 0);
        HeaderPage::decode(&image).map(drop)
    };
    assert_eq!(decode([table(TableKind::Roots, 192), table(TableKind::Strings, 232)]), Ok(()));
    assert!(decode([table(TableKind::Roots, 192), table(TableKind::Roots, 232)]).is_err(), "one kind");
    for other in [192, 200, 224] {
        assert!(decode([table(TableKind::Roots, 192), table(TableKind::Strings, other)]).is_err(), "{other}");
        assert!(decode([table(TableKind::Roots, other), table(TableKind::Strings, 192)]).is_err(), "{other}");
    }
}

fn relocation_table(offsets: &[u64]) -> Vec<u8> {
    let mut table = Vec::new();
    encode_relocations(offsets.iter().copied(), 4096, |byte| table.push(byte));
    table
}

#[test]
fn relocations_survive_the_journey() {
    let (header, _, _) = sample();
    let header = Header { length: 1 << 40, data_length: (1 << 40) - 4096, ..header };
    for offsets in [
        vec![],
        vec![4096],
        vec![4097, 4098, 4105, 4105 + 127, 4105 + 127 + 128],
        vec![4096 + 16384, 1 << 30, (1 << 40) - 8],
        (0..1000).map(|index| 4096 + index * index).skip(1).collect(),
    ] {
        let table = relocation_table(&offsets);
        let read: Result<Vec<u64>, _> = relocations(&table, &header).collect();
        assert_eq!(read, Ok(offsets));
    }
    assert_eq!(relocation_table(&[4096, 4104, 4128]), [0, 8, 24], "a byte each");
}

#[test]
fn relocations_outside_the_data_are_refused() {
    let (header, _, _) = sample();
    let read = |table: &[u8]| relocations(table, &header).map(|found| found.ok()).collect::<Vec<_>>();
    let end = |offset: u64| relocation_table(&[4096, offset]);
    assert_eq!(read(&end(8184)), [Some(4096), Some(8184)]);
    assert_eq!(read(&end(8185)), [Some(4096), None], "one byte too far");
    assert_eq!(read(&end(4096)), [Some(4096), None], "twice the same");
    assert_eq!(read(&end(0)), [Some(4096), None], "descending, that is, 2^64 too far");
    assert_eq!(read(&[0, 0x88]), [Some(4096), None], "cut off");
    assert_eq!(read(&[0, 0, 8]), [Some(4096), None], "nothing is read behind an error");
    let endless = [[0x80; 9].as_slice(), &[2]].concat();
    assert_eq!(read(&endless), [None], "more than 64 bits");
    assert_eq!(read(&[[0x80; 20].as_slice(), &[0]].concat()), [None], "zeros without end");
}

#[test]
fn a_footer_survives_the_journey_and_nothing_else_does() {
    let footer = Footer { offset: 2 << 20, length: 8192 };
    let bytes = footer.encode();
    let length = footer.offset + footer.length + FOOTER_LEN as u64;
    assert_eq!(Footer::decode(&bytes, length), Ok(Some(footer)));
    assert!(Footer::decode(&bytes, length + 1).is_err(), "something follows");
    assert_eq!(Footer::decode(&[0; FOOTER_LEN], length), Ok(None));
    for byte in 0..FOOTER_LEN {
        let mut damaged = bytes;
        damaged[byte] ^= 0x10;
        assert!(!matches!(Footer::decode(&damaged, length), Ok(Some(_))), "byte {byte} went unnoticed");
    }
    for lie in
        [Footer { offset: 1, length }, Footer { offset: u64::MAX - 4095, length }, Footer { length: 0, ..footer }]
    {
        let length = lie.offset.wrapping_add(lie.length).wrapping_add(FOOTER_LEN as u64);
        assert!(Footer::decode(&lie.encode(), length).is_err(), "{lie:?}");
    }
}

#[test]
fn strings_follow_one_another() {
    let mut table = Vec::new();
    for text in ["INDEX", "alloc::vec::Vec<u8>"] {
        table.extend_from_slice(&(text.len() as u32).to_le_bytes());
        table.extend_from_slice(text.as_bytes());
    }
    let (name, next) = string_at(&table, 0).unwrap();
    assert_eq!(name, "INDEX");
    assert_eq!(string_at(&table, next).unwrap().0, "alloc::vec::Vec<u8>");
    assert_eq!(string_at(&table, 1000), None);
    assert_eq!(string_at(&[255, 255, 255, 255, 1], 0), None);
}

/// The rows of the first table of the documentation that begins with this line.
fn documented(heading: &str) -> Vec<Vec<String>> {
    let document = include_str!("../../../../docs/image-format.md");
    let table = document.split_once(heading).expect("the table is there").1;
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    rows.map(|row| row.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect()).collect()
}

#[test]
fn the_documentation_has_every_field_where_it_is() {
    let header = Header {
        page_size: 0x1000,
        flags: 3,
        home: DEFAULT_HOME,
        length: 0x1111_0000,
        exe_base: 0x2222,
        cpu: 0x3333,
        table_count: 4,
        root_count: 5,
        identity: [6; 32],
        data_offset: 0x7000,
        cpu_more: 0x9999,
        data_length: 0x8888,
    };
    let bytes = header.encode(&[]);
    let value = |name: &str| -> Option<u64> {
        Some(match name {
            "version" => VERSION.into(),
            "machine" => MACHINE.into(),
            "page_size" => header.page_size.into(),
            "flags" => header.flags,
            "home" => header.home,
            "length" => header.length,
            "exe_base" => header.exe_base,
            "cpu" => header.cpu,
            "cpu_more" => header.cpu_more.into(),
            "table_count" => header.table_count.into(),
            "root_count" => header.root_count.into(),
            "data_offset" => header.data_offset,
            "data_length" => header.data_length,
            "magic" => u64::from_le_bytes(MAGIC),
            "valid" => VALID,
            _ => return None,
        })
    };
    let rows = documented("| offset | size | field | meaning |");
    let mut end = 0;
    for row in &rows {
        let (offset, size): (usize, usize) = (row[0].parse().unwrap(), row[1].parse().unwrap());
        assert_eq!(offset, end, "{row:?} does not follow the field before it");
        end = offset + size;
        let mut word = [0; 8];
        let Some(expected) = value(&row[2]) else { continue };
        word[..size].copy_from_slice(&bytes[offset..end]);
        assert_eq!(u64::from_le_bytes(word), expected, "{row:?}");
    }
    assert_eq!((rows.len(), end), (17, HEADER_LEN));
}

#[test]
fn the_documentation_has_every_flag() {
    let rows = documented("| flag | name | meaning |");
    let found: Vec<_> = rows.iter().map(|row| (row[0].clone(), row[1].clone())).collect();
    let expected: Vec<_> = FLAGS.into_iter().map(|(flag, name)| (flag.to_string(), name.to_owned())).collect();
    assert_eq!(found, expected);
    assert_eq!(FLAGS.into_iter().map(|(flag, _)| flag).sum::<u64>(), KNOWN_FLAGS);
}

#[test]
fn the_documentation_has_the_footer() {
    let bytes = Footer { offset: 0x1111_0000, length: 0x2222_0000 }.encode();
    let expected = [u64::from_le_bytes(FOOTER_MAGIC), 0x1111_0000, 0x2222_0000, digest(&bytes[..24])];
    let rows = documented("| offset | size | footer field | meaning |");
    assert_eq!(rows.len(), expected.len());
    for (row, expected) in rows.iter().zip(expected) {
        let (offset, size): (usize, usize) = (row[0].parse().unwrap(), row[1].parse().unwrap());
        assert_eq!(bytes[offset..offset + size], expected.to_le_bytes(), "{row:?}");
    }
}

#[test]
fn the_documentation_has_every_kind_of_table() {
    let rows = documented("| kind | name in messages | entry |");
    let found: Vec<_> = rows.iter().map(|row| (row[0].clone(), row[1].clone())).collect();
    let expected: Vec<_> =
        TableKind::ALL.into_iter().map(|kind| ((kind as u32).to_string(), kind.name().to_owned())).collect();
    assert_eq!(found, expected);
}

#[test]
fn a_layout_reads_back() {
    let header =
        Header { home: DEFAULT_HOME, identity: [9; 32], root_count: 1, data_length: 5000, ..Header::default() };
    let data = vec![7; 5000];
    let value = DEFAULT_HOME + write::DATA_OFFSET;
    let root = write::NamedRoot { value, size: 24, align: 8, name: "krate::ROOT", type_name: "u8" };
    let [roots, strings] = write::root_tables([root]);
    // More than fits into the header page, so it lies behind the data.
    let many: Vec<Carried> = (0..200).map(|n| Carried { address: 8 * n, length: 8, offset: 4096 + 8 * n }).collect();
    let tables = [roots, write::carried(&many), strings, write::page_digests(&data), (TableKind::Report, Vec::new())];
    let layout = write::Layout::new(header, tables);
    let mut image = vec![0; layout.header.length as usize];
    image[write::DATA_OFFSET as usize..][..data.len()].copy_from_slice(&data);
    assert_eq!(HeaderPage::decode(&image).unwrap_err(), FormatError::Magic);
    for (offset, piece) in layout.pieces() {
        image[offset as usize..][..piece.len()].copy_from_slice(piece);
    }

    let page = HeaderPage::decode(&image).unwrap();
    assert_eq!((page.header, page.tables().count()), (layout.header, 4));
    let found = page.header.root(page.table(TableKind::Roots, &image).unwrap(), 0).unwrap();
    assert_eq!((found.value, found.type_digest), (value, digest(b"u8")));
    let names = page.table(TableKind::Strings, &image).unwrap();
    assert_eq!(string_at(names, found.name).unwrap().0, "krate::ROOT");
    assert!(page.entry(TableKind::Roots).unwrap().offset < 4096);
    assert!(page.entry(TableKind::Carried).unwrap().offset > 4096 + 5000);
    let table = page.table(TableKind::Carried, &image).unwrap();
    assert_eq!(carried(table, &page.header).collect::<Result<Vec<_>, _>>().unwrap(), many);
    assert_eq!(page.entry(TableKind::Report), None);
}

#[test]
fn statics_ascend_and_have_a_known_rule() {
    let entry = |address, length, rule| Static { address, length, rule };
    let right = [entry(16, 8, Rule::CarryUnlessCode), entry(24, 1, Rule::Skip), entry(100, u32::MAX, Rule::Carry)];
    let encode = |statics: &[Static]| statics.iter().flat_map(Static::encode).collect::<Vec<u8>>();
    let decode = |table: &[u8]| statics(table).collect::<Result<Vec<_>, _>>();
    assert_eq!(decode(&encode(&right)).unwrap(), right);
    for wrong in
        [vec![right[1], right[0]], vec![entry(16, 9, Rule::Carry), right[1]], vec![entry(u64::MAX, 2, Rule::Carry)]]
    {
        assert!(decode(&encode(&wrong)).is_err(), "accepted {wrong:?}");
    }
    let mut unknown = encode(&right);
    unknown[12] = 3;
    assert!(decode(&unknown).is_err());
}

#[test]
fn the_documentation_has_the_statics() {
    let one = Static { address: 0x1111_2222, length: 0x3333, rule: Rule::Skip };
    let bytes = one.encode();
    let rows = documented("| offset | size | field of a static | meaning |");
    let expected = [one.address, one.length.into(), one.rule as u64];
    assert_eq!(rows.len(), expected.len());
    for (row, expected) in rows.iter().zip(expected) {
        let (offset, size): (usize, usize) = (row[0].parse().unwrap(), row[1].parse().unwrap());
        assert_eq!(bytes[offset..offset + size], expected.to_le_bytes()[..size], "{row:?}");
    }
    let rules: Vec<_> = documented("| rule | name | meaning |").iter().map(|row| row[1].clone()).collect();
    assert_eq!(rules, ["carry", "carry unless code", "skip"]);
    let known: Vec<_> = (0..10).map_while(Rule::from_number).collect();
    assert_eq!(known, [Rule::Carry, Rule::CarryUnlessCode, Rule::Skip]);
}

#[test]
fn a_header_that_nobody_checked_makes_no_sum_overflow() {
    let header = Header { data_offset: u64::MAX - 7, data_length: 16, length: u64::MAX, ..Header::default() };
    let entry = Carried { address: 0x1000, length: 8, offset: u64::MAX - 7 };
    let table = entry.encode();
    // The entry ends behind the last address that there is.
    assert_eq!(
        carried(&table, &header).next(),
        Some(Err(FormatError::Field { field: "carried static", found: 0x1000 }))
    );
    let entry = Table { kind: TableKind::Roots, offset: 8, length: 40, digest: 0 }.encode();
    assert_eq!(find(TableKind::Roots, &entry, &header), None);
}
