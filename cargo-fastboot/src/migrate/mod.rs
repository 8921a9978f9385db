//! Migrate: an image of the program as it was before, made one of the program as it is now, without evaluating a root.
//!
//! That is right if the new program's own freeze would make the same image, up to addresses. So it is done only if
//!
//! - what the roots use is the same graph of code and data ([`link`](crate::link)), and lies in the same order;
//! - the inputs, the libraries, the processor, the tool and all options are the same;
//! - the freeze knew of each word whether it is an address in the executable, and nothing else moved with the executable.
//!
//! Then each address is rewritten: the same node, the same place in it. Whatever is not clear means that it is frozen again.

mod address;
mod past;

use crate::elf::binary::{Binary, Elf};
use crate::freeze::finish::FreezeOutput;
use crate::freeze::fresh::{Record, Store};
use crate::freeze::pipeline::image_data_of;
use crate::image::Image;
use crate::link::Closure;
use crate::link::wrapper::{self, LinkRecord};
use crate::options::FreezeOptions;
use crate::runs::memory::word_at;
use crate::runs::world::Difference;
use crate::say::output;
use crate::say::shell::Shell;
use address::{Moves, Rewritten, groups};
use anyhow::{Context, Result, bail, ensure};
use fastboot_format::image::{Bound, Carried, TableKind, carried};
use past::Past;
use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// What is known of a cold binary from its link.
pub(crate) struct Present {
    closure: Result<Closure, String>,
    /// Where the program is that was linked for other addresses, and its SHA-256, or why there is none.
    twin: Result<(PathBuf, String), String>,
    /// Where the program is whose parts lie otherwise, and where in it the nodes of the closure are; or why there is none.
    wide: Result<(PathBuf, Vec<u64>), String>,
}

impl Present {
    /// Of the executable that cargo put at `executable`, with these bytes.
    pub(crate) fn find(executable: &Path, bytes: &[u8]) -> Self {
        let unknown = || "its link was not watched; is there a linker in RUSTFLAGS?".to_owned();
        match wrapper::find(executable, bytes) {
            Some((LinkRecord { closure, twin, wide }, path)) => {
                let wide = wide.map(|addresses| (path.with_extension("wide"), addresses));
                let twin = twin.and_then(|digest| match path.is_file() {
                    true => Ok((path, digest)),
                    false => Err("it was removed".to_owned()),
                });
                Self { closure, twin, wide }
            }
            None => Self { closure: Err(unknown()), twin: Err(unknown()), wide: Err(unknown()) },
        }
    }

    /// Freezes in a way that tells addresses in the executable from numbers: run 3 runs the twin. It is put beside the cold
    /// binary, because paths are to be as long.
    /// Says why there is none.
    pub(crate) fn use_twin(&self, cold: &Path, options: &mut FreezeOptions) -> Result<(), String> {
        let (twin, digest) = self.twin.as_ref().map_err(String::clone)?;
        let beside = cold.with_extension("twin");
        output::link(twin, &beside).map_err(|error| format!("{error:#}"))?;
        options.twin = Some((beside, digest.clone()));
        Ok(())
    }

    /// Freezes in a way that lets the image be migrated later.
    pub(crate) fn prepare(&self, options: &mut FreezeOptions) {
        if let Ok(closure) = &self.closure {
            options.seed = closure.fingerprint.first_chunk().map(|first| u64::from_le_bytes(*first));
            options.exact_addresses = true;
        }
    }

    /// What to say of it.
    pub(crate) fn describe(&self) -> String {
        match &self.closure {
            Ok(closure) => format!(
                "the roots use {} functions, constants and statics; fingerprint {}",
                closure.nodes.len(),
                crate::elf::binary::hex(&closure.fingerprint)
            ),
            Err(why) => format!("it is not known what the roots use: {why}"),
        }
    }

    /// The image of the program as it was when `store` was last written, for the program as it is now; with the record of that
    /// one. An error says why not.
    pub(crate) fn migrate(&self, cold: &Path, store: &Store, options: &FreezeOptions) -> Result<(Image, Record)> {
        let now = self.closure.as_ref().map_err(|why| anyhow::anyhow!("it is not known what the roots use: {why}"))?;
        let past = Past::load(cold);
        let folder = past.as_ref().ok().and_then(|past| past.folder.as_deref());
        let record = store
            .find_but_for_program(options, folder)
            .map_err(|why| anyhow::anyhow!(why.unwrap_or_else(|| "nothing was frozen before".to_owned())))?;
        let past = past?;
        ensure!(past.finished == record.digest(), "what is known of the last freeze is of another one");
        if let Some(changed) = first_change(&past.closure, now) {
            anyhow::bail!("{changed}");
        }
        past.check_libraries()?;
        let finished = Binary::read(&store.finished)?;
        let (_, image) = finished.image_bytes().context("the finished binary has no image")?;
        let image = Image::from_bytes(image)?;
        let moves = Moves::new(&past.closure, now, &past.groups)?;
        let words = moves.rewritten(&image, &past.addresses)?;
        let statics = carried(image.table(TableKind::Carried)?, image.header()).map(|one| {
            let one = one?;
            Ok(Carried { address: moves.range(one.address, one.length)?, ..one })
        });
        let statics = statics.collect::<Result<Vec<_>>>()?;
        let cold_binary = Binary::read(cold)?;
        let bound = rebound(&image.bound()?, &finished, &cold_binary)?;
        let migrated = image.migrated(cold_binary.identity(), &words, &statics, &bound)?;
        past.keep_for(now, options.directory.as_deref()).save(cold)?;
        Ok((migrated, record))
    }

