//! Image: what a program maps at start. Made of a capture, saved as a snapshot, embedded into a binary.

use crate::elf::binary::Binary;
use crate::runs::capture::Capture;
use crate::runs::memory::{ImageData, Memory};
use crate::say::output;
use anyhow::{Context, Result, bail, ensure};
use fastboot_format::features::Mask;
use fastboot_format::image::write::{self, DATA_OFFSET, Layout, NamedRoot};
use fastboot_format::image::{
    self as format, Answer, Bound, Carried, DEFAULT_HOME, FLAG_COLD, FLAG_EXE_ALIGNED, FLAG_PIE, FLAG_READ_ONLY,
    FLAG_RELOCATABLE, FLAG_VERBATIM, FLAG_VERITY, HEADER_LEN, Header, HeaderPage, PAGE, Root, Static, TABLE_LEN, Table,
    TableKind,
};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// An image: its bytes, and its header decoded from them.
#[derive(Debug)]
pub(crate) struct Image {
    bytes: Memory,
    header: Header,
    tables: Vec<Table>,
}

/// What there is to say of image data, page by page.
#[derive(Debug)]
pub(crate) struct Pages {
    /// The digest of each.
    pub(crate) digests: Vec<u8>,
    /// How many aligned words hold an address in the image data.
    pub(crate) pointers: u64,
}

/// Goes through image data, page by page, with as many threads as want to take part.
#[derive(Debug)]
pub(crate) struct Paging<'a> {
    data: &'a [u8],
    /// Where it lies.
    address: u64,
    /// How many stretches of it somebody has begun.
    begun: AtomicUsize,
    done: Mutex<BTreeMap<usize, Pages>>,
}

/// How many bytes somebody takes at once.
const STRETCH: usize = 256 * PAGE;

impl<'a> Paging<'a> {
    pub(crate) fn new(data: &'a [u8], address: u64) -> Self {
        Self { data, address, begun: AtomicUsize::new(0), done: Mutex::default() }
    }

    /// Takes part until there is nothing left to begin.
    pub(crate) fn take_part(&self) {
        let inside = |word: &&[u8; 8]| u64::from_le_bytes(**word).wrapping_sub(self.address) < self.data.len() as u64;
        let next = || self.begun.fetch_add(1, Ordering::Relaxed);
        while let number = next()
            && let Some(stretch) = self.data.chunks(STRETCH).nth(number)
        {
            let (_, digests) = write::page_digests(stretch);
            let pointers = stretch.as_chunks().0.iter().filter(inside).count() as u64;
            let pages = Pages { digests, pointers };
            self.done.lock().unwrap_or_else(PoisonError::into_inner).insert(number, pages);
        }
    }

    /// What came of it, when all have ended.
    pub(crate) fn finish(self) -> Pages {
        let done = self.done.into_inner().unwrap_or_else(PoisonError::into_inner).into_values();
        done.fold(Pages { digests: Vec::new(), pointers: 0 }, |mut all, pages| {
            all.digests.extend(pages.digests);
            all.pointers += pages.pointers;
            all
        })
    }
}

/// The table of the words at these offsets in image data.
pub(crate) fn relocations(offsets: &[u64]) -> Vec<u8> {
    let mut table = Vec::with_capacity(offsets.len());
    let in_image = offsets.iter().map(|offset| offset + DATA_OFFSET);
    format::encode_relocations(in_image, DATA_OFFSET, |byte| table.push(byte));
    table
}

/// What an image is made of, besides the capture and the image data.
#[derive(Debug)]
pub(crate) struct Parts<'a> {
    /// The processor features that it depends on.
    pub(crate) features: Mask,
    /// What the processor has to answer besides.
    pub(crate) answers: &'a [Answer],
    /// The digests of its pages.
    pub(crate) digests: Vec<u8>,
    /// Whether it holds dead objects too.
    pub(crate) verbatim: bool,
    /// Whether the executable moved by multiples of 2 MiB only.
    pub(crate) aligned: bool,
    /// The words that move with the executable, from the proof: [`relocations`].
    pub(crate) static_pointers: Vec<u8>,
    /// The words that move with the image; `None` if it cannot be said of every word.
    pub(crate) image_pointers: Option<Vec<u8>>,
    /// The words that hold the address of something in a shared library.
    pub(crate) bound: &'a [Bound],
    /// The carried statics, whose bytes are in the image data.
    pub(crate) carried: &'a [Carried],
    /// What became of every static that changed: its name, and the decision.
    pub(crate) decisions: &'a [(String, String)],
    /// What it is made of: a report as its table has it.
    pub(crate) report: Vec<u8>,
}

