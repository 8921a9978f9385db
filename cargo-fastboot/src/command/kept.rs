//! Kept: where what `build` makes of a binary stays for the next build, beside the place where cargo puts the binary.
//!
//! ```text
//! target/release/app                          what cargo built, then what was made of it
//! target/release/fastboot/app-1a2b3c4d/       one folder for each program: of other features, or of another package,
//!                         app.cold  ..        the same name means another one
//! target/release/fastboot/app.cold            the last of these cold binaries, for `freeze` and `embed`
//! ```

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::cargo::select::{Selected, features_for};
use crate::cli::BuildFlags;
use crate::elf::binary::Binary;
use crate::say::output;

/// Keeps the binary that cargo built for `selected`, one of `selection`, as the cold one, and returns where.
pub(super) fn keep_cold(
    selected: Selected<'_>,
    selection: &[Selected<'_>],
    executable: &Path,
    bytes: Vec<u8>,
    flags: &BuildFlags,
) -> Result<PathBuf> {
    let (Some(folder), Some(name)) = (executable.parent(), executable.file_name()) else {
        anyhow::bail!("cargo named {} as the executable, which is not a file", executable.display());
    };
    let with = |ending: String| {
        let mut whole = name.to_owned();
        whole.push(ending);
        whole
    };
    let latest = folder.join("fastboot").join(with(".cold".to_owned()));
    let folder = latest.with_file_name(with(format!("-{}", digest(selected, selection, flags))));
    create_folder(&folder)?;
    let cold = folder.join(with(".cold".to_owned()));
    let mut binary = Binary::parse(executable, bytes)?;
    binary.stamp();
    output::replace(&cold, Some(executable), |file| Ok(std::io::Write::write_all(file, &binary.bytes)?))?;
    output::link(&cold, &latest)?;
    Ok(cold)
}

/// What tells programs apart that cargo puts at the same place: digits for a file's name.
fn digest(selected: Selected<'_>, selection: &[Selected<'_>], flags: &BuildFlags) -> String {
    let mut features = features_for(selected.package, selection, flags);
    features.sort();
    let which = format!(
        "{} {} {:?} {} {features:?} {} {} {:?} {:?}",
        selected.package.name,
        selected.package.version,
        selected.target.kind,
        selected.target.name,
        flags.features.all_features,
        flags.features.no_default_features,
        flags.link,
        flags.place,
    );
    blake3::hash(which.as_bytes()).to_hex()[..8].to_owned()
}

/// Creates a folder, and those above it.
pub(super) fn create_folder(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| {
        format!("cannot create the folder {}; name one in a folder that you may write into", folder.display())
    })
}
