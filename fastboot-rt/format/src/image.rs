//! The image format: one definition, used by the tool that writes images and by the runtime that maps them.
//!
//! This module does no I/O, allocates nothing, panics on nothing and has no `unsafe`. Decoding is total: any bytes
//! give either a value or a [`FormatError`]. `docs/image-format.md` is its prose, and a test keeps the two in step. Only
//! [`write`](mod@write), which lays images out, allocates.
//!
//! ```text
//! home address                                                                          home + length
//! │                                                                                                 │
//! ├─ header ─┬─ directory ─┬─ tables that fit ─┬──────── image data ────────┬─ the other tables ──────┤
//! 0         128                               4096                     data end (page-aligned)
//! ```
//!
//! All integers are little-endian. All offsets count bytes from the start of the header.

pub mod write;

use core::fmt;

/// First eight bytes of a header.
pub const MAGIC: [u8; 8] = *b"fastboot";
/// Version of the layout described here. Images of another version are not used.
pub const VERSION: u16 = 3;
/// `e_machine` of x86-64 in the ELF specification: the only machine images are made for.
pub const MACHINE: u16 = 62;
/// Size in bytes of a page, of the header page, and the alignment of image data.
pub const PAGE: usize = 4096;
/// Size in bytes of the encoded [`Header`].
pub const HEADER_LEN: usize = 128;
/// Size in bytes of what the section [`HEADER_COPY`] holds: a quarter of a page.
pub const HEADER_COPY_LEN: usize = 1024;
/// Name of the ELF section that embedding copies the beginning of an image to: header, directory, and the first tables.
pub const HEADER_COPY: &str = "fastboot_header";
/// Size in bytes of one entry of the table directory.
pub const TABLE_LEN: usize = 32;
/// Most tables an image may have: no kind occurs twice. The directory always lies in the header page.
pub const MAX_TABLES: usize = TableKind::ALL.len();
/// Size in bytes of one entry of the root directory.
pub const ROOT_LEN: usize = 40;
/// Size in bytes of one entry of the table of carried statics.
pub const CARRIED_LEN: usize = 24;
/// Size in bytes of one entry of the table of statics.
pub const STATIC_LEN: usize = 16;
/// Size in bytes of an encoded [`Footer`].
pub const FOOTER_LEN: usize = 32;
/// Written last, into the last word of the header: the image is complete.
pub const VALID: u64 = u64::from_le_bytes(*b"complete");

/// Addresses that plain, ASan and TSan builds on x86-64 all leave alone: home addresses come from here.
pub const HOME_WINDOW: core::ops::Range<u64> = 0x5500_0000_0000..0x5555_5555_4000;
/// The home address unless another is asked for.
pub const DEFAULT_HOME: u64 = 0x5500_0000_0000;
/// Alignment in bytes that a home address must have: what one page-table entry of the second level maps.
pub const HOME_ALIGN: u64 = 2 << 20;
/// A relocatable image is used at its home address or at this distance from it, once, twice or three times.
///
/// It changes one byte of an address, the fifth, and so do its multiples: should a word that moved with the image in its
/// proof hold something else in its lower bytes, that stays what it is.
pub const HOME_STEP: u64 = 0x18_0000_0000;

/// [`Header::flags`]: the executable is position-independent, so words listed in
/// [`TableKind::StaticPointers`] move with its load address.
pub const FLAG_PIE: u64 = 1;
/// [`Header::flags`]: made by a verbatim freeze, so it holds dead objects too.
pub const FLAG_VERBATIM: u64 = 2;
/// [`Header::flags`]: [`TableKind::ImagePointers`] lists every pointer of the image into itself, and no object needs more
/// than an alignment of [`HOME_ALIGN`], so that the image can be used at a multiple of [`HOME_STEP`] from its home.
pub const FLAG_RELOCATABLE: u64 = 4;
/// [`Header::flags`]: to be mapped without permission to write.
pub const FLAG_READ_ONLY: u64 = 8;
/// [`Header::flags`]: a snapshot that is only used while fs-verity protects its file.
pub const FLAG_VERITY: u64 = 16;
/// [`Header::flags`]: no image, but what a cold binary needs to freeze itself where it runs.
pub const FLAG_COLD: u64 = 32;
/// [`Header::flags`] in the section of an executable that has no image there: one is appended to its file. A start looks for
/// none otherwise. In a placeholder the flag stands for itself, outside of any digest.
pub const FLAG_FOOTER: u64 = 64;
/// Every flag this version knows, and its name.
pub const FLAGS: [(u64, &str); 7] = [
    (FLAG_PIE, "pie"),
    (FLAG_VERBATIM, "verbatim"),
    (FLAG_RELOCATABLE, "relocatable"),
    (FLAG_READ_ONLY, "read-only"),
    (FLAG_VERITY, "fs-verity"),
    (FLAG_COLD, "cold"),
    (FLAG_FOOTER, "footer"),
];
const KNOWN_FLAGS: u64 = {
    let (mut known, mut index) = (0, 0);
    while index < FLAGS.len() {
        known |= FLAGS[index].0;
        index += 1;
    }
    known
};