    /// Finds out what a later build has to know of this freeze, and clears in the image what is left of addresses: that would be
    /// another garbage in each program. Says why there is nothing to know.
    pub(crate) fn examine(
        &self,
        cold: &Path,
        freeze: Freeze,
        image: &mut Image,
        options: &FreezeOptions,
        shell: &Shell,
    ) -> Result<Known, String> {
        let closure = self.closure.clone()?;
        let mut addresses = freeze
            .addresses
            .map_err(|why| self.twin.as_ref().err().map_or(why.clone(), |twin| format!("{why} ({twin})")))?;
        let known = || {
            let libraries = past::libraries(cold, &freeze.mapped)?;
            let wide = self.evaluate_wide(cold, image, &addresses, options, shell)?;
            if !wide.left.is_empty() {
                *image = clear(image, &wide.left)?;
                addresses.retain(|offset| wide.left.binary_search_by_key(offset, |(left, _)| *left).is_err());
            }
            Ok(Known { closure, groups: wide.groups, folder: wide.folder, addresses, libraries })
        };
        known().map_err(|error: anyhow::Error| format!("{error:#}"))
    }

    /// Requires that the wide program makes the same image, up to these words of it, which hold addresses. If that is so in a
    /// folder of another name as well, nothing follows from the folder's.
    fn evaluate_wide(
        &self,
        cold: &Path,
        image: &Image,
        addresses: &[u64],
        options: &FreezeOptions,
        shell: &Shell,
    ) -> Result<WideFound> {
        let no_wide = |why: &String| anyhow::anyhow!("there is no program whose parts lie otherwise: {why}");
        let (wide, there) = self.wide.as_ref().map_err(no_wide)?;
        let closure = self.closure.as_ref().map_err(no_wide)?;
        let moves = Moves::to(closure, there)?;
        // A path as long.
        let stamped = cold.with_extension("wide");
        let mut binary = Binary::read(wide)?;
        binary.stamp();
        output::replace(&stamped, Some(wide), |file| Ok(file.write_all(&binary.bytes)?))?;
        let compare = |options: &FreezeOptions, world: &[Difference]| {
            let data = image_data_of(&stamped, options, world, &shell.quiet());
            let (data, base) = data.context("a program whose parts lie otherwise cannot be frozen")?;
            ensure!(base == image.header().exe_base, "a program whose parts lie otherwise is loaded elsewhere");
            let Rewritten { words, left } = moves.rewritten_as_in(image, addresses, &data)?;
            require_same(image, &words, &data)?;
            Ok(left)
        };
        let folder = options.directory.as_ref();
        let elsewhere = folder.map(|folder| options.in_folder(&another_name(folder)));
        let left = match elsewhere.map(|options| compare(&options, &[Difference::Folder])) {
            Some(Ok(left)) => Ok((left, folder.cloned())),
            _ => compare(options, &[]).map(|left| (left, None)),
        };
        let _ = std::fs::remove_file(&stamped);
        let (left, folder) = left?;
        Ok(WideFound { left, groups: groups(closure, there), folder })
    }
}

/// The same words, with the places that the dynamic linker gives the same symbols in another binary.
fn rebound(bound: &[Bound], before: &Binary, now: &Binary) -> Result<Vec<Bound>> {
    if bound.is_empty() {
        return Ok(Vec::new());
    }
    let [before_elf, now_elf] = [Elf::parse(&before.bytes)?, Elf::parse(&now.bytes)?];
    let (before, now) = (before_elf.bound_places(&before.bytes)?, now_elf.bound_places(&now.bytes)?);
    let place = |place: u64| {
        let (_, name) = before.iter().find(|(before, _)| *before == place)?;
        now.iter().find(|(_, now)| now == name).map(|(place, _)| *place)
    };
    let moved = bound.iter().map(|one| Some(Bound { place: place(one.place)?, ..*one }));
    moved.collect::<Option<_>>().context("the program has no use any more for a function of a shared library")
}

/// Another name of a folder.
fn another_name(folder: &Path) -> PathBuf {
    let mut name = OsString::from("/proc/self/root");
    name.push(folder);
    name.into()
}

