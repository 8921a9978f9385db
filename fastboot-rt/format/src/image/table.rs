//! Table: what lies beside the image data, and the directory that says where.

use super::bytes::{Reader, Writer, digest};
use super::error::FormatError;
use super::header::Header;
use super::layout::{ANSWER_LEN, BOUND_LEN, CARRIED_LEN, HEADER_LEN, ROOT_LEN, STATIC_LEN, TABLE_LEN};

/// Most tables an image may have: no kind occurs twice. The directory always lies in the header page.
pub const MAX_TABLES: usize = TableKind::ALL.len();

/// What a table holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[repr(u32)]
pub enum TableKind {
    /// [`Root`](crate::image::Root) entries, in the order of the binary's registry.
    Roots = 1,
    /// Names, each a `u32` length and as many bytes of UTF-8; entries are named by their offset in the table.
    Strings = 2,
    /// The words that hold an address inside the executable and move with its load address: see [`relocations`](crate::image::relocations).
    StaticPointers = 3,
    /// [`Carried`](crate::image::Carried) entries: statics of the executable that are given their bytes again at start.
    Carried = 4,
    /// What became of every static that changed, for people: two strings each, its name and the decision.
    CarryReport = 5,
    /// [`digest`] of each page of the image data, the last one possibly shorter: eight bytes each. Not read at start.
    PageDigests = 6,
    /// What the image is made of, for people: JSON text. Not read at start.
    Report = 7,
    /// The words that hold an address inside the image and move with it: see [`relocations`](crate::image::relocations). Read only when the image is
    /// not at its home address.
    ImagePointers = 8,
    /// [`Static`](crate::image::Static) entries, ascending: the statics of the executable that a freeze on the user's machine has to know. Only
    /// in cold binaries.
    Statics = 9,
    /// [`Answer`](crate::image::Answer) entries: what `cpuid` has to answer, besides the features of the header.
    Answers = 10,
    /// [`Bound`](crate::image::Bound) entries: the words that hold the address of something in a shared library.
    BoundPointers = 11,
}

impl TableKind {
    pub(super) const ALL: [Self; 11] = [
        Self::Roots,
        Self::Strings,
        Self::StaticPointers,
        Self::Carried,
        Self::CarryReport,
        Self::PageDigests,
        Self::Report,
        Self::ImagePointers,
        Self::Statics,
        Self::Answers,
        Self::BoundPointers,
    ];

    #[inline]
    fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u32 == number)
    }

    /// The table's name, as shown by `inspect` and in errors.
    pub fn name(self) -> &'static str {
        match self {
            Self::Roots => "root directory",
            Self::Strings => "string table",
            Self::StaticPointers => "static pointer table",
            Self::Carried => "carried statics",
            Self::CarryReport => "carry report",
            Self::PageDigests => "page digests",
            Self::Report => "report",
            Self::ImagePointers => "image pointer table",
            Self::Statics => "statics",
            Self::Answers => "processor's answers",
            Self::BoundPointers => "bound pointer table",
        }
    }

    /// Size in bytes of one entry; 1 for tables without entries of a fixed size.
    #[inline(always)]
    pub fn entry_len(self) -> usize {
        // Seven bits for each kind, in one number: of a `match` the compiler makes a table, and reading that would be a page
        // fault in every start.
        const LENGTHS: u128 = {
            let (mut lengths, mut index) = (0, 0);
            while index < TableKind::ALL.len() {
                let kind = TableKind::ALL[index];
                let length = kind.length_of_entry() as u128;
                assert!(length < 128 && kind as u32 <= 18, "it has seven bits, and eighteen kinds have room");
                lengths |= length << (7 * (kind as u32 - 1));
                index += 1;
            }
            lengths
        };
        (LENGTHS >> (7 * (self as u32 - 1)) & 127) as usize
    }

    const fn length_of_entry(self) -> usize {
        match self {
            Self::Roots => ROOT_LEN,
            Self::Strings | Self::CarryReport | Self::Report | Self::StaticPointers | Self::ImagePointers => 1,
            Self::PageDigests => 8,
            Self::Carried => CARRIED_LEN,
            Self::Statics => STATIC_LEN,
            Self::Answers => ANSWER_LEN,
            Self::BoundPointers => BOUND_LEN,
        }
    }
}