/// Why bytes are not an image this program can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FormatError {
    /// Fewer bytes than the structure needs.
    Truncated {
        /// Bytes needed.
        expected: u64,
        /// Bytes there.
        found: u64,
    },
    /// The first eight bytes are not [`MAGIC`].
    Magic,
    /// Nothing has been embedded yet: the binary is cold.
    Cold,
    /// Made by another version of fastboot.
    Version {
        /// [`VERSION`].
        expected: u16,
        /// The version in the header.
        found: u16,
    },
    /// Made for another processor architecture.
    Machine {
        /// [`MACHINE`].
        expected: u16,
        /// The `e_machine` in the header.
        found: u16,
    },
    /// Made for another page size.
    PageSize {
        /// [`PAGE`].
        expected: u32,
        /// The page size in the header, in bytes.
        found: u32,
    },
    /// The mark that is written last is missing.
    Incomplete,
    /// The bytes do not have the digest that was stored with them.
    Digest {
        /// What is damaged.
        part: &'static str,
        /// The digest stored.
        expected: u64,
        /// The digest of the bytes.
        found: u64,
    },
    /// A value that no writer produces.
    Field {
        /// Name of the field.
        field: &'static str,
        /// Its value.
        found: u64,
    },
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Truncated { expected, found } => write!(f, "image truncated: {found} bytes of {expected}"),
            Self::Magic => write!(f, "not a fastboot image (wrong magic)"),
            Self::Cold => write!(f, "no image embedded"),
            Self::Version { expected, found } => {
                write!(f, "image format version {found}, this program reads version {expected}")
            }
            Self::Machine { expected, found } => {
                write!(f, "image for ELF machine {found}, this program runs on machine {expected}")
            }
            Self::PageSize { expected, found } => write!(f, "image for {found}-byte pages, expected {expected}"),
            Self::Incomplete => write!(f, "image incomplete: its writer did not finish"),
            Self::Digest { part, expected, found } => {
                write!(f, "image damaged: {part} has digest {found:016x}, expected {expected:016x}")
            }
            Self::Field { field, found } => write!(f, "image damaged: {field} is {found:#x}"),
        }
    }
}

impl core::error::Error for FormatError {}

/// A 64-bit digest against damage, not against malice: every step is a bijection of the state, so any change confined
/// to one eight-byte word is always seen, and any other change is missed once in 2^64.
#[inline]
pub fn digest(bytes: &[u8]) -> u64 {
    digest_from(0x9e37_79b9_7f4a_7c15, bytes)
}

#[inline(always)]
fn digest_from(mut state: u64, bytes: &[u8]) -> u64 {
    let mut step = |word: u64| {
        state = (state ^ word).wrapping_mul(0xff51_afd7_ed55_8ccd);
        state ^= state >> 32;
    };
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        step(u64::from_le_bytes(*word));
    }
    let mut last = [0u8; 8];
    for (to, from) in last.iter_mut().zip(rest) {
        *to = *from;
    }
    step(u64::from_le_bytes(last));
    step(bytes.len() as u64);
    state
}

/// Reads little-endian integers one after another; `None` past the end.
struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    #[inline]
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*first)
    }
    #[inline]
    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }
    #[inline]
    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }
    #[inline]
    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
}

/// Puts fields one after another into a buffer of exactly the right size.
struct Writer<const N: usize> {
    bytes: [u8; N],
    at: usize,
}

