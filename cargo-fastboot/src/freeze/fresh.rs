//! Fresh: whether the embedded binary of an earlier build is what freezing and embedding would make again.
//!
//! ```text
//! NAME.cold       what cargo built; hashed whole, because its symbols decide what is carried
//! NAME.embedded   what was made of it, the same file as the finished binary (a hard link)
//! NAME.inputs     what it was made of and from, as JSON
//! ```
//! The record is removed before a freeze and written after it, so whatever is found beside it belongs to it. A record that
//! is missing, damaged, or of another version means no more than that everything is made again.

use crate::image::Image;
use crate::options::{FreezeOptions, Place};
use crate::runs::inputs::Inputs;
use crate::runs::processor;
use crate::say::output;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// What a finished binary was made of and from.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    key: Key,
    inputs: Inputs,
    file: FileDigest,
    /// How many roots its image holds.
    pub(crate) roots: u32,
    /// Length of the image in bytes.
    pub(crate) image: u64,
    /// Whether it was verified.
    pub(crate) verified: bool,
    /// What of its runs was compared, as [`compare_runs::key`](crate::freeze::compare_runs::key) has it.
    #[serde(default)]
    pub(crate) compared: Option<String>,
}

/// Everything besides the inputs that decides about a finished binary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Key {
    /// Version and build of this tool.
    tool: String,
    /// BLAKE3 of the cold binary.
    cold: String,
    /// BLAKE3 of how it is frozen, and on what processor.
    how: String,
    /// The same, whatever the package's folder is called.
    #[serde(default)]
    anywhere: String,
    /// Whether it had a twin to be frozen with.
    twin: bool,
}

/// Length and BLAKE3 of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct FileDigest {
    length: u64,
    digest: String,
}

/// The files of one binary, and what is to be made.
#[derive(Debug)]
pub(crate) struct Store {
    /// Where the finished binary is kept.
    pub(crate) finished: PathBuf,
    record: PathBuf,
    key: Key,
    /// Real random bytes are new ones each time.
    reusable: bool,
}

impl Store {
    /// For the cold binary at `cold`; `stripped` if the finished one is to be stripped; `place` says where the image goes,
    /// `read_only` how it is mapped.
    pub(crate) fn new(
        cold: &Path,
        stripped: bool,
        place: Place,
        read_only: bool,
        options: &FreezeOptions,
    ) -> Result<Self> {
        Ok(Self {
            finished: cold.with_extension("embedded"),
            record: cold.with_extension("inputs"),
            key: Key::new(cold, stripped, place, read_only, options)?,
            reusable: !options.real_random,
        })
    }

    /// The record of the finished binary, if it is what would be made again; else why not, said for people, if there is
    /// anything to say.
    pub(crate) fn find(&self, options: &FreezeOptions) -> Result<Record, Option<String>> {
        let record = self.read()?;
        if record.key.cold != self.key.cold {
            return Err(Some("the program changed".to_owned()));
        }
        self.check(record, options)
    }

    /// The same, whether the program changed or not. `folder`: how the package's folder was called, if that does not count;
    /// what was read in there is in there still.
    pub(crate) fn find_but_for_program(
        &self,
        options: &FreezeOptions,
        folder: Option<&Path>,
    ) -> Result<Record, Option<String>> {
        let mut record = self.read()?;
        if let (Some(was), Some(now)) = (folder, &options.directory)
            && was != now
            && record.key.anywhere == self.key.anywhere
        {
            record.inputs.rename(was, now);
            record.key.how.clone_from(&self.key.how);
        }
        self.check(record, options)
    }