impl Image {
    /// Lays out an image: header page, captured memory, and the tables, in the header page as far as they fit.
    pub(crate) fn build(binary: &Binary, capture: &Capture, data: ImageData, parts: Parts<'_>) -> Result<Self> {
        let [roots, strings] = write::root_tables(capture.roots.iter().map(|root| NamedRoot {
            value: root.value,
            size: root.size,
            align: root.align,
            name: &root.name,
            type_name: &root.type_name,
        }));
        let mut decisions = Vec::new();
        for (name, decision) in parts.decisions {
            write::push_string(&mut decisions, name);
            write::push_string(&mut decisions, decision);
        }
        let flags = [
            (FLAG_PIE, binary.pie),
            (FLAG_VERBATIM, parts.verbatim),
            (FLAG_EXE_ALIGNED, parts.aligned),
            (FLAG_RELOCATABLE, parts.image_pointers.is_some()),
        ];
        let header = Header {
            flags: flags.into_iter().filter(|(_, set)| *set).map(|(flag, _)| flag).sum(),
            home: capture.process.home,
            exe_base: capture.process.exe_base,
            root_count: u32::try_from(capture.roots.len())?,
            identity: binary.identity(),
            data_length: data.len() as u64,
            ..Header::default()
        }
        .with_features(parts.features);
        // In this order: what the thaw reads comes first and so lies in the page that it touches anyway.
        let layout = Layout::new(
            header,
            [
                roots,
                write::carried(parts.carried),
                write::answers(parts.answers),
                write::bound(parts.bound),
                (TableKind::StaticPointers, parts.static_pointers),
                strings,
                (TableKind::CarryReport, decisions),
                (TableKind::PageDigests, parts.digests),
                (TableKind::Report, parts.report),
                (TableKind::ImagePointers, parts.image_pointers.unwrap_or_default()),
            ],
        );
        Self::assemble(&layout, data)
    }

    /// The words that hold the address of something in a shared library.
    pub(crate) fn bound(&self) -> Result<Vec<Bound>> {
        Ok(format::bound(self.table(TableKind::BoundPointers)?, self.header()).collect::<Result<_, _>>()?)
    }

    /// The same image for another binary: with its identity, with these words at these offsets of the image data, with its
    /// statics carried to where they are there, and with what its dynamic linker binds.
    pub(crate) fn migrated(
        &self,
        identity: [u8; 32],
        words: &[(u64, u64)],
        statics: &[Carried],
        bound: &[Bound],
    ) -> Result<Self> {
        let mut data = ImageData::new(self.header.data_length)?;
        let start = usize::try_from(self.header.data_offset)?;
        let length = data.len();
        data.copy_from_slice(&self.bytes[start..start + length]);
        for (offset, word) in words {
            let place = usize::try_from(*offset).ok().and_then(|offset| data.get_mut(offset..)?.first_chunk_mut());
            *place.context("a word outside of the image")? = word.to_le_bytes();
        }
        let kept = |kind| anyhow::Ok((kind, self.table(kind)?.to_vec()));
        let tables = [
            kept(TableKind::Roots)?,
            write::carried(statics),
            kept(TableKind::Answers)?,
            write::bound(bound),
            kept(TableKind::StaticPointers)?,
            kept(TableKind::Strings)?,
            kept(TableKind::CarryReport)?,
            write::page_digests(&data),
            kept(TableKind::Report)?,
            kept(TableKind::ImagePointers)?,
        ];
        Self::assemble(&Layout::new(Header { identity, ..self.header }, tables), data)
    }

    /// What a cold binary has in place of an image: the statics that a freeze on the user's machine has to know.
    pub(crate) fn cold(binary: &Binary, statics: &[Static]) -> Result<Self> {
        let header = Header { flags: FLAG_COLD, home: DEFAULT_HOME, identity: binary.identity(), ..Header::default() };
        let table = statics.iter().flat_map(Static::encode).collect();
        Self::assemble(&Layout::new(header, [(TableKind::Statics, table)]), ImageData::new(0)?)
    }

