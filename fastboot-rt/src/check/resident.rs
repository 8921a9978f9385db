//! Resident: tells the tool which pages of the image a run of the program touches.
//!
//! The kernel knows which pages are mapped (proc_pid_pagemap(5)). At the first touch of one it maps its neighbours in
//! the page cache too, but none beyond the mapping. So the image is taken apart into mappings of a page each, and what
//! the thaw brought in is let go of: what is mapped in the end was touched.

use crate::os::{environment, files, memory, processes};
use core::ffi::CStr;
use core::ops::Range;
use fastboot_format::image::PAGE;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::OnceLock;

/// The most mappings that the image is taken apart into; the pieces of a large one have several pages. The kernel allows
/// a process 65,530 (`vm.max_map_count`), and the program has others.
const MOST_PIECES: usize = 50_000;
/// In an entry of the pagemap: the page is in memory.
const PRESENT: u64 = 1 << 63;
/// It is the file's, or shared.
const OF_FILE: u64 = 1 << 61;
/// How many entries are read at a time.
const AT_ONCE: usize = 512;

struct Training {
    report: PathBuf,
    /// Addresses of the image.
    image: Range<usize>,
}

static TRAINING: OnceLock<Training> = OnceLock::new();

/// Has two states of the image's pages written into the file `report`: now, and when the program exits.
#[cold]
#[inline(never)]
pub(crate) fn begin(report: &'static CStr, address: usize, length: usize) {
    // Programs that this one starts are not meant.
    // SAFETY: before `main`, when there is one thread.
    unsafe { environment::remove_variable(c"FASTBOOT_TRAIN") };
    // A copy: the program may write over its environment.
    let report = PathBuf::from(OsStr::from_bytes(report.to_bytes()));
    let training = TRAINING.get_or_init(|| Training { report, image: address..address + length });
    training.take_apart();
    // Without a report the tool knows that this failed.
    if training.let_go().and_then(|()| training.append()).is_ok() {
        processes::at_exit(end);
    }
}

extern "C" fn end() {
    if let Some(training) = TRAINING.get() {
        let _ = training.append();
    }
}

impl Training {
    /// Makes each piece a mapping, by giving neighbours different advice.
    fn take_apart(&self) {
        let piece = self.image.len().div_ceil(PAGE).div_ceil(MOST_PIECES) * PAGE;
        for start in self.image.clone().step_by(piece).step_by(2) {
            memory::expect_random_access(start, piece.min(self.image.end - start));
        }
    }

    /// Unmaps the pages that are still those of the file.
    fn let_go(&self) -> io::Result<()> {
        self.for_each_entry(|page, entry| {
            if entry & (PRESENT | OF_FILE) == PRESENT | OF_FILE {
                // SAFETY: a page of the image's private mapping that nobody has written to, so that it comes back as it is.
                unsafe { memory::forget_pages(page, PAGE) };
            }
            Ok(())
        })
    }

    /// Appends the entries of all pages, eight bytes each, to the report.
    fn append(&self) -> io::Result<()> {
        let report = File::options().append(true).create(true).open(&self.report)?;
        // Forked children of the program exit too.
        files::lock(&report)?;
        // At once: a process that is killed meanwhile leaves all or nothing.
        let mut entries = Vec::with_capacity(self.image.len() / PAGE * 8);
        self.for_each_entry(|_, entry| {
            entries.extend_from_slice(&entry.to_le_bytes());
            Ok(())
        })?;
        (&report).write_all(&entries)
    }

    /// Calls `with` with the address and the pagemap's entry of each page.
    fn for_each_entry(&self, mut with: impl FnMut(usize, u64) -> io::Result<()>) -> io::Result<()> {
        let pagemap = File::open("/proc/self/pagemap")?;
        let mut entries = [[0; 8]; AT_ONCE];
        for start in self.image.clone().step_by(AT_ONCE * PAGE) {
            let pages = (start..self.image.end).step_by(PAGE);
            let entries = &mut entries[..pages.len().min(AT_ONCE)];
            pagemap.read_exact_at(entries.as_flattened_mut(), (start / PAGE * 8) as u64)?;
            for (page, entry) in pages.zip(entries) {
                with(page, u64::from_le_bytes(*entry))?;
            }
        }
        Ok(())
    }
}
