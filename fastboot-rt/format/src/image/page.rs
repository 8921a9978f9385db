//! Page: the first page of an image, read and checked.

use super::bytes::{Reader, chunks, digest, digest_from};
use super::entries::Root;
use super::error::FormatError;
use super::header::{DIGEST_OFFSET, Header};
use super::layout::{
    HEADER_LEN, HOME_ALIGN, HOME_WINDOW, KNOWN_FLAGS, MACHINE, MAGIC, PAGE, ROOT_LEN, TABLE_LEN, VALID, VERSION,
};
use super::table::{MAX_TABLES, Table, TableKind};

/// A header page: the header, decoded, and the directory, as it lies there; both checked.
#[derive(Clone, Copy, Debug)]
pub struct HeaderPage<'a> {
    /// The header.
    pub header: Header,
    directory: &'a [u8],
}

/// The entry for a table in the directory of a header page that [`HeaderPage::decode`] accepted.
#[inline(always)]
pub fn find(kind: TableKind, directory: &[u8], header: &Header) -> Option<Table> {
    for entry in chunks::<TABLE_LEN>(directory) {
        match Table::decode(entry, header) {
            Ok(table) if table.kind == kind => return Some(table),
            _ => {}
        }
    }
    None
}

impl<'a> HeaderPage<'a> {
    /// Decodes and checks the first page of an image. `bytes` may be longer than a page; the tables themselves are
    /// checked when they are read with [`HeaderPage::table`].
    ///
    /// # Errors
    /// [`FormatError::Cold`] for the placeholder of a cold binary, and every other [`FormatError`] for damage.
    #[inline]
    pub fn decode(bytes: &'a [u8]) -> Result<Self, FormatError> {
        let raw = Raw::parse(bytes)?;
        raw.check_kind()?;
        let directory = raw.directory(bytes)?;
        let header = raw.header;
        check_fields(&header)?;
        check_directory(directory, &header)?;
        Ok(Self { header, directory })
    }

    /// The tables, in the order of the directory.
    pub fn tables(&self) -> impl Iterator<Item = Table> + use<'a> {
        let header = self.header;
        chunks::<TABLE_LEN>(self.directory).filter_map(move |entry| Table::decode(entry, &header).ok())
    }

    /// The directory's entry for a table; `None` when the image has no such table.
    #[inline]
    pub fn entry(&self, kind: TableKind) -> Option<Table> {
        find(kind, self.directory, &self.header)
    }

    /// The bytes of a table, its digest checked; empty when the image has no such table.
    ///
    /// `image` is the whole image, or as much of it as there is.
    ///
    /// # Errors
    /// [`FormatError::Truncated`] and [`FormatError::Digest`].
    pub fn table<'i>(&self, kind: TableKind, image: &'i [u8]) -> Result<&'i [u8], FormatError> {
        self.entry(kind).map_or(Ok(&[]), |table| table.bytes(image))
    }
}

impl Header {
    /// Entry `index` of the root directory, whose bytes are `roots`.
    ///
    /// # Errors
    /// [`FormatError::Truncated`] past the end, [`FormatError::Field`] for an entry that points outside the image data.
    #[inline(always)]
    pub fn root(&self, roots: &[u8], index: usize) -> Result<Root, FormatError> {
        let entry = roots.get(index.saturating_mul(ROOT_LEN)..).and_then(|rest| rest.first_chunk::<ROOT_LEN>());
        match entry {
            Some(entry) => Root::decode(entry, self),
            None => Err(FormatError::Truncated {
                expected: (index as u64 + 1).saturating_mul(ROOT_LEN as u64),
                found: roots.len() as u64,
            }),
        }
    }
}

/// A header as it stands there, not checked.
struct Raw {
    magic: [u8; 8],
    version: u16,
    machine: u16,
    header: Header,
    /// The digest of header and directory.
    digest: u64,
    /// The mark that is written last.
    valid: u64,
}

