//! Wide: the same program once more, with a gap of another length behind each of its parts, and with other lines in all
//! locations. Nothing lies as far from anything else there, nor at the same place in a page; and where the linker can do that (lld),
//! what is in one section lies in the opposite order. So what follows from how the parts lie to each other is seen to differ.
//!
//! The linker leaves the gaps by itself: in copies of its inputs, sections are said to be longer than they are.

use super::inputs::{Files, split};
use super::lines::change_lines;
use super::linker::{ask_for_map, call, output_of, read_map, wrapped};
use super::map;
use super::walk::Closure;
use crate::say::output;
use anyhow::{Context, Result, ensure};
use object::LittleEndian as LE;
use object::elf::{self, FileHeader64};
use object::read::archive::ArchiveFile;
use object::read::elf::{FileHeader as _, SectionHeader as _};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::mem::{offset_of, size_of};
use std::ops::Range;
use std::path::Path;

/// Sections whose parts nobody looks for one behind the other.
const STRETCHED: [&str; 6] = [".text", ".rodata", ".data.rel.ro", ".data", ".bss", ".gcc_except_table"];
/// What has lld put the parts of these sections in the opposite order. Each pattern stands for all of them that begin so.
const REVERSED: [&str; 5] = [".text*", ".rodata*", ".data*", ".bss*", ".gcc_except_table*"];
/// How long a gap is at least, in bytes.
const LEAST: u64 = 64;
/// How long it is more than that, at most, in units of what its section is aligned to.
const LONGEST: u64 = 32;

/// A section header of an object.
type Header = elf::SectionHeader64<LE>;

/// Links `executable`, which came of a link with these arguments and this map, with gaps, to `out`. Returns where there each node
/// of its closure is.
pub(super) fn link(
    real: &OsStr,
    arguments: &[OsString],
    executable: &[u8],
    map: &str,
    closure: &Closure,
    out: &Path,
) -> Result<Vec<u64>> {
    let parent = out.parent().context("no folder")?;
    std::fs::create_dir_all(parent)?;
    let folder = tempfile::Builder::new().prefix(".wide-").tempdir_in(parent)?;
    let mut copies = copy_stretched(arguments, map, folder.path())?;
    copies.insert(output_of(arguments).context("no output")?.into(), out.into());
    let of = |argument: &OsString| copies.get(argument).unwrap_or(argument).clone();
    let mut changed: Vec<OsString> = arguments.iter().map(of).collect();
    let path = folder.path().join("map");
    changed.push(ask_for_map(&path));
    let reversed = REVERSED.map(|pattern| OsString::from(format!("-Wl,--shuffle-sections={pattern}=-1")));
    let linked = call(real, &changed, &reversed, true)?.success() || call(real, &changed, &[], true)?.success();
    ensure!(linked, "the linker cannot link it with gaps");
    let mut bytes = std::fs::read(out)?;
    let wide = super::closure(&bytes, &read_map(&path)?, wrapped(arguments))?;
    let addresses = addresses(closure, &wide)?;
    change_lines(executable, closure, &addresses, &mut bytes)?;
    output::replace(out, Some(out), |file| Ok(file.write_all(&bytes)?))?;
    Ok(addresses)
}

/// Copies the inputs that are among the arguments, with gaps, and says what takes the place of what.
fn copy_stretched(arguments: &[OsString], map: &str, folder: &Path) -> Result<BTreeMap<OsString, OsString>> {
    let map = map::parse(map)?;
    let files = Files::read(map.iter().map(|place| place.file).filter(|name| {
        let path = OsStr::new(split(name).0);
        arguments.iter().any(|argument| argument == path)
    }))?;
    let mut gaps = Gaps::default();
    let mut copies = BTreeMap::new();
    for (number, (path, mut bytes)) in files.into_contents().enumerate() {
        stretch(&mut bytes, &mut gaps).with_context(|| format!("cannot make room in {path}"))?;
        let copy = folder.join(number.to_string());
        std::fs::create_dir(&copy)?;
        let copy = copy.join(Path::new(&path).file_name().context("no name")?);
        std::fs::write(&copy, bytes)?;
        copies.insert(path.into(), copy.into());
    }
    Ok(copies)
}

