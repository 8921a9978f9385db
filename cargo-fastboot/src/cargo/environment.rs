//! Environment: the variables that `cargo run` would give a program.

use super::platform::Platform;
use super::select::Selected;
use super::{ColdBuild, program};
use cargo_metadata::Package;
use std::ffi::{OsStr, OsString};

const LIBRARY_PATH: &str = "LD_LIBRARY_PATH";

/// All of them.
pub(crate) fn program_environment(
    selected: Selected<'_>,
    built: &ColdBuild,
    platform: &Platform,
) -> Vec<(OsString, OsString)> {
    let mut environment = platform.environment.clone();
    environment.push(("CARGO".into(), program()));
    environment.push(("CARGO_BIN_NAME".into(), selected.name().into()));
    environment
        .extend(package_variables(selected.package).into_iter().map(|(name, value)| (name.into(), value.into())));
    environment.extend(built.environment.iter().cloned());
    if let Some(path) = library_path(built, platform) {
        environment.push((LIBRARY_PATH.into(), path));
    }
    environment
}

/// Cargo's folders of shared libraries, then the user's. `None` if they cannot be written down (a `:` in a path).
fn library_path(built: &ColdBuild, platform: &Platform) -> Option<OsString> {
    let profile = built.executable.parent()?;
    // Examples stand one folder deeper.
    let profile = if profile.file_name() == Some(OsStr::new("examples")) { profile.parent()? } else { profile };
    let own = built.libraries.iter().filter(|folder| folder.starts_with(profile)).cloned();
    let users = std::env::var_os(LIBRARY_PATH);
    let users = users.iter().flat_map(std::env::split_paths).filter(|path| !path.as_os_str().is_empty());
    let cargos = [profile.to_owned(), profile.join("deps")].into_iter().chain(platform.libraries.clone());
    std::env::join_paths(own.chain(cargos).chain(users)).ok()
}

/// `CARGO_MANIFEST_DIR` and the like.
fn package_variables(package: &Package) -> Vec<(&'static str, String)> {
    let version = &package.version;
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    let path = |field: &Option<cargo_metadata::camino::Utf8PathBuf>| {
        field.as_ref().map(ToString::to_string).unwrap_or_default()
    };
    vec![
        ("CARGO_MANIFEST_DIR", package.manifest_path.parent().map(ToString::to_string).unwrap_or_default()),
        ("CARGO_MANIFEST_PATH", package.manifest_path.to_string()),
        ("CARGO_PKG_NAME", package.name.to_string()),
        ("CARGO_PKG_VERSION", version.to_string()),
        ("CARGO_PKG_VERSION_MAJOR", version.major.to_string()),
        ("CARGO_PKG_VERSION_MINOR", version.minor.to_string()),
        ("CARGO_PKG_VERSION_PATCH", version.patch.to_string()),
        ("CARGO_PKG_VERSION_PRE", version.pre.to_string()),
        ("CARGO_PKG_AUTHORS", package.authors.join(":")),
        ("CARGO_PKG_DESCRIPTION", text(&package.description)),
        ("CARGO_PKG_HOMEPAGE", text(&package.homepage)),
        ("CARGO_PKG_REPOSITORY", text(&package.repository)),
        ("CARGO_PKG_LICENSE", text(&package.license)),
        ("CARGO_PKG_LICENSE_FILE", path(&package.license_file)),
        ("CARGO_PKG_README", path(&package.readme)),
        ("CARGO_PKG_RUST_VERSION", package.rust_version.as_ref().map(ToString::to_string).unwrap_or_default()),
    ]
}
