//! Header: the first bytes of an image.

use super::bytes::{Writer, digest, digest_from};
use super::layout::{HEADER_LEN, MACHINE, MAGIC, PAGE, VALID, VERSION};
use crate::features::Mask;

/// The first 128 bytes of an image, and of the placeholder in a cold binary (where only `magic`, `version`, `machine`,
/// `page_size`, `identity` and one flag mean something).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// Size in bytes of a page on the machine that made the image.
    pub page_size: u32,
    /// `FLAG_*` bits.
    pub flags: u64,
    /// The address the image is made for; a multiple of [`HOME_ALIGN`](crate::image::HOME_ALIGN) in [`HOME_WINDOW`](crate::image::HOME_WINDOW).
    pub home: u64,
    /// Length of the image in bytes, header included; a multiple of [`PAGE`].
    pub length: u64,
    /// Load bias of the executable that the static pointers in the image are right for (0 for non-PIE).
    pub exe_base: u64,
    /// Processor features (see [`crate::features`]) that the values depend on: the first 64,
    pub cpu: u64,
    /// Number of entries in the table directory.
    pub table_count: u32,
    /// Number of entries in the root directory.
    pub root_count: u32,
    /// SHA-256 of the loaded bytes of the binary the image belongs to.
    pub identity: [u8; 32],
    /// Offset in bytes of the image data; a multiple of [`PAGE`] below 4 GiB.
    pub data_offset: u64,
    /// and 32 more of them.
    pub cpu_more: u32,
    /// Length of the image data in bytes.
    pub data_length: u64,
}

/// Offset in bytes of [`Header::flags`], for marking the placeholder of an executable that has a footer.
pub const FLAGS_OFFSET: usize = 16;
/// Offset in bytes of [`Header::identity`], for stamping the placeholder of a cold binary.
pub const IDENTITY_OFFSET: usize = 64;
pub(super) const DIGEST_OFFSET: usize = 112;
pub(super) const VALID_OFFSET: usize = 120;

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
            .put(&(self.data_offset as u32).to_le_bytes())
            .put(&self.cpu_more.to_le_bytes())
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

impl Header {
    /// The processor features that the values depend on.
    #[inline]
    pub fn features(&self) -> Mask {
        Mask::from(self.cpu) | Mask::from(self.cpu_more) << 64
    }

    /// The same header, with these instead.
    #[must_use]
    pub fn with_features(self, features: Mask) -> Self {
        Self { cpu: features as u64, cpu_more: (features >> 64) as u32, ..self }
    }

    /// Addresses of the image data.
    #[inline]
    pub fn data_range(&self) -> core::ops::Range<u64> {
        // Decoding proved that none of these sums overflows: offset + length ≤ length ≤ end of the window.
        let start = self.home.wrapping_add(self.data_offset);
        start..start.wrapping_add(self.data_length)
    }
}
