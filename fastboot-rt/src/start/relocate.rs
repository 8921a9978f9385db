//! Relocate: gets an image to its home address, or to another one that it can be made right for.
//!
//! ```text
//! section, non-PIE    at home already
//! section, PIE        the segment is moved there, if nothing is there
//! footer, snapshot    the kernel is asked for the place; if something is there, it maps the file elsewhere, and is asked
//!                     for the next one
//! ```
//!
//! An image that is not at home has the distance added to each of its pointers into itself, if it knows them all.

use super::reason::Reason;
use crate::os::files::Descriptor;
use crate::os::{headers, memory};
use core::ops::Range;
use core::ptr;
use fastboot_format::image::{
    self as format, Bound, FLAG_READ_ONLY, FLAG_RELOCATABLE, FormatError, HEADER_COPY_LEN, HEADER_LEN, HOME_STEP,
    HOME_WINDOW, Header, HeaderPage, PAGE, TABLE_LEN, Table, TableKind,
};

/// Where an image may be: at home, and, if it is relocatable, at three more addresses.
fn places(header: &Header) -> impl Iterator<Item = usize> + use<> {
    let (home, length) = (header.home, header.length);
    let steps = if header.flags & FLAG_RELOCATABLE != 0 { 3 } else { 0 };
    let places = (0..=steps).map(move |step| home + step * HOME_STEP);
    places.filter(move |place| place + length <= HOME_WINDOW.end).map(|place| place as usize)
}

/// An image in a file, opened, nothing of it read.
pub(crate) struct Stored {
    pub(crate) file: Descriptor,
    /// Where in the file it begins, in bytes; a multiple of [`PAGE`].
    pub(crate) offset: u64,
    /// How many bytes there are.
    pub(crate) length: u64,
}

impl Stored {
    /// Reads the beginning and checks that the image is as long as its header says.
    pub(crate) fn header(&self, beginning: &mut [u8; HEADER_COPY_LEN]) -> Result<Header, Reason> {
        let cannot = Reason::cannot("read it");
        let read = self.file.read_at(beginning, self.offset).map_err(cannot)?;
        let header = HeaderPage::decode(beginning.get(..read).unwrap_or(&[])).map_err(Reason::Format)?.header;
        let (expected, found) = (header.length, self.length);
        if found < expected {
            return Err(Reason::Format(FormatError::Truncated { expected, found }));
        }
        if found > expected {
            return Err(Reason::Format(FormatError::Field { field: "length of the file", found }));
        }
        Ok(header)
    }

    /// Maps the image in one of its places. `header` is that of its beginning, which was read.
    pub(crate) fn map<'a>(&self, header: Header, beginning: &'a [u8; HEADER_COPY_LEN]) -> Result<Mapped<'a>, Reason> {
        let length = header.length as usize;
        let writable = header.flags & FLAG_READ_ONLY == 0;
        for place in places(&header) {
            match memory::map_private(&self.file, self.offset, length, place, writable) {
                Ok(address) if address == place => {
                    // SAFETY: mapped just now, privately; `header` was decoded from `beginning`, which the file begins with.
                    return Ok(unsafe { Mapped::new(header, address, writable, Some(beginning)) });
                }
                // SAFETY: mapped just now, and nobody knows of it.
                Ok(address) => unsafe { memory::release(address, length) },
                Err(errno) => return Err(Reason::Map { length: header.length, errno }),
            }
        }
        Err(Reason::home(&header, libc::EEXIST))
    }
}

/// An image that is mapped, and its header, decoded. Small enough to be passed on without a call of `memcpy`, whose code
/// would be a page fault more.
pub(crate) struct Mapped<'a> {
    header: Header,
    /// Where it is: the address of a page, with `header.length` readable bytes behind it, the first of which, or their
    /// copy, were accepted by [`HeaderPage::decode`].
    address: usize,
    /// Whether the mapping may be written to.
    writable: bool,
    /// A copy of its beginning, where memory was touched before, if there is one. What it has is not read of the image itself.
    copy: Option<&'a [u8; HEADER_COPY_LEN]>,
}

