//! Saving a value at once: to memory, or to a file that takes its place only when it is whole.

use crate::check;
use crate::collect::{Bodies, Collector, Shape};
use crate::encode::Encoder;
use crate::error::{Error, Result};
use crate::layout::FileHeader;
use crate::open::{DEPTH, Origin};
use crate::source::Source;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Bodies of a saved value stay in memory up to this many bytes; then they go to a scratch file beside the target.
const SPOOL: usize = 64 << 20;

/// How to save.
///
/// ```
/// # let folder = std::env::temp_dir().join(format!("fastboot-save-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// # let path = folder.join("words.defer");
/// use fastboot_defer::{LoadOptions, SaveOptions};
/// SaveOptions::new().version(2).save(&path, "words")?;
/// let e = LoadOptions::new().version(3).load::<String>(&path).unwrap_err();
/// assert!(e.to_string().contains("written with version 2, this program wants 3"));
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct SaveOptions {
    pub(crate) shape: Shape,
    pub(crate) version: u64,
    pub(crate) read_back: bool,
}

/// What can be saved, because it is known what it will be loaded as.
///
/// That is every type which serde can write and read, and, for convenience, `str` (loaded as `String`) and slices (loaded
/// as `Vec`). For what is borrowed in other ways name the type that will be loaded: [`save_as`](SaveOptions::save_as).
///
/// ```compile_fail
/// let texts = vec!["borrowed"];
/// fastboot_defer::to_vec(&texts); // nothing owns the texts that would be loaded
/// ```
/// ```compile_fail
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Page<'a> { #[serde(borrow)] text: std::borrow::Cow<'a, str> }
/// fastboot_defer::to_vec(&Page { text: "borrowed".into() });
/// ```
/// ```
/// let texts = vec!["borrowed"];
/// let bytes = fastboot_defer::SaveOptions::new().to_vec_as::<Vec<String>>(&texts)?;
/// # Ok::<(), fastboot_defer::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "it is not known what `{Self}` will be loaded as",
    label = "needs `Serialize` and `DeserializeOwned`",
    note = "derive `Deserialize` for it, or name the type that will be loaded: `save_as::<Loaded>(..)`"
)]
pub trait Loadable: Serialize {
    /// What it will be loaded as.
    type Loaded: Serialize + DeserializeOwned;
}

impl<T: Serialize + DeserializeOwned> Loadable for T {
    type Loaded = T;
}

impl Loadable for str {
    type Loaded = String;
}

impl<T: Serialize + DeserializeOwned> Loadable for [T] {
    type Loaded = Vec<T>;
}

impl Default for SaveOptions {
    fn default() -> Self {
        SaveOptions::new()
    }
}

impl SaveOptions {
    /// Version 0, chunks of 16 KiB, checksums, no compression.
    pub fn new() -> Self {
        let shape = Shape { block_size: 16 << 10, level: None, checksums: true, depth: DEPTH, part_depth: 256 };
        SaveOptions { shape, version: 0, read_back: true }
    }

    /// The version of your types, see [`LoadOptions::version`](crate::LoadOptions::version).
    pub fn version(mut self, version: u64) -> Self {
        self.version = version;
        self
    }

    /// How many bytes of elements a chunk of a `DeferVec` or `DeferMap` holds before the next one is begun (default
    /// 16384). Smaller chunks read less for one element; larger ones take less room and compress better.
    pub fn block_size(mut self, bytes: usize) -> Self {
        self.shape.block_size = bytes.max(1);
        self
    }

    /// Compresses every block for which it is worth it, with this Zstandard level (1 to 22, negative ones are faster).
    #[cfg(feature = "zstd")]
    pub fn zstd(mut self, level: i32) -> Self {
        self.shape.level = Some(level);
        self
    }

    /// Whether blocks carry checksums (default yes). Without them damage is found only if it breaks the format. The
    /// header of the file has one in any case.
    pub fn checksums(mut self, yes: bool) -> Self {
        self.shape.checksums = yes;
        self
    }

    /// How deep values may nest inside one block, see [`LoadOptions::depth`](crate::LoadOptions::depth).
    pub fn depth(mut self, depth: u32) -> Self {
        self.shape.depth = depth;
        self
    }

    /// How deep parts may nest in parts (default 256). Saving recurses that deep, loading does not.
    pub fn part_depth(mut self, depth: usize) -> Self {
        self.shape.part_depth = depth;
        self
    }

    /// Whether everything that was saved is loaded once and compared, before the file takes its name (default yes).
    ///
    /// serde's `Serialize` and `Deserialize` of a type can disagree: one leaves a field out that the other expects, one
    /// counts a variant that the other does not. Without this you learn of it when you load, or never. With it a save
    /// takes the time of about one and a half loads in addition, and memory for the strict data and for one part at a time.
    /// Values are compared by what `Serialize` says of them: what serde is told to skip may be lost.
    pub fn read_back(mut self, yes: bool) -> Self {
        self.read_back = yes;
        self
    }

    /// Saves to a file. The bytes go to a temporary file in the same folder, which is made durable and then takes the
    /// name: whatever happens, the name means the old file or the whole new one.
    ///
    /// # Errors
    /// If the value cannot be saved (a part of it cannot be read, for example), if [`load`](crate::load) would give
    /// anything but the same value, or if the file cannot be written.
    pub fn save<T: Loadable + ?Sized>(&self, path: impl AsRef<Path>, value: &T) -> Result<()> {
        self.save_as::<T::Loaded>(path, value)
    }

