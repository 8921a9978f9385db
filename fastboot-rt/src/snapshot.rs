//! Snapshot: the third place an image may be, a file of its own.
//!
//! An image is code: it holds the addresses of functions. So a snapshot is used only if nobody but root and the user whom
//! the program runs as could have written it. That is looked at after it was opened, not before:
//!
//! ```text
//! /usr/lib/app/app.snap      FASTBOOT_SNAPSHOT, or the path in `install!`
//! │ └──┴───┴── opened, and from there upwards: not writable by everyone, unless sticky
//! └───────────────── app.snap: no symbolic link, a regular file, of root or the user, not writable by others
//! ```

use crate::relocate::Stored;
use crate::sys::{self, Descriptor};
use crate::thaw::Reason;
use core::ffi::CStr;
use libc::{S_IFMT, S_IFREG, S_ISVTX, S_IWGRP, S_IWOTH};

/// Longest path in bytes, its zero included, as the kernel takes it.
const PATH_MAX: usize = libc::PATH_MAX as usize;

/// Where a snapshot is looked for.
#[derive(Clone, Copy)]
pub(crate) enum Location {
    /// Where the user says: relative to the working directory.
    Variable(&'static CStr),
    /// Where the program says: relative to the folder of the executable.
    Program(&'static str),
}

impl Location {
    /// The path as it was given.
    fn given(&self) -> &'static [u8] {
        match self {
            Self::Variable(path) => path.to_bytes(),
            Self::Program(path) => path.as_bytes(),
        }
    }

    /// As much of the end of it as is worth showing.
    pub(crate) fn shown(&self) -> impl core::fmt::Display {
        let given = self.given();
        given.get(given.len().saturating_sub(256)..).unwrap_or(given).escape_ascii()
    }

    /// The path of the folder and the name of the file in it.
    fn resolve<'a>(&self, folder: &'a mut Path, name: &'a mut Path) -> Result<(&'a CStr, &'a CStr), Reason> {
        let given = self.given();
        if let Self::Program(_) = self
            && !given.starts_with(b"/")
        {
            let told = |errno| Reason::File { call: "read the link /proc/self/exe", errno };
            let executable = sys::read_link(c"/proc/self/exe", &mut folder.bytes).map_err(told)?;
            folder.length = folder.bytes[..executable].iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1);
        }
        let (parents, file) = given.split_at(given.iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1));
        if file.is_empty() {
            return Err(Reason::File { call: "use its path", errno: libc::EISDIR });
        }
        folder.push(parents).and_then(|()| name.push(file))?;
        if folder.length == 0 {
            folder.push(b".")?;
        }
        Ok((folder.as_c_str()?, name.as_c_str()?))
    }
}

/// A path in the making, on the stack. Its last byte is always zero.
struct Path {
    bytes: [u8; PATH_MAX],
    length: usize,
}

impl Path {
    const fn new() -> Self {
        Self { bytes: [0; PATH_MAX], length: 0 }
    }

    fn push(&mut self, text: &[u8]) -> Result<(), Reason> {
        let end = self.length + text.len();
        match self.bytes.get_mut(self.length..end) {
            Some(place) if end < PATH_MAX => place.copy_from_slice(text),
            _ => return Err(Reason::File { call: "use its path", errno: libc::ENAMETOOLONG }),
        }
        self.length = end;
        Ok(())
    }

    /// The path, without what a link that was read left behind it.
    fn as_c_str(&mut self) -> Result<&CStr, Reason> {
        self.bytes[self.length] = 0;
        // A zero in the middle is an error.
        let path = CStr::from_bytes_with_nul(&self.bytes[..=self.length]).ok();
        path.ok_or(Reason::File { call: "use its path", errno: libc::EINVAL })
    }
}

/// The image in the snapshot at `location`, opened and found to be trustworthy.
pub(crate) fn image(location: Location) -> Result<Stored, Reason> {
    let (mut folder, mut name) = (Path::new(), Path::new());
    let (folder, name) = location.resolve(&mut folder, &mut name)?;
    let told = |errno| Reason::File { call: "open its folder", errno };
    // open(2), O_PATH: no permission but to search the path is needed, and the folder itself is what later calls use,
    // whatever becomes of its name.
    let folder = Descriptor::open(None, folder, libc::O_PATH | libc::O_DIRECTORY).map_err(told)?;
    require_trusted_folders(&folder)?;

    // O_NONBLOCK: opening a pipe does not wait for its other end. It means nothing to a regular file.
    let flags = libc::O_RDONLY | libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = Descriptor::open(Some(&folder), name, flags).map_err(|errno| match errno {
        libc::ELOOP => Reason::Untrusted("it is a symbolic link"),
        errno => Reason::File { call: "open it", errno },
    })?;
    let status = file.status().map_err(|errno| Reason::File { call: "look at it", errno })?;
    if status.st_mode & S_IFMT != S_IFREG {
        return Err(Reason::Untrusted("it is not a regular file"));
    }
    if status.st_uid != 0 && status.st_uid != sys::effective_user() {
        return Err(Reason::Untrusted("it belongs to another user"));
    }
    if status.st_mode & (S_IWGRP | S_IWOTH) != 0 {
        return Err(Reason::Untrusted("others may write to it"));
    }
    Ok(Stored { file, offset: 0, length: status.st_size as u64 })
}

/// Requires that in none of the folders from this one up to the root everyone may replace what others put there. The
/// folders are those that the file is really in, whichever symbolic links led there.
fn require_trusted_folders(folder: &Descriptor) -> Result<(), Reason> {
    let told = |errno| Reason::File { call: "look at its folders", errno };
    let mut up = Path::new();
    up.push(b".")?;
    let mut below = None;
    loop {
        let status = folder.status_at(up.as_c_str()?).map_err(told)?;
        // The root is its own parent.
        if below == Some((status.st_dev, status.st_ino)) {
            return Ok(());
        }
        if status.st_mode & S_IWOTH != 0 && status.st_mode & S_ISVTX == 0 {
            return Err(Reason::Untrusted("it is in a folder that everyone may write to"));
        }
        below = Some((status.st_dev, status.st_ino));
        up.push(b"/..")?;
    }
}