impl<const N: usize> Writer<N> {
    const fn new() -> Self {
        Self { bytes: [0; N], at: 0 }
    }
    fn put(mut self, field: &[u8]) -> Self {
        for (to, from) in self.bytes.iter_mut().skip(self.at).zip(field) {
            *to = *from;
        }
        self.at += field.len();
        self
    }
    fn finish(self) -> [u8; N] {
        debug_assert_eq!(self.at, N, "every field written, no byte left over");
        self.bytes
    }
}

/// The first 128 bytes of an image, and of the placeholder in a cold binary (where only `magic`, `version`, `machine`,
/// `page_size`, `identity` and one flag mean something).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// Size in bytes of a page on the machine that made the image.
    pub page_size: u32,
    /// `FLAG_*` bits.
    pub flags: u64,
    /// The address the image is made for; a multiple of [`HOME_ALIGN`] in [`HOME_WINDOW`].
    pub home: u64,
    /// Length of the image in bytes, header included; a multiple of [`PAGE`].
    pub length: u64,
    /// Load bias of the executable that the static pointers in the image are right for (0 for non-PIE).
    pub exe_base: u64,
    /// Processor features (see [`crate::features`]) that were there when the values were built.
    pub cpu: u64,
    /// Number of entries in the table directory.
    pub table_count: u32,
    /// Number of entries in the root directory.
    pub root_count: u32,
    /// SHA-256 of the loaded bytes of the binary the image belongs to.
    pub identity: [u8; 32],
    /// Offset in bytes of the image data; a multiple of [`PAGE`].
    pub data_offset: u64,
    /// Length of the image data in bytes.
    pub data_length: u64,
}

/// Offset in bytes of [`Header::flags`], for marking the placeholder of an executable that has a footer.
pub const FLAGS_OFFSET: usize = 16;
/// Offset in bytes of [`Header::identity`], for stamping the placeholder of a cold binary.
pub const IDENTITY_OFFSET: usize = 64;
const DIGEST_OFFSET: usize = 112;
const VALID_OFFSET: usize = 120;

impl Header {
    /// The placeholder of a cold binary, as bytes. `const`, because it becomes a static.
    pub const fn placeholder() -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        let mut i = 0;
        while i < MAGIC.len() {
            bytes[i] = MAGIC[i];
            i += 1;
        }
        bytes[8] = VERSION.to_le_bytes()[0];
        bytes[9] = VERSION.to_le_bytes()[1];
        bytes[10] = MACHINE.to_le_bytes()[0];
        bytes[11] = MACHINE.to_le_bytes()[1];
        let page = (PAGE as u32).to_le_bytes();
        let mut i = 0;
        while i < page.len() {
            bytes[12 + i] = page[i];
            i += 1;
        }
        bytes
    }

    /// Encodes header and directory, digest and validity mark included: the first bytes of an image.
    pub fn encode(&self, directory: &[u8]) -> [u8; HEADER_LEN] {
        let mut bytes = Writer::<HEADER_LEN>::new()
            .put(&MAGIC)
            .put(&VERSION.to_le_bytes())
            .put(&MACHINE.to_le_bytes())
            .put(&self.page_size.to_le_bytes())
            .put(&self.flags.to_le_bytes())
            .put(&self.home.to_le_bytes())
            .put(&self.length.to_le_bytes())
            .put(&self.exe_base.to_le_bytes())
            .put(&self.cpu.to_le_bytes())
            .put(&self.table_count.to_le_bytes())
            .put(&self.root_count.to_le_bytes())
            .put(&self.identity)
            .put(&self.data_offset.to_le_bytes())
            .put(&self.data_length.to_le_bytes())
            .put(&[0; 8])
            .put(&VALID.to_le_bytes())
            .finish();
        let sum = digest_from(digest(&bytes[..DIGEST_OFFSET]), directory);
        bytes[DIGEST_OFFSET..VALID_OFFSET].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// The identity stamped into a placeholder or an image header, without any other check; `None` when the bytes do
    /// not begin with [`MAGIC`] or are too short.
    #[inline]
    pub fn stamped_identity(bytes: &[u8]) -> Option<[u8; 32]> {
        if !bytes.starts_with(&MAGIC) {
            return None;
        }
        bytes.get(IDENTITY_OFFSET..)?.first_chunk::<32>().copied()
    }
}

