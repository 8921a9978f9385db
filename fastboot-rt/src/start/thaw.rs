//! Thaw: makes an image available at start, from the first source that has a good one.
//!
//! ```text
//! section    in the executable, mapped by execve       ─┐
//! footer     behind the executable, in its file         ├─ header accepted ─ mapped ─ tables checked ─┐
//! snapshot   in a file of its own                      ─┘                                             │
//!                                       roots published ─ statics restored ─ pointers made right ◀────┘
//! ```
//!
//! No allocation, no panic, and no write to anything but the image itself before every check has passed.

use crate::first_run::Installed;
use crate::os::{cpu, headers};
use crate::roots::Source;
use crate::start::cache::{Cache, Home};
use crate::start::relocate::{Mapped, Stored};
use crate::start::section::Program;
use crate::start::snapshot::Location;
use crate::start::{footer, lsan, section, snapshot};
use crate::{alloc, roots};
use core::fmt;
use core::ops::Range;
use core::ptr;
use fastboot_format::image::{
    self as format, FLAG_COLD, FLAG_PIE, FLAG_RELOCATABLE, FLAG_VERITY, FormatError, HEADER_COPY_LEN, Header, TableKind,
};

/// What a thaw made available.
pub(crate) struct Thawed {
    pub(crate) source: Source,
    pub(crate) roots: u32,
    /// Where the image is, which is its home address unless it was relocated.
    pub(crate) address: usize,
    /// In bytes.
    pub(crate) length: usize,
    pub(crate) relocated: bool,
    /// The processor features that its values were built with.
    pub(crate) cpu: u64,
}

/// What came of looking for an image.
#[derive(Default)]
pub(crate) struct Outcome {
    /// The image, if there is a good one.
    pub(crate) thawed: Option<Thawed>,
    /// The sources that were tried and not used, in their order.
    skipped: [Option<(Source, Reason)>; 4],
    /// Where a snapshot was looked for.
    snapshot: Option<Location>,
}

/// Why a source was not used.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub(crate) enum Reason {
    /// `FASTBOOT=off`.
    Off,
    /// Nobody says where the program headers are.
    NoProgramHeaders,
    /// The section has no segment of its own.
    NoSegment,
    /// The executable does not end with a footer.
    NoFooter,
    /// The bytes are no image for this program.
    Format(FormatError),
    /// The program does not know its own identity, so no file can be known to belong to it.
    NotStamped,
    /// The cache has no snapshot.
    NotCached,
    /// Nobody says where the cache is.
    NoHome,
    /// The image of another binary.
    Identity { expected: [u8; 32], found: [u8; 32] },
    /// The executable was loaded elsewhere than the image relies on.
    ExecutableBase { expected: u64, found: u64 },
    /// The file cannot be used: what was asked for, and the `errno`.
    File { call: &'static str, errno: i32 },
    /// Somebody else may have written the file.
    Untrusted(&'static str),
    /// The system refuses to map the image.
    Map { length: u64, errno: i32 },
    /// Something is at the home address, or the system refuses it, and the image cannot be used anywhere else, or nowhere
    /// else either.
    Home { home: u64, errno: i32, relocatable: bool },
    /// The system refuses to make the image writable, or read-only.
    Protect { errno: i32 },
    /// The processor lacks features the values were built with.
    Cpu { missing: u64 },
    /// The roots in the image are not the roots in the program.
    Roots { expected: usize, found: u32 },
    /// A root's type has another name, size or alignment.
    Root { name: &'static str },
}

impl Reason {
    /// Whether a program that freezes itself would have a good snapshot in its cache instead.
    pub(crate) fn is_mended_by_freezing(&self) -> bool {
        matches!(
            self,
            Self::NotCached
                | Self::Format(_)
                | Self::Identity { .. }
                | Self::Cpu { .. }
                | Self::Roots { .. }
                | Self::Root { .. }
        )
    }

    /// None of the places of an image is to be had; `errno` is why home is not.
    pub(crate) fn home(header: &Header, errno: i32) -> Self {
        Self::Home { home: header.home, errno, relocatable: header.flags & FLAG_RELOCATABLE != 0 }
    }

    /// Whether there is simply nothing there.
    fn is_absence(&self) -> bool {
        matches!(self, Self::NoSegment | Self::NoFooter | Self::NotStamped | Self::Format(FormatError::Cold))
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Off => f.write_str("FASTBOOT=off"),
            Self::NoProgramHeaders => f.write_str("nobody says where the program headers are"),
            Self::NoSegment => f.write_str("the fastboot section has no segment; build with `cargo fastboot build`"),
            Self::NoFooter => f.write_str("the executable has no footer"),
            Self::NotStamped => f.write_str("the program was not stamped; build with `cargo fastboot build`"),
            Self::Format(FormatError::Cold) => f.write_str("no image embedded; build with `cargo fastboot build`"),
            Self::Format(error) => write!(f, "{error}"),
            Self::NotCached => f.write_str("no snapshot yet"),
            Self::NoHome => f.write_str("neither XDG_CACHE_HOME nor HOME says where it is"),
            Self::Identity { expected, found } => write!(
                f,
                "it is the image of another binary: it belongs to SHA-256 {}, this program is {}",
                Hex(&found),
                Hex(&expected)
            ),
            Self::ExecutableBase { expected, found } => {
                write!(f, "the executable was loaded at {found:#x}, the image is for {expected:#x}")
            }
            Self::File { call, errno } => write!(f, "cannot {call}: {}", Errno(errno)),
            Self::Untrusted(why) => f.write_str(why),
            Self::Map { length, errno } => write!(f, "cannot map {length} bytes: {}", Errno(errno)),
            Self::Home { home, errno, relocatable } => {
                let elsewhere = if relocatable { "nor its other places" } else { "and the image cannot be relocated" };
                write!(f, "home address {home:#x} not available ({}), {elsewhere}", Errno(errno))
            }
            Self::Protect { errno } => write!(f, "cannot change its protection: {}", Errno(errno)),
            Self::Cpu { missing } => {
                f.write_str("the processor lacks")?;
                for name in fastboot_format::features::names(missing) {
                    write!(f, " {name}")?;
                }
                f.write_str(", which the values were built with")
            }
            Self::Roots { expected, found } => write!(f, "image has {found} roots, the program {expected}"),
            Self::Root { name } => write!(f, "root `{name}` has another type in the image"),
        }
    }
}

/// An `errno`, in words as far as they are to be expected here.
pub(crate) struct Errno(pub(crate) i32);

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            libc::EEXIST => "something is mapped there",
            libc::ENOENT => "no such file or folder",
            libc::ENOTDIR => "not a folder",
            libc::ENOMEM => "not enough memory or address space",
            libc::EPERM | libc::ENOSYS => "system call refused",
            libc::EACCES => "permission denied",
            libc::EISDIR => "it is a folder",
            libc::EROFS => "read-only file system",
            libc::ENOSPC | libc::EDQUOT => "no space left",
            libc::ENAMETOOLONG => "its path is too long",
            errno => return write!(f, "errno {errno}"),
        })
    }
}

