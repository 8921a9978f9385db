//! Output: files are replaced whole or not at all.

use anyhow::{Context, Result, bail};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::fs::File;
use std::path::Path;
use tempfile::TempPath;

/// Has `write` write a temporary file in the folder of `path`, then renames it to `path`. Mode bits are those of
/// `mode_of`, else of what stood at `path`. On an error nothing is left behind and nothing is changed.
pub(crate) fn replace(path: &Path, mode_of: Option<&Path>, write: impl FnOnce(&mut File) -> Result<()>) -> Result<()> {
    replace_finished(path, mode_of, write, |_| Ok(()))
}

/// As [`replace`], and has `finish` do what can only be done to a file that nobody has open for writing.
pub(crate) fn replace_finished(
    path: &Path,
    mode_of: Option<&Path>,
    write: impl FnOnce(&mut File) -> Result<()>,
    finish: impl FnOnce(&Path) -> Result<()>,
) -> Result<()> {
    let cannot_write = || format!("cannot write {}", path.display());
    let folder = folder_of(path)?;
    let mode = std::fs::metadata(mode_of.unwrap_or(path)).ok().map(|meta| meta.permissions());
    let mut temporary = temporary()
        .tempfile_in(folder)
        .with_context(|| format!("cannot write into the folder {}", folder.display()))?;
    write(temporary.as_file_mut()).with_context(cannot_write)?;
    let mode = match mode {
        Some(mode) => mode,
        None => {
            use std::os::unix::fs::PermissionsExt;
            // What a new file would have had: tempfile makes them private.
            std::fs::Permissions::from_mode(0o644)
        }
    };
    temporary.as_file().set_permissions(mode).with_context(cannot_write)?;
    let temporary = temporary.into_temp_path();
    finish(&temporary).with_context(cannot_write)?;
    put(temporary, path).with_context(cannot_write)
}

/// Puts a file in place of another one, or of none. Large ones are exchanged, and the old one is removed: when a file is
/// renamed over another, ext4 first writes it to the disk, which takes longer than most freezes.
fn put(temporary: TempPath, path: &Path) -> std::io::Result<()> {
    let is_large = std::fs::metadata(&temporary)?.len() > LARGE;
    if is_large && renameat_with(CWD, &*temporary, CWD, path, RenameFlags::EXCHANGE).is_ok() {
        // The file is where it belongs, whatever becomes of the old one.
        let _ = temporary.close();
        return Ok(());
    }
    // It is not worth it, or there is none, or the file system cannot do that.
    temporary.persist(path).map_err(|error| error.error)
}

/// From how many bytes on a file is large.
const LARGE: u64 = 1 << 20;

/// Makes `path` the same file as `original`, by a hard link, which takes no time and no space. Where the file system has
/// none, it becomes a copy.
pub(crate) fn link(original: &Path, path: &Path) -> Result<()> {
    use std::os::unix::fs::MetadataExt;
    let cannot_write = || format!("cannot write {}", path.display());
    let file = |path: &Path| std::fs::metadata(path).map(|meta| (meta.dev(), meta.ino()));
    let kept = file(original).with_context(|| format!("cannot read {}", original.display()))?;
    // Renaming one link to a file over another does nothing, and would leave the temporary one.
    if file(path).is_ok_and(|there| there == kept) {
        return Ok(());
    }
    let linked = temporary().make_in(folder_of(path)?, |link| std::fs::hard_link(original, link));
    match linked {
        Ok(temporary) => {
            temporary.into_temp_path().persist(path).map_err(|error| error.error).with_context(cannot_write)
        }
        Err(_) => copy(original, path),
    }
}

/// Copies a file, in one large write: the page cache then holds large folios, which halves the page faults of a start.
pub(crate) fn copy(original: &Path, path: &Path) -> Result<()> {
    let bytes = std::fs::read(original).with_context(|| format!("cannot read {}", original.display()))?;
    replace(path, Some(original), |file| Ok(std::io::Write::write_all(file, &bytes)?))
}

/// A folder for files of the tool's own: in `first`, if it is given and may be written into, else where temporary files are,
/// else where they usually are: TMPDIR may name a folder that is not there.
pub(crate) fn temporary_folder(prefix: &str, first: Option<&Path>) -> Result<tempfile::TempDir> {
    let usual = [std::env::temp_dir(), "/tmp".into(), "/var/tmp".into(), ".".into()];
    let mut folders = first.into_iter().chain(usual.iter().map(std::path::PathBuf::as_path));
    let made = folders.find_map(|folder| tempfile::Builder::new().prefix(prefix).tempdir_in(folder).ok());
    made.context("cannot make a temporary folder; set TMPDIR to a folder that you may write into")
}

fn temporary() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".fastboot-");
    builder
}

/// The folder of a file that is to be written.
fn folder_of(path: &Path) -> Result<&Path> {
    if path.is_dir() {
        bail!("cannot write {}: it is a folder; name a file", path.display());
    }
    Ok(path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_link_is_the_same_file_and_leaves_nothing_else() {
        use std::os::unix::fs::MetadataExt;
        let folder = tempfile::tempdir().unwrap();
        let (original, path) = (folder.path().join("original"), folder.path().join("path"));
        fs::write(&original, "new").unwrap();
        fs::write(&path, "old").unwrap();
        for _ in 0..2 {
            link(&original, &path).unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"new");
            assert_eq!(fs::metadata(&path).unwrap().ino(), fs::metadata(&original).unwrap().ino());
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        }
    }
}