    /// Puts the pieces of an image together, around its data.
    fn assemble(layout: &Layout, data: ImageData) -> Result<Self> {
        let mut bytes = data.into_memory();
        bytes.grow(layout.header.length)?;
        for (offset, piece) in layout.pieces() {
            bytes[offset as usize..][..piece.len()].copy_from_slice(piece);
        }
        Self::check(bytes).context("the image just made does not read back; this is a bug of cargo-fastboot")
    }

    /// Decodes header and tables and checks all digests.
    fn check(bytes: Memory) -> Result<Self> {
        let page = HeaderPage::decode(&bytes)?;
        if page.header.length != bytes.len() as u64 {
            bail!("image truncated or followed by something: {} bytes, {} expected", bytes.len(), page.header.length);
        }
        for table in page.tables() {
            page.table(table.kind, &bytes)?;
        }
        let (header, tables) = (page.header, page.tables().collect());
        let image = Self { bytes, header, tables };
        for index in 0..image.root_count() as usize {
            image.root(index)?;
        }
        for kind in [TableKind::StaticPointers, TableKind::ImagePointers] {
            if let Some(error) = format::relocations(image.table(kind)?, image.header()).find_map(Result::err) {
                return Err(error.into());
            }
        }
        for entry in format::carried(image.table(TableKind::Carried)?, image.header()) {
            entry?;
        }
        for entry in format::bound(image.table(TableKind::BoundPointers)?, image.header()) {
            entry?;
        }
        if let Some(error) = format::statics(image.table(TableKind::Statics)?).find_map(Result::err) {
            return Err(error.into());
        }
        Ok(image)
    }

    /// Reads a snapshot.
    pub(crate) fn load(path: &Path) -> Result<Self> {
        let unusable = || format!("cannot use the snapshot {}", path.display());
        let mut file = File::open(path).with_context(unusable)?;
        let length = file.metadata().with_context(unusable)?.len();
        Self::read_from(&mut file, length).with_context(unusable)
    }

