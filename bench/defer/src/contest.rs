//! The contestants: how each writes its file, and how it looks at 100 titles and 3 texts.

use crate::pages::{Head, LazyPage, StrictPage, head, lazy, look, page, texts, titles};
use anyhow::{Result, anyhow};
use fastboot_rt::defer::{DeferVec, LoadOptions, ReadCount, SaveOptions};
use rkyv::rancor;
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::time::{Duration, Instant};

/// Time, bytes read, and a sum of what was seen.
type Seen = (Duration, u64, u64);

pub(crate) struct Contestant {
    pub(crate) name: &'static str,
    pub(crate) group: &'static str,
    /// Those with the same name here read the same file.
    pub(crate) file: &'static str,
    pub(crate) make: fn(&Path, usize) -> Result<()>,
    pub(crate) look: fn(&Path, usize) -> Result<Seen>,
}

pub(crate) const CONTESTANTS: &[Contestant] = &[
    Contestant { name: "fastboot defer", group: ALL, file: "defer", make: make_defer, look: look_defer },
    Contestant {
        name: "fastboot defer, pages in a DeferVec",
        group: ALL,
        file: "list",
        make: make_list,
        look: look_list,
    },
    Contestant { name: "postcard", group: ALL, file: "postcard", make: make_postcard, look: look_postcard },
    Contestant { name: "bincode 2", group: ALL, file: "bincode", make: make_bincode, look: look_bincode },
    Contestant { name: "serde_json", group: ALL, file: "json", make: make_json, look: look_json },
    Contestant { name: "rkyv, mapped, checked", group: ALL, file: "rkyv", make: make_rkyv, look: look_rkyv_checked },
    Contestant {
        name: "rkyv, mapped, unchecked (read: estimated)",
        group: ALL,
        file: "rkyv",
        make: make_rkyv,
        look: look_rkyv_unchecked,
    },
    Contestant { name: "postcard, heads", group: STRICT, file: "heads.postcard", make: make_heads, look: look_heads },
    Contestant {
        name: "fastboot defer, heads",
        group: STRICT,
        file: "heads.defer",
        make: make_own_heads,
        look: look_own_heads,
    },
    Contestant {
        name: "fastboot defer, heads, no checksums",
        group: STRICT,
        file: "heads.plain",
        make: make_own_heads_plain,
        look: look_own_heads,
    },
];

/// Each group has a table of its own.
pub(crate) const GROUPS: [&str; 2] = [ALL, STRICT];

/// What is read of a mapped file that is looked at where it is: about a page for each title and its entry, and for each
/// text and its entry.
pub(crate) const TOUCHED: u64 = (100 * 2 + 3 * 2) * 4096;

const ALL: &str = "everything";
const STRICT: &str = "strict part alone";

fn timed(f: impl FnOnce() -> Result<(u64, u64)>) -> Result<Seen> {
    let start = Instant::now();
    let (read, sum) = f()?;
    // What was loaded has been freed by now; all contestants pay for that.
    Ok((start.elapsed(), read, sum))
}

fn make_defer(file: &Path, pages: usize) -> Result<()> {
    let all: Vec<LazyPage> = (0..pages).map(lazy).collect();
    Ok(SaveOptions::new().save(file, &all)?)
}

fn look_defer(file: &Path, pages: usize) -> Result<Seen> {
    timed(|| {
        let count = ReadCount::default();
        let all: Vec<LazyPage> = LoadOptions::new().count(&count).load(file)?;
        let mut sum = titles(pages).fold(0, |sum: u64, n| sum.wrapping_add(look(&all[n].title)));
        for n in texts(pages) {
            sum = sum.wrapping_add(look(all[n].text.get()?));
        }
        Ok((count.bytes(), sum))
    })
}

fn make_list(file: &Path, pages: usize) -> Result<()> {
    let mut writer = SaveOptions::new().create(file)?;
    let mut list = writer.list();
    for n in 0..pages {
        writer.push(&mut list, &lazy(n))?;
    }
    let list = writer.close(list)?;
    Ok(writer.finish(&list)?)
}

fn look_list(file: &Path, pages: usize) -> Result<Seen> {
    timed(|| {
        let count = ReadCount::default();
        let all: DeferVec<LazyPage> = LoadOptions::new().count(&count).load(file)?;
        let mut sum = 0_u64;
        for n in titles(pages) {
            sum = sum.wrapping_add(look(&all.get(n as u64)?.title));
        }
        for n in texts(pages) {
            sum = sum.wrapping_add(look(all.get(n as u64)?.text.get()?));
        }
        Ok((count.bytes(), sum))
    })
}

fn strict(pages: usize) -> Vec<StrictPage> {
    (0..pages).map(page).collect()
}

fn look_strict(all: &[StrictPage], pages: usize) -> u64 {
    let sum = titles(pages).fold(0, |sum: u64, n| sum.wrapping_add(look(&all[n].title)));
    texts(pages).iter().fold(sum, |sum, n| sum.wrapping_add(look(&all[*n].text)))
}

