//! Write: lays out an image, for the tool and for programs that freeze themselves.
//!
//! Unlike the rest of [`crate::image`], this allocates: nobody thaws with it.

use super::answers::Answer;
use super::bound::Bound;
use super::bytes::digest;
use super::entries::{Carried, Root};
use super::header::Header;
use super::layout::{HEADER_LEN, PAGE, ROOT_LEN, TABLE_LEN};
use super::table::{Table, TableKind};
use alloc::vec::Vec;

/// Offset of the image data: objects begin behind the header page, in freeze runs too.
pub const DATA_OFFSET: u64 = PAGE as u64;

/// A root, as the root directory and the string table have it.
#[derive(Clone, Copy, Debug)]
pub struct NamedRoot<'a> {
    /// Address of the value.
    pub value: u64,
    /// Size in bytes of the value.
    pub size: u64,
    /// Alignment in bytes of the value.
    pub align: u64,
    /// Its path, such as `krate::INDEX`.
    pub name: &'a str,
    /// The name of its type.
    pub type_name: &'a str,
}

/// The root directory, and the string table with the names.
pub fn root_tables<'a>(roots: impl IntoIterator<Item = NamedRoot<'a>>) -> [(TableKind, Vec<u8>); 2] {
    let (mut directory, mut strings) = (Vec::new(), Vec::new());
    for root in roots {
        let name = strings.len() as u64;
        push_string(&mut strings, root.name);
        push_string(&mut strings, root.type_name);
        let NamedRoot { value, size, align, .. } = root;
        let type_digest = digest(root.type_name.as_bytes());
        directory.extend_from_slice(&Root { value, size, align, type_digest, name }.encode());
    }
    debug_assert!(directory.len() % ROOT_LEN == 0);
    [(TableKind::Roots, directory), (TableKind::Strings, strings)]
}

/// Appends a string to a table of strings.
pub fn push_string(table: &mut Vec<u8>, text: &str) {
    // One of more than 4 GiB would be no name.
    let text = text.get(..u32::MAX as usize).unwrap_or(text);
    table.extend_from_slice(&(text.len() as u32).to_le_bytes());
    table.extend_from_slice(text.as_bytes());
}

/// The table of carried statics.
pub fn carried(entries: &[Carried]) -> (TableKind, Vec<u8>) {
    (TableKind::Carried, entries.iter().flat_map(Carried::encode).collect())
}

/// The table of answers.
pub fn answers(entries: &[Answer]) -> (TableKind, Vec<u8>) {
    (TableKind::Answers, entries.iter().flat_map(Answer::encode).collect())
}

/// The table of bound pointers.
pub fn bound(entries: &[Bound]) -> (TableKind, Vec<u8>) {
    (TableKind::BoundPointers, entries.iter().flat_map(Bound::encode).collect())
}

/// The digests of the pages of the image data.
pub fn page_digests(data: &[u8]) -> (TableKind, Vec<u8>) {
    (TableKind::PageDigests, data.chunks(PAGE).flat_map(|page| digest(page).to_le_bytes()).collect())
}

/// An image without its data: where everything lies, and what lies around the data.
#[derive(Clone, Debug)]
pub struct Layout {
    /// The header; its `length` is that of the whole image.
    pub header: Header,
    /// What the header page holds: header, directory, and the tables that fit.
    first: Vec<u8>,
    /// The other tables, each with its offset.
    behind: Vec<(u64, Vec<u8>)>,
}

impl Layout {
    /// Lays an image out. Of `header`, `page_size`, `length`, `table_count` and `data_offset` are set here. Tables that are
    /// empty are left out; the others go into the header page as far as they fit, in the order given.
    pub fn new(header: Header, tables: impl IntoIterator<Item = (TableKind, Vec<u8>)>) -> Self {
        let contents: Vec<_> = tables.into_iter().filter(|(_, bytes)| !bytes.is_empty()).collect();
        let mut in_page = (HEADER_LEN + contents.len() * TABLE_LEN) as u64;
        let mut after = (DATA_OFFSET + header.data_length).next_multiple_of(PAGE as u64);
        let mut directory = Vec::new();
        let (mut inside, mut behind) = (Vec::new(), Vec::new());
        for (kind, bytes) in contents {
            let length = bytes.len() as u64;
            let fits = in_page + length <= DATA_OFFSET;
            let place = if fits { &mut in_page } else { &mut after };
            let offset = *place;
            *place = (offset + length).next_multiple_of(8);
            directory.push(Table { kind, offset, length, digest: digest(&bytes) });
            if fits { &mut inside } else { &mut behind }.push((offset, bytes));
        }

        let length = after.next_multiple_of(PAGE as u64);
        let table_count = directory.len() as u32;
        let header = Header { page_size: PAGE as u32, length, table_count, data_offset: DATA_OFFSET, ..header };
        let directory: Vec<u8> = directory.iter().flat_map(Table::encode).collect();
        let mut first = header.encode(&directory).to_vec();
        first.extend_from_slice(&directory);
        first.resize(DATA_OFFSET as usize, 0);
        for (offset, bytes) in inside {
            first[offset as usize..][..bytes.len()].copy_from_slice(&bytes);
        }
        Self { header, first, behind }
    }

    /// What has to be written, besides the image data, each piece with its offset. The header comes last, because it says
    /// that all is there. What lies between the pieces is zero.
    pub fn pieces(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let behind = self.behind.iter().map(|(offset, bytes)| (*offset, bytes.as_slice()));
        behind.chain([(0, self.first.as_slice())])
    }
}