/// Lengths of gaps: numbers that repeat late, the same ones each time.
#[derive(Default)]
struct Gaps(u64);

impl Gaps {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        1 + (mixed ^ (mixed >> 29)) % LONGEST
    }
}

/// Stretches the sections of an object, or of all objects in an archive.
fn stretch(bytes: &mut [u8], gaps: &mut Gaps) -> Result<()> {
    let mut objects = Vec::new();
    if bytes.starts_with(b"!<arch>\n") {
        for member in ArchiveFile::parse(&*bytes)?.members() {
            let (start, length) = member?.file_range();
            let start = usize::try_from(start)?;
            objects.push(start..start + usize::try_from(length)?);
        }
    } else {
        objects.push(0..bytes.len());
    }
    for range in objects {
        let object = bytes.get_mut(range).context("cut off")?;
        if object.starts_with(&elf::ELFMAG) {
            for (place, size) in sizes(object, gaps)? {
                object.get_mut(place).context("cut off")?.copy_from_slice(&size.to_le_bytes());
            }
        }
    }
    Ok(())
}

/// What sizes the sections of an object are to have, and where that stands in it. What comes to lie in a gap is what follows in
/// the file.
fn sizes(object: &[u8], gaps: &mut Gaps) -> Result<Vec<(Range<usize>, u64)>> {
    let header = FileHeader64::<LE>::parse(object)?;
    let sections = header.sections(LE, object)?;
    let mut found = Vec::new();
    for (index, section) in sections.iter().enumerate() {
        let name = sections.section_name(LE, section)?;
        let size = section.sh_size(LE);
        let flags = section.sh_flags(LE);
        let plain = flags.contains(elf::SHF_ALLOC) && !flags.contains(elf::SHF_MERGE) && !flags.contains(elf::SHF_TLS);
        if !plain || size == 0 || !is_stretched(name) {
            continue;
        }
        let room = match section.sh_type(LE) {
            elf::SHT_NOBITS => u64::MAX,
            elf::SHT_PROGBITS => (object.len() as u64).saturating_sub(section.sh_offset(LE) + size),
            _ => continue,
        };
        let align = section.sh_addralign(LE).max(1);
        // However little it asks for, the gap is longer than what would have been left for the next one.
        let gap = (gaps.next() * align).saturating_add(LEAST).min(room / align * align);
        let start = usize::try_from(header.e_shoff(LE))? + index * size_of::<Header>() + offset_of!(Header, sh_size);
        found.push((start..start + 8, size + gap));
    }
    Ok(found)
}

/// Whether a section is one of those, by itself or as rustc has them, one for each thing.
fn is_stretched(name: &[u8]) -> bool {
    let is = |base: &str| name.strip_prefix(base.as_bytes()).is_some_and(|rest| matches!(rest, [] | [b'.', ..]));
    STRETCHED.into_iter().any(is)
}

/// Where the nodes are in the wide one.
fn addresses(closure: &Closure, wide: &Closure) -> Result<Vec<u64>> {
    ensure!(closure.nodes.len() == wide.nodes.len(), "it is another one with gaps");
    let mut found = Vec::new();
    for (node, there) in closure.nodes.iter().zip(&wide.nodes) {
        ensure!(
            node.name == there.name && node.merged == there.merged && node.size <= there.size,
            "`{}` is `{}` with gaps",
            node.name,
            there.name
        );
        found.push(there.address);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_differ() {
        let mut gaps = Gaps::default();
        let first: Vec<u64> = (0..64).map(|_| gaps.next()).collect();
        assert!(first.iter().all(|gap| (1..=LONGEST).contains(gap)));
        assert!((1..=LONGEST).filter(|gap| first.contains(gap)).count() > 20);
    }

    #[test]
    fn what_is_found_by_its_section_stays_together() {
        for name in [".text", ".text._ZN3app4main17h0E", ".rodata..L__unnamed_1", ".data.rel.ro.x", ".bss.X"] {
            assert!(is_stretched(name.as_bytes()), "{name}");
        }
        for name in ["fastboot_roots2", ".init_array", ".init_array.99", ".texture", ".eh_frame", ".ctors"] {
            assert!(!is_stretched(name.as_bytes()), "{name}");
        }
    }
}
