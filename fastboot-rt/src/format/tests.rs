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
    let root = page.root(page.table(TableKind::Roots, image)?, 0)?;
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
        assert!(page.root(&bad.encode(), 0).is_err(), "accepted {bad:?}");
    }
    let zero_sized = Root { value: 8, size: 0, ..root };
    assert_eq!(page.root(&zero_sized.encode(), 0), Ok(zero_sized));
}

#[test]
fn relocations_outside_the_data_are_refused() {
    let (header, _, _) = sample();
    let table: Vec<u8> = [4096u64, 8184, 8185, 0, u64::MAX].iter().flat_map(|o| o.to_le_bytes()).collect();
    let good: Vec<bool> = relocations(&table, &header).map(|r| r.is_ok()).collect();
    assert_eq!(good, [true, true, false, false, false]);
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
