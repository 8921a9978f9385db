//! Embed: writes an image into the binary it was frozen from: into its `fastboot` section, or behind it, as a footer.
//!
//! The section's way: the image is appended to the file, its first kilobyte, which a start reads first, is copied to the
//! section `fastboot_header`, among the program's own data, and about a dozen old words change: one program header, one
//! section header, and the section's own symbols. Everything else stays where it is, so debuggers, profilers and `strip` go
//! on working.
//!
//! ```text
//! cold       │ ELF header │ segments │ … │ 128-byte placeholder │ … │ section headers │
//! embedded   │ ELF header │ segments │ … │ (no longer used)     │ … │ section headers │ zeros │ image │
//!                                                                        file offset ≡ home address (mod 2 MiB)
//! ```
//!
//! The tables of a cold binary get there in the same way, only that the section stays at its address and needs no more than
//! the alignment of a page.
//!
//! The congruence, together with one large write, lets the page cache keep the image in large folios, so that one page
//! fault maps many pages of it. The footer's way is in `footer`.

mod footer;

use crate::elf::binary::{Binary, Elf, hex};
use crate::image::Image;
use crate::options::Place;
use crate::say::output;
use anyhow::{Context, Result, bail, ensure};
use fastboot_format::image::{FLAG_VERITY, HOME_ALIGN, PAGE};
use goblin::elf::Elf as Reread;
use object::elf::{self, ProgramHeader64, SectionHeader64, Sym64};
use object::{LittleEndian as LE, U32, U64, pod};
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Where the image goes, in the file and in memory.
#[derive(Clone, Copy, Debug)]
struct Position {
    /// `sh_offset` and `p_offset`.
    offset: u64,
    /// `sh_addr`, `p_vaddr` and `p_paddr`.
    address: u64,
    /// `sh_size`, `p_filesz` and `p_memsz`.
    size: u64,
    /// `p_align`.
    align: u64,
    /// `p_flags` and `sh_flags` have the permission to write.
    writable: bool,
}

/// Embeds `image` into the binary at `from`, cold or embedded before, and puts the result in place of `out`.
pub(crate) fn embed(from: &Path, image: &mut Image, place: Place, out: &Path) -> Result<()> {
    // fs-verity is promised of the snapshot's own file, and not of the executable that the image goes into.
    image.change_flags(0, FLAG_VERITY);
    embed_into(Binary::read(from)?, image, place, out)
}

/// As [`embed`], into a binary that was read already; the mode bits are those of its file.
pub(crate) fn embed_into(mut binary: Binary, image: &Image, place: Place, out: &Path) -> Result<()> {
    let from = &binary.path.clone();
    if image.header().identity != binary.identity() {
        bail!(
            "it is the image of another binary: it belongs to SHA-256 {}, but {} has {}; freeze this binary again",
            hex(&image.header().identity),
            from.display(),
            hex(&binary.identity())
        );
    }
    binary.remove_footer()?;
    match place {
        Place::Section => into_section(binary, image, out),
        Place::Footer => footer::append(binary, image, out),
    }
    .with_context(|| format!("cannot embed into {}", from.display()))
}

fn into_section(mut binary: Binary, image: &Image, out: &Path) -> Result<()> {
    let Some(segment) = binary.section.segment else {
        bail!(
            "its `{}` section has no segment of its own, because it was not linked with fastboot.ld; build it with \
             `cargo fastboot build`, or embed with `--footer`",
            crate::elf::binary::SECTION
        );
    };
    let before = without_image(&mut binary)?;
    let position = position(&binary, image);
    let patched = patch(&binary, segment, image, &position)?;
    output::replace(out, Some(&binary.path), |file| {
        file.write_all(&patched)?;
        file.seek(SeekFrom::Start(position.offset))?;
        // A single large write: see above.
        file.write_all(image.bytes())?;
        verify(file, &before, &binary, segment, image, &position)
            .context("the embedded binary does not read back as written")
    })
}

/// Cuts off what the section was given before, if nothing else comes after it. Returns the file as it is then.
fn without_image(binary: &mut Binary) -> Result<Vec<u8>> {
    if binary.is_rewritten() && binary.section.file_range().end == binary.bytes.len() {
        let end = Elf::parse(&binary.bytes)?.contents_end(binary.section.offset, Some(&binary.section));
        binary.bytes.truncate(usize::try_from(end)?);
    }
    Ok(binary.bytes.clone())
}

/// Where in the file and in memory the image goes.
fn position(binary: &Binary, image: &Image) -> Position {
    let (end, size) = (binary.bytes.len() as u64, image.len());
    if image.is_cold() {
        let (offset, address) = (end.next_multiple_of(PAGE as u64), binary.section.address);
        return Position { offset, address, size, align: PAGE as u64, writable: true };
    }
    let offset = end.next_multiple_of(HOME_ALIGN);
    // The pages from the first static pointer to the last are made writable at start, and read-only again.
    let writable = !image.is_read_only();
    if binary.pie {
        // Loaded where the executable is and moved at start: only the file offset agrees with the home address.
        // A larger p_align would cost bits of the executable's own address randomisation.
        Position { offset, address: binary.section.address, size, align: PAGE as u64, writable }
    } else {
        Position { offset, address: image.header().home, size, align: HOME_ALIGN, writable }
    }
}