impl<'a> Mapped<'a> {
    /// An image of which nothing is known but its header.
    ///
    /// # Safety
    /// `header.length` readable bytes are mapped at `address`, writable if `writable` says so, for as long as this is used.
    /// Nobody else writes to them. [`HeaderPage::decode`] gave `header` for the first of them, or for `copy`, which is the
    /// same.
    #[inline(always)]
    pub(super) unsafe fn new(
        header: Header,
        address: usize,
        writable: bool,
        copy: Option<&'a [u8; HEADER_COPY_LEN]>,
    ) -> Self {
        Self { header, address, writable, copy }
    }

    /// Its header.
    #[inline(always)]
    pub(crate) fn header(&self) -> &Header {
        &self.header
    }

    /// Where it is.
    #[inline(always)]
    pub(crate) fn address(&self) -> usize {
        self.address
    }

    /// Length in bytes.
    pub(crate) fn length(&self) -> usize {
        self.header.length as usize
    }

    /// How far it is from home; 0 at home.
    pub(crate) fn distance(&self) -> u64 {
        (self.address as u64).wrapping_sub(self.header.home)
    }

    /// Bytes of the image outside of its data; none if it has not so many.
    #[inline(always)]
    fn bytes(&self, offset: usize, length: usize) -> &[u8] {
        let Some(end) = offset.checked_add(length).filter(|end| *end <= self.length()) else { return &[] };
        if let Some(copied) = self.copy.and_then(|copy| copy.get(offset..end)) {
            return copied;
        }
        // SAFETY: whoever made this promised that `header.length` bytes are mapped and readable at `address`, and these are
        // some of them. Callers ask for header, directory and tables, which this process never writes to, and nobody alters the file
        // (docs/safety.md). The mapping is removed by `unmap` alone, which takes `self`.
        unsafe { core::slice::from_raw_parts(ptr::with_exposed_provenance::<u8>(self.address + offset), length) }
    }

    /// The directory's entry for a table; `None` when the image has no such table.
    #[inline(always)]
    pub(crate) fn entry(&self, kind: TableKind) -> Option<Table> {
        // Decoding found the directory in the header page.
        let directory = self.bytes(HEADER_LEN, self.header.table_count as usize * TABLE_LEN);
        format::find(kind, directory, &self.header)
    }

    /// The bytes of a table; empty when there is none. Not checked yet.
    #[inline(always)]
    pub(crate) fn table(&self, kind: TableKind) -> &[u8] {
        self.entry(kind).map_or(&[], |table| self.bytes_of(&table))
    }

    /// The bytes of the table that an entry stands for. Decoding it proved that they are in the image and not in its data.
    #[inline(always)]
    fn bytes_of(&self, table: &Table) -> &[u8] {
        self.bytes(table.offset as usize, table.length as usize)
    }

    /// Compares a table's digest; nothing to compare when there is none.
    #[inline(always)]
    pub(crate) fn verify(&self, kind: TableKind) -> Result<(), Reason> {
        match self.entry(kind) {
            Some(entry) => entry.verify(self.bytes_of(&entry)).map_err(Reason::Format),
            None => Ok(()),
        }
    }

    /// The same, and that every entry of a relocation table lies in the image data.
    #[inline(never)]
    #[unsafe(link_section = ".text.fastboot")]
    pub(crate) fn verify_relocations(&self, kind: TableKind) -> Result<(), Reason> {
        self.verify(kind)?;
        match format::relocations(self.table(kind), &self.header).find_map(Result::err) {
            Some(error) => Err(Reason::Format(error)),
            None => Ok(()),
        }
    }

    /// Moves the image to one of its places.
    ///
    /// # Safety
    /// Nothing refers to where it is now.
    #[inline(never)]
    #[unsafe(link_section = ".text.fastboot")]
    pub(crate) unsafe fn move_home(&mut self) -> Result<(), Reason> {
        let mut refused = None;
        for place in places(&self.header) {
            // SAFETY: the caller's promise.
            match unsafe { self.move_to(place) } {
                Ok(()) => return Ok(()),
                Err(errno) => refused = refused.or(Some(errno)),
            }
        }
        Err(Reason::home(&self.header, refused.unwrap_or(0)))
    }