/// What a table holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[repr(u32)]
pub enum TableKind {
    /// [`Root`] entries, in the order of the binary's registry.
    Roots = 1,
    /// Names, each a `u32` length and as many bytes of UTF-8; entries are named by their offset in the table.
    Strings = 2,
    /// The words that hold an address inside the executable and move with its load address: see [`relocations`].
    StaticPointers = 3,
    /// [`Carried`] entries: statics of the executable that are given their bytes again at start.
    Carried = 4,
    /// What became of every static that changed, for people: two strings each, its name and the decision.
    CarryReport = 5,
    /// [`digest`] of each page of the image data, the last one possibly shorter: eight bytes each. Not read at start.
    PageDigests = 6,
    /// What the image is made of, for people: JSON text. Not read at start.
    Report = 7,
    /// The words that hold an address inside the image and move with it: see [`relocations`]. Read only when the image is
    /// not at its home address.
    ImagePointers = 8,
    /// [`Static`] entries, ascending: the statics of the executable that a freeze on the user's machine has to know. Only
    /// in cold binaries.
    Statics = 9,
}

impl TableKind {
    const ALL: [Self; 9] = [
        Self::Roots,
        Self::Strings,
        Self::StaticPointers,
        Self::Carried,
        Self::CarryReport,
        Self::PageDigests,
        Self::Report,
        Self::ImagePointers,
        Self::Statics,
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
        }
    }

    /// Size in bytes of one entry; 1 for tables without entries of a fixed size.
    #[inline(always)]
    pub fn entry_len(self) -> usize {
        // Seven bits for each kind, in one number: of a `match` the compiler makes a table, and reading that would be a page
        // fault in every start.
        const LENGTHS: u64 = {
            let (mut lengths, mut index) = (0, 0);
            while index < TableKind::ALL.len() {
                let kind = TableKind::ALL[index];
                let length = kind.length_of_entry() as u64;
                assert!(length < 128 && kind as u32 <= 9, "it has seven bits, and nine kinds have room");
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
    fn overlaps(&self, other: &Self) -> bool {
        self.offset < other.offset + other.length && other.offset < self.offset + self.length
    }

    #[inline(always)]
    fn decode(bytes: &[u8; TABLE_LEN], header: &Header) -> Result<Self, FormatError> {
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
        let data_end = header.data_offset + header.data_length;
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

/// One frozen value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Root {
    /// Address of the value; inside the image data unless `size` is 0.
    pub value: u64,
    /// Size in bytes of the value itself (not of what it owns).
    pub size: u64,
    /// Alignment in bytes of the value.
    pub align: u64,
    /// [`digest`] of the type's name.
    pub type_digest: u64,
    /// Offset of the root's name in the string table; its type's name is the string that follows.
    pub name: u64,
}

impl Root {
    /// The root directory entry, encoded.
    pub fn encode(&self) -> [u8; ROOT_LEN] {
        Writer::<ROOT_LEN>::new()
            .put(&self.value.to_le_bytes())
            .put(&self.size.to_le_bytes())
            .put(&self.align.to_le_bytes())
            .put(&self.type_digest.to_le_bytes())
            .put(&self.name.to_le_bytes())
            .finish()
    }

    #[inline(always)]
    fn decode(bytes: &[u8; ROOT_LEN], header: &Header) -> Result<Self, FormatError> {
        let mut r = Reader { rest: bytes };
        let (Some(value), Some(size), Some(align), Some(type_digest), Some(name)) =
            (r.u64(), r.u64(), r.u64(), r.u64(), r.u64())
        else {
            return Err(FormatError::Truncated { expected: ROOT_LEN as u64, found: bytes.len() as u64 });
        };
        if !align.is_power_of_two() {
            return Err(FormatError::Field { field: "root alignment", found: align });
        }
        let data = header.data_range();
        let inside = value >= data.start && value.checked_add(size).is_some_and(|end| end <= data.end);
        if value == 0 || value % align != 0 || (size != 0 && !inside) {
            return Err(FormatError::Field { field: "root address", found: value });
        }
        Ok(Self { value, size, align, type_digest, name })
    }
}

/// Bytes of a static that are restored at start, before any code of the program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carried {
    /// Where they belong: an address as in the ELF file, that is, without the load bias.
    pub address: u64,
    /// How many there are.
    pub length: u64,
    /// Where they are: offset in the image, inside the image data.
    pub offset: u64,
}

impl Carried {
    /// The entry, encoded.
    pub fn encode(&self) -> [u8; CARRIED_LEN] {
        Writer::<CARRIED_LEN>::new()
            .put(&self.address.to_le_bytes())
            .put(&self.length.to_le_bytes())
            .put(&self.offset.to_le_bytes())
            .finish()
    }
}

/// The entries of the table of carried statics, each checked to take its bytes from the image data and to put them at
/// addresses that do not overflow.
#[inline]
pub fn carried<'a>(
    table: &'a [u8],
    header: &'a Header,
) -> impl Iterator<Item = Result<Carried, FormatError>> + use<'a> {
    table.as_chunks::<CARRIED_LEN>().0.iter().map(|entry| {
        let mut r = Reader { rest: entry };
        let (Some(address), Some(length), Some(offset)) = (r.u64(), r.u64(), r.u64()) else {
            return Err(FormatError::Truncated { expected: CARRIED_LEN as u64, found: entry.len() as u64 });
        };
        let data = header.data_offset..header.data_offset + header.data_length;
        let inside = offset >= data.start && offset.checked_add(length).is_some_and(|end| end <= data.end);
        if !inside || address.checked_add(length).is_none() {
            return Err(FormatError::Field { field: "carried static", found: address });
        }
        Ok(Carried { address, length, offset })
    })
}

