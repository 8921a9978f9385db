//! The folder of the data files.

use std::path::PathBuf;

/// A data file's path.
///
/// # Panics
/// If `BENCH_DATA` does not say where the files are.
pub fn data(name: &str) -> PathBuf {
    let folder =
        std::env::var_os("BENCH_DATA").expect("BENCH_DATA names the folder with the data; see `cargo xtask bench`");
    PathBuf::from(folder).join(name)
}

/// A data file, whole.
///
/// # Panics
/// If it cannot be read: without data there is nothing to measure.
pub fn read(name: &str) -> Vec<u8> {
    let path = data(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
}

/// Writes a data file, unless it is there and the same: what was compiled from it need not be compiled again.
///
/// # Panics
/// If it cannot be written.
pub fn write(name: &str, bytes: &[u8]) {
    let path = data(name);
    if std::fs::read(&path).is_ok_and(|there| there == bytes) {
        return;
    }
    std::fs::write(&path, bytes).unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
}
