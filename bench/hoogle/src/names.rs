//! Gathering names: the public items of the crates whose sources cargo has on this machine, then the files of the
//! Debian packages that are installed here.

use anyhow::{Context, Result};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A name, what it is, and where it is from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) from: String,
}

impl Name {
    /// One line of a list of names: name, kind and origin, separated by tabs.
    pub(crate) fn parse(line: &str) -> Option<Name> {
        let mut fields = line.split('\t').map(str::trim);
        let name = fields.next().filter(|name| !name.is_empty())?.to_string();
        let kind = fields.next().unwrap_or("name").to_string();
        let from = fields.next().unwrap_or_default().to_string();
        Some(Name { name, kind, from })
    }

    pub(crate) fn line(&self) -> String {
        format!("{}\t{}\t{}", self.name, self.kind, self.from)
    }
}

/// Every name there is to find here, sorted, each once.
pub(crate) fn gather() -> Result<Vec<Name>> {
    let mut names = BTreeSet::new();
    for registry in folders(&cargo_home().join("registry").join("src"))? {
        for package in folders(&registry)? {
            let from = package.file_name().unwrap_or_default().to_string_lossy().into_owned();
            sources(&package, &from, &mut names)?;
        }
    }
    for list in files(Path::new("/var/lib/dpkg/info"))? {
        if list.extension().is_some_and(|e| e == "list") {
            let from = list.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            for line in read(&list)?.lines() {
                let name = line.rsplit('/').next().unwrap_or_default();
                if !name.is_empty() && name != "." {
                    names.insert(Name { name: name.into(), kind: "file".into(), from: from.clone() });
                }
            }
        }
    }
    Ok(names.into_iter().collect())
}

fn cargo_home() -> PathBuf {
    let home = || std::env::home_dir().unwrap_or_default().join(".cargo");
    std::env::var_os("CARGO_HOME").map_or_else(home, PathBuf::from)
}

fn entries(folder: &Path, want_folders: bool) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    // What is not there has no names; that is no error.
    if let Ok(entries) = std::fs::read_dir(folder) {
        for entry in entries {
            let entry = entry.with_context(|| format!("cannot list {}", folder.display()))?;
            let kind = entry.file_type()?;
            if (want_folders && kind.is_dir()) || (!want_folders && kind.is_file()) {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}

fn folders(folder: &Path) -> Result<Vec<PathBuf>> {
    entries(folder, true)
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    entries(folder, false)
}

fn read(file: &Path) -> Result<String> {
    let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn sources(folder: &Path, from: &str, names: &mut BTreeSet<Name>) -> Result<()> {
    for file in files(folder)? {
        if file.extension().is_some_and(|e| e == "rs") {
            for line in read(&file)?.lines() {
                if let Some((kind, name)) = item(line) {
                    names.insert(Name { name: name.into(), kind: kind.into(), from: from.into() });
                }
            }
        }
    }
    for folder in folders(folder)? {
        sources(&folder, from, names)?;
    }
    Ok(())
}

/// The public item that starts in this line.
fn item(line: &str) -> Option<(&str, &str)> {
    let line = line.trim_start();
    // windows-sys declares its functions in a macro of their own.
    let mut rest = match line.strip_prefix("windows_link::link!(") {
        Some(call) => &call[call.find("fn ")?..],
        None => line.strip_prefix("pub ")?,
    };
    const KINDS: [&str; 9] = ["fn", "struct", "enum", "trait", "type", "const", "static", "mod", "union"];
    const BEFORE: [&str; 6] = ["const", "unsafe", "async", "extern", "\"C\"", "mut"];
    let mut kind = None;
    loop {
        let (word, more) = rest.split_once(' ')?;
        let next = more.trim_start();
        if BEFORE.contains(&word) && (word != "const" || next.starts_with("fn ") || next.starts_with("unsafe ")) {
            rest = next;
            continue;
        }
        if kind.is_none() && KINDS.contains(&word) {
            kind = Some(word);
            rest = next.strip_prefix("mut ").unwrap_or(next);
            break;
        }
        return None;
    }
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    let name = &rest[..end];
    (name.chars().any(char::is_alphabetic)).then_some((kind?, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_in_lines() {
        assert_eq!(item("    pub const unsafe fn from_raw<T>(p: *mut T)"), Some(("fn", "from_raw")));
        assert_eq!(item("pub const MAX_LEN: usize = 3;"), Some(("const", "MAX_LEN")));
        assert_eq!(item("pub static mut COUNT: u8 = 0;"), Some(("static", "COUNT")));
        assert_eq!(item("pub extern \"C\" fn call()"), Some(("fn", "call")));
        assert_eq!(
            item("windows_link::link!(\"a.dll\" \"system\" fn CloseHandle(h : HANDLE) -> BOOL);"),
            Some(("fn", "CloseHandle"))
        );
        assert_eq!(item("pub use std::fmt;"), None);
        assert_eq!(item("fn private() {}"), None);
        let name = Name { name: "a".into(), kind: "fn".into(), from: "b".into() };
        assert_eq!(Name::parse(&name.line()), Some(name));
    }
}