    /// Moves the image to `place`, if nothing is there.
    ///
    /// # Safety
    /// Nothing refers to where it is now.
    unsafe fn move_to(&mut self, place: usize) -> Result<(), i32> {
        // SAFETY: the caller's promise; the image was not changed yet.
        unsafe { memory::move_pages(self.address..self.address + self.length(), place) }?;
        self.address = place;
        Ok(())
    }

    /// Compares the digest of the table of bound pointers, and requires of each that it lies in the image data, and that the
    /// word of the executable is mapped and was given an address by the dynamic linker.
    #[cold]
    #[inline(never)]
    pub(crate) fn verify_bound(&self, exe_base: usize) -> Result<(), Reason> {
        self.verify(TableKind::BoundPointers)?;
        for entry in format::bound(self.table(TableKind::BoundPointers), &self.header) {
            let Bound { place, .. } = entry.map_err(Reason::Format)?;
            let start = exe_base.wrapping_add(place as usize);
            if !headers::loaded_segments().any(|segment| segment.contains(&start) && segment.end - start >= 8) {
                return Err(Reason::Format(FormatError::Field { field: "bound pointer", found: place }));
            }
            // SAFETY: these eight bytes are in a segment of the executable that the kernel mapped, readable, as the program
            // headers say. Nobody writes to them meanwhile: there is one thread.
            if unsafe { ptr::with_exposed_provenance::<u64>(start).read_unaligned() } == 0 {
                return Err(Reason::Unbound { place });
            }
        }
        Ok(())
    }

    /// Gives every word that holds the address of something in a shared library the address that it has in this process.
    ///
    /// # Safety
    /// [`Mapped::verify_bound`] accepted the table for this `exe_base`, and nothing refers to the image's data.
    #[cold]
    #[inline(never)]
    pub(crate) unsafe fn bind(&self, exe_base: usize) -> Result<(), Reason> {
        let entries = || format::bound(self.table(TableKind::BoundPointers), &self.header).flatten();
        let ends = entries().next().zip(entries().last());
        let pages = ends.filter(|_| !self.writable).map(|(first, last)| {
            first.offset as usize & !(PAGE - 1)..(last.offset as usize + size_of::<u64>()).next_multiple_of(PAGE)
        });
        // SAFETY: the caller's promise.
        unsafe { self.protect(pages.as_ref(), true) }?;
        for Bound { offset, place } in entries() {
            let from = ptr::with_exposed_provenance::<u64>(exe_base.wrapping_add(place as usize));
            let to = ptr::with_exposed_provenance_mut::<u64>(self.address + offset as usize);
            // SAFETY: `verify_bound` found the one to be mapped and readable; `bound` keeps to eight bytes inside the image
            // data, which are writable now, and nothing refers to them. The two do not overlap: the executable's segments were
            // mapped where the image is not.
            unsafe { to.write_unaligned(from.read_unaligned()) };
        }
        // SAFETY: the caller's promise.
        unsafe { self.protect(pages.as_ref(), false) }
    }

    /// Makes every pointer in the image right: those into the executable, which was loaded at `exe_base`, and
    /// those into the image itself.
    ///
    /// Whatever is wrong with the table of image pointers is noticed before anything is written; that of static pointers
    /// was verified.
    ///
    /// # Safety
    /// The image belongs to this program and is in one of its places, and nothing refers to its data.
    #[inline]
    pub(crate) unsafe fn relocate(&mut self, exe_base: usize) -> Result<(), Reason> {
        let slide = (exe_base as u64).wrapping_sub(self.header.exe_base);
        let distance = self.distance();
        if slide == 0 && distance == 0 {
            // SAFETY: the caller's promise.
            return unsafe { self.set_writable(self.header.flags & FLAG_READ_ONLY == 0) };
        }
        // SAFETY: the caller's promise.
        unsafe { self.relocate_by(slide, distance) }
    }

