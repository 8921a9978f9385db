//! `Writer`: a file that is written piece by piece, for structures that are larger than memory.

use crate::check;
use crate::chunk::MAX_CHUNK;
use crate::collect::{Bodies, Collector, Sealed, Shape, standalone};
use crate::digest;
use crate::encode::Encoder;
use crate::error::{Error, ErrorKind, Result};
use crate::handoff::{ChunkPlace, Place};
use crate::layout::{FILE_HEADER, FileHeader};
use crate::open::Origin;
use crate::save::{Loadable, SaveOptions, Temporary};
use crate::source::Source;
use crate::value::Defer;
use crate::varint::varint;
use crate::vec::DeferVec;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::io::{Seek, SeekFrom, Write};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Writes a file piece by piece.
///
/// Bodies go to disk as they come; what is kept in memory is the open chunk of each list and about 50 bytes for every
/// chunk that is done. The root comes last, and then refers to the lists and parts written before. (So its strict data
/// lies together at the end of the file, not at the front.) The file takes its name in [`finish`](Self::finish);
/// dropped before that, nothing is left of it.
///
/// ```
/// # let folder = std::env::temp_dir().join(format!("fastboot-stream-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// # let path = folder.join("log.defer");
/// use fastboot_defer::{self as defer, DeferVec, Writer};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Log { name: String, lines: DeferVec<String> }
///
/// let mut writer = Writer::create(&path)?;
/// let mut lines = writer.list();
/// for n in 0..10_000 {
///     writer.push(&mut lines, &format!("line {n}"))?;
/// }
/// let lines = writer.close(lines)?;
/// writer.finish(&Log { name: "example".into(), lines })?;
///
/// let log: Log = defer::load(&path)?;
/// assert_eq!(log.lines.get(7777)?, "line 7777");
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Writer {
    path: PathBuf,
    temporary: Temporary,
    bodies: Bodies,
    options: SaveOptions,
    /// Stands for the unfinished file; its number tells writers apart.
    origin: Arc<Origin>,
    number: u64,
}

impl Writer {
    /// A writer with the default options.
    ///
    /// # Errors
    /// If a temporary file cannot be created in the folder of `path`.
    pub fn create(path: impl AsRef<Path>) -> Result<Self> {
        SaveOptions::new().create(path)
    }

    /// Starts a list; [`push`](Self::push) adds to it. Several lists may be open at once.
    #[must_use]
    pub fn list<T>(&self) -> ListWriter<T> {
        ListWriter {
            writer: self.number,
            collector: Collector::for_subtree(self.options.shape),
            open: 0,
            end: 0,
            chunks: Vec::new(),
            digests: 0,
            failed: false,
            elements: PhantomData,
        }
    }

    /// Adds an element to a list.
    ///
    /// # Errors
    /// If the list belongs to another writer, the element (or one before it in its chunk) cannot be saved or would not come
    /// back, or the disk is full. In all but the first case the list is lost: every further use of it fails.
    pub fn push<T: Serialize + DeserializeOwned>(&mut self, list: &mut ListWriter<T>, element: &T) -> Result<()> {
        self.owns(list)?;
        list.failed = true;
        list.add(element, self.options.read_back).map_err(|e| e.in_file(Some(&self.path)))?;
        if list.collector.chunk_is_full() || list.open >= MAX_CHUNK {
            self.write_chunk(list, Some(element))?;
        }
        list.failed = false;
        Ok(())
    }