impl Raw {
    /// Takes the fields apart.
    #[inline]
    fn parse(bytes: &[u8]) -> Result<Self, FormatError> {
        let Some(head) = bytes.first_chunk::<HEADER_LEN>() else {
            return Err(if bytes.starts_with(&MAGIC) { short(HEADER_LEN, bytes) } else { FormatError::Magic });
        };
        let mut r = Reader { rest: head };
        let fields = (|| {
            Some(Self {
                magic: r.array()?,
                version: r.u16()?,
                machine: r.u16()?,
                header: Header {
                    page_size: r.u32()?,
                    flags: r.u64()?,
                    home: r.u64()?,
                    length: r.u64()?,
                    exe_base: r.u64()?,
                    cpu: r.u64()?,
                    table_count: r.u32()?,
                    root_count: r.u32()?,
                    identity: r.array()?,
                    data_offset: r.u32()?.into(),
                    cpu_more: r.u32()?,
                    data_length: r.u64()?,
                },
                digest: r.u64()?,
                valid: r.u64()?,
            })
        })();
        fields.ok_or_else(|| short(HEADER_LEN, bytes))
    }

    /// In the order of what a reader wants to hear: what it is, for whom it is, whether it is whole.
    #[inline]
    fn check_kind(&self) -> Result<(), FormatError> {
        if self.magic != MAGIC {
            return Err(FormatError::Magic);
        }
        if self.version != VERSION {
            return Err(FormatError::Version { expected: VERSION, found: self.version });
        }
        if self.machine != MACHINE {
            return Err(FormatError::Machine { expected: MACHINE, found: self.machine });
        }
        if self.header.page_size != PAGE as u32 {
            return Err(FormatError::PageSize { expected: PAGE as u32, found: self.header.page_size });
        }
        if self.valid == 0 && self.header.length == 0 {
            return Err(FormatError::Cold);
        }
        if self.valid != VALID {
            return Err(FormatError::Incomplete);
        }
        Ok(())
    }

    /// The directory behind the header, the digest of both checked.
    #[inline]
    fn directory<'a>(&self, bytes: &'a [u8]) -> Result<&'a [u8], FormatError> {
        let count = self.header.table_count as usize;
        if count > MAX_TABLES {
            return Err(FormatError::Field { field: "table count", found: count as u64 });
        }
        let end = HEADER_LEN + count * TABLE_LEN;
        let (Some(directory), Some(head)) = (bytes.get(HEADER_LEN..end), bytes.get(..DIGEST_OFFSET)) else {
            return Err(short(end, bytes));
        };
        let (expected, found) = (self.digest, digest_from(digest(head), directory));
        if found != expected {
            return Err(FormatError::Digest { part: "header", expected, found });
        }
        Ok(directory)
    }
}

/// So many bytes are needed.
fn short(expected: usize, bytes: &[u8]) -> FormatError {
    FormatError::Truncated { expected: expected as u64, found: bytes.len() as u64 }
}

/// Checks the fields of a header. Its digest holds, so this guards against a wrong writer, not against damage.
#[inline]
fn check_fields(header: &Header) -> Result<(), FormatError> {
    let field = |field: &'static str, found: u64| Err(FormatError::Field { field, found });
    if header.flags & !KNOWN_FLAGS != 0 {
        return field("flags", header.flags);
    }
    if header.home % HOME_ALIGN != 0 || !HOME_WINDOW.contains(&header.home) {
        return field("home address", header.home);
    }
    let fits = header.home.checked_add(header.length).is_some_and(|end| end <= HOME_WINDOW.end);
    if header.length == 0 || header.length % PAGE as u64 != 0 || !fits {
        return field("image length", header.length);
    }
    if header.data_offset % PAGE as u64 != 0 || header.data_offset < PAGE as u64 {
        return field("data offset", header.data_offset);
    }
    let data_end = header.data_offset.checked_add(header.data_length);
    if data_end.is_none_or(|end| end > header.length) {
        return field("data length", header.data_length);
    }
    Ok(())
}

/// Checks that each table lies where it may, that there is one of each kind, and that none overlaps another.
#[inline]
fn check_directory(directory: &[u8], header: &Header) -> Result<(), FormatError> {
    let field = |field: &'static str, found: u64| Err(FormatError::Field { field, found });
    for (index, entry) in chunks::<TABLE_LEN>(directory).enumerate() {
        let table = Table::decode(entry, header)?;
        for other in chunks::<TABLE_LEN>(directory).take(index) {
            let other = Table::decode(other, header)?;
            if other.kind == table.kind {
                return field("table kind", table.kind as u64);
            }
            if other.overlaps(&table) {
                return field("table offset", table.offset);
            }
        }
    }
    Ok(())
}
