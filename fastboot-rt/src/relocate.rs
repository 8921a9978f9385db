//! Relocate: gets an image to its home address, or to another one that it can be made right for.
//!
//! ```text
//! section, non-PIE    at home already
//! section, PIE        the place is reserved and the segment moved there
//! footer, snapshot    the kernel is asked for the place; if something is there, it maps the file elsewhere, and is asked
//!                     for the next one
//! ```
//!
//! An image that is not at home has the distance added to each of its pointers into itself, if it knows them all.

use crate::format::{
    self, FLAG_READ_ONLY, FLAG_RELOCATABLE, FormatError, HOME_STEP, HOME_WINDOW, Header, HeaderPage, PAGE, TableKind,
};
use crate::section::Program;
use crate::sys::{self, Descriptor};
use crate::thaw::Reason;
use core::ops::Range;
use core::ptr;

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
    /// Reads the header page and checks that the image is as long as it says.
    pub(crate) fn header_page(&self) -> Result<HeaderPage, Reason> {
        let mut first = [0; PAGE];
        let told = |errno| Reason::File { call: "read it", errno };
        let read = self.file.read_at(&mut first, self.offset).map_err(told)?;
        let page = HeaderPage::decode(first.get(..read).unwrap_or(&[])).map_err(Reason::Format)?;
        let (expected, found) = (page.header.length, self.length);
        if found < expected {
            return Err(Reason::Format(FormatError::Truncated { expected, found }));
        }
        if found > expected {
            return Err(Reason::Format(FormatError::Field { field: "length of the file", found }));
        }
        Ok(page)
    }

    /// Maps the image in one of its places.
    pub(crate) fn map(&self, page: HeaderPage) -> Result<Mapped, Reason> {
        let length = page.header.length as usize;
        let writable = page.header.flags & FLAG_READ_ONLY == 0;
        for place in places(&page.header) {
            match sys::map_private(&self.file, self.offset, length, place, writable) {
                Ok(address) if address == place => return Ok(Mapped { page, address, writable }),
                Ok(address) => sys::release(address, length),
                Err(errno) => return Err(Reason::Map { length: page.header.length, errno }),
            }
        }
        Err(Reason::home(&page.header, libc::EEXIST))
    }
}

/// An image that is mapped, and its header, decoded.
pub(crate) struct Mapped {
    pub(crate) page: HeaderPage,
    /// Where it is: the address of a page, with `page.header.length` readable bytes behind it.
    pub(crate) address: usize,
    /// Whether the mapping may be written to.
    pub(crate) writable: bool,
}

impl Mapped {
    /// Length in bytes.
    pub(crate) fn length(&self) -> usize {
        self.page.header.length as usize
    }

    /// How far it is from home; 0 at home.
    pub(crate) fn distance(&self) -> u64 {
        (self.address as u64).wrapping_sub(self.page.header.home)
    }

    /// The bytes of a table; empty when there is none. Not checked yet.
    #[inline]
    pub(crate) fn table(&self, kind: TableKind) -> &[u8] {
        let Some(table) = self.page.entry(kind) else { return &[] };
        // SAFETY: whoever made this found `page.header.length` bytes to be mapped and readable at `address`, and decoding
        // proved offset + length to be at most that. Tables lie outside of the image data, so nobody writes to them. The
        // mapping is removed by `unmap` alone, which takes `self`.
        unsafe {
            core::slice::from_raw_parts(
                ptr::with_exposed_provenance::<u8>(self.address + table.offset as usize),
                table.length as usize,
            )
        }
    }

    /// Compares a table's digest; nothing to compare when there is none.
    #[inline]
    pub(crate) fn verify(&self, kind: TableKind) -> Result<(), Reason> {
        match self.page.entry(kind) {
            Some(entry) => entry.verify(self.table(kind)).map_err(Reason::Format),
            None => Ok(()),
        }
    }

    /// The same, and that every entry of a relocation table lies in the image data.
    #[cold]
    #[inline(never)]
    pub(crate) fn verify_relocations(&self, kind: TableKind) -> Result<(), Reason> {
        self.verify(kind)?;
        match format::relocations(self.table(kind), &self.page.header).find_map(Result::err) {
            Some(error) => Err(Reason::Format(error)),
            None => Ok(()),
        }
    }

