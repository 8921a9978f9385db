//! Past: what a build keeps of a freeze so that a later one can migrate its image.

use crate::freeze::pipeline::FOLDER;
use crate::link::Closure;
use crate::say::output;
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// What is known of a freeze, beside its record and its image.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Past {
    /// What tells the finished binary from others.
    pub(super) finished: String,
    pub(super) closure: Closure,
    /// Of each node, its group: those of one group may lie in any order.
    pub(super) groups: Vec<u64>,
    /// How the package's folder was called, if nothing in the image follows from that.
    pub(super) folder: Option<PathBuf>,
    /// The words of the image data that hold addresses in the executable.
    pub(super) addresses: Vec<u64>,
    /// The shared libraries that were loaded, each with the hash of its file.
    pub(super) libraries: Vec<(String, [u8; 32])>,
}

impl Past {
    pub(super) fn path(cold: &Path) -> PathBuf {
        cold.with_extension("nodes")
    }

    pub(super) fn load(cold: &Path) -> Result<Self> {
        let path = Self::path(cold);
        ensure!(path.exists(), "what the last freeze used was not kept");
        let cannot_use = || format!("{} cannot be used", path.display());
        serde_json::from_slice(&std::fs::read(&path).with_context(cannot_use)?).with_context(cannot_use)
    }

    pub(super) fn save(&self, cold: &Path) -> Result<()> {
        let text = serde_json::to_vec(self)?;
        output::replace(&Self::path(cold), None, |file| Ok(file.write_all(&text)?))
    }

    /// The same, of a program that uses the same at other addresses, and whose folder is called so.
    pub(super) fn keep_for(mut self, now: &Closure, folder: Option<&Path>) -> Self {
        self.closure = now.clone();
        self.folder = self.folder.and(folder.map(Path::to_owned));
        self
    }

    /// Requires that each library is as it was.
    pub(super) fn check_libraries(&self) -> Result<()> {
        ensure!(std::env::var_os("LD_PRELOAD").is_none(), "LD_PRELOAD is set");
        for (path, hash) in &self.libraries {
            let now = std::fs::read(path).with_context(|| format!("cannot read the library {path}"))?;
            ensure!(<[u8; 32]>::from(Sha256::digest(now)) == *hash, "the library {path} changed");
        }
        Ok(())
    }
}

/// The files among the names of mappings, without the executable itself.
pub(super) fn libraries(cold: &Path, mapped: &[String]) -> Result<Vec<(String, [u8; 32])>> {
    let names: BTreeSet<&str> = mapped.iter().map(String::as_str).filter(|name| name.starts_with('/')).collect();
    let mut found = Vec::new();
    for name in names {
        let path = Path::new(name);
        // The executable, and the freeze's own files, which are gone.
        let own = path.components().any(|part| part.as_os_str().as_bytes().starts_with(FOLDER.as_bytes()));
        if own || path.file_name() == cold.file_name() {
            continue;
        }
        ensure!(path.is_file(), "{name} was mapped while the roots were evaluated, and is no file");
        found.push((name.to_owned(), Sha256::digest(std::fs::read(path)?).into()));
    }
    Ok(found)
}