/// Whether a static is carried if it changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Rule {
    /// It is.
    Carry = 0,
    /// It is, unless it held the address of code before and holds one now: then it caches which function suits the
    /// processor.
    CarryUnlessCode = 1,
    /// It is not. An image that refers to it cannot be used.
    Skip = 2,
}

impl Rule {
    fn from_number(number: u32) -> Option<Self> {
        [Self::Carry, Self::CarryUnlessCode, Self::Skip].into_iter().find(|rule| *rule as u32 == number)
    }
}

/// A static of the executable, or a part of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Static {
    /// Its address as in the ELF file, that is, without the load bias.
    pub address: u64,
    /// Its length in bytes.
    pub length: u32,
    /// What becomes of it.
    pub rule: Rule,
}

impl Static {
    /// The entry, encoded.
    pub fn encode(&self) -> [u8; STATIC_LEN] {
        Writer::<STATIC_LEN>::new()
            .put(&self.address.to_le_bytes())
            .put(&self.length.to_le_bytes())
            .put(&(self.rule as u32).to_le_bytes())
            .finish()
    }

    /// Its addresses. Decoding proved that the sum does not overflow.
    pub fn range(&self) -> core::ops::Range<u64> {
        self.address..self.address.wrapping_add(self.length.into())
    }
}

/// The entries of the table of statics, each checked to begin where the one before ends, or later.
pub fn statics(table: &[u8]) -> impl Iterator<Item = Result<Static, FormatError>> {
    let mut end = 0;
    table.as_chunks::<STATIC_LEN>().0.iter().map(move |entry| {
        let mut r = Reader { rest: entry };
        let (Some(address), Some(length), Some(rule)) = (r.u64(), r.u32(), r.u32()) else {
            return Err(FormatError::Truncated { expected: STATIC_LEN as u64, found: entry.len() as u64 });
        };
        let next = address.checked_add(length.into()).filter(|_| address >= end);
        let (Some(next), Some(rule)) = (next, Rule::from_number(rule)) else {
            return Err(FormatError::Field { field: "static", found: address });
        };
        end = next;
        Ok(Static { address, length, rule })
    })
}

impl Header {
    /// Addresses of the image data.
    #[inline]
    pub fn data_range(&self) -> core::ops::Range<u64> {
        // Decoding proved that none of these sums overflows: offset + length ≤ length ≤ end of the window.
        let start = self.home.wrapping_add(self.data_offset);
        start..start.wrapping_add(self.data_length)
    }
}

/// A header page: the header, decoded, and the directory, as it lies there; both checked.
#[derive(Clone, Copy, Debug)]
pub struct HeaderPage<'a> {
    /// The header.
    pub header: Header,
    directory: &'a [[u8; TABLE_LEN]],
}

