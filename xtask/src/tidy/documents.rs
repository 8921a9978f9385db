//! Documents: a file that is named in one is there.

/// Folders that the paths in documents begin with. What begins otherwise may be in a user's project.
const FOLDERS: [&str; 9] = [
    ".github/",
    "bench/",
    "cargo-fastboot/",
    "docs/",
    "fastboot-rt/",
    "linker/",
    "tests/",
    "tests/programs/",
    "xtask/",
];

/// Where paths begin that begin with none of these, by the heading that they are under. In docs/architecture.md, that is.
const SOURCES: [(&str, &str); 5] = [
    ("cargo-fastboot", "cargo-fastboot/src/"),
    ("fastboot-rt", "fastboot-rt/src/"),
    ("fastboot-format", "fastboot-rt/format/src/"),
    ("Where is it?", "cargo-fastboot/src/"),
    ("Where do I add ..?", "cargo-fastboot/src/"),
];

/// What a document names that is not there: a path in backticks or behind the text of a link. Under some
/// headings, paths may also begin in the source of a crate.
pub(super) fn check(document: &str, text: &str, files: &[String]) -> Vec<String> {
    let folder = document.rsplit_once('/').map_or("", |(folder, _)| folder);
    let is_there = |path: &str| files.iter().any(|file| file == path || file.strip_suffix('/') == Some(path));
    let mut found = Vec::new();
    let mut source = None;
    let mut in_code = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if let Some(name) = line.strip_prefix("## ") {
            source = SOURCES.iter().find(|(heading, _)| *heading == name).map(|(_, source)| *source);
        }
        if in_code {
            continue;
        }
        let quoted = line.split('`').skip(1).step_by(2).filter(|name| is_path(name)).filter(|name| {
            let of_project = FOLDERS.iter().any(|folder| name.starts_with(folder));
            let of_section = name.ends_with(".rs") || name.ends_with('/');
            of_project || (of_section && source.is_some())
        });
        let missing = quoted.filter(|name| {
            let from_section = source.is_some_and(|source| is_there(&format!("{source}{name}")));
            !from_section && !is_there(name)
        });
        found.extend(missing.map(|name| format!("{document}: names `{name}`, which is not there")));
        if document.ends_with(".md") {
            let missing = links(line).filter(|link| !is_there(&join(folder, link)));
            found.extend(missing.map(|link| format!("{document}: links to {link}, which is not there")));
        }
    }
    found
}

/// Whether it has nothing in it but what a path has.
fn is_path(name: &str) -> bool {
    let character = |one: char| one.is_ascii_alphanumeric() || "/._-".contains(one);
    !name.is_empty() && name.chars().all(character) && (name.contains('/') || name.ends_with(".rs"))
}

/// The links of a line that lead to files of the project, without what leads further in them.
fn links(line: &str) -> impl Iterator<Item = &str> {
    let targets = line.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
    targets.filter(|target| !target.is_empty() && !target.contains(':') && !target.contains(' '))
}

/// A path from a folder on, with `..` taken away.
fn join(folder: &str, path: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            ".." => drop(parts.pop()),
            "" | "." => {}
            name => parts.push(name),
        }
    }
    parts.join("/")
}

/// The comments of a Rust file that are documentation.
pub(super) fn comments(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let line = line.trim_start();
        line.strip_prefix("//!").or_else(|| line.strip_prefix("///")).unwrap_or_default().trim_start()
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> Vec<String> {
        ["README.md", "docs/", "docs/a.md", "cargo-fastboot/src/elf/", "cargo-fastboot/src/elf/strip.rs"]
            .map(str::to_owned)
            .to_vec()
    }

    #[test]
    fn what_is_there_may_be_named() {
        let text = "See [a](docs/a.md#part), `docs/a.md`, `cargo-fastboot/src/elf/`, <https://x.y/z>, [b](https://x.y/z) and your \
                    `src/main.rs`.\n```\n`docs/b.md`\n```\n";
        assert_eq!(check("README.md", text, &files()), [""; 0]);
        assert_eq!(check("docs/a.md", "[up](../README.md), [self](a.md)", &files()), [""; 0]);
        let section = "`elf/other.rs` of whatever.\n## cargo-fastboot\n`elf/strip.rs` in `elf/`\n";
        assert_eq!(check("docs/a.md", section, &files()), [""; 0]);
    }

    #[test]
    fn what_is_not_there_is_found() {
        let text = "`docs/b.md`, [c](c.md)\n## cargo-fastboot\n`elf/gone.rs`\n## Where is it?\n`elf/strip.rs`, `elf/lost.rs`\n";
        let found = check("docs/a.md", text, &files());
        let expected = [
            "docs/a.md: names `docs/b.md`, which is not there",
            "docs/a.md: links to c.md, which is not there",
            "docs/a.md: names `elf/gone.rs`, which is not there",
            "docs/a.md: names `elf/lost.rs`, which is not there",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn comments_count_as_documents() {
        let text = comments("//! See `docs/b.md`.\nfn f() {} // `docs/c.md`\n");
        assert_eq!(check("cargo-fastboot/src/x.rs", &text, &files()).len(), 1);
    }
}
