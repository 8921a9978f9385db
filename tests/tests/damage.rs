//! Damaged images: whatever byte of header and tables is wrong, and wherever the image ends, the program answers as it
//! would without an image, and says why.

use anyhow::{Context, Result, ensure};
use fastboot_tests::places::{Layout, Places, program_header_of};
use fastboot_tests::programs::{Link, Program};
use fastboot_tests::runs::{self, Run};
use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Tables that a thaw reads in any case; the others, only elsewhere than at home or not at all.
const READ: [&str; 3] = ["root directory", "carried statics", "static pointer table"];

/// A program and the file that its image is in.
struct Victim {
    _places: Places,
    program: PathBuf,
    file: PathBuf,
    bytes: Vec<u8>,
    source: &'static str,
    /// What it prints.
    expected: String,
    /// Where something else takes the home address before the thaw, so that the image is relocated.
    occupied: bool,
}

impl Victim {
    fn new(link: Link, source: &'static str, occupied: bool) -> Result<Self> {
        let built = Program::new("sources").link(link).build()?;
        let places = Places::of(&built)?;
        let expected = Run::of(&mut runs::program(&places.section))?.stdout;
        if source != "snapshot" {
            // Nothing to fall through to.
            fs::remove_file(&places.snapshot)?;
        }
        let (program, file) = match source {
            "section" => (places.section.clone(), places.section.clone()),
            "footer" => (places.footer.clone(), places.footer.clone()),
            _ => (places.cold.clone(), places.snapshot.clone()),
        };
        let victim = Self { bytes: fs::read(&file)?, _places: places, program, file, source, expected, occupied };
        ensure!(victim.is_thawed("whole")?, "{source}: it does not thaw");
        Ok(victim)
    }

    /// Runs the program, which must answer rightly; whether it used the image.
    fn is_thawed(&self, what: &str) -> Result<bool> {
        let mut command = runs::program(&self.program);
        if self.occupied {
            command.env("SOURCES_OCCUPY", "1");
        }
        let run = Run::of(command.env("FASTBOOT_LOG", "1"))?;
        let told = || format!("{}, {what}: {}\n{}", self.source, run.status, run.stderr);
        ensure!(run.status.success(), "{}", told());
        ensure!(run.stdout == self.expected, "another answer: {}\n{}", told(), run.stdout);
        let log = run.log().unwrap_or_default();
        let thawed = log.starts_with(&format!("fastboot: thawed 7 roots from {}", self.source));
        ensure!(thawed || log.strip_prefix("fastboot: cold start: ").is_some_and(|why| !why.is_empty()), "{}", told());
        Ok(thawed)
    }

    /// Reopened each time: a file that is open for writing cannot be executed.
    fn write(&self, at: usize, bytes: &[u8]) -> Result<()> {
        Ok(File::options().write(true).open(&self.file)?.write_all_at(bytes, at as u64)?)
    }

    /// Writes a byte of the image, and to the copy of its beginning if that has it too.
    fn write_both(&self, layout: &Layout, at: usize, byte: u8) -> Result<()> {
        layout.places_of(at).try_for_each(|at| self.write(at, &[byte]))
    }

    /// Flips every `step`-th byte of header, tables and footer in turn.
    fn flip(&self, step: usize) -> Result<()> {
        let layout = Layout::of(&self.bytes)?;
        ensure!(layout.copy.is_some() == (self.source == "section"), "{}: {:?}", self.source, layout.copy);
        let mut parts = vec![("header", layout.header.clone())];
        parts.extend(layout.tables.clone());
        parts.push(("footer", layout.image.end..self.bytes.len()));
        for (name, range) in parts {
            let read = ["header", "footer"].contains(&name) || READ.contains(&name);
            let read = read || self.occupied && name == "image pointer table";
            for at in range.step_by(step) {
                self.write_both(&layout, at, self.bytes[at] ^ 0x55)?;
                let thawed = self.is_thawed(&format!("byte {at} flipped, in the {name}"))?;
                ensure!(!(thawed && read), "{}: byte {at}, in the {name}, went unnoticed", self.source);
                ensure!(thawed || read, "{}: byte {at}, in the {name}, is nothing that a thaw reads", self.source);
                self.write_both(&layout, at, self.bytes[at])?;
            }
        }
        ensure!(self.is_thawed("whole again")?, "{}: whole again, but it does not thaw", self.source);
        Ok(())
    }
}

/// Cuts the file of the image at every `step`-th length, from its end down to its first byte.
fn cut(victim: &Victim, step: usize) -> Result<()> {
    let image = Layout::of(&victim.bytes)?.image;
    let file =
        |length: usize| -> Result<()> { Ok(File::options().write(true).open(&victim.file)?.set_len(length as u64)?) };
    for length in (image.start..victim.bytes.len()).rev().step_by(step) {
        file(length)?;
        ensure!(!victim.is_thawed(&format!("cut at {length}"))?, "{}: {length} bytes were used", victim.source);
    }
    Ok(())
}