    /// The record, if it is one that this tool wrote.
    fn read(&self) -> Result<Record, Option<String>> {
        if !self.reusable {
            return Err(Some("random bytes are to be real".to_owned()));
        }
        let text = match fs::read(&self.record) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(None),
            Err(error) => return Err(Some(format!("{} cannot be read: {error}", self.record.display()))),
        };
        let record: Record = serde_json::from_slice(&text)
            .map_err(|error| Some(format!("{} cannot be used: {error}", self.record.display())))?;
        if record.key.tool != self.key.tool {
            return Err(Some("cargo-fastboot is another one".to_owned()));
        }
        Ok(record)
    }

    /// The record, if all but the program is as it was.
    fn check(&self, record: Record, options: &FreezeOptions) -> Result<Record, Option<String>> {
        // What was frozen with a twin that is gone now is as good as it was.
        if record.key.how != self.key.how || self.key.twin && !record.key.twin {
            return Err(Some("it is to be frozen in another way".to_owned()));
        }
        if let Some(reason) = record.inputs.first_changed(options) {
            return Err(Some(reason));
        }
        if FileDigest::of(&self.finished).ok().as_ref() != Some(&record.file) {
            return Err(Some(format!("{} is not as it was written", self.finished.display())));
        }
        Ok(record)
    }

    /// To be called before the finished binary is made anew: what is said of it will not be true any more.
    pub(crate) fn forget(&self) -> Result<()> {
        match fs::remove_file(&self.record) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", self.record.display()))
            }
            _ => Ok(()),
        }
    }

    /// The record of the finished binary, as it is now.
    pub(crate) fn describe(&self, image: &Image, inputs: Inputs) -> Result<Record> {
        let file =
            FileDigest::of(&self.finished).with_context(|| format!("cannot read {}", self.finished.display()))?;
        let (key, roots, image) = (self.key.clone(), image.root_count(), image.len());
        Ok(Record { key, inputs, file, roots, image, verified: false, compared: None })
    }

    /// Keeps a record for the next build.
    pub(crate) fn keep(&self, record: &Record) -> Result<()> {
        if !self.reusable {
            return Ok(());
        }
        let text = serde_json::to_vec_pretty(record).context("cannot write down what was frozen")?;
        output::replace(&self.record, None, |file| Ok(file.write_all(&text)?))
    }
}

impl Record {
    /// What tells the finished binary from others.
    pub(crate) fn digest(&self) -> &str {
        &self.file.digest
    }

    /// What the roots' expressions read.
    pub(crate) fn into_inputs(self) -> Inputs {
        self.inputs
    }
}

impl Key {
    fn new(cold: &Path, stripped: bool, place: Place, read_only: bool, options: &FreezeOptions) -> Result<Self> {
        let cannot_read = || format!("cannot read {}", cold.display());
        let bytes = fs::read(cold).with_context(cannot_read)?;
        // Whoever adds an option decides here whether another image comes of it.
        let FreezeOptions {
            home,
            timeout: _,
            memory_limit: _,
            real_random,
            keep_threads,
            train,
            stdin,
            // Decides whether it is delivered.
            compare: _,
            // Comes of training.
            preferred: _,
            cpu,
            verbatim,
            trace,
            choices,
            deny,
            // Decides about an error only.
            elsewhere: _,
            // For messages alone.
            local: _,
            c_libraries: _,
            allow_foreign,
            allow_nondeterminism,
            allow_shared,
            allow_threads,
            allow_world,
            runner,
            directory,
            environment,
            seed: _,
            // Changes nothing of the image.
            exact_addresses: _,
            // Of it counts only whether it is there: another twin, another cold binary.
            twin,
        } = options;
        // Without training nobody reads it while freezing.
        let stdin = if train.is_empty() { &[][..] } else { stdin };
        let how = |directory: &Option<PathBuf>, environment: &[(OsString, OsString)]| {
            let how = format!(
                "{stripped} {place:?} {read_only} {home} {real_random} {keep_threads} {train:?} {stdin:?} {verbatim} {trace} {choices:?} \
                 {deny:?} {allow_foreign:?} {allow_nondeterminism:?} {allow_shared:?} {allow_threads:?} {allow_world:?} {runner:?} \
                 {directory:?} {environment:?} {:x}",
                processor::features() & cpu
            );
            blake3::hash(how.as_bytes()).to_hex().to_string()
        };
        let anywhere = options.in_folder(Path::new("the folder"));
        Ok(Self {
            tool: this_tool(),
            cold: blake3::hash(&bytes).to_hex().to_string(),
            how: how(directory, environment),
            anywhere: how(&anywhere.directory, &anywhere.environment),
            twin: twin.is_some(),
        })
    }
}

/// The version of this tool, and how to tell one build of it from another.
fn this_tool() -> String {
    let version = env!("CARGO_PKG_VERSION");
    let file = std::env::current_exe().and_then(fs::metadata);
    let built = file.and_then(|file| Ok((file.len(), file.modified()?)));
    match built.map(|(length, modified)| (length, modified.duration_since(UNIX_EPOCH).unwrap_or_default())) {
        Ok((length, modified)) => format!("{version}, {length} bytes, {}", modified.as_nanos()),
        Err(_) => version.to_owned(),
    }
}

