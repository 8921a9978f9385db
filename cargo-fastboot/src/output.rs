//! Output: files are replaced whole or not at all.

use anyhow::{Context, Result};
use std::fs::File;
use std::path::Path;

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
    let told = || format!("cannot write {}", path.display());
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    if path.is_dir() {
        anyhow::bail!("cannot write {}: it is a folder; name a file", path.display());
    }
    let mode = std::fs::metadata(mode_of.unwrap_or(path)).ok().map(|meta| meta.permissions());
    let mut temporary = tempfile::Builder::new()
        .prefix(".fastboot-")
        .tempfile_in(folder)
        .with_context(|| format!("cannot write into the folder {}", folder.display()))?;
    write(temporary.as_file_mut()).with_context(told)?;
    let mode = match mode {
        Some(mode) => mode,
        None => {
            use std::os::unix::fs::PermissionsExt;
            // What a new file would have had: tempfile makes them private.
            std::fs::Permissions::from_mode(0o644)
        }
    };
    temporary.as_file().set_permissions(mode).with_context(told)?;
    let temporary = temporary.into_temp_path();
    finish(&temporary).with_context(told)?;
    temporary.persist(path).map_err(|error| error.error).with_context(told)?;
    Ok(())
}