    /// Moves the image to one of its places.
    ///
    /// # Safety
    /// Nothing refers to where it is now.
    #[cold]
    pub(crate) unsafe fn move_home(&mut self) -> Result<(), Reason> {
        let mut refused = None;
        for place in places(&self.page.header) {
            // SAFETY: the caller's promise.
            match unsafe { self.move_to(place) } {
                Ok(()) => return Ok(()),
                Err(errno) => refused = refused.or(Some(errno)),
            }
        }
        Err(Reason::home(&self.page.header, refused.unwrap_or(0)))
    }

    /// Moves the image to `place`, if nothing is there.
    ///
    /// # Safety
    /// Nothing refers to where it is now.
    unsafe fn move_to(&mut self, place: usize) -> Result<(), i32> {
        sys::reserve(place, self.length())?;
        // SAFETY: the target was reserved just now; the rest is the caller's promise.
        let moved = unsafe { sys::move_pages(self.address..self.address + self.length(), place) };
        match moved {
            Ok(()) => self.address = place,
            Err(_) => sys::release(place, self.length()),
        }
        moved
    }

    /// Makes every pointer in the image right: those into the executable, which was loaded at `program.exe_base`, and
    /// those into the image itself.
    ///
    /// Whatever is wrong with the table of image pointers is noticed before anything is written; that of static pointers
    /// was verified.
    ///
    /// # Safety
    /// The image belongs to this program and is in one of its places, and nothing refers to its data.
    #[inline]
    pub(crate) unsafe fn relocate(&mut self, program: &Program) -> Result<(), Reason> {
        let slide = (program.exe_base as u64).wrapping_sub(self.page.header.exe_base);
        let distance = self.distance();
        if slide == 0 && distance == 0 {
            return self.set_writable(self.page.header.flags & FLAG_READ_ONLY == 0);
        }
        // SAFETY: the caller's promise.
        unsafe { self.relocate_by(slide, distance) }
    }

    /// Adds `slide` to the static pointers, and `distance` to those into the image.
    ///
    /// # Safety
    /// That of [`Mapped::relocate`].
    #[cold]
    #[inline(never)]
    unsafe fn relocate_by(&mut self, slide: u64, distance: u64) -> Result<(), Reason> {
        let read_only = self.page.header.flags & FLAG_READ_ONLY != 0;
        if distance != 0 {
            self.verify_relocations(TableKind::ImagePointers)?;
        }
        for (kind, distance) in [(TableKind::StaticPointers, slide), (TableKind::ImagePointers, distance)] {
            if distance == 0 {
                continue;
            }
            // No more pages than has to be: what may be written to counts as memory of the process.
            let pages = if self.writable { None } else { self.pages_with(kind) };
            self.protect(pages.as_ref(), true)?;
            // SAFETY: all that the table lists is writable now; the rest is the caller's promise.
            unsafe { self.add_to_each(kind, distance) };
            self.protect(pages.as_ref(), false)?;
        }
        self.set_writable(!read_only)
    }

    /// The pages from the first word that a relocation table lists to its last, as distances from the image's address.
    fn pages_with(&self, kind: TableKind) -> Option<Range<usize>> {
        let mut offsets = format::relocations(self.table(kind), &self.page.header).flatten();
        let first = offsets.next()? as usize;
        let last = offsets.last().map_or(first, |last| last as usize);
        Some(first & !(PAGE - 1)..(last + size_of::<u64>()).next_multiple_of(PAGE))
    }

    /// Changes what may be done to pages, if there are any.
    fn protect(&self, pages: Option<&Range<usize>>, writable: bool) -> Result<(), Reason> {
        let Some(pages) = pages else { return Ok(()) };
        sys::protect(self.address + pages.start, pages.len(), writable).map_err(|errno| Reason::Protect { errno })
    }

    fn set_writable(&mut self, writable: bool) -> Result<(), Reason> {
        if self.writable != writable {
            self.protect(Some(&(0..self.length())), writable)?;
            self.writable = writable;
        }
        Ok(())
    }

    /// Adds `distance` to the words that a relocation table lists.
    ///
    /// # Safety
    /// The mapping is writable, and nothing refers to the image data.
    unsafe fn add_to_each(&self, kind: TableKind, distance: u64) {
        for offset in format::relocations(self.table(kind), &self.page.header).flatten() {
            let word = ptr::with_exposed_provenance_mut::<u64>(self.address + offset as usize);
            // SAFETY: `relocations` keeps to eight bytes inside the image data; the rest is the caller's promise. Packed
            // structs hold unaligned words.
            unsafe { word.write_unaligned(word.read_unaligned().wrapping_add(distance)) };
        }
    }

    /// Removes the mapping of an image that is not used.
    pub(crate) fn unmap(self) {
        sys::release(self.address, self.length());
    }
}