/// The entry for a table in the directory of a header page that [`HeaderPage::decode`] accepted.
#[inline(always)]
pub fn find(kind: TableKind, directory: &[[u8; TABLE_LEN]], header: &Header) -> Option<Table> {
    for entry in directory {
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
        let short = |expected: usize| FormatError::Truncated { expected: expected as u64, found: bytes.len() as u64 };
        let Some(head) = bytes.first_chunk::<HEADER_LEN>() else {
            return Err(if bytes.starts_with(&MAGIC) { short(HEADER_LEN) } else { FormatError::Magic });
        };
        let mut r = Reader { rest: head };
        let fields = (|| {
            let magic = r.array::<8>()?;
            let version = r.u16()?;
            let machine = r.u16()?;
            let header = Header {
                page_size: r.u32()?,
                flags: r.u64()?,
                home: r.u64()?,
                length: r.u64()?,
                exe_base: r.u64()?,
                cpu: r.u64()?,
                table_count: r.u32()?,
                root_count: r.u32()?,
                identity: r.array()?,
                data_offset: r.u64()?,
                data_length: r.u64()?,
            };
            Some((magic, version, machine, header, r.u64()?, r.u64()?))
        })();
        let Some((magic, version, machine, header, sum, valid)) = fields else { return Err(short(HEADER_LEN)) };

        // In the order of what a reader wants to hear: what it is, for whom it is, whether it is whole.
        if magic != MAGIC {
            return Err(FormatError::Magic);
        }
        if version != VERSION {
            return Err(FormatError::Version { expected: VERSION, found: version });
        }
        if machine != MACHINE {
            return Err(FormatError::Machine { expected: MACHINE, found: machine });
        }
        if header.page_size != PAGE as u32 {
            return Err(FormatError::PageSize { expected: PAGE as u32, found: header.page_size });
        }
        if valid == 0 && header.length == 0 {
            return Err(FormatError::Cold);
        }
        if valid != VALID {
            return Err(FormatError::Incomplete);
        }
        if header.table_count as usize > MAX_TABLES {
            return Err(FormatError::Field { field: "table count", found: u64::from(header.table_count) });
        }
        let directory_end = HEADER_LEN + header.table_count as usize * TABLE_LEN;
        let Some(directory) = bytes.get(HEADER_LEN..directory_end) else { return Err(short(directory_end)) };
        let found = digest_from(digest(&head[..DIGEST_OFFSET]), directory);
        if found != sum {
            return Err(FormatError::Digest { part: "header", expected: sum, found });
        }

        // The digest holds, so what follows guards against a wrong writer, not against damage.
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
        let directory = directory.as_chunks::<TABLE_LEN>().0;
        for (index, entry) in directory.iter().enumerate() {
            let table = Table::decode(entry, &header)?;
            for other in directory.iter().take(index) {
                let other = Table::decode(other, &header)?;
                if other.kind == table.kind {
                    return field("table kind", table.kind as u64);
                }
                if other.overlaps(&table) {
                    return field("table offset", table.offset);
                }
            }
        }
        Ok(Self { header, directory })
    }

    /// The tables, in the order of the directory.
    pub fn tables(&self) -> impl Iterator<Item = Table> + use<'a> {
        let header = self.header;
        self.directory.iter().filter_map(move |entry| Table::decode(entry, &header).ok())
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
        match roots.as_chunks::<ROOT_LEN>().0.get(index) {
            Some(entry) => Root::decode(entry, self),
            None => Err(FormatError::Truncated {
                expected: (index as u64 + 1).saturating_mul(ROOT_LEN as u64),
                found: roots.len() as u64,
            }),
        }
    }
}

/// The string at `offset` in the string table, and the offset of the next one; `None` when there is none.
pub fn string_at(strings: &[u8], offset: u64) -> Option<(&str, u64)> {
    let rest = strings.get(usize::try_from(offset).ok()?..)?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let length = u32::from_le_bytes(*length) as usize;
    let text = core::str::from_utf8(rest.get(..length)?).ok()?;
    Some((text, offset + 4 + length as u64))
}