/// A hash, as 64 hexadecimal digits.
struct Hex<'a>(&'a [u8; 32]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Outcome {
    /// Nothing was found yet; a snapshot will be looked for at `location`.
    pub(crate) fn new(location: Option<Location>) -> Self {
        Self { snapshot: location, ..Self::default() }
    }

    /// Nothing is looked for.
    pub(crate) fn off(&mut self) {
        self.skip(Source::Section, Reason::Off);
    }

    fn skip(&mut self, source: Source, reason: Reason) {
        if let Some(free) = self.skipped.iter_mut().find(|slot| slot.is_none()) {
            *free = Some((source, reason));
        }
    }

    /// Takes what trying a source came to; whether that was the end of it.
    fn take(&mut self, source: Source, tried: Result<Thawed, Reason>) -> bool {
        match tried {
            Ok(thawed) => self.thawed = Some(thawed),
            Err(reason) => self.skip(source, reason),
        }
        self.thawed.is_some()
    }

    /// Why the cache was not used, if it was looked at.
    pub(crate) fn cache_reason(&self) -> Option<&Reason> {
        self.skipped.iter().flatten().find(|(source, _)| *source == Source::Cache).map(|(_, reason)| reason)
    }

    /// The sources that hold something that could not be used; all that were tried, if none holds anything.
    pub(crate) fn skipped(&self) -> Skipped<'_> {
        Skipped(self)
    }
}

/// Why sources were not used, in one line.
pub(crate) struct Skipped<'a>(&'a Outcome);

impl Skipped<'_> {
    fn present(&self) -> impl Iterator<Item = &(Source, Reason)> {
        self.0.skipped.iter().flatten().filter(|(_, reason)| !reason.is_absence())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.present().next().is_none()
    }
}

impl fmt::Display for Skipped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((first, reason)) = self.present().next() else {
            // Nothing anywhere: the section is where it would be.
            return self.0.skipped.iter().flatten().take(1).try_for_each(|(_, reason)| write!(f, "{reason}"));
        };
        // The section alone needs no name in a cold start: it is what everybody has.
        if *first == Source::Section && self.present().count() == 1 && self.0.thawed.is_none() {
            return write!(f, "{reason}");
        }
        for (index, (source, reason)) in self.present().enumerate() {
            write!(f, "{}{source}", if index == 0 { "" } else { "; " })?;
            if let (Source::Snapshot, Some(location)) = (source, &self.0.snapshot) {
                write!(f, " {}", location.shown())?;
            }
            write!(f, ": {reason}")?;
        }
        Ok(())
    }
}

