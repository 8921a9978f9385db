//! Incoming: the capture of a freeze run, read while it is being written.

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, Mode, OFlags, mkfifoat};
use rustix::pipe::fcntl_setpipe_size;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How much of a capture may be on its way, in bytes: as much as the system lets anyone have.
const ON_ITS_WAY: usize = 1 << 20;
/// How often it is looked whether the run has ended.
const POLL: Duration = Duration::from_millis(10);

/// A capture that is about to be written.
pub(crate) struct Incoming {
    path: PathBuf,
    /// The FIFO, for reading, and for writing, so that it never looks as if all writers had gone before the run has come.
    /// `None` where the file system has no such files: then the capture is a file, and read when the run has ended.
    fifo: Option<[File; 2]>,
    ended: AtomicBool,
}

impl Incoming {
    /// At this path there will be a capture, and nothing else. A run on another machine (`far`) has no FIFO in common with this
    /// one, though it may have the file system.
    pub(crate) fn open(path: &Path, far: bool) -> Result<Self> {
        let cannot_prepare = || format!("cannot prepare {}", path.display());
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error).with_context(cannot_prepare),
            _ => {}
        }
        let fifo = if far { None } else { fifo(path).ok() };
        if fifo.is_none() {
            // Perhaps there is something of another kind by now.
            let _ = std::fs::remove_file(path);
        }
        Ok(Self { path: path.to_owned(), fifo, ended: AtomicBool::new(false) })
    }

    /// The run has ended: nothing comes after what is there.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Release);
    }

    /// Its bytes. They end when the run has.
    pub(crate) fn stream(&self) -> Stream<'_> {
        Stream { incoming: self, file: None }
    }
}

/// Makes a FIFO and opens it, for reading and for writing.
fn fifo(path: &Path) -> io::Result<[File; 2]> {
    mkfifoat(CWD, path, Mode::RUSR | Mode::WUSR)?;
    if !path.symlink_metadata()?.file_type().is_fifo() {
        return Err(ErrorKind::Unsupported.into());
    }
    // In this order: to open one for writing is to wait for a reader.
    let reader = File::options().read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path)?;
    let writer = File::options().write(true).open(path)?;
    // With less it takes longer.
    let _ = fcntl_setpipe_size(&reader, ON_ITS_WAY);
    Ok([reader, writer])
}

/// The bytes of a capture, as they come.
pub(crate) struct Stream<'a> {
    incoming: &'a Incoming,
    /// The capture, if it is a file.
    file: Option<File>,
}

impl Read for Stream<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Incoming { path, fifo, ended } = self.incoming;
        let timeout = Timespec { tv_sec: 0, tv_nsec: POLL.as_nanos() as _ };
        loop {
            // Asked first: what was written before the end is there by now.
            let ended = ended.load(Ordering::Acquire);
            if let Some([fifo, _]) = fifo {
                match (&*fifo).read(buffer) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    read => return read,
                }
                if ended {
                    return Ok(0);
                }
                // Interrupted or not, it is looked again.
                let _ = poll(&mut [PollFd::new(fifo, PollFlags::IN)], Some(&timeout));
            } else if let Some(file) = &mut self.file {
                return file.read(buffer);
            } else if ended {
                match File::open(path) {
                    Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
                    file => self.file = Some(file?),
                }
            } else {
                std::thread::sleep(POLL);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// Writes like a run, with `between` before the end of it; what is read meanwhile.
    fn read(incoming: &Incoming, pieces: &[&[u8]]) -> Vec<u8> {
        std::thread::scope(|scope| {
            let read = scope.spawn(|| {
                let mut bytes = Vec::new();
                incoming.stream().read_to_end(&mut bytes).unwrap();
                bytes
            });
            for piece in pieces {
                let mut file = File::options().append(true).create(true).open(&incoming.path).unwrap();
                file.write_all(piece).unwrap();
                std::thread::sleep(Duration::from_millis(20));
            }
            incoming.end();
            read.join().unwrap()
        })
    }

    #[test]
    fn a_capture_ends_with_its_run() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("capture");
        let long = vec![7; 3 << 20];
        for fifo in [true, false] {
            let many: [&[u8]; 3] = [b"one", &long, b"two"];
            for pieces in [&[], &many[..1], &many] {
                let incoming = Incoming::open(&path, !fifo).unwrap();
                assert_eq!(incoming.fifo.is_some(), fifo);
                assert!(read(&incoming, pieces) == pieces.concat(), "fifo: {fifo}, {} pieces", pieces.len());
            }
        }
    }

    #[test]
    fn who_still_has_it_open_does_not_keep_it_from_ending() {
        let folder = tempfile::tempdir().unwrap();
        let incoming = Incoming::open(&folder.path().join("capture"), false).unwrap();
        let mut child = File::options().write(true).open(&incoming.path).unwrap();
        child.write_all(b"all there is").unwrap();
        assert_eq!(read(&incoming, &[]), b"all there is");
        drop(child);
    }
}
