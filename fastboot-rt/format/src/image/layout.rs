//! Layout: the sizes, addresses and flags that the format is made of.

/// First eight bytes of a header.
pub const MAGIC: [u8; 8] = *b"fastboot";
/// Version of the layout described here. Images of another version are not used.
pub const VERSION: u16 = 4;
/// `e_machine` of x86-64 in the ELF specification: the only machine images are made for.
pub const MACHINE: u16 = 62;
/// Size in bytes of a page, of the header page, and the alignment of image data.
pub const PAGE: usize = 4096;
/// Size in bytes of the encoded [`Header`](crate::image::Header).
pub const HEADER_LEN: usize = 128;
/// Size in bytes of what the section [`HEADER_COPY`] holds: a quarter of a page.
pub const HEADER_COPY_LEN: usize = 1024;
/// Name of the ELF section that embedding copies the beginning of an image to: header, directory, and the first tables.
pub const HEADER_COPY: &str = "fastboot_header";
/// Size in bytes of one entry of the table directory.
pub const TABLE_LEN: usize = 32;
/// Size in bytes of one entry of the root directory.
pub const ROOT_LEN: usize = 40;
/// Size in bytes of one entry of the table of carried statics.
pub const CARRIED_LEN: usize = 24;
/// Size in bytes of one entry of the table of statics.
pub const STATIC_LEN: usize = 16;
/// Size in bytes of one entry of the table of answers.
pub const ANSWER_LEN: usize = 24;
/// Size in bytes of one entry of the table of bound pointers.
pub const BOUND_LEN: usize = 16;
/// Size in bytes of an encoded [`Footer`](crate::image::Footer).
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

/// [`Header::flags`](crate::image::Header::flags): the executable is position-independent, so words listed in
/// [`TableKind::StaticPointers`](crate::image::TableKind::StaticPointers) move with its load address.
pub const FLAG_PIE: u64 = 1;
/// [`Header::flags`](crate::image::Header::flags): made by a verbatim freeze, so it holds dead objects too.
pub const FLAG_VERBATIM: u64 = 2;
/// [`Header::flags`](crate::image::Header::flags): [`TableKind::ImagePointers`](crate::image::TableKind::ImagePointers) lists every pointer of the image into itself, and no object needs more
/// than an alignment of [`HOME_ALIGN`], so that the image can be used at a multiple of [`HOME_STEP`] from its home.
pub const FLAG_RELOCATABLE: u64 = 4;
/// [`Header::flags`](crate::image::Header::flags): to be mapped without permission to write.
pub const FLAG_READ_ONLY: u64 = 8;
/// [`Header::flags`](crate::image::Header::flags): a snapshot that is only used while fs-verity protects its file.
pub const FLAG_VERITY: u64 = 16;
/// [`Header::flags`](crate::image::Header::flags): no image, but what a cold binary needs to freeze itself where it runs.
pub const FLAG_COLD: u64 = 32;
/// [`Header::flags`](crate::image::Header::flags) in the section of an executable that has no image there: one is appended to its file. A start looks for
/// none otherwise. In a placeholder the flag stands for itself, outside of any digest.
pub const FLAG_FOOTER: u64 = 64;
/// [`Header::flags`](super::Header::flags): of a position-independent executable that the system loads at multiples of [`HOME_ALIGN`] from
/// [`Header::exe_base`](super::Header::exe_base): only such distances were proved to be right.
pub const FLAG_EXE_ALIGNED: u64 = 128;
/// Every flag this version knows, and its name.
pub const FLAGS: [(u64, &str); 8] = [
    (FLAG_PIE, "pie"),
    (FLAG_VERBATIM, "verbatim"),
    (FLAG_RELOCATABLE, "relocatable"),
    (FLAG_READ_ONLY, "read-only"),
    (FLAG_VERITY, "fs-verity"),
    (FLAG_COLD, "cold"),
    (FLAG_FOOTER, "footer"),
    (FLAG_EXE_ALIGNED, "exe-aligned"),
];
/// All of them together.
pub(super) const KNOWN_FLAGS: u64 = {
    let (mut known, mut index) = (0, 0);
    while index < FLAGS.len() {
        known |= FLAGS[index].0;
        index += 1;
    }
    known
};