/// One entry of the table directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table {
    /// What it holds.
    pub kind: TableKind,
    /// Offset of its first byte in the image.
    pub offset: u64,
    /// Its length in bytes.
    pub length: u64,
    /// [`digest`] of its bytes.
    pub digest: u64,
}

impl Table {
    /// The directory entry, encoded.
    pub fn encode(&self) -> [u8; TABLE_LEN] {
        Writer::<TABLE_LEN>::new()
            .put(&(self.kind as u32).to_le_bytes())
            .put(&0u32.to_le_bytes())
            .put(&self.offset.to_le_bytes())
            .put(&self.length.to_le_bytes())
            .put(&self.digest.to_le_bytes())
            .finish()
    }

    /// The table's bytes, their digest checked. `image` is the whole image, or as much of it as there is.
    ///
    /// # Errors
    /// [`FormatError::Truncated`] and [`FormatError::Digest`].
    pub fn bytes<'i>(&self, image: &'i [u8]) -> Result<&'i [u8], FormatError> {
        let end = self.offset.saturating_add(self.length);
        let range = usize::try_from(self.offset).ok().zip(usize::try_from(end).ok());
        let Some(bytes) = range.and_then(|(start, end)| image.get(start..end)) else {
            return Err(FormatError::Truncated { expected: end, found: image.len() as u64 });
        };
        self.verify(bytes)?;
        Ok(bytes)
    }

    /// Compares the digest of the table's bytes with the one stored.
    ///
    /// # Errors
    /// [`FormatError::Digest`].
    #[inline]
    pub fn verify(&self, bytes: &[u8]) -> Result<(), FormatError> {
        let found = digest(bytes);
        if found == self.digest {
            return Ok(());
        }
        Err(FormatError::Digest { part: self.kind.name(), expected: self.digest, found })
    }

    /// Whether the two have a byte in common. Both were decoded, so no sum overflows.
    #[inline]
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        self.offset < other.offset + other.length && other.offset < self.offset + self.length
    }

    #[inline(always)]
    pub(super) fn decode(bytes: &[u8; TABLE_LEN], header: &Header) -> Result<Self, FormatError> {
        let mut r = Reader { rest: bytes };
        let (Some(number), Some(zero), Some(offset), Some(length), Some(digest)) =
            (r.u32(), r.u32(), r.u64(), r.u64(), r.u64())
        else {
            return Err(FormatError::Truncated { expected: TABLE_LEN as u64, found: bytes.len() as u64 });
        };
        let Some(kind) = TableKind::from_number(number) else {
            return Err(FormatError::Field { field: "table kind", found: u64::from(number) });
        };
        if zero != 0 {
            return Err(FormatError::Field { field: "table entry padding", found: u64::from(zero) });
        }
        let end = offset.checked_add(length).filter(|end| *end <= header.length);
        let Some(end) = end else {
            return Err(FormatError::Field { field: "table offset", found: offset });
        };
        let data_end = header.data_offset.saturating_add(header.data_length);
        let first = (HEADER_LEN + header.table_count as usize * TABLE_LEN) as u64;
        let in_header_page = offset >= first && end <= header.data_offset;
        let after_data = offset >= data_end;
        if !in_header_page && !after_data {
            return Err(FormatError::Field { field: "table offset", found: offset });
        }
        if offset % 8 != 0 || length % kind.entry_len() as u64 != 0 {
            return Err(FormatError::Field { field: "table length", found: length });
        }
        Ok(Self { kind, offset, length, digest })
    }
}
