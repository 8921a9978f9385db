//! Thaw: makes the image available at start.
//!
//! ```text
//! non-PIE   execve mapped the section's segment at the home address: nothing to do but check and publish
//! PIE       execve mapped it behind .bss, wherever the executable is: reserve the home address, move it there,
//!           add the executable's slide to the words listed as static pointers
//! ```
//!
//! No allocation, no panic, and no write to anything before every check has passed.

use crate::format::{self, FLAG_PIE, FormatError, HOME_WINDOW, HeaderPage, PAGE, TableKind};
use crate::roots::Source;
use crate::start::Placeholder;
use crate::{alloc, cpu, roots, sys};
use core::fmt;
use core::ops::Range;
use core::ptr;

/// What a thaw made available.
pub(crate) struct Thawed {
    pub(crate) source: Source,
    pub(crate) roots: u32,
    pub(crate) home: u64,
    /// In bytes.
    pub(crate) length: u64,
}

/// Why the roots will be evaluated instead.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub(crate) enum Reason {
    /// `FASTBOOT=off`.
    Off,
    /// The kernel does not say where the program headers are.
    NoProgramHeaders,
    /// The section has no segment of its own.
    NoSegment,
    /// The bytes are no image for this program.
    Format(FormatError),
    /// The segment is shorter than the image says.
    Segment { expected: u64, found: u64 },
    /// Mapped elsewhere than where the image belongs.
    Home { expected: u64, found: u64 },
    /// Something is at the home address, or the system refuses to move the image there.
    Reserve { home: u64, errno: i32 },
    /// The processor lacks features the values were built with.
    Cpu { missing: u64 },
    /// The roots in the image are not the roots in the program.
    Roots { expected: usize, found: u32 },
    /// A root's type has another size or alignment.
    Root { name: &'static str },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Off => f.write_str("FASTBOOT=off"),
            Self::NoProgramHeaders => f.write_str("the kernel does not say where the program headers are"),
            Self::NoSegment => f.write_str("the fastboot section has no segment; build with `cargo fastboot build`"),
            Self::Format(FormatError::Cold) => f.write_str("no image embedded; build with `cargo fastboot build`"),
            Self::Format(error) => write!(f, "{error}"),
            Self::Segment { expected, found } => {
                write!(f, "image truncated: the segment has {found} bytes, the image {expected}")
            }
            Self::Home { expected, found } => {
                write!(f, "image for {expected:#x} mapped at {found:#x}; was its segment moved after embedding?")
            }
            Self::Reserve { home, errno } => {
                write!(f, "home address {home:#x} not available (")?;
                match errno {
                    libc::EEXIST => f.write_str("something is mapped there"),
                    libc::ENOMEM => f.write_str("not enough memory or address space"),
                    libc::EPERM | libc::EACCES | libc::ENOSYS => f.write_str("system call refused"),
                    errno => write!(f, "errno {errno}"),
                }?;
                f.write_str(")")
            }
            Self::Cpu { missing } => {
                f.write_str("the processor lacks")?;
                for name in cpu::names(missing) {
                    write!(f, " {name}")?;
                }
                f.write_str(", which the values were built with")
            }
            Self::Roots { expected, found } => write!(f, "image has {found} roots, the program {expected}"),
            Self::Root { name } => write!(f, "root `{name}` has another type in the image"),
        }
    }
}

/// A segment that may hold an image: mapped, readable and writable, as the program headers say.
struct Segment {
    address: usize,
    /// Length in bytes of what is backed by the file.
    length: usize,
    /// Load bias of the executable.
    exe_base: usize,
}

/// The segment of the `fastboot` section: where it was linked, or, moved by embedding, at a home address.
fn find_segment(placeholder: &'static Placeholder) -> Result<Segment, Reason> {
    let (headers, exe_base) = sys::program_headers().ok_or(Reason::NoProgramHeaders)?;
    let mine = |header: &&libc::Elf64_Phdr| {
        let moved = exe_base == 0 && HOME_WINDOW.contains(&header.p_vaddr);
        let linked = exe_base.wrapping_add(header.p_vaddr as usize) == placeholder.address();
        header.p_type == libc::PT_LOAD
            && header.p_flags & (libc::PF_R | libc::PF_W) == libc::PF_R | libc::PF_W
            && (moved || linked)
    };
    let header = headers.iter().rfind(mine).ok_or(Reason::NoSegment)?;
    let address = exe_base.wrapping_add(header.p_vaddr as usize);
    if address % PAGE != 0 || address == 0 {
        return Err(Reason::NoSegment);
    }
    Ok(Segment { address, length: header.p_filesz as usize, exe_base })
}