    /// Saves what will be loaded as an `L`: for values of borrowed types.
    ///
    /// ```
    /// # let folder = std::env::temp_dir().join(format!("fastboot-save-as-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder)?;
    /// # let path = folder.join("pair.defer");
    /// use fastboot_defer::{self as defer, SaveOptions};
    /// SaveOptions::new().save_as::<(String, u8)>(&path, &("borrowed", 7_u8))?;
    /// let pair: (String, u8) = defer::load(&path)?;
    /// # std::fs::remove_dir_all(&folder)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`save`](Self::save).
    pub fn save_as<L: Serialize + DeserializeOwned>(
        &self,
        path: impl AsRef<Path>,
        value: &(impl Serialize + ?Sized),
    ) -> Result<()> {
        let path = path.as_ref();
        let save = || {
            let (temporary, file) = Temporary::create(path)?;
            let bodies = Bodies::spool(self.shape.checksums, SPOOL, path, scratch);
            let mut out = BufWriter::with_capacity(1 << 18, file);
            self.write(value, bodies, &mut out)?;
            let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
            if self.read_back {
                let source = Source::file(file.try_clone()?);
                check::root::<_, L>(value, &Origin::to_read_back(source, self.shape.depth, 0)?)?;
            }
            temporary.finish(file)?;
            Ok(())
        };
        save().map_err(|e: Error| e.in_file(Some(path)))
    }

    /// Saves to memory.
    ///
    /// # Errors
    /// If the value cannot be saved, or if [`from_vec`](crate::from_vec) would give anything but the same value.
    pub fn to_vec<T: Loadable + ?Sized>(&self, value: &T) -> Result<Vec<u8>> {
        self.to_vec_as::<T::Loaded>(value)
    }

    /// Saves to memory what will be loaded as an `L`, see [`save_as`](Self::save_as).
    ///
    /// # Errors
    /// As [`to_vec`](Self::to_vec).
    pub fn to_vec_as<L: Serialize + DeserializeOwned>(&self, value: &(impl Serialize + ?Sized)) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        self.write(value, Bodies::in_memory(self.shape.checksums), &mut out)?;
        if !self.read_back {
            return Ok(out);
        }
        let origin = Origin::to_read_back(Source::Owned(out), self.shape.depth, 0)?;
        check::root::<_, L>(value, &origin)?;
        origin
            .into_bytes()
            .ok_or_else(|| Error::save("the bytes got lost; this is a bug of fastboot-defer, please report it"))
    }

    fn write<T: Serialize + ?Sized>(&self, value: &T, bodies: Bodies, out: &mut impl Write) -> Result<()> {
        let mut collector = Collector::for_root(self.shape, bodies);
        value.serialize(Encoder::new(&mut collector))?;
        let (root, bodies) = collector.finish_root()?;
        let bodies_len = bodies.as_ref().map_or(0, Bodies::len);
        let header = FileHeader::root_first(self.shape.checksums, self.version, root.len() as u64, bodies_len);
        out.write_all(&header.encode())?;
        out.write_all(&root)?;
        if let Some(bodies) = bodies {
            bodies.copy_to(out)?;
        }
        Ok(())
    }
}

/// A name beside `path` that no other save of this or another process uses.
fn beside(path: &Path) -> io::Result<PathBuf> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let name = path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "not a file name"))?;
    let mut temporary = OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{}-{}.tmp", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
    Ok(path.with_file_name(temporary))
}

/// A file beside `path` that goes away when it is closed.
fn scratch(path: &Path) -> io::Result<File> {
    let name = beside(path)?;
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    #[cfg(windows)]
    {
        // FILE_FLAG_DELETE_ON_CLOSE: an open file cannot be removed there.
        std::os::windows::fs::OpenOptionsExt::custom_flags(&mut options, 0x0400_0000);
    }
    let file = options.open(&name)?;
    #[cfg(not(windows))]
    fs::remove_file(&name)?;
    Ok(file)
}

/// The name of a file that is being written, and the name it will take. Dropped before that, the file is removed.
pub(crate) struct Temporary {
    name: PathBuf,
    target: PathBuf,
    finished: bool,
}

impl Temporary {
    pub(crate) fn create(target: &Path) -> io::Result<(Temporary, File)> {
        let name = beside(target)?;
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&name)?;
        let temporary = Temporary { name, target: target.to_path_buf(), finished: false };
        if let Ok(old) = fs::metadata(target) {
            file.set_permissions(old.permissions())?;
        }
        Ok((temporary, file))
    }

    /// Makes the file durable and lets it take its name.
    pub(crate) fn finish(mut self, file: File) -> io::Result<()> {
        file.sync_all()?;
        drop(file);
        fs::rename(&self.name, &self.target)?;
        self.finished = true;
        #[cfg(unix)]
        {
            // The new name is durable when its folder is. Some file systems refuse to sync folders: the data is safe then, too.
            let folder = self.target.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
            if let Ok(folder) = File::open(folder) {
                let _ = folder.sync_all();
            }
        }
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.finished {
            // If this fails there is nobody to tell; the name says what it is.
            let _ = fs::remove_file(&self.name);
        }
    }
}