/// The same for a section: the kernel maps what the program header says, so that is what gets shorter.
fn cut_segment(victim: &Victim, step: usize) -> Result<()> {
    let image = Layout::of(&victim.bytes)?.image;
    let entry = program_header_of(&victim.bytes, image.start as u64)?;
    // `p_filesz`: 32 bytes into the program header.
    for length in (0..image.len()).rev().step_by(step) {
        victim.write(entry + 32, &(length as u64).to_le_bytes())?;
        ensure!(!victim.is_thawed(&format!("a segment of {length} bytes"))?, "section: {length} bytes were used");
    }
    // `p_memsz` too: it is never less.
    let longer = image.len() as u64 + 4096;
    victim.write(entry + 32, &[longer.to_le_bytes(); 2].concat())?;
    ensure!(!victim.is_thawed("a longer segment")?, "section: {longer} bytes were used");
    Ok(())
}

#[test]
fn every_byte_of_a_section() -> Result<()> {
    Victim::new(Link::Static, "section", false)?.flip(1)
}

#[test]
fn every_byte_of_a_copied_header() -> Result<()> {
    let victim = Victim::new(Link::Static, "section", false)?;
    let layout = Layout::of(&victim.bytes)?;
    let copy = layout.copy.clone().context("there is no copy")?;
    let read = layout.tables.iter().filter(|(name, _)| READ.contains(name)).map(|(_, range)| range.clone());
    let parts = [vec![layout.header.clone()], read.collect()].concat();
    let in_copy = |range: &Range<usize>| range.end - layout.image.start <= copy.len();
    ensure!(parts.len() > 1 && parts.iter().all(in_copy), "it is longer than the copy: {parts:?}");
    for at in parts.into_iter().flatten().map(|at| at - layout.image.start) {
        // A copy that is none is as good as no copy.
        for (at, thaws) in [(layout.image.start + at, true), (copy.start + at, at < 8)] {
            victim.write(at, &[victim.bytes[at] ^ 0x55])?;
            let thawed = victim.is_thawed(&format!("byte {at} flipped"))?;
            ensure!(thawed == thaws, "byte {at} is flipped, thawed: {thawed}");
            victim.write(at, &victim.bytes[at..=at])?;
        }
    }
    Ok(())
}

#[test]
fn a_moved_image_that_is_of_no_use() -> Result<()> {
    let victim = Victim::new(Link::Pie, "section", true)?;
    let layout = Layout::of(&victim.bytes)?;
    let copy = layout.copy.clone().context("there is no copy")?;
    let (_, pointers) = layout.tables.iter().find(|(name, _)| *name == "image pointer table").context("no pointers")?;
    for with_copy in [true, false] {
        let bytes = if with_copy { &victim.bytes[copy.clone()] } else { &vec![0; copy.len()] };
        victim.write(copy.start, bytes)?;
        ensure!(victim.is_thawed("whole")?, "it does not thaw; with a copy: {with_copy}");
        victim.write_both(&layout, pointers.start, victim.bytes[pointers.start] ^ 0x55)?;
        ensure!(!victim.is_thawed("damaged where it is noticed late")?, "with a copy: {with_copy}");
        victim.write_both(&layout, pointers.start, victim.bytes[pointers.start])?;
    }
    Ok(())
}

#[test]
fn every_byte_of_a_footer() -> Result<()> {
    Victim::new(Link::Static, "footer", false)?.flip(1)
}

#[test]
fn every_byte_of_a_snapshot() -> Result<()> {
    Victim::new(Link::Static, "snapshot", false)?.flip(1)
}

#[test]
fn bytes_with_other_links() -> Result<()> {
    for (link, source) in [Link::NonPie, Link::Pie]
        .into_iter()
        .flat_map(|link| ["section", "footer", "snapshot"].map(|source| (link, source)))
    {
        Victim::new(link, source, false)?.flip(7)?;
    }
    Ok(())
}

#[test]
fn bytes_of_images_that_are_relocated() -> Result<()> {
    for (link, source) in [(Link::Pie, "section"), (Link::Static, "footer"), (Link::Static, "snapshot")] {
        Victim::new(link, source, true)?.flip(5)?;
    }
    Ok(())
}

#[test]
fn lengths() -> Result<()> {
    // Every single length of a snapshot, and it alone, is tried in the runtime's unit tests, without a process for each.
    for (link, source, step) in [
        (Link::Static, "snapshot", 31),
        (Link::Static, "footer", 31),
        (Link::NonPie, "snapshot", 211),
        (Link::Pie, "footer", 211),
    ] {
        cut(&Victim::new(link, source, false)?, step)?;
    }
    for (link, step) in [(Link::Static, 31), (Link::NonPie, 211), (Link::Pie, 211)] {
        cut_segment(&Victim::new(link, "section", false)?, step)?;
    }
    Ok(())
}

#[test]
fn a_file_that_is_all_zeros_or_all_ones() -> Result<()> {
    let victim = Victim::new(Link::Static, "snapshot", false)?;
    for byte in [0, 0xff] {
        fs::write(&victim.file, vec![byte; victim.bytes.len()])?;
        ensure!(!victim.is_thawed("nothing but one byte")?);
    }
    fs::write(Path::new(&victim.file), "")?;
    ensure!(!victim.is_thawed("empty")?);
    Ok(())
}
