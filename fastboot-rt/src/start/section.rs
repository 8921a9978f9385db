//! Section: the first place an image may be, and what the running program says of itself.
//!
//! ```text
//! cold       the 128-byte placeholder, in a segment of its own, or among other data if no linker script was used;
//!            or, from `build --cold`, tables in its place, in a segment of their own
//! non-PIE    the image, in a segment of its own at the home address: execve mapped it there
//! PIE        the image, in a segment of its own behind .bss: execve mapped it wherever the executable is
//! ```
//!
//! Where an image was embedded, a copy of its first kilobyte lies among the program's own data, on a page that the kernel
//! has written to before the program begins (if there are not many roots). A start reads that one: unless tables that it needs
//! are longer, the image itself is not touched before its values are.

use super::reason::Reason;
use super::relocate::Mapped;
use crate::os::headers;
use core::cell::UnsafeCell;
use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering};
use fastboot_format::image::{
    self as format, FLAG_COLD, FLAG_FOOTER, FLAGS_OFFSET, FormatError, HEADER_COPY_LEN, HEADER_LEN, HOME_WINDOW,
    Header, HeaderPage, IDENTITY_OFFSET, MAGIC, PAGE, TableKind,
};

/// What the `fastboot` section of a cold binary holds: a header that says so.
///
/// Embedding moves the section (non-PIE) or lets it grow (PIE). So the address of this static says where the section
/// *was* linked, and its bytes are only read after the program headers confirmed that it is still there. The cell keeps
/// the compiler from assuming the bytes it was compiled with and makes the segment writable.
#[doc(hidden)]
#[repr(C, align(64))]
#[derive(Debug)]
pub struct Placeholder(UnsafeCell<[u8; HEADER_LEN]>);

// SAFETY: never accessed through this type: only its address is taken.
unsafe impl Sync for Placeholder {}

impl Placeholder {
    /// The placeholder of a cold binary.
    #[allow(clippy::new_without_default)]
    pub const fn new() -> Self {
        Self(UnsafeCell::new(Header::placeholder()))
    }

    /// Where the section was linked to be.
    pub(crate) fn address(&'static self) -> usize {
        self.0.get().expose_provenance()
    }
}

/// The copy of the beginning of the image; zeros until there is one.
#[repr(C, align(8))]
struct HeaderCopy(UnsafeCell<[u8; HEADER_COPY_LEN]>);

// SAFETY: nobody writes to it while the program runs.
unsafe impl Sync for HeaderCopy {}

// Beside the roots' statics, right before `.bss`. `used`, so that the compiler does not take it for what it was compiled as.
#[used]
#[unsafe(link_section = "fastboot_header")]
static HEADER_COPY: HeaderCopy = HeaderCopy(UnsafeCell::new([0; HEADER_COPY_LEN]));

/// Where the segment of a position-independent executable is since its image was moved away; 0 if it was not.
static MOVED: AtomicUsize = AtomicUsize::new(0);

/// What the running program says of itself.
pub(crate) struct Program {
    /// Load bias of the executable: 0 for non-PIE.
    pub(crate) exe_base: usize,
    /// The segment of the `fastboot` section, if it has one of its own.
    pub(crate) segment: Option<Segment>,
    /// Where the section begins, if its first [`HEADER_LEN`] bytes are mapped.
    header: Option<usize>,
}

/// A segment that may hold an image: mapped and readable, as the program headers say.
pub(crate) struct Segment {
    /// Its first address, that of a page.
    pub(crate) address: usize,
    /// Length in bytes of what is backed by the file.
    length: usize,
    writable: bool,
}

impl Program {
    /// Finds the section: where it was linked, or, moved by embedding, at a home address.
    #[inline]
    pub(crate) fn find(placeholder: &'static Placeholder) -> Result<Self, Reason> {
        let (headers, exe_base) = headers::program_headers().ok_or(Reason::NoProgramHeaders)?;
        let linked = placeholder.address();
        let mut program = Self { exe_base, segment: None, header: None };
        let readable = |header: &&libc::Elf64_Phdr| header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_R != 0;
        for header in headers.iter().filter(readable) {
            let mut address = exe_base.wrapping_add(header.p_vaddr as usize);
            let length = header.p_filesz as usize;
            let moved = exe_base == 0 && HOME_WINDOW.contains(&header.p_vaddr);
            if (moved || address == linked) && address % PAGE == 0 && address != 0 {
                // Nothing is where it was any more.
                match MOVED.load(Ordering::Relaxed) {
                    0 => {}
                    now => address = now,
                }
                program.segment = Some(Segment { address, length, writable: header.p_flags & libc::PF_W != 0 });
                program.header = (length >= HEADER_LEN).then_some(address);
            } else if linked.checked_sub(address).is_some_and(|before| before.saturating_add(HEADER_LEN) <= length) {
                program.header = Some(linked);
            }
        }
        Ok(program)
    }