/// Thaws the image in the executable's own section.
pub(crate) fn section(placeholder: &'static Placeholder) -> Result<Thawed, Reason> {
    let segment = find_segment(placeholder)?;
    // SAFETY: the kernel mapped `length` bytes of this segment at `address` (page-aligned, not null) because the program
    // header says so; the part read here is at most the first page, which the segment has, because its address is
    // page-aligned and the kernel maps whole pages. Nothing writes to the header page: image data begins behind it.
    let first = unsafe {
        core::slice::from_raw_parts(ptr::with_exposed_provenance::<u8>(segment.address), segment.length.min(PAGE))
    };
    let page = HeaderPage::decode(first).map_err(Reason::Format)?;
    let header = page.header;
    if header.length > segment.length as u64 {
        return Err(Reason::Segment { expected: header.length, found: segment.length as u64 });
    }
    let missing = header.cpu & !cpu::features();
    if missing != 0 {
        return Err(Reason::Cpu { missing });
    }
    let pie = header.flags & FLAG_PIE != 0;
    let home = header.home as usize;
    let length = header.length as usize;
    if !pie && (segment.address != home || segment.exe_base as u64 != header.exe_base) {
        return Err(Reason::Home { expected: header.home, found: segment.address as u64 });
    }
    let image = segment.address..segment.address + length;
    check(&page, image.start, segment.exe_base)?;
    if pie {
        sys::reserve(home, length).map_err(|errno| Reason::Reserve { home: header.home, errno })?;
        // SAFETY: nothing refers to the segment: the slices made of it above and in `check` are not used again, and the
        // placeholder static is only ever used for its address. The target was reserved just now.
        let moved = unsafe { sys::move_pages(image, home) };
        if let Err(errno) = moved {
            sys::release(home, length);
            return Err(Reason::Reserve { home: header.home, errno });
        }
        // SAFETY: the image is at `home` now, it passed `check`, and nothing refers to it yet.
        unsafe { relocate(&page, (segment.exe_base as u64).wrapping_sub(header.exe_base)) };
    }
    // SAFETY: the image is at its home address, passed `check`, and its static pointers are right: in a non-PIE they
    // cannot be wrong, in a PIE they were relocated.
    unsafe {
        restore(&page, segment.exe_base);
        publish(&page);
    }
    alloc::set_image(home, length);
    Ok(Thawed { source: Source::Section, roots: header.root_count, home: header.home, length: header.length })
}

/// The bytes of a table of an image that is mapped at `address`; empty when there is none. Not checked yet.
///
/// # Safety
/// `page.header.length` bytes are mapped and readable at `address`, for as long as the result is used.
unsafe fn table<'a>(page: &HeaderPage, kind: TableKind, address: usize) -> &'a [u8] {
    let Some(table) = page.entry(kind) else { return &[] };
    // SAFETY: decoding proved offset + length ≤ `header.length`, which the caller promises to be mapped. Tables lie
    // outside the image data, so the program never writes to them.
    unsafe {
        core::slice::from_raw_parts(
            ptr::with_exposed_provenance::<u8>(address + table.offset as usize),
            table.length as usize,
        )
    }
}

