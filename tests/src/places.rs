//! Images in all the places that a program looks for one.

use crate::programs::{Built, fastboot, succeed};
use anyhow::{Context, Result, ensure};
use fastboot_format::image::{HEADER_COPY_LEN, HEADER_LEN, Header, HeaderPage, TABLE_LEN};
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A program and its image, apart and together.
#[derive(Debug)]
pub struct Places {
    folder: TempDir,
    /// The cold binary, in a folder of its own.
    pub cold: PathBuf,
    /// The snapshot that the program looks for by itself, beside the cold binary.
    pub snapshot: PathBuf,
    /// The cold binary with the image behind it, in a folder of its own.
    pub footer: PathBuf,
    /// The embedded binary, in a folder of its own.
    pub section: PathBuf,
}

impl Places {
    /// Freezes the program and puts its image everywhere.
    pub fn of(built: &Built) -> Result<Self> {
        let name = built.embedded.file_name().context("a program has a name")?;
        let folder = tempfile::tempdir()?;
        let place = |place: &str| -> Result<PathBuf> {
            let own = folder.path().join(place);
            fs::create_dir(&own)?;
            Ok(own.join(name))
        };
        let (cold, footer, section) = (place("cold")?, place("footer")?, place("section")?);
        fs::copy(&built.cold, &cold)?;
        fs::copy(&built.embedded, &section)?;
        let snapshot = cold.with_extension("snap");
        freeze(&cold, &snapshot, &[])?;
        embed(&cold, &snapshot, &footer, &["--footer"])?;
        Ok(Self { folder, cold, snapshot, footer, section })
    }

    /// The folder of all of them: a place for what else a test makes.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The sources, each with the program that has its image from there.
    pub fn programs(&self) -> [(&'static str, &Path); 3] {
        [("section", &self.section), ("footer", &self.footer), ("snapshot", &self.cold)]
    }
}

/// `cargo fastboot freeze`.
pub fn freeze(cold: &Path, snapshot: &Path, options: &[&str]) -> Result<()> {
    let mut command = fastboot()?;
    command.arg("freeze").arg("--binary").arg(cold).arg("-o").arg(snapshot).args(options);
    succeed(&mut command).map(drop)
}

/// `cargo fastboot embed`.
pub fn embed(binary: &Path, snapshot: &Path, out: &Path, options: &[&str]) -> Result<()> {
    let mut command = fastboot()?;
    command.arg("embed").arg("--binary").arg(binary).arg("--snapshot").arg(snapshot).arg("-o").arg(out).args(options);
    succeed(&mut command).map(drop)
}

/// Where an image is in a file, and where in the file its header and tables are.
#[derive(Clone, Debug)]
pub struct Layout {
    /// The image.
    pub image: Range<usize>,
    /// The copy of its beginning that a start reads instead, if there is one.
    pub copy: Option<Range<usize>>,
    /// Header and directory.
    pub header: Range<usize>,
    /// The tables: what `inspect` calls each, and where it is.
    pub tables: Vec<(&'static str, Range<usize>)>,
}

impl Layout {
    /// Finds the last image in a file: at a multiple of 2 MiB.
    pub fn of(bytes: &[u8]) -> Result<Self> {
        let starts = (0..bytes.len()).step_by(2 << 20).rev();
        let start = starts.into_iter().find(|start| bytes[*start..].starts_with(b"fastboot")).context("no image")?;
        let page = HeaderPage::decode(&bytes[start..])?;
        let end = start + page.header.length as usize;
        ensure!(end <= bytes.len(), "the image ends behind the file");
        let directory = HEADER_LEN + page.tables().count() * TABLE_LEN;
        let place = |offset: u64, length: u64| start + offset as usize..start + (offset + length) as usize;
        let tables = page.tables().map(|table| (table.kind.name(), place(table.offset, table.length))).collect();
        let (before, image) = bytes.split_at(start);
        let mut copies = (0..start).step_by(8).map(|at| at..at + HEADER_COPY_LEN);
        let copy = copies.find(|copy| before.get(copy.clone()) == image.get(..HEADER_COPY_LEN));
        Ok(Self { image: start..end, copy, header: start..start + directory, tables })
    }

    /// Where a byte of the image is: here, and where the copy has it, if it has it.
    pub fn places_of(&self, at: usize) -> impl Iterator<Item = usize> + use<> {
        let copied = self.copy.as_ref().and_then(|copy| {
            let offset = at.checked_sub(self.image.start)?;
            Some(copy.start + offset).filter(|at| copy.contains(at))
        });
        [Some(at), copied].into_iter().flatten()
    }
}

/// Offset in an executable's file of the program header whose segment begins at this offset.
pub fn program_header_of(bytes: &[u8], offset: u64) -> Result<usize> {
    let is_it = |entry: &usize| bytes[entry + 8..entry + 16] == offset.to_le_bytes();
    (64..4096).step_by(56).find(is_it).context("no segment begins there")
}

/// Changes the header of the last image in these bytes to one that lies, but is not damaged.
pub fn forge(bytes: &mut [u8], change: impl FnOnce(&mut Header)) -> Result<()> {
    let layout = Layout::of(bytes)?;
    let start = layout.image.start;
    let mut header = HeaderPage::decode(&bytes[start..])?.header;
    let directory = bytes[start + HEADER_LEN..][..header.table_count as usize * TABLE_LEN].to_vec();
    change(&mut header);
    for start in layout.places_of(start) {
        bytes[start..start + HEADER_LEN].copy_from_slice(&header.encode(&directory));
    }
    Ok(())
}