    /// Adds `slide` to the static pointers, and `distance` to those into the image.
    ///
    /// # Safety
    /// That of [`Mapped::relocate`].
    #[inline(never)]
    #[unsafe(link_section = ".text.fastboot")]
    unsafe fn relocate_by(&mut self, slide: u64, distance: u64) -> Result<(), Reason> {
        let read_only = self.header.flags & FLAG_READ_ONLY != 0;
        if distance != 0 {
            self.verify_relocations(TableKind::ImagePointers)?;
        }
        for (kind, distance) in [(TableKind::StaticPointers, slide), (TableKind::ImagePointers, distance)] {
            if distance == 0 {
                continue;
            }
            // No more pages than has to be: what may be written to counts as memory of the process.
            let pages = if self.writable { None } else { self.pages_with(kind) };
            // SAFETY: the caller's promise; all that the table lists is writable when it is written to.
            unsafe {
                self.protect(pages.as_ref(), true)?;
                self.add_to_each(kind, distance);
                self.protect(pages.as_ref(), false)?;
            }
        }
        // SAFETY: the caller's promise.
        unsafe { self.set_writable(!read_only) }
    }

    /// The pages from the first word that a relocation table lists to its last, as distances from the image's address.
    fn pages_with(&self, kind: TableKind) -> Option<Range<usize>> {
        let mut offsets = format::relocations(self.table(kind), &self.header).flatten();
        let first = offsets.next()? as usize;
        let last = offsets.last().map_or(first, |last| last as usize);
        Some(first & !(PAGE - 1)..(last + size_of::<u64>()).next_multiple_of(PAGE))
    }

    /// Changes what may be done to pages, if there are any.
    ///
    /// # Safety
    /// Nothing refers to the image's data.
    #[inline]
    unsafe fn protect(&self, pages: Option<&Range<usize>>, writable: bool) -> Result<(), Reason> {
        // SAFETY: the caller's promise.
        pages.map_or(Ok(()), |pages| unsafe { self.protect_pages(pages, writable) })
    }

    /// # Safety
    /// That of [`Mapped::protect`].
    #[cold]
    #[inline(never)]
    unsafe fn protect_pages(&self, pages: &Range<usize>, writable: bool) -> Result<(), Reason> {
        // SAFETY: pages of an image to whose data nothing refers yet: those who call have promised that.
        unsafe { memory::protect(self.address + pages.start, pages.len(), writable) }
            .map_err(|errno| Reason::Protect { errno })
    }

    /// # Safety
    /// That of [`Mapped::protect`].
    #[inline]
    unsafe fn set_writable(&mut self, writable: bool) -> Result<(), Reason> {
        if self.writable != writable {
            // SAFETY: the caller's promise.
            unsafe { self.protect(Some(&(0..self.length())), writable) }?;
            self.writable = writable;
        }
        Ok(())
    }

    /// Adds `distance` to the words that a relocation table lists.
    ///
    /// # Safety
    /// The mapping is writable, and nothing refers to the image data.
    unsafe fn add_to_each(&self, kind: TableKind, distance: u64) {
        for offset in format::relocations(self.table(kind), &self.header).flatten() {
            let word = ptr::with_exposed_provenance_mut::<u64>(self.address + offset as usize);
            // SAFETY: `relocations` keeps to eight bytes inside the image data; the rest is the caller's promise. Packed
            // structs hold unaligned words.
            unsafe { word.write_unaligned(word.read_unaligned().wrapping_add(distance)) };
        }
    }

    /// Removes the mapping of an image that is not used.
    ///
    /// # Safety
    /// Nothing refers to it.
    pub(crate) unsafe fn unmap(self) {
        // SAFETY: the caller's promise; whoever made this knew of the mapping alone.
        unsafe { memory::release(self.address, self.length()) };
    }
}