/// Encodes a relocation table: offsets in the image of eight-byte words, aligned or not, strictly ascending, none below
/// `data_offset`.
///
/// Each is stored as its distance from the one before, the first as its distance from `data_offset`: seven bits a byte,
/// the lowest first, the top bit set in all but the last byte. Pointers lie close together, so most take one byte.
pub fn encode_relocations(offsets: impl IntoIterator<Item = u64>, data_offset: u64, mut put: impl FnMut(u8)) {
    let mut before = data_offset;
    for offset in offsets {
        let mut distance = offset.wrapping_sub(before);
        while distance >= 0x80 {
            put(distance as u8 | 0x80);
            distance >>= 7;
        }
        put(distance as u8);
        before = offset;
    }
}

/// The words of a relocation table: offsets into the image, each checked to lie in the image data, strictly ascending.
/// Ends with the first error.
#[inline]
pub fn relocations<'a>(table: &'a [u8], header: &Header) -> Relocations<'a> {
    let data_end = header.data_offset.saturating_add(header.data_length);
    Relocations { rest: table, at: header.data_offset, data_end, first: true }
}

/// See [`relocations`].
#[derive(Clone, Debug)]
pub struct Relocations<'a> {
    rest: &'a [u8],
    /// The offset before.
    at: u64,
    data_end: u64,
    first: bool,
}

impl Relocations<'_> {
    /// The next distance; `None` when it does not end, or does not fit.
    #[inline]
    fn distance(&mut self) -> Option<u64> {
        let mut distance = 0u64;
        let mut shift = 0;
        loop {
            let (byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            let bits = u64::from(byte & 0x7f);
            if shift > 63 || bits << shift >> shift != bits {
                return None;
            }
            distance |= bits << shift;
            if byte & 0x80 == 0 {
                return Some(distance);
            }
            shift += 7;
        }
    }
}

impl Iterator for Relocations<'_> {
    type Item = Result<u64, FormatError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let first = core::mem::replace(&mut self.first, false);
        let next = self.distance().filter(|distance| first || *distance != 0);
        let next = next.and_then(|distance| self.at.checked_add(distance));
        let end = next.and_then(|next| next.checked_add(8));
        match next.filter(|_| end.is_some_and(|end| end <= self.data_end)) {
            Some(offset) => {
                self.at = offset;
                Some(Ok(offset))
            }
            None => {
                self.rest = &[];
                Some(Err(FormatError::Field { field: "relocation", found: self.at }))
            }
        }
    }
}

/// First eight bytes of a footer.
pub const FOOTER_MAGIC: [u8; 8] = *b"fbfooter";

/// The last [`FOOTER_LEN`] bytes of an executable that has its image appended. The image lies right before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footer {
    /// Offset in the file of the image; a multiple of [`PAGE`].
    pub offset: u64,
    /// Length in bytes of the image.
    pub length: u64,
}

impl Footer {
    /// The footer, encoded, digest included.
    pub fn encode(&self) -> [u8; FOOTER_LEN] {
        let mut bytes = Writer::<FOOTER_LEN>::new()
            .put(&FOOTER_MAGIC)
            .put(&self.offset.to_le_bytes())
            .put(&self.length.to_le_bytes())
            .put(&[0; 8])
            .finish();
        let sum = digest(&bytes[..FOOTER_LEN - 8]);
        bytes[FOOTER_LEN - 8..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// Decodes the last bytes of a file of `file_length` bytes; `None` when they are no footer.
    ///
    /// # Errors
    /// [`FormatError::Digest`], and [`FormatError::Field`] for an image that does not lie right before its footer.
    #[inline]
    pub fn decode(bytes: &[u8; FOOTER_LEN], file_length: u64) -> Result<Option<Self>, FormatError> {
        let mut r = Reader { rest: bytes };
        let (Some(magic), Some(offset), Some(length), Some(expected)) = (r.array::<8>(), r.u64(), r.u64(), r.u64())
        else {
            return Ok(None);
        };
        if magic != FOOTER_MAGIC {
            return Ok(None);
        }
        let found = digest(&bytes[..FOOTER_LEN - 8]);
        if found != expected {
            return Err(FormatError::Digest { part: "footer", expected, found });
        }
        let end = offset.checked_add(length).and_then(|end| end.checked_add(FOOTER_LEN as u64));
        if offset % PAGE as u64 != 0 || length < PAGE as u64 || end != Some(file_length) {
            return Err(FormatError::Field { field: "footer offset", found: offset });
        }
        Ok(Some(Self { offset, length }))
    }
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
