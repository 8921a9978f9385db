//! Where the bytes of a deferred file come from, and how many of them were read.
//!
//! Files are read by position (`pread`), not mapped: a mapped file that another process cuts off kills the reader with
//! SIGBUS, a positional read gives an error. It needs no unsafe code, works on every platform, and what was read can be
//! counted exactly.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// How much was read from one file so far; clones count together.
///
/// Give one to [`LoadOptions::count`](crate::LoadOptions::count). Memory sources count too: what was looked at.
#[derive(Clone, Debug, Default)]
pub struct ReadCount(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    bytes: AtomicU64,
    reads: AtomicU64,
    parts: AtomicU64,
}

impl ReadCount {
    /// Bytes read.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.bytes.load(Ordering::Relaxed)
    }

    /// Read operations.
    #[must_use]
    pub fn reads(&self) -> u64 {
        self.0.reads.load(Ordering::Relaxed)
    }

    /// Blocks decoded, the root included.
    #[must_use]
    pub fn blocks(&self) -> u64 {
        self.0.parts.load(Ordering::Relaxed)
    }

    pub(crate) fn add_read(&self, bytes: usize) {
        self.0.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.0.reads.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn add_block(&self) {
        self.0.parts.fetch_add(1, Ordering::Relaxed);
    }
}

pub(crate) trait ReadSeek: Read + Seek + Send {}
impl<R: Read + Seek + Send> ReadSeek for R {}

/// The bytes of one deferred file.
pub(crate) enum Source {
    Static(&'static [u8]),
    Owned(Vec<u8>),
    #[cfg(any(unix, windows))]
    File(File),
    Stream(Mutex<Box<dyn ReadSeek>>),
    /// A file that a `Writer` is still writing; the number tells writers apart.
    Unfinished(u64),
}

impl Source {
    pub(crate) fn file(file: File) -> Self {
        #[cfg(any(unix, windows))]
        return Source::File(file);
        #[cfg(not(any(unix, windows)))]
        return Source::Stream(Mutex::new(Box::new(file)));
    }

    pub(crate) fn len(&self) -> io::Result<u64> {
        match self {
            Source::Static(bytes) => Ok(bytes.len() as u64),
            Source::Owned(bytes) => Ok(bytes.len() as u64),
            #[cfg(any(unix, windows))]
            Source::File(file) => Ok(file.metadata()?.len()),
            Source::Stream(stream) => stream.lock().unwrap_or_else(PoisonError::into_inner).seek(SeekFrom::End(0)),
            Source::Unfinished(_) => Ok(0),
        }
    }

    /// All of the bytes, if they are in memory anyway.
    pub(crate) fn memory(&self) -> Option<&[u8]> {
        match self {
            Source::Static(bytes) => Some(bytes),
            Source::Owned(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// Fills `out` from `offset` on, or fails.
    pub(crate) fn read_exact_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        match self {
            #[cfg(unix)]
            Source::File(file) => std::os::unix::fs::FileExt::read_exact_at(file, out, offset),
            #[cfg(windows)]
            Source::File(file) => {
                let mut done = 0;
                while done < out.len() {
                    let n = std::os::windows::fs::FileExt::seek_read(file, &mut out[done..], offset + done as u64)?;
                    if n == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    done += n;
                }
                Ok(())
            }
            Source::Stream(stream) => {
                let mut stream = stream.lock().unwrap_or_else(PoisonError::into_inner);
                stream.seek(SeekFrom::Start(offset))?;
                stream.read_exact(out)
            }
            Source::Static(_) | Source::Owned(_) => {
                let from = self.slice(offset, out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
                out.copy_from_slice(from);
                Ok(())
            }
            Source::Unfinished(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    fn slice(&self, offset: u64, len: usize) -> Option<&[u8]> {
        let start = usize::try_from(offset).ok()?;
        self.memory()?.get(start..start.checked_add(len)?)
    }

    /// `len` bytes from `offset` on: borrowed when in memory, otherwise read.
    pub(crate) fn read(&self, offset: u64, len: usize) -> io::Result<Cow<'_, [u8]>> {
        if self.memory().is_some() {
            let bytes = self.slice(offset, len).ok_or(io::ErrorKind::UnexpectedEof)?;
            return Ok(bytes.into());
        }
        let mut out = zeros(len)?;
        self.read_exact_at(offset, &mut out)?;
        Ok(out.into())
    }
}

/// More than this is asked for politely first, bytes.
const LARGE: usize = 1 << 20;

/// `len` zeros, or an error where there is not so much memory.
///
/// `vec!` gets large buffers as fresh zero pages, which costs nothing beside what filling them costs anyway; but it ends
/// the process when it gets none. So it is tried out before, which touches no page.
fn zeros(len: usize) -> io::Result<Vec<u8>> {
    if len > LARGE {
        Vec::<u8>::new().try_reserve_exact(len).map_err(|_| io::ErrorKind::OutOfMemory)?;
    }
    Ok(vec![0; len])
}
