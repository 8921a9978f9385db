//! Relocate: gets an image to its home address, or makes it right for the address that it is at.
//!
//! ```text
//! section, non-PIE    at home already
//! section, PIE        home is reserved and the segment moved there; else it stays where it is
//! footer, snapshot    the kernel is asked for home; it maps the file elsewhere if something is there
//! ```
//!
//! An image that is not at home is moved to where its distance from home is a multiple of 2 MiB, and has the distance added
//! to each of its pointers into itself, if it knows them all.

use crate::format::{self, FLAG_READ_ONLY, FLAG_RELOCATABLE, FormatError, HOME_ALIGN, HeaderPage, PAGE, TableKind};
use crate::section::Program;
use crate::sys::{self, Descriptor};
use crate::thaw::Reason;
use core::ptr;

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

    /// Maps the image: at its home address if nothing is there.
    pub(crate) fn map(&self, page: HeaderPage) -> Result<Mapped, Reason> {
        let (home, length) = (page.header.home as usize, page.header.length as usize);
        let writable = page.header.flags & FLAG_READ_ONLY == 0;
        match sys::map_private(&self.file, self.offset, length, home, writable) {
            Ok(address) => Ok(Mapped { page, address, writable }),
            Err(errno) => Err(Reason::Map { length: page.header.length, errno }),
        }
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
    pub(crate) fn verify(&self, kind: TableKind) -> Result<(), Reason> {
        match self.page.entry(kind) {
            Some(entry) => entry.verify(self.table(kind)).map_err(Reason::Format),
            None => Ok(()),
        }
    }

    /// The same, and that every entry of a relocation table lies in the image data.
    pub(crate) fn verify_relocations(&self, kind: TableKind) -> Result<(), Reason> {
        self.verify(kind)?;
        match format::relocations(self.table(kind), &self.page.header).find_map(Result::err) {
            Some(error) => Err(Reason::Format(error)),
            None => Ok(()),
        }
    }

    /// Moves the image to its home address.
    ///
    /// # Safety
    /// Nothing refers to where it is now.
    pub(crate) unsafe fn move_home(&mut self) -> Result<(), i32> {
        let (home, length) = (self.page.header.home as usize, self.length());
        sys::reserve(home, length)?;
        // SAFETY: the target was reserved just now; the rest is the caller's promise.
        let moved = unsafe { sys::move_pages(self.address..self.address + length, home) };
        match moved {
            Ok(()) => self.address = home,
            Err(_) => sys::release(home, length),
        }
        moved
    }

    /// Moves the image to where its distance from home is a multiple of [`HOME_ALIGN`], as that of the two images was that
    /// the table of image pointers comes from. The bytes of a word that such a distance does not change may be a number
    /// that was written over those of an address; another distance would change the number.
    ///
    /// # Safety
    /// Nothing refers to where it is now.
    unsafe fn move_to_alignment(&mut self) -> Result<(), i32> {
        let align = HOME_ALIGN as usize;
        if self.address.is_multiple_of(align) {
            return Ok(());
        }
        let length = self.length();
        let reserved = sys::reserve_anywhere(length + align)?;
        let target = reserved.next_multiple_of(align);
        // SAFETY: the target was reserved just now; the rest is the caller's promise.
        let moved = unsafe { sys::move_pages(self.address..self.address + length, target) };
        let behind = target + if moved.is_ok() { length } else { 0 };
        sys::release(reserved, target - reserved);
        sys::release(behind, reserved + length + align - behind);
        moved.map(|()| self.address = target)
    }

    /// Makes every pointer in the image right: those into the executable, which was loaded at `program.exe_base`, and
    /// those into the image itself. `refused` is why the image is not at home, if it is not.
    ///
    /// Whatever is wrong with the table of image pointers is noticed before anything is written; that of static pointers
    /// was verified.
    ///
    /// # Safety
    /// The image belongs to this program, and nothing refers to its data.
    pub(crate) unsafe fn relocate(&mut self, program: &Program, refused: i32) -> Result<(), Reason> {
        let header = &self.page.header;
        let read_only = header.flags & FLAG_READ_ONLY != 0;
        let slide = (program.exe_base as u64).wrapping_sub(header.exe_base);
        if self.distance() != 0 {
            if header.flags & FLAG_RELOCATABLE == 0 {
                return Err(Reason::Home { home: header.home, errno: refused });
            }
            let length = header.length;
            // SAFETY: the caller's promise.
            unsafe { self.move_to_alignment() }.map_err(|errno| Reason::Map { length, errno })?;
            self.verify_relocations(TableKind::ImagePointers)?;
        }
        let distance = self.distance();
        for (kind, distance) in [(TableKind::StaticPointers, slide), (TableKind::ImagePointers, distance)] {
            if distance == 0 || self.page.entry(kind).is_none() {
                continue;
            }
            self.set_writable(true)?;
            // SAFETY: writable now; the rest is the caller's promise.
            unsafe { self.add_to_each(kind, distance) };
        }
        self.set_writable(!read_only)
    }

    fn set_writable(&mut self, writable: bool) -> Result<(), Reason> {
        if self.writable != writable {
            sys::protect(self.address, self.length(), writable).map_err(|errno| Reason::Protect { errno })?;
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
