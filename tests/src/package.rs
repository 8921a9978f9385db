//! A package of its own, in a folder that is gone afterwards: for tests that change the source.

use crate::programs::workspace;
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A package `app` that depends on the runtime.
pub struct Package {
    folder: TempDir,
}

impl Package {
    /// Makes one, without source. `more` is what its manifest has behind that dependency.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn new(more: &str) -> Result<Self> {
        let package = Self { folder: tempfile::tempdir()? };
        let runtime = workspace().join("fastboot-rt").canonicalize()?;
        let manifest = format!(
            "[package]\nname = \"app\"\nedition = \"2024\"\n[dependencies]\nfastboot-rt = {{ path = {runtime:?} }}\n\
             {more}[workspace]\n"
        );
        package.write("Cargo.toml", &manifest)?;
        Ok(package)
    }

    /// Where it is.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file of it, and makes the folders that it is in.
    ///
    /// # Errors
    /// If that cannot be done.
    pub fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.folder().join(name);
        fs::create_dir_all(path.parent().context("no folder")?)?;
        Ok(fs::write(path, text)?)
    }

    /// Its executable, of the profile `dev`.
    #[must_use]
    pub fn executable(&self) -> PathBuf {
        self.folder().join("target/debug/app")
    }
}