    /// Ends a list. What it returns can be put into the root, and cannot be read before the file is finished and loaded.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub fn close<T: Serialize + DeserializeOwned>(&mut self, mut list: ListWriter<T>) -> Result<DeferVec<T>> {
        self.owns(&list)?;
        if list.open > 0 {
            self.write_chunk(&mut list, None)?;
        }
        Ok(DeferVec::at(list.chunks))
    }

    /// Writes the body of one part. What it returns can be put into the root, and cannot be read before the file is
    /// finished and loaded.
    ///
    /// # Errors
    /// If the value cannot be saved or would not come back, or the disk is full.
    pub fn defer<T: Serialize + DeserializeOwned>(&mut self, value: &T) -> Result<Defer<T>> {
        let collect = || {
            let mut collector = Collector::for_subtree(self.options.shape);
            value.serialize(Encoder::new(&mut collector))?;
            let (subtree, extent) = collector.take_subtree(Vec::new())?;
            if self.options.read_back {
                self.read_back::<T, T>(digest::of(value)?, Some(value), &subtree, extent)?;
            }
            Ok((subtree, extent))
        };
        let (mut subtree, extent) = collect().map_err(|e: Error| e.in_file(Some(&self.path)))?;
        Ok(Defer::at(self.append(&mut subtree, extent)?))
    }

    /// Leaves `bytes` bytes free, plus 32 for a header that says so. The file system need not store them; they can be
    /// used to align what follows.
    ///
    /// # Errors
    /// If the file cannot become that long.
    pub fn leave_gap(&mut self, bytes: u64) -> Result<()> {
        self.bodies.gap(bytes).map_err(|e| Error::from(e).in_file(Some(&self.path)))
    }

    /// Bytes of bodies written so far.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.bodies.len()
    }

    /// Writes the root, makes the file durable and gives it its name.
    ///
    /// # Errors
    /// If the root cannot be saved or would not come back, refers to parts of another writer, or the disk is full.
    pub fn finish<T: Loadable + ?Sized>(self, root: &T) -> Result<()> {
        self.finish_as::<T::Loaded>(root)
    }

    /// Writes a root that will be loaded as an `L`, see [`SaveOptions::save_as`].
    ///
    /// # Errors
    /// As [`finish`](Self::finish).
    pub fn finish_as<L: Serialize + DeserializeOwned>(self, value: &(impl Serialize + ?Sized)) -> Result<()> {
        let Writer { path, temporary, bodies, options, number, .. } = self;
        let SaveOptions { shape, version, read_back } = options;
        let finish = || {
            let before = FILE_HEADER as u64 + bodies.len();
            let mut collector = Collector::for_root(shape, bodies);
            collector.writer = Some(number);
            value.serialize(Encoder::new(&mut collector))?;
            let (root, bodies) = collector.finish_root()?;
            let bodies_len = bodies.as_ref().map_or(0, Bodies::len);
            let file = bodies.map(Bodies::into_file).transpose()?.flatten();
            let Some(mut file) = file else {
                return Err(Error::save(
                    "the writer has lost its file; this is a bug of fastboot-defer, please report it",
                ));
            };
            file.write_all(&root)?;
            file.seek(SeekFrom::Start(0))?;
            let header = FileHeader::root_last(shape.checksums, version, root.len() as u64, bodies_len);
            file.write_all(&header.encode())?;
            if read_back {
                let source = Source::file(file.try_clone()?);
                check::root::<_, L>(value, &Origin::to_read_back(source, shape.depth, before)?)?;
            }
            temporary.finish(file)?;
            Ok(())
        };
        finish().map_err(|e| e.in_file(Some(&path)))
    }

    fn owns<T>(&self, list: &ListWriter<T>) -> Result<()> {
        let what = if list.writer != self.number {
            "the list belongs to another Writer"
        } else if list.failed {
            "an earlier element of the list could not be saved; start the file again"
        } else {
            return Ok(());
        };
        Err(Error::new(ErrorKind::Save(what.into())).in_file(Some(&self.path)))
    }

    fn write_chunk<T>(&mut self, list: &mut ListWriter<T>, last: Option<&T>) -> Result<()>
    where
        T: Serialize + DeserializeOwned,
    {
        let mut take = || {
            let (subtree, extent) = list.collector.take_subtree(varint(list.open))?;
            if self.options.read_back {
                let digest = digest::list(list.digests, list.open);
                self.read_back::<Vec<T>, T>(digest, last, &subtree, extent)?;
            }
            Ok((subtree, extent))
        };
        let (mut subtree, extent) = take().map_err(|e: Error| e.in_file(Some(&self.path)))?;
        (list.open, list.digests) = (0, 0);
        let place = self.append(&mut subtree, extent)?;
        list.chunks.push(ChunkPlace { end: list.end, place });
        Ok(())
    }

    /// Checks that what has this digest comes back as an `L`.
    fn read_back<L, T>(&self, digest: u64, sample: Option<&T>, subtree: &[Sealed], extent: u64) -> Result<()>
    where
        L: Serialize + DeserializeOwned,
        T: Serialize,
    {
        let Shape { checksums, depth, .. } = self.options.shape;
        let origin = Origin::of_subtree(standalone(subtree, checksums)?, depth, checksums);
        check::subtree::<L, T>(digest, sample, &origin, extent)
    }

    fn append(&mut self, subtree: &mut Vec<Sealed>, extent: u64) -> Result<Place> {
        let start = self.bodies.append(subtree).map_err(|e| Error::from(e).in_file(Some(&self.path)))?;
        Ok(Place { origin: Arc::clone(&self.origin), start, extent })
    }
}

impl SaveOptions {
    /// Starts a file that is written piece by piece.
    ///
    /// # Errors
    /// If a temporary file cannot be created in the folder of `path`.
    pub fn create(&self, path: impl AsRef<Path>) -> Result<Writer> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let path = path.as_ref();
        let create = || {
            let (temporary, mut file) = Temporary::create(path)?;
            // The header is written last: until then the file begins with zeros and is no deferred file.
            file.write_all(&[0; FILE_HEADER])?;
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            Ok(Writer {
                path: path.to_path_buf(),
                temporary,
                bodies: Bodies::in_file(self.shape.checksums, file),
                options: self.clone(),
                origin: Arc::new(Origin::unfinished(number)),
                number,
            })
        };
        create().map_err(|e: Error| e.in_file(Some(path)))
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Writer({:?}, {} bytes)", self.path, self.bodies.len())
    }
}

/// A list that a [`Writer`] is writing.
pub struct ListWriter<T> {
    writer: u64,
    collector: Collector,
    /// Elements in the open chunk.
    open: u64,
    /// Elements so far.
    end: u64,
    chunks: Vec<ChunkPlace>,
    /// The digests of the elements in the open chunk, added up.
    digests: u64,
    failed: bool,
    elements: PhantomData<fn(&T)>,
}

impl<T> ListWriter<T> {
    /// Number of elements so far.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.end
    }

    /// Whether there are none yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.end == 0
    }
}

impl<T: Serialize> ListWriter<T> {
    fn add(&mut self, element: &T, read_back: bool) -> Result<()> {
        let before = self.collector.out().len();
        element.serialize(Encoder::element(&mut self.collector)?)?;
        let took = self.collector.out().len() - before;
        self.collector.element(took)?;
        if read_back {
            self.digests = digest::add(self.digests, digest::of(element)?);
        }
        self.open += 1;
        self.end += 1;
        Ok(())
    }
}

impl<T> fmt::Debug for ListWriter<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ListWriter({} elements)", self.end)
    }
}

const _: () = {
    // A list may be handed between threads whatever its elements are; nothing of them is kept.
    const fn send<T: Send>() {}
    send::<ListWriter<*const ()>>();
};