/// The file up to the image, with the headers and symbols of the section changed, and the copy of its beginning.
fn patch(binary: &Binary, segment: usize, image: &Image, to: &Position) -> Result<Vec<u8>> {
    let elf = Elf::parse(&binary.bytes)?;
    let section = binary.section;
    let segment_at = elf.program_header_range().start + segment * size_of::<ProgramHeader64<LE>>();
    let section_at = usize::try_from(elf.header.e_shoff.get(LE))? + section.index * size_of::<SectionHeader64<LE>>();
    let mut symbols = Vec::new();
    for table in [elf::SHT_SYMTAB, elf::SHT_DYNSYM] {
        symbols.extend(elf.symbols_of(section.index, &binary.bytes, table)?);
    }
    // GNU ld counts `_end` as one of them, though it lies before the section.
    symbols.retain(|(value, _)| (section.address..=section.address + section.size).contains(value));

    let mut bytes = binary.bytes.clone();
    let segment: &mut ProgramHeader64<LE> = at(&mut bytes, segment_at)?;
    segment.p_offset = U64::new(LE, to.offset);
    segment.p_vaddr = U64::new(LE, to.address);
    segment.p_paddr = U64::new(LE, to.address);
    segment.p_filesz = U64::new(LE, to.size);
    segment.p_memsz = U64::new(LE, to.size);
    segment.p_align = U64::new(LE, to.align);
    segment.p_flags = U32::new(LE, if to.writable { elf::PF_R | elf::PF_W } else { elf::PF_R });
    let header: &mut SectionHeader64<LE> = at(&mut bytes, section_at)?;
    header.sh_addr = U64::new(LE, to.address);
    header.sh_offset = U64::new(LE, to.offset);
    header.sh_size = U64::new(LE, to.size);
    header.sh_addralign = U64::new(LE, PAGE as u64);
    header.sh_flags = U64::new(LE, if to.writable { elf::SHF_ALLOC | elf::SHF_WRITE } else { elf::SHF_ALLOC });
    for (value, range) in symbols {
        let symbol: &mut Sym64<LE> = at(&mut bytes, range.start)?;
        symbol.st_value = U64::new(LE, value - section.address + to.address);
    }
    if let Some(copy) = elf.header_copy(bytes.len())? {
        let to = &mut bytes[copy];
        // A header page is longer than that.
        if image.is_cold() { to.fill(0) } else { to.copy_from_slice(&image.bytes()[..to.len()]) }
    }
    Ok(bytes)
}

/// One of the ELF structures, in place.
fn at<T: pod::Pod>(bytes: &mut [u8], offset: usize) -> Result<&mut T> {
    match bytes.get_mut(offset..).map(pod::from_bytes_mut::<T>) {
        Some(Ok((found, _))) => Ok(found),
        _ => bail!("truncated: no header at offset {offset:#x}"),
    }
}

/// Reads the written file with another parser and compares it with what was to be written.
fn verify(file: &File, before: &[u8], binary: &Binary, segment: usize, image: &Image, to: &Position) -> Result<()> {
    let length = usize::try_from(to.offset)?;
    let mut front = vec![0; length];
    file.read_exact_at(&mut front, 0)?;
    let parsed = Reread::parse(&front).context("goblin does not accept it")?;
    let segment = parsed.program_headers.get(segment).context("no such program header")?;
    let section = parsed.section_headers.get(binary.section.index).context("no such section header")?;
    ensure!(
        parsed.shdr_strtab.get_at(section.sh_name) == Some(crate::elf::binary::SECTION),
        "another section was changed"
    );
    ensure!(
        (segment.p_offset, segment.p_vaddr, segment.p_filesz, segment.p_memsz, segment.p_align)
            == (to.offset, to.address, to.size, to.size, to.align),
        "the program header is {segment:?}"
    );
    ensure!(segment.is_write() == to.writable && !segment.is_executable(), "the segment's permissions are {segment:?}");
    ensure!(
        (section.sh_offset, section.sh_addr, section.sh_size) == (to.offset, to.address, to.size),
        "the section header is {section:?}"
    );
    ensure!(to.offset % to.align == to.address % to.align, "offset and address are not congruent");
    let loads: Vec<_> =
        parsed.program_headers.iter().filter(|h| h.p_type == goblin::elf::program_header::PT_LOAD).collect();
    ensure!(
        loads.windows(2).all(|pair| pair[0].p_vaddr + pair[0].p_memsz <= pair[1].p_vaddr),
        "the segments overlap or are out of order"
    );

    // Every byte that differs lies in one of the headers or symbols that were to change.
    let changed = before.iter().zip(&front).filter(|(a, b)| a != b).count();
    let symbols =
        parsed.syms.iter().chain(parsed.dynsyms.iter()).filter(|s| s.st_shndx == binary.section.index).count();
    let copy = Elf::parse(&front)?.header_copy(front.len())?.map_or(0, |copy| copy.len());
    let headers = size_of::<ProgramHeader64<LE>>() + size_of::<SectionHeader64<LE>>();
    let allowed = headers + symbols * size_of::<u64>() + copy;
    ensure!(changed <= allowed, "{changed} old bytes changed, at most {allowed} should have");
    ensure!(front[before.len()..].iter().all(|byte| *byte == 0), "the padding is not zero");

    image.require_in(file, to.offset)?;
    ensure!(file.metadata()?.len() == to.offset + to.size, "the file does not end with the image");
    Ok(())
}