/// What is known once the wide program was evaluated.
struct WideFound {
    /// Words of which only a part of an address is left, each with the bits that are something else.
    left: Vec<(u64, u64)>,
    /// Of each node, its group.
    groups: Vec<u64>,
    /// The package's folder, if nothing follows from its name.
    folder: Option<PathBuf>,
}

/// The image, with these words without all but these bits of them.
fn clear(image: &Image, left: &[(u64, u64)]) -> Result<Image> {
    let data = image.data()?;
    let cleared = |(offset, low): &(u64, u64)| Some((*offset, word_at(data, *offset)? & low));
    let words =
        left.iter().map(|word| cleared(word).context("a word outside of the image")).collect::<Result<Vec<_>>>()?;
    let statics = carried(image.table(TableKind::Carried)?, image.header()).collect::<Result<Vec<_>, _>>()?;
    image.migrated(image.header().identity, &words, &statics, &image.bound()?)
}

/// What a later build has to know of a freeze.
pub(crate) struct Known {
    closure: Closure,
    groups: Vec<u64>,
    folder: Option<PathBuf>,
    addresses: Vec<u64>,
    libraries: Vec<(String, [u8; 32])>,
}

impl Known {
    /// Writes it down, once the finished binary is there.
    pub(crate) fn remember(self, cold: &Path, record: &Record) -> Result<()> {
        let Self { closure, groups, folder, addresses, libraries } = self;
        Past { finished: record.digest().to_owned(), closure, groups, folder, addresses, libraries }.save(cold)
    }
}

/// Of what was known of an earlier freeze nothing is true any more.
pub(crate) fn forget(cold: &Path) {
    let _ = std::fs::remove_file(Past::path(cold));
}

/// Requires that image data are those of an image, with these words at these offsets.
fn require_same(image: &Image, words: &[(u64, u64)], data: &[u8]) -> Result<()> {
    let mut expected = image.data()?.to_vec();
    for (offset, word) in words {
        let place = usize::try_from(*offset).ok().and_then(|offset| expected.get_mut(offset..)?.first_chunk_mut());
        *place.context("a word outside of the image")? = word.to_le_bytes();
    }
    ensure!(expected.len() == data.len(), "a program whose parts lie otherwise makes an image of another size");
    let differs = expected.iter().zip(data).position(|(one, other)| one != other);
    if let Some(at) = differs {
        let at = at as u64 / 8 * 8;
        let word = |bytes| word_at(bytes, at).unwrap_or(0);
        bail!(
            "the word at offset {at:#x} of the image data follows from how the parts of the program lie to each other, or from a \
             line number: {:#x}, then {:#x}",
            word(&expected),
            word(data)
        );
    }
    Ok(())
}

/// What a freeze found out, as far as it matters here.
pub(crate) struct Freeze {
    addresses: Result<Vec<u64>, String>,
    mapped: Vec<String>,
}

impl Freeze {
    pub(crate) fn of(output: &mut FreezeOutput) -> Self {
        let addresses = std::mem::replace(&mut output.addresses, Err("it was taken".to_owned()));
        Self { addresses, mapped: std::mem::take(&mut output.mapped) }
    }
}

/// The finished binary is another one now: what is known of it is the same.
pub(crate) fn finished_anew(cold: &Path, record: &Record) -> Result<()> {
    let mut past = Past::load(cold)?;
    past.finished = record.digest().to_owned();
    past.save(cold)
}

/// Said for people: the first thing that the roots use that is another one; nothing if all is the same.
fn first_change(before: &Closure, now: &Closure) -> Option<String> {
    if before.fingerprint == now.fingerprint {
        return None;
    }
    let pairs = before.nodes.iter().zip(&now.nodes);
    let differs = pairs.filter(|(old, new)| old.hash != new.hash).map(|(_, new)| new);
    // A name of the user's own says more than what a change of the order made of others.
    let first = differs.clone().next();
    Some(match first {
        Some(node) => format!("`{}`, which the roots use, changed", node.name),
        None => "the roots use more or less than before".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::Reached;

    fn closure(fingerprint: u8, hashes: &[u64]) -> Closure {
        let node = |hash: &u64| Reached {
            name: format!("f{hash}"),
            address: 0,
            size: 0,
            hash: *hash,
            merged: false,
            code: false,
            location: false,
        };
        Closure { fingerprint: [fingerprint; 32], nodes: hashes.iter().map(node).collect() }
    }

    #[test]
    fn the_first_change_is_named() {
        let before = closure(1, &[1, 2, 3]);
        assert_eq!(first_change(&before, &closure(1, &[1, 2, 3])), None);
        assert_eq!(first_change(&before, &closure(2, &[1, 9, 4])).unwrap(), "`f9`, which the roots use, changed");
        assert_eq!(first_change(&before, &closure(2, &[1, 2])).unwrap(), "the roots use more or less than before");
    }
}
