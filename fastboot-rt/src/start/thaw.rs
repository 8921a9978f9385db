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

use super::outcome::{Outcome, Thawed};
use super::publish::publish;
use super::reason::Reason;
use super::relocate::{Mapped, Stored};
use super::restore::restore;
use super::section::{self, Placeholder, Program};
use super::{footer, lsan, snapshot};
use crate::os::{cpu, headers};
use crate::roots::frozen::{self, Source};
use crate::{alloc, roots};
use core::ops::Range;
use fastboot_format::image::{
    self as format, FLAG_COLD, FLAG_EXE_ALIGNED, FLAG_PIE, FLAG_VERITY, FormatError, HEADER_COPY_LEN, HOME_ALIGN,
    Header, TableKind,
};

/// Looks into the cache of the program with this identity, if it has one.
pub(crate) type Look<'a> = &'a dyn Fn([u8; 32]) -> Result<Stored, Reason>;

/// Looks for an image in each source in turn. `files`: whether files count, or the executable's own section alone.
/// `cache`: how to look into the program's cache, if that counts and it has one.
#[inline]
pub(crate) fn thaw(outcome: &mut Outcome, placeholder: &'static Placeholder, files: bool, cache: Option<Look<'_>>) {
    let mut program = match Program::find(placeholder) {
        Ok(program) => program,
        Err(reason) => return outcome.skip(Source::Section, reason),
    };
    if !outcome.take(Source::Section, from_section(&mut program)) && files {
        look_at_files(outcome, &program, cache);
    }
}

/// Looks for an image in the files that may have one. Out of line, as all that an embedded program has no use for, so that
/// its start touches little code.
#[cold]
#[inline(never)]
fn look_at_files(outcome: &mut Outcome, program: &Program, cache: Option<Look<'_>>) {
    let identity = program.identity();
    let from_file = |source, stored: Result<Stored, Reason>, identity| from_file(source, &stored?, identity, program);
    match identity {
        None => outcome.skip(Source::Footer, Reason::NotStamped),
        Some(_) if !program.may_have_footer() => outcome.skip(Source::Footer, Reason::NoFooter),
        Some(own) => {
            let image = footer::image().map_err(|reason| match reason {
                Reason::NoFooter if program.had_footer() => Reason::FooterLost,
                reason => reason,
            });
            if outcome.take(Source::Footer, from_file(Source::Footer, image, Some(own))) {
                return;
            }
        }
    }
    if let Some(location) = outcome.snapshot.filter(|location| identity.is_some() || location.is_unchecked()) {
        let identity = identity.filter(|_| !location.is_unchecked());
        if outcome.take(Source::Snapshot, from_file(Source::Snapshot, snapshot::image(location), identity)) {
            return;
        }
    }
    if let Some((look, own)) = cache.zip(identity) {
        outcome.take(Source::Cache, from_file(Source::Cache, look(own), identity));
    }
}

#[inline]
fn from_section(program: &mut Program) -> Result<Thawed, Reason> {
    let mut image = section::image(program)?;
    accept(image.header(), program)?;
    // Without names of types: what was embedded by identity has the types of this binary, and reading the names of all of
    // them costs page faults.
    check(&image, program, false)?;
    if image.distance() != 0 {
        let linked = image.address();
        // SAFETY: nothing refers to the segment: slices made of it are gone, and the placeholder static is only ever used
        // for its address.
        unsafe { image.move_home() }?;
        lsan::refill(linked..linked + image.length());
        program.moved_to(image.address());
    }
    // SAFETY: the image passed `check`, and is that of this program, because the two are one file.
    unsafe { use_it(&mut image, program, Source::Section) }
}

/// `identity` is the program's own; `None` if its author promises that the image fits it.
pub(crate) fn from_file(
    source: Source,
    stored: &Stored,
    identity: Option<[u8; 32]>,
    program: &Program,
) -> Result<Thawed, Reason> {
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
        // SAFETY: nothing refers to it: it was not used.
        unsafe { image.unmap() };
    }
    used
}

/// What the header says must fit the machine and the program.
#[inline]
fn accept(header: &Header, program: &Program) -> Result<(), Reason> {
    if header.flags & FLAG_COLD != 0 {
        return Err(Reason::Format(FormatError::Cold));
    }
    let missing = cpu::missing(header.features());
    if missing != 0 {
        return Err(Reason::Cpu { missing });
    }
    // The bits of the distance that must be zero.
    let fixed = match (header.flags & FLAG_PIE != 0, header.flags & FLAG_EXE_ALIGNED != 0) {
        (false, _) => u64::MAX,
        (true, true) => HOME_ALIGN - 1,
        (true, false) => 0,
    };
    if (program.exe_base as u64).wrapping_sub(header.exe_base) & fixed != 0 {
        return Err(Reason::ExecutableBase { expected: header.exe_base, found: program.exe_base as u64 });
    }
    Ok(())
}

/// Checks every table that a thaw needs in any case, and that the image's roots are the program's: their number, sizes and
/// alignments, and, if asked, the names of their types.
#[inline]
fn check(image: &Mapped<'_>, program: &Program, type_names: bool) -> Result<(), Reason> {
    let header = image.header();
    image.verify(TableKind::Roots)?;
    image.verify(TableKind::Carried)?;
    if image.entry(TableKind::StaticPointers).is_some() {
        image.verify_relocations(TableKind::StaticPointers)?;
    }
    if image.entry(TableKind::Answers).is_some() {
        check_answers(image)?;
    }
    if image.entry(TableKind::BoundPointers).is_some() {
        image.verify_bound(program.exe_base)?;
    }
    let entries = image.table(TableKind::Roots);
    let mut expected = 0;
    for (index, record) in roots::all().enumerate() {
        expected = index + 1;
        if expected > header.root_count as usize {
            continue;
        }
        let root = image.header().root(entries, index).map_err(Reason::Format)?;
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

/// The processor must answer as the values need it. Few have a need of that.
#[cold]
#[inline(never)]
fn check_answers(image: &Mapped<'_>) -> Result<(), Reason> {
    image.verify(TableKind::Answers)?;
    match cpu::missing_answer(format::answers(image.table(TableKind::Answers))) {
        Some(missing) => Err(Reason::Answer(missing)),
        None => Ok(()),
    }
}

/// Makes the image's pointers right, restores the statics, and gives every root its value.
///
/// # Safety
/// The image is that of this program, passed [`check`], and is in one of its places; nothing refers to its data.
#[inline]
unsafe fn use_it(image: &mut Mapped<'_>, program: &Program, source: Source) -> Result<Thawed, Reason> {
    if image.entry(TableKind::BoundPointers).is_some() {
        // SAFETY: the caller's promise: `check` verified the table.
        unsafe { image.bind(program.exe_base) }?;
    }
    // SAFETY: the caller's promise.
    unsafe { image.relocate(program.exe_base) }?;
    // SAFETY: its pointers are right now, and it stays mapped.
    unsafe {
        restore(image, program.exe_base);
        publish(image);
    }
    alloc::set_image(image.address(), image.length());
    lsan::look_into(image.address(), image.length());
    frozen::set_thawed_from(source);
    Ok(Thawed {
        source,
        roots: image.header().root_count,
        address: image.address(),
        length: image.length(),
        relocated: image.distance() != 0,
        features: image.header().features(),
    })
}

#[cfg(test)]
mod tests;