/// Looks for an image in each source in turn. `files`: whether files count, or the executable's own section alone.
/// `cache`: whether the program's cache does, if it has one.
#[inline]
pub(crate) fn thaw(outcome: &mut Outcome, installed: &Installed, files: bool, cache: bool) {
    let mut program = match Program::find(installed.placeholder) {
        Ok(program) => program,
        Err(reason) => return outcome.skip(Source::Section, reason),
    };
    if !outcome.take(Source::Section, from_section(&mut program)) && files {
        look_at_files(outcome, &program, cache.then_some(installed));
    }
}

/// Looks for an image in the files that may have one. Out of line, as all that an embedded program has no use for, so that
/// its start touches little code.
#[cold]
#[inline(never)]
fn look_at_files(outcome: &mut Outcome, program: &Program, with_cache: Option<&Installed>) {
    let identity = program.identity();
    let from_file = |source, stored: Result<Stored, Reason>, identity| from_file(source, &stored?, identity, program);
    match identity {
        None => outcome.skip(Source::Footer, Reason::NotStamped),
        Some(_) if !program.may_have_footer() => outcome.skip(Source::Footer, Reason::NoFooter),
        Some(own) if outcome.take(Source::Footer, from_file(Source::Footer, footer::image(), Some(own))) => return,
        Some(_) => {}
    }
    if let Some(location) = outcome.snapshot.filter(|location| identity.is_some() || location.is_unchecked()) {
        let identity = identity.filter(|_| !location.is_unchecked());
        if outcome.take(Source::Snapshot, from_file(Source::Snapshot, snapshot::image(location), identity)) {
            return;
        }
    }
    if let Some((installed, own)) = with_cache.zip(identity)
        && let Some(first_run) = installed.config.first_run
    {
        outcome.take(Source::Cache, from_file(Source::Cache, (first_run.look)(installed, own), identity));
    }
}

/// Looks into the cache once more. Whether it has a good snapshot by now, which `outcome` then is.
pub(crate) fn try_cache_again(outcome: &mut Outcome, program: &Program, cache: &Cache, home: &Home<'_>) -> bool {
    let found = cache.image(home).and_then(|stored| from_file(Source::Cache, &stored, Some(cache.identity), program));
    outcome.thawed = found.ok();
    outcome.thawed.is_some()
}

#[inline]
fn from_section(program: &mut Program) -> Result<Thawed, Reason> {
    let mut image = section::image(program)?;
    accept(&image.header, program)?;
    // Without names of types: what was embedded by identity has the types of this binary, and reading the names of all of
    // them costs page faults.
    check(&image, program, false)?;
    if image.distance() != 0 {
        let linked = image.address;
        // SAFETY: nothing refers to the segment: slices made of it are gone, and the placeholder static is only ever used
        // for its address.
        unsafe { image.move_home() }?;
        lsan::refill(linked..linked + image.length());
        program.moved_to(image.address);
    }
    // SAFETY: the image passed `check`, and is that of this program, because the two are one file.
    unsafe { use_it(&mut image, program, Source::Section) }
}

/// `identity` is the program's own; `None` if its author promises that the image fits it.
fn from_file(source: Source, stored: &Stored, identity: Option<[u8; 32]>, program: &Program) -> Result<Thawed, Reason> {
    let mut beginning = [0; HEADER_COPY_LEN];
    let header = stored.header(&mut beginning)?;
    if let Some(expected) = identity.filter(|identity| *identity != header.identity) {
        return Err(Reason::Identity { expected, found: header.identity });
    }
    accept(&header, program)?;
    if header.flags & FLAG_VERITY != 0 && !stored.file.has_verity() {
        return Err(Reason::Untrusted("it is to be protected by fs-verity, and is not"));
    }
    let mut image = stored.map(header, &beginning)?;
    let used = check(&image, program, true).and_then(|()| {
        // SAFETY: the image passed `check`, and it has the identity of this program, or its author promised in `install!`
        // that it is as good.
        unsafe { use_it(&mut image, program, source) }
    });
    if used.is_err() {
        image.unmap();
    }
    used
}

/// What the header says must fit the machine and the program.
#[inline]
fn accept(header: &Header, program: &Program) -> Result<(), Reason> {
    if header.flags & FLAG_COLD != 0 {
        return Err(Reason::Format(FormatError::Cold));
    }
    let missing = header.cpu & !cpu::features();
    if missing != 0 {
        return Err(Reason::Cpu { missing });
    }
    if header.flags & FLAG_PIE == 0 && program.exe_base as u64 != header.exe_base {
        return Err(Reason::ExecutableBase { expected: header.exe_base, found: program.exe_base as u64 });
    }
    Ok(())
}