impl FileDigest {
    fn of(path: &Path) -> io::Result<Self> {
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(File::open(path)?)?;
        Ok(Self { length: hasher.count(), digest: hasher.finalize().to_hex().to_string() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A store for a cold binary of these bytes, in `folder`.
    fn store(folder: &Path, cold: &[u8], options: &FreezeOptions) -> Store {
        let path = folder.join("app.cold");
        fs::write(&path, cold).unwrap();
        Store::new(&path, false, Place::Section, false, options).unwrap()
    }

    fn finished(store: &Store) -> Record {
        fs::write(&store.finished, "finished").unwrap();
        let file = FileDigest::of(&store.finished).unwrap();
        Record {
            key: store.key.clone(),
            inputs: Inputs::default(),
            file,
            roots: 1,
            image: 4096,
            verified: false,
            compared: None,
        }
    }

    #[test]
    fn what_was_kept_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let options = FreezeOptions::default();
        let store = store(folder.path(), b"cold", &options);
        assert_eq!(store.find(&options).unwrap_err(), None);
        let mut record = finished(&store);
        store.keep(&record).unwrap();
        assert!(!store.find(&options).unwrap().verified);
        record.verified = true;
        store.keep(&record).unwrap();
        assert!(store.find(&options).unwrap().verified);
        store.forget().unwrap();
        store.forget().unwrap();
        assert_eq!(store.find(&options).unwrap_err(), None);
    }

    #[test]
    fn whatever_else_is_to_be_made_is_not_found() {
        let folder = tempfile::tempdir().unwrap();
        let options = FreezeOptions::default();
        let first = store(folder.path(), b"cold", &options);
        first.keep(&finished(&first)).unwrap();
        let reason = |cold: &[u8], options: &FreezeOptions| {
            store(folder.path(), cold, options).find(options).err().flatten().unwrap_or_default()
        };
        assert_eq!(reason(b"cold", &options), "");
        assert_eq!(reason(b"another", &options), "the program changed");
        let verbatim = FreezeOptions { verbatim: true, ..options.clone() };
        assert_eq!(reason(b"cold", &verbatim), "it is to be frozen in another way");
        let trained = FreezeOptions { train: vec!["--version".parse().unwrap()], ..options.clone() };
        assert_eq!(reason(b"cold", &trained), "it is to be frozen in another way");
        let random = FreezeOptions { real_random: true, ..options.clone() };
        assert_eq!(reason(b"cold", &random), "random bytes are to be real");
        // How long it may take does not matter for what comes out.
        let patient = FreezeOptions { timeout: Some(std::time::Duration::from_secs(9)), ..options.clone() };
        assert_eq!(reason(b"cold", &patient), "");
    }

    #[test]
    fn damage_means_to_make_it_again() {
        let folder = tempfile::tempdir().unwrap();
        let options = FreezeOptions::default();
        let store = store(folder.path(), b"cold", &options);
        store.keep(&finished(&store)).unwrap();
        let reason = || store.find(&options).err().flatten().unwrap_or_default();
        fs::write(&store.finished, "finishes").unwrap();
        assert!(reason().contains("app.embedded is not as it was written"), "{}", reason());
        fs::remove_file(&store.finished).unwrap();
        assert!(reason().contains("app.embedded is not as it was written"), "{}", reason());
        let text = fs::read(&store.record).unwrap();
        for length in 0..text.len() {
            fs::write(&store.record, &text[..length]).unwrap();
            assert!(reason().contains("app.inputs cannot be used"), "cut off after {length} bytes: {}", reason());
        }
    }

    #[test]
    fn contents_are_cannot_read_apart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let of = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            FileDigest::of(&path).unwrap()
        };
        let mut bytes = vec![0u8; (2 << 20) + 17];
        let all_zero = of(&bytes);
        assert_eq!(all_zero.length, bytes.len() as u64);
        bytes[(1 << 20) + 5] = 1;
        assert_ne!(of(&bytes), all_zero);
        assert_ne!(of(&bytes[..1 << 20]), of(&bytes[..(1 << 20) - 1]));
    }
}