/// Checks every table that the thaw needs, and that the image's roots are the program's.
fn check(page: &HeaderPage, address: usize, exe_base: usize) -> Result<(), Reason> {
    for kind in [TableKind::Roots, TableKind::StaticPointers, TableKind::Carried] {
        if let Some(entry) = page.entry(kind) {
            // SAFETY: the caller found the segment to be as long as the image.
            entry.verify(unsafe { table(page, kind, address) }).map_err(Reason::Format)?;
        }
    }
    // SAFETY: as above.
    let [roots, pointers, carried] = unsafe {
        [TableKind::Roots, TableKind::StaticPointers, TableKind::Carried].map(|kind| table(page, kind, address))
    };
    let mut expected = 0;
    for (index, record) in roots::all().enumerate() {
        expected = index + 1;
        if expected > page.header.root_count as usize {
            continue;
        }
        let root = page.root(roots, index).map_err(Reason::Format)?;
        if root.size != record.size() as u64 || root.align != record.align() as u64 {
            return Err(Reason::Root { name: record.name() });
        }
    }
    if expected != page.header.root_count as usize {
        return Err(Reason::Roots { expected, found: page.header.root_count });
    }
    for entry in format::carried(carried, &page.header) {
        let entry = entry.map_err(Reason::Format)?;
        let start = exe_base.wrapping_add(entry.address as usize);
        let end = start.wrapping_add(entry.length as usize);
        let holds = |segment: Range<usize>| segment.start <= start && start <= end && end <= segment.end;
        if !sys::writable_segments(address).any(holds) {
            return Err(Reason::Format(FormatError::Field { field: "carried static", found: entry.address }));
        }
    }
    match format::relocations(pointers, &page.header).find_map(Result::err) {
        Some(error) => Err(Reason::Format(error)),
        None => Ok(()),
    }
}

/// Gives the carried statics the bytes they had after the roots were evaluated.
///
/// # Safety
/// The image is mapped at its home address, passed [`check`], and its pointers are right. No code of the program has
/// run yet, so that nothing relies on what the statics hold now.
unsafe fn restore(page: &HeaderPage, exe_base: usize) {
    let home = page.header.home as usize;
    // SAFETY: the image is mapped at `home`.
    let entries = unsafe { table(page, TableKind::Carried, home) };
    for entry in format::carried(entries, &page.header).flatten() {
        let from = ptr::with_exposed_provenance::<u8>(home + entry.offset as usize);
        let to = ptr::with_exposed_provenance_mut::<u8>(exe_base.wrapping_add(entry.address as usize));
        // SAFETY: `check` found the target inside a writable segment of the executable and the source inside the image
        // data; the two are different mappings. The statics are those of this very binary, and the bytes are what they
        // held in its freeze run: valid values of their types, with their pointers right for this process.
        unsafe { ptr::copy_nonoverlapping(from, to, entry.length as usize) };
    }
}

/// Adds the executable's slide to the words that hold addresses inside it.
///
/// # Safety
/// The image is mapped, writable, at its home address, and passed [`check`]; nothing refers to its data.
unsafe fn relocate(page: &HeaderPage, slide: u64) {
    let home = page.header.home as usize;
    // SAFETY: the image is mapped at `home`.
    let pointers = unsafe { table(page, TableKind::StaticPointers, home) };
    for offset in format::relocations(pointers, &page.header).flatten() {
        let word = ptr::with_exposed_provenance_mut::<u64>(home + offset as usize);
        // SAFETY: `relocations` keeps to eight bytes inside the image data, which is mapped and writable and which
        // nothing refers to. Packed structs hold unaligned words.
        unsafe { word.write_unaligned(word.read_unaligned().wrapping_add(slide)) };
    }
}

/// Gives every root its value.
///
/// # Safety
/// The image is mapped at its home address, passed [`check`], and its pointers are right.
unsafe fn publish(page: &HeaderPage) {
    // SAFETY: the image is mapped at its home address.
    let entries = unsafe { table(page, TableKind::Roots, page.header.home as usize) };
    for (index, record) in roots::all().enumerate() {
        if let Ok(root) = page.root(entries, index) {
            // SAFETY: the image belongs to this very binary, so entry `index` is this record's, and its size and
            // alignment were compared. The bytes at its address are the value that this binary evaluated in its freeze
            // run, at the same address, with everything it points to at the same addresses; the freeze process is gone,
            // so nothing else refers to it. The mapping is never removed.
            unsafe { record.publish(ptr::with_exposed_provenance_mut(root.value as usize)) };
        }
    }
}

/// Whether this is an embedded binary, or may be one.
pub(crate) fn is_embedded(placeholder: &'static Placeholder) -> bool {
    find_segment(placeholder).is_ok_and(|segment| segment.length > format::HEADER_LEN)
}