    /// Copies an image out of bytes that hold nothing else, such as a section.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self> {
        Self::read_from(&mut &bytes[..], bytes.len() as u64)
    }

    fn read_from(from: &mut impl Read, length: u64) -> Result<Self> {
        if length < HEADER_LEN as u64 {
            bail!("it is not a fastboot image: only {length} bytes");
        }
        let mut bytes = Memory::new(length)?;
        from.read_exact(&mut bytes)?;
        Self::check(bytes)
    }

    /// Writes the image to a snapshot, which fs-verity protects if the image says so.
    pub(crate) fn save(&self, path: &Path) -> Result<()> {
        let write = |file: &mut File| Ok(file.write_all(&self.bytes)?);
        output::replace_finished(path, None, write, |written| {
            if self.header().flags & FLAG_VERITY == 0 {
                return Ok(());
            }
            fastboot_kernel::enable_verity(&File::open(written)?).context(
                "fs-verity cannot be turned on; it needs a kernel with CONFIG_FS_VERITY and a file system that has it, such \
                 as btrfs, or ext4 with the feature `verity` (tune2fs -O verity)",
            )
        })
    }

    /// Sets these `FLAG_*` bits of the header, and clears those.
    pub(crate) fn change_flags(&mut self, set: u64, clear: u64) {
        self.header.flags = self.header.flags & !clear | set;
        let directory = HEADER_LEN + self.header.table_count as usize * TABLE_LEN;
        let header = self.header.encode(&self.bytes[HEADER_LEN..directory]);
        self.bytes[..HEADER_LEN].copy_from_slice(&header);
    }

    /// Whether it is to be mapped without permission to write.
    pub(crate) fn is_read_only(&self) -> bool {
        self.header.flags & FLAG_READ_ONLY != 0
    }

    /// Whether this is the section of a cold binary: tables alone, and no image data yet.
    pub(crate) fn is_cold(&self) -> bool {
        self.header.flags & FLAG_COLD != 0
    }

    /// The image data in it.
    pub(crate) fn data(&self) -> Result<&[u8]> {
        let start = usize::try_from(self.header.data_offset)?;
        let data = self.bytes.get(start..).and_then(|rest| rest.get(..usize::try_from(self.header.data_length).ok()?));
        data.context("no image data")
    }

    /// Its bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Reads a file back, and requires that the image stands at an offset in it.
    pub(crate) fn require_in(&self, file: &File, offset: u64) -> Result<()> {
        let mut written = Memory::new(self.len())?;
        file.read_exact_at(&mut written, offset)?;
        ensure!(written[..] == self.bytes[..], "the image was not written whole");
        Ok(())
    }

    /// Length in bytes.
    pub(crate) fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// How many roots it holds.
    pub(crate) fn root_count(&self) -> u32 {
        self.header.root_count
    }

    /// Its header.
    pub(crate) fn header(&self) -> &Header {
        &self.header
    }

    /// Its tables.
    pub(crate) fn tables(&self) -> impl Iterator<Item = &Table> {
        self.tables.iter()
    }

    /// The bytes of a table.
    pub(crate) fn table(&self, kind: TableKind) -> Result<&[u8]> {
        let table = self.tables.iter().find(|table| table.kind == kind);
        Ok(table.map_or(Ok(&[][..]), |table| table.bytes(&self.bytes))?)
    }

    /// Compares every page of the image data with its digest.
    pub(crate) fn check_pages(&self) -> Result<()> {
        let header = self.header();
        let data = &self.bytes[header.data_offset as usize..(header.data_offset + header.data_length) as usize];
        let digests = self.table(TableKind::PageDigests)?.as_chunks::<8>().0;
        if digests.len() != data.len().div_ceil(PAGE) {
            bail!("image damaged: {} page digests for {} pages", digests.len(), data.len().div_ceil(PAGE));
        }
        for (index, (page, stored)) in data.chunks(PAGE).zip(digests).enumerate() {
            if format::digest(page) != u64::from_le_bytes(*stored) {
                bail!(
                    "image damaged: the page at offset {:#x} has another digest",
                    DATA_OFFSET + (index * PAGE) as u64
                );
            }
        }
        Ok(())
    }

    /// What became of every static that changed: its name, and the decision.
    pub(crate) fn carry_report(&self) -> Result<Vec<(&str, &str)>> {
        let table = self.table(TableKind::CarryReport)?;
        let (mut report, mut at) = (Vec::new(), 0);
        while let Some((name, next)) = format::string_at(table, at) {
            let Some((decision, next)) = format::string_at(table, next) else { break };
            report.push((name, decision));
            at = next;
        }
        Ok(report)
    }

    /// What it is made of, if it says so.
    pub(crate) fn report<Report: DeserializeOwned>(&self) -> Result<Option<Report>> {
        match self.table(TableKind::Report)? {
            [] => Ok(None),
            text => serde_json::from_slice(text).context("image damaged: its report is not understood"),
        }
    }

    /// Root number `index`, with its name and its type's name.
    pub(crate) fn root(&self, index: usize) -> Result<(Root, &str, &str)> {
        let root = self.header.root(self.table(TableKind::Roots)?, index)?;
        let strings = self.table(TableKind::Strings)?;
        let found = format::string_at(strings, root.name)
            .and_then(|(name, next)| Some((name, format::string_at(strings, next)?.0)));
        let Some((name, type_name)) = found else { bail!("image damaged: root {index} has no name") };
        Ok((root, name, type_name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_digested_and_their_pointers_counted() {
        let words = [0x5500_0000_1000, 0x5500_0000_1001, 0x5500_0000_1028, 0, 0x5500_0000_0fff];
        let mut data: Vec<u8> = words.into_iter().flat_map(u64::to_le_bytes).collect();
        let pages = |data: &[u8]| {
            let paging = Paging::new(data, 0x5500_0000_1000);
            std::thread::scope(|scope| {
                scope.spawn(|| paging.take_part());
                paging.take_part();
            });
            paging.finish()
        };
        assert_eq!(pages(&data).pointers, 2);
        data.resize(3 * STRETCH + PAGE + 17, 0);
        data[PAGE..PAGE + 8].copy_from_slice(&0x5500_0000_2010_u64.to_le_bytes());
        data[2 * STRETCH..2 * STRETCH + 8].copy_from_slice(&0x5500_0000_3010_u64.to_le_bytes());
        let Pages { digests, pointers } = pages(&data);
        assert_eq!((TableKind::PageDigests, digests), write::page_digests(&data));
        assert_eq!(pointers, 5);
    }
}
