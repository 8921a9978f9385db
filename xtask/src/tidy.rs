//! Tidy: whether the code is laid out as docs/architecture.md says: who imports whom, where `unsafe` is, which files there
//! are; and whether no file or function is too long. Whatever is not so is listed, all of it at once.

mod documents;
mod imports;
mod lengths;
mod rooms;
mod unsafe_code;

use crate::command::root;
use anyhow::{Context, Result, bail};
use lengths::Exception;
use rooms::Rooms;
use std::path::Path;

/// The document that says how the code is laid out.
const ARCHITECTURE: &str = "docs/architecture.md";

/// Folders with code of ours, from the root of the workspace.
const CODE: [&str; 4] = ["cargo-fastboot", "fastboot-rt", "linker", "xtask"];

/// Crates whose files must not import one another in a circle: where their source is, and its first file. Those that have a
/// table in docs/architecture.md, under a heading with their name, must keep to that as well.
const CRATES: [(&str, &str, &str); 5] = [
    ("cargo-fastboot", "cargo-fastboot/src", "main.rs"),
    ("cargo-fastboot/kernel", "cargo-fastboot/kernel/src", "lib.rs"),
    ("fastboot-rt/format", "fastboot-rt/format/src", "lib.rs"),
    ("fastboot-rt/defer", "fastboot-rt/defer/src", "lib.rs"),
    ("fastboot-rt", "fastboot-rt/src", "lib.rs"),
];

/// Looks at everything.
pub(crate) fn tidy() -> Result<()> {
    let found = problems(root(), lengths::EXCEPTIONS)?;
    if !found.is_empty() {
        bail!("the code is not laid out as {ARCHITECTURE} says:\n  {}", found.join("\n  "));
    }
    Ok(())
}

/// What is not as it should be in the project in this folder; `exceptions` may be long.
fn problems(root: &Path, exceptions: &[Exception]) -> Result<Vec<String>> {
    let architecture = read(root, ARCHITECTURE).context("docs/architecture.md says how the code is laid out")?;
    let files = files(root)?;
    let mut found = Vec::new();
    for (name, source, first) in CRATES {
        let read = |path: &str| read(root, &format!("{source}/{path}")).ok();
        let imports = imports::of_crate(first, read).with_context(|| format!("cannot read {source}"))?;
        let mut problems = imports.circles();
        if let Some(rooms) = Rooms::parse(&architecture, name)? {
            problems.extend(rooms.check(&imports));
        }
        found.extend(problems.into_iter().map(|problem| format!("{source}/{problem}")));
    }
    let code = files.iter().filter(|path| path.ends_with(".rs") && CODE.iter().any(|folder| is_in(path, folder)));
    let texts = code.map(|path| Ok((path.as_str(), read(root, path)?))).collect::<Result<Vec<_>>>()?;
    found.extend(unsafe_code::check(&architecture, &texts)?);
    found.extend(lengths::check(&texts, exceptions)?);
    for path in files.iter().filter(|path| path.ends_with(".md")) {
        found.extend(documents::check(path, &read(root, path)?, &files));
    }
    for (path, text) in &texts {
        found.extend(documents::check(path, &documents::comments(text), &files));
    }
    Ok(found)
}

fn read(root: &Path, path: &str) -> Result<String> {
    std::fs::read_to_string(root.join(path)).with_context(|| format!("cannot read {path}"))
}

/// Whether a path leads into a folder.
fn is_in(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

/// All files and folders of the project, by their paths from its root; of folders with a `/` behind it.
fn files(root: &Path) -> Result<Vec<String>> {
    fn walk(folder: &Path, prefix: &str, into: &mut Vec<String>) -> Result<()> {
        let entries = std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if ["target", ".git"].contains(&name.as_str()) {
                continue;
            }
            let path = format!("{prefix}{name}");
            if entry.file_type()?.is_dir() {
                into.push(format!("{path}/"));
                walk(&entry.path(), &format!("{path}/"), into)?;
            } else {
                into.push(path);
            }
        }
        Ok(())
    }
    let mut files = Vec::new();
    walk(root, "", &mut files)?;
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::target;

    #[test]
    fn everything_is_where_it_belongs() -> Result<()> {
        tidy()
    }

    #[test]
    fn what_is_planted_in_a_project_is_found() -> Result<()> {
        let root = target().join(format!("tidy-test-{}", std::process::id()));
        let long = "fn g() {}\n".repeat(501);
        let files = [
            (ARCHITECTURE, "See `docs/gone.md`.\n\n## Where `unsafe` is\n\nNowhere.\n"),
            ("cargo-fastboot/src/main.rs", "mod a;\nmod b;\nmod c;\n"),
            ("cargo-fastboot/src/a.rs", "use crate::b::X;\n"),
            ("cargo-fastboot/src/b.rs", "fn f() -> super::a::Y {\n    unsafe { g() }\n}\n"),
            ("cargo-fastboot/src/c.rs", &long),
        ];
        let firsts = CRATES.map(|(_, source, first)| format!("{source}/{first}"));
        let empty =
            firsts.iter().filter(|path| !path.starts_with("cargo-fastboot/src")).map(|path| (path.as_str(), ""));
        for (path, text) in empty.chain(files) {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().context("a file in a folder")?)?;
            std::fs::write(path, text)?;
        }
        let found = problems(&root, &[]);
        std::fs::remove_dir_all(&root)?;
        let expected = [
            "cargo-fastboot/src/a.rs: imports in a circle: a.rs → b.rs → a.rs",
            "cargo-fastboot/src/b.rs: `unsafe`, though docs/architecture.md does not list the file",
            "cargo-fastboot/src/c.rs: 501 lines; a file has 500 at most, so make two of it",
            "docs/architecture.md: names `docs/gone.md`, which is not there",
        ];
        assert_eq!(found?, expected);
        Ok(())
    }
}
