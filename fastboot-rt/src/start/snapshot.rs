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

use super::path::{self, Path};
use super::reason::Reason;
use super::relocate::Stored;
use crate::os::environment;
use crate::os::files::Descriptor;
use core::ffi::CStr;
use libc::{S_IFMT, S_IFREG, S_ISVTX, S_IWGRP, S_IWOTH};

/// Where a snapshot is looked for.
#[derive(Clone, Copy)]
pub(crate) enum Location {
    /// Where the user says: relative to the working directory.
    Variable(&'static CStr),
    /// Where the program says: relative to the folder of the executable.
    Program(&'static str),
    /// The same, and whatever identity it has will do.
    Unchecked(&'static str),
}

impl Location {
    /// Whether the program promises that the snapshot fits it.
    pub(crate) fn is_unchecked(&self) -> bool {
        matches!(self, Self::Unchecked(_))
    }

    /// The path as it was given.
    fn given(&self) -> &'static [u8] {
        match self {
            Self::Variable(path) => path.to_bytes(),
            Self::Program(path) | Self::Unchecked(path) => path.as_bytes(),
        }
    }

    /// As much of the end of it as is worth showing.
    pub(crate) fn shown(&self) -> impl core::fmt::Display {
        path::shown(self.given())
    }

    /// The path of the folder and the name of the file in it, put together in `path`.
    fn resolve<'a>(&self, path: &'a mut Path) -> Result<(&'a CStr, &'a CStr), Reason> {
        let given = self.given();
        if matches!(self, Self::Program(_) | Self::Unchecked(_)) && !given.starts_with(b"/") {
            path.push_folder_of_executable()?;
        }
        let (parents, file) = given.split_at(given.iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1));
        if file.is_empty() {
            return Err(Reason::File { call: "use its path", errno: libc::EISDIR });
        }
        path.push(parents)?;
        if path.is_empty() {
            path.push(b".")?;
        }
        let folder = path.len();
        path.push(b"\0").and_then(|()| path.push(file))?;
        path.as_c_strs(folder)
    }
}

/// The image in the snapshot at `location`, opened and found to be trustworthy.
pub(crate) fn image(location: Location) -> Result<Stored, Reason> {
    let mut path = Path::new();
    let (folder, name) = location.resolve(&mut path)?;
    image_in(folder, name)
}

/// The same, for the file of this name in this folder.
pub(crate) fn image_in(folder: &CStr, name: &CStr) -> Result<Stored, Reason> {
    let cannot = Reason::cannot("open its folder");
    // open(2), O_PATH: no permission but to search the path is needed, and the folder itself is what later calls use,
    // whatever becomes of its name.
    let folder = Descriptor::open(None, folder, libc::O_PATH | libc::O_DIRECTORY).map_err(cannot)?;
    require_trusted_folders(&folder)?;

    // O_NONBLOCK: opening a pipe does not wait for its other end. It means nothing to a regular file.
    let flags = libc::O_RDONLY | libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = Descriptor::open(Some(&folder), name, flags).map_err(|errno| match errno {
        libc::ELOOP => Reason::Untrusted("it is a symbolic link"),
        errno => Reason::File { call: "open it", errno },
    })?;
    let status = file.status().map_err(Reason::cannot("look at it"))?;
    if status.st_mode & S_IFMT != S_IFREG {
        return Err(Reason::Untrusted("it is not a regular file"));
    }
    if status.st_uid != 0 && status.st_uid != environment::effective_user() {
        return Err(Reason::Untrusted("it belongs to another user"));
    }
    if status.st_mode & (S_IWGRP | S_IWOTH) != 0 {
        return Err(Reason::Untrusted("others may write to it"));
    }
    Ok(Stored { file, offset: 0, length: status.st_size as u64 })
}

/// How many folders a snapshot may lie below the root.
const DEEPEST: usize = 300;

/// As many times `..` as that, with `/` between them and a zero behind them.
static UP: [u8; 3 * DEEPEST] = {
    let mut path = [b'.'; 3 * DEEPEST];
    let mut folder = 1;
    while folder <= DEEPEST {
        path[3 * folder - 1] = if folder == DEEPEST { 0 } else { b'/' };
        folder += 1;
    }
    path
};

/// The path of the folder so many levels up.
fn up(levels: usize) -> Result<&'static CStr, Reason> {
    if levels == 0 {
        return Ok(c".");
    }
    let path = UP.len().checked_sub(3 * levels).and_then(|start| CStr::from_bytes_with_nul(&UP[start..]).ok());
    path.ok_or(Reason::File { call: "use its path", errno: libc::ENAMETOOLONG })
}

/// Requires that in none of the folders from this one up to the root everyone may replace what others put there. The
/// folders are those that the file is really in, whichever symbolic links led there.
fn require_trusted_folders(folder: &Descriptor) -> Result<(), Reason> {
    let cannot = Reason::cannot("look at its folders");
    let mut below = None;
    for levels in 0.. {
        let status = folder.status_at(up(levels)?).map_err(cannot)?;
        // The root is its own parent.
        if below == Some((status.st_dev, status.st_ino)) {
            break;
        }
        if status.st_mode & S_IWOTH != 0 && status.st_mode & S_ISVTX == 0 {
            return Err(Reason::Untrusted("it is in a folder that everyone may write to"));
        }
        below = Some((status.st_dev, status.st_ino));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_up() {
        for levels in 1..=DEEPEST {
            let path = up(levels).unwrap().to_str().unwrap();
            assert_eq!(path, vec![".."; levels].join("/"));
        }
        assert_eq!(up(0).unwrap(), c".");
        assert!(up(DEEPEST + 1).is_err());
    }
}
