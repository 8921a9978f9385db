//! Footer: an image behind the executable, for binaries whose section cannot hold it.
//!
//! ```text
//! │ ELF header │ segments │ … │ section headers │ zeros │ image │ footer, 32 bytes │
//!                                                       file offset ≡ home address (mod 2 MiB)
//! ```
//!
//! Of the executable itself only the placeholder changes: its stamp, if it was not stamped before, and the flag that says where
//! to look.

use crate::elf::binary::Binary;
use crate::image::Image;
use crate::say::output;
use anyhow::{Context, Result, ensure};
use fastboot_format::image::{FOOTER_LEN, Footer, HOME_ALIGN};
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Writes the binary, stamped, with the image behind it.
pub(super) fn append(mut binary: Binary, image: &Image, out: &Path) -> Result<()> {
    binary.expect_footer()?;
    let offset = (binary.bytes.len() as u64).next_multiple_of(HOME_ALIGN);
    let footer = Footer { offset, length: image.len() };
    output::replace(out, Some(&binary.path), |file| {
        file.write_all(&binary.bytes)?;
        file.seek(SeekFrom::Start(offset))?;
        // A single large write, for large folios, as into a section.
        file.write_all(image.bytes())?;
        file.write_all(&footer.encode())?;
        verify(file, &binary, image, footer).context("the binary with its footer does not read back as written")
    })
}

/// Reads the written file with another parser and compares it with what was to be written.
fn verify(file: &File, binary: &Binary, image: &Image, expected: Footer) -> Result<()> {
    let mut front = vec![0; usize::try_from(expected.offset)?];
    file.read_exact_at(&mut front, 0)?;
    goblin::elf::Elf::parse(&front).context("goblin does not accept it")?;
    let (executable, padding) = front.split_at(binary.bytes.len());
    ensure!(
        executable == binary.bytes && padding.iter().all(|byte| *byte == 0),
        "the executable was not written whole"
    );
    let again = Binary::parse(&binary.path, front)?;
    ensure!(again.identity() == binary.identity(), "the stamp is part of the identity");

    image.require_in(file, expected.offset)?;
    let mut last = [0; FOOTER_LEN];
    file.read_exact_at(&mut last, expected.offset + expected.length)?;
    ensure!(Footer::decode(&last, file.metadata()?.len())? == Some(expected), "the file does not end with the footer");
    Ok(())
}