fn make_postcard(file: &Path, pages: usize) -> Result<()> {
    postcard::to_io(&strict(pages), BufWriter::new(File::create(file)?))?;
    Ok(())
}

fn look_postcard(file: &Path, pages: usize) -> Result<Seen> {
    timed(|| {
        let bytes = std::fs::read(file)?;
        let all: Vec<StrictPage> = postcard::from_bytes(&bytes)?;
        Ok((bytes.len() as u64, look_strict(&all, pages)))
    })
}

fn make_bincode(file: &Path, pages: usize) -> Result<()> {
    let mut out = BufWriter::new(File::create(file)?);
    bincode::serde::encode_into_std_write(strict(pages), &mut out, bincode::config::standard())?;
    Ok(())
}

fn look_bincode(file: &Path, pages: usize) -> Result<Seen> {
    timed(|| {
        let bytes = std::fs::read(file)?;
        let (all, _): (Vec<StrictPage>, _) = bincode::serde::decode_from_slice(&bytes, bincode::config::standard())?;
        Ok((bytes.len() as u64, look_strict(&all, pages)))
    })
}

fn make_json(file: &Path, pages: usize) -> Result<()> {
    Ok(serde_json::to_writer(BufWriter::new(File::create(file)?), &strict(pages))?)
}

fn look_json(file: &Path, pages: usize) -> Result<Seen> {
    timed(|| {
        let bytes = std::fs::read(file)?;
        let all: Vec<StrictPage> = serde_json::from_slice(&bytes)?;
        Ok((bytes.len() as u64, look_strict(&all, pages)))
    })
}

fn make_rkyv(file: &Path, pages: usize) -> Result<()> {
    let bytes = rkyv::to_bytes::<rancor::Error>(&strict(pages)).map_err(|e| anyhow!("{e}"))?;
    Ok(std::fs::write(file, bytes)?)
}

type ArchivedPages = rkyv::vec::ArchivedVec<rkyv::Archived<StrictPage>>;

fn look_archived(all: &ArchivedPages, pages: usize) -> u64 {
    let sum = titles(pages).fold(0, |sum: u64, n| sum.wrapping_add(look(&all[n].title)));
    texts(pages).iter().fold(sum, |sum, n| sum.wrapping_add(look(&all[*n].text)))
}

fn mapped(file: &Path) -> Result<memmap2::Mmap> {
    let file = File::open(file)?;
    // SAFETY: the file was made by this program for this measurement, and nobody changes it until it is removed.
    Ok(unsafe { memmap2::Mmap::map(&file)? })
}

fn look_rkyv_checked(file: &Path, pages: usize) -> Result<Seen> {
    timed(|| {
        let map = mapped(file)?;
        let all = rkyv::access::<ArchivedPages, rancor::Error>(&map).map_err(|e| anyhow!("{e}"))?;
        Ok((map.len() as u64, look_archived(all, pages)))
    })
}

/// What it reads cannot be counted, only estimated in pages of the file that are touched.
fn look_rkyv_unchecked(file: &Path, pages: usize) -> Result<Seen> {
    timed(|| {
        let map = mapped(file)?;
        // SAFETY: the bytes are what `rkyv::to_bytes` returned for a `Vec<StrictPage>`; a map starts at a page boundary,
        // which is aligned for any archived type.
        let all = unsafe { rkyv::access_unchecked::<ArchivedPages>(&map) };
        let sum = look_archived(all, pages);
        Ok((TOUCHED, sum))
    })
}

fn make_heads(file: &Path, pages: usize) -> Result<()> {
    let all: Vec<Head> = (0..pages).map(head).collect();
    postcard::to_io(&all, BufWriter::new(File::create(file)?))?;
    Ok(())
}

fn look_at_heads(all: &[Head], pages: usize) -> u64 {
    titles(pages).fold(0, |sum: u64, n| sum.wrapping_add(look(&all[n].title)).wrapping_add(all[n].rank))
}

fn look_heads(file: &Path, pages: usize) -> Result<Seen> {
    timed(|| {
        let bytes = std::fs::read(file)?;
        let all: Vec<Head> = postcard::from_bytes(&bytes)?;
        Ok((bytes.len() as u64, look_at_heads(&all, pages)))
    })
}

fn make_own_heads(file: &Path, pages: usize) -> Result<()> {
    let all: Vec<Head> = (0..pages).map(head).collect();
    Ok(SaveOptions::new().save(file, &all)?)
}

fn make_own_heads_plain(file: &Path, pages: usize) -> Result<()> {
    let all: Vec<Head> = (0..pages).map(head).collect();
    Ok(SaveOptions::new().checksums(false).save(file, &all)?)
}

fn look_own_heads(file: &Path, pages: usize) -> Result<Seen> {
    timed(|| {
        let count = ReadCount::default();
        let all: Vec<Head> = LoadOptions::new().count(&count).load(file)?;
        Ok((count.bytes(), look_at_heads(&all, pages)))
    })
}