/// Checks every table that a thaw needs in any case, and that the image's roots are the program's: their number, sizes and
/// alignments, and, if asked, the names of their types.
#[inline]
fn check(image: &Mapped<'_>, program: &Program, type_names: bool) -> Result<(), Reason> {
    let header = &image.header;
    image.verify(TableKind::Roots)?;
    image.verify(TableKind::Carried)?;
    if image.entry(TableKind::StaticPointers).is_some() {
        image.verify_relocations(TableKind::StaticPointers)?;
    }
    let entries = image.table(TableKind::Roots);
    let mut expected = 0;
    for (index, record) in roots::all().enumerate() {
        expected = index + 1;
        if expected > header.root_count as usize {
            continue;
        }
        let root = image.header.root(entries, index).map_err(Reason::Format)?;
        let same = root.size == record.size() as u64 && root.align == record.align() as u64;
        let same_name = || format::digest(record.type_name().as_bytes()) == root.type_digest;
        if !same || (type_names && !same_name()) {
            return Err(Reason::Root { name: record.name() });
        }
    }
    if expected != header.root_count as usize {
        return Err(Reason::Roots { expected, found: header.root_count });
    }
    let own = program.segment.as_ref().map(|segment| segment.address);
    for entry in format::carried(image.table(TableKind::Carried), header) {
        let entry = entry.map_err(Reason::Format)?;
        let start = program.exe_base.wrapping_add(entry.address as usize);
        let end = start.wrapping_add(entry.length as usize);
        let holds = |segment: Range<usize>| segment.start <= start && start <= end && end <= segment.end;
        if !headers::writable_segments(own).any(holds) {
            return Err(Reason::Format(FormatError::Field { field: "carried static", found: entry.address }));
        }
    }
    Ok(())
}

/// Makes the image's pointers right, restores the statics, and gives every root its value.
///
/// # Safety
/// The image is that of this program, passed [`check`], and is in one of its places; nothing refers to its data.
#[inline]
unsafe fn use_it(image: &mut Mapped<'_>, program: &Program, source: Source) -> Result<Thawed, Reason> {
    // SAFETY: the caller's promise.
    unsafe { image.relocate(program) }?;
    // SAFETY: its pointers are right now, and it stays mapped.
    unsafe {
        restore(image, program.exe_base);
        publish(image);
    }
    alloc::set_image(image.address, image.length());
    lsan::look_into(image.address, image.length());
    roots::set_thawed_from(source);
    Ok(Thawed {
        source,
        roots: image.header.root_count,
        address: image.address,
        length: image.length(),
        relocated: image.distance() != 0,
        cpu: image.header.cpu,
    })
}

/// Gives the carried statics the bytes they had after the roots were evaluated.
///
/// # Safety
/// The image passed [`check`], and its pointers are right. No code of the program has run yet, so that nothing relies on
/// what the statics hold now.
#[inline]
unsafe fn restore(image: &Mapped<'_>, exe_base: usize) {
    for entry in format::carried(image.table(TableKind::Carried), &image.header).flatten() {
        let from = ptr::with_exposed_provenance::<u8>(image.address + entry.offset as usize);
        let to = ptr::with_exposed_provenance_mut::<u8>(exe_base.wrapping_add(entry.address as usize));
        // SAFETY: `check` found the target inside a writable segment of the executable and the source inside the image
        // data; the two are different mappings. The statics are those of this very binary, and the bytes are what they
        // held in its freeze run: valid values of their types, with their pointers right for this process.
        unsafe { ptr::copy_nonoverlapping(from, to, entry.length as usize) };
    }
}

/// Gives every root its value.
///
/// # Safety
/// The image passed [`check`], its pointers are right, and it stays mapped.
#[inline]
unsafe fn publish(image: &Mapped<'_>) {
    let entries = image.table(TableKind::Roots);
    for (index, record) in roots::all().enumerate() {
        if let Ok(root) = image.header.root(entries, index) {
            // A value without bytes has no place in the image.
            let distance = if root.size == 0 { 0 } else { image.distance() };
            let value = root.value.wrapping_add(distance) as usize;
            // SAFETY: the image belongs to this very binary, so entry `index` is this record's, and its size and
            // alignment were compared. The bytes at its address are the value that this binary evaluated in its freeze
            // run, with everything it points to at the same distance from it as there; the freeze process is gone, so
            // nothing else refers to it. The mapping is never removed.
            unsafe { record.publish(ptr::with_exposed_provenance_mut(value)) };
        }
    }
}

#[cfg(test)]
mod tests;