    /// A program without the section `fastboot`.
    #[cfg(test)]
    pub(crate) fn without_section(exe_base: usize) -> Self {
        Self { exe_base, segment: None, header: None }
    }

    /// Bytes of the section's header, unchecked, as the tool stamped them.
    fn stamped<const OFFSET: usize, const N: usize>(&self) -> Option<[u8; N]> {
        const { assert!(OFFSET + N <= HEADER_LEN, "part of the header") };
        let start = ptr::with_exposed_provenance::<[u8; N]>(self.header? + OFFSET);
        // SAFETY: `find` saw in the program headers that the first `HEADER_LEN` bytes of the section are mapped and
        // readable, or `moved_to` was told where they are now, and these are among them. Bytes have no alignment, and
        // nothing writes to them. Volatile: they are not those that the compiler knows, since the tool wrote to the file.
        Some(unsafe { start.read_volatile() })
    }

    /// SHA-256 of what the program loads, as the tool stamped it; `None` for a program that was never stamped, which no
    /// file can belong to.
    pub(crate) fn identity(&self) -> Option<[u8; 32]> {
        self.stamped::<IDENTITY_OFFSET, 32>().filter(|identity| *identity != [0; 32])
    }

    /// Whether an image may be appended to the executable's file: the section says so, or is no placeholder, because it
    /// holds an image that is of no use.
    pub(crate) fn may_have_footer(&self) -> bool {
        self.had_footer() || self.is_embedded()
    }

    /// Whether the section says that an image was appended to the executable's file.
    pub(crate) fn had_footer(&self) -> bool {
        let flags = self.stamped::<FLAGS_OFFSET, 8>().map_or(0, u64::from_le_bytes);
        flags & FLAG_FOOTER != 0
    }

    /// The section's image was moved away, and its header with it: from now on, for whoever asks.
    pub(crate) fn moved_to(&mut self, address: usize) {
        MOVED.store(address, Ordering::Relaxed);
        self.header = Some(address);
        if let Some(segment) = &mut self.segment {
            segment.address = address;
        }
    }

    /// Whether the section holds an image, good or not.
    pub(crate) fn is_embedded(&self) -> bool {
        self.segment.as_ref().is_some_and(|segment| segment.length > HEADER_LEN) && self.cold_tables().is_none()
    }

    /// What the section of a cold binary holds that was built to freeze itself, checked.
    pub(crate) fn cold_tables(&self) -> Option<Mapped<'static>> {
        let tables = image(self).ok().filter(|found| found.header().flags & FLAG_COLD != 0)?;
        tables.verify(TableKind::Statics).ok()?;
        let sound = format::statics(tables.table(TableKind::Statics)).all(|entry| entry.is_ok());
        sound.then_some(tables)
    }
}

/// The image in the section, not yet checked further than its header.
#[inline]
pub(crate) fn image(program: &Program) -> Result<Mapped<'static>, Reason> {
    let segment = program.segment.as_ref().ok_or(Reason::NoSegment)?;
    // SAFETY: a static that nobody writes to while the program runs, the tool having written to it in the file.
    let copy = Some(unsafe { &*HEADER_COPY.0.get() }).filter(|copy| copy.starts_with(&MAGIC));
    let first = match copy {
        Some(copy) => copy.as_slice(),
        // SAFETY: the kernel mapped `length` bytes of this segment at `address` (page-aligned, not null) because the program
        // header says so; the part read here is at most the first page, which the segment has, because its address is
        // page-aligned and the kernel maps whole pages. Nothing writes to the header page: image data begins behind it.
        None => unsafe {
            core::slice::from_raw_parts(ptr::with_exposed_provenance::<u8>(segment.address), segment.length.min(PAGE))
        },
    };
    let header = HeaderPage::decode(first).map_err(Reason::Format)?.header;
    let (expected, found) = (header.length, segment.length as u64);
    if expected > found {
        return Err(Reason::Format(FormatError::Truncated { expected, found }));
    }
    if expected < found {
        return Err(Reason::Format(FormatError::Field { field: "length of the section", found }));
    }
    // SAFETY: the kernel mapped the segment, which is as long as the header says, because the program headers say so, and as
    // they say; `header` is that of its beginning, or of the copy, which embedding made of it. The segment stays.
    Ok(unsafe { Mapped::new(header, segment.address, segment.writable, copy) })
}
