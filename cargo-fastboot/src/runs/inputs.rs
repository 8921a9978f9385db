//! Inputs: the files and environment variables that the roots' expressions read, and whether they are as they were.
//!
//! Some are declared, others were seen being opened. Both count: whoever changes one gets another image.

use crate::options::{FreezeOptions, renamed};
use crate::runs::capture;
use crate::runs::run;
use blake3::Hasher;
use fastboot_format::protocol::InputKind;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Where files lie that are no inputs although they are opened.
const NO_INPUTS: [&str; 6] = [
    // What the kernel says of processes, the machine and its devices is not kept in files.
    "/proc",
    "/sys",
    "/dev",
    // The C library's own, for the language of its messages.
    "/usr/lib/locale",
    "/usr/share/locale",
    // Read for backtraces.
    "/usr/lib/debug",
];

/// The standard library's own variables: they say what it prints of panics, and how large its threads' stacks are.
const NO_VARIABLES: [&str; 3] = ["RUST_BACKTRACE", "RUST_LIB_BACKTRACE", "RUST_MIN_STACK"];

/// How many inputs that were not declared are worth a line.
const LINES: usize = 5;

/// What a freeze read.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Inputs {
    list: Vec<InputState>,
    /// Of these, the ones to be warned of: what to say.
    #[serde(skip)]
    undeclared: Vec<String>,
}

/// One of them, and its state.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct InputState {
    kind: Kind,
    name: String,
    state: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    /// A file; of a folder, what its entries are called.
    File,
    /// A file; of a folder, everything in it.
    Tree,
    Variable,
}

/// State of what is not there.
const ABSENT: &str = "absent";

impl Inputs {
    /// What a run read, in its present state. `own` is the binary, which reads itself for backtraces.
    pub(crate) fn of(seen: &[capture::Input], options: &FreezeOptions, own: &Path) -> Self {
        let mut inputs = Self::default();
        let (declared, seen): (Vec<_>, Vec<_>) = seen.iter().partition(|input| input.declared);
        let mut trees = BTreeSet::new();
        let mut variables = BTreeSet::new();
        for input in declared {
            match input.kind {
                InputKind::File => {
                    trees.insert(resolved(Path::new(&input.name)));
                    inputs.add(Kind::Tree, &input.name, options);
                }
                InputKind::Variable => {
                    variables.insert(input.name.as_os_str());
                    inputs.add(Kind::Variable, &input.name, options);
                }
            }
        }
        for input in seen {
            let (kind, left_out) = match input.kind {
                InputKind::File => {
                    let path = Path::new(&input.name);
                    let declared = || resolved(path).ancestors().any(|path| trees.contains(path));
                    (Kind::File, is_no_input(path, own) || declared())
                }
                InputKind::Variable => {
                    (Kind::Variable, is_no_variable(&input.name, options) || variables.contains(input.name.as_os_str()))
                }
            };
            // What is not there may come to be there, but is not worth a warning.
            if !left_out && inputs.add(kind, &input.name, options) != ABSENT {
                inputs.undeclared.push(undeclared(input, options));
            }
        }
        inputs
    }

    /// Adds an input; returns its state.
    fn add(&mut self, kind: Kind, name: &OsStr, options: &FreezeOptions) -> &str {
        // What cannot be written down counts as changed the next time.
        let state = name.to_str().map_or_else(|| "its name is not UTF-8".to_owned(), |name| state(kind, name, options));
        self.list.push(InputState { kind, name: name.to_string_lossy().into_owned(), state });
        self.list.last().map_or(ABSENT, |input| &input.state)
    }

    /// The first that is not as it was, said for people.
    pub(crate) fn first_changed(&self, options: &FreezeOptions) -> Option<String> {
        let changed = self.list.iter().find(|input| state(input.kind, &input.name, options) != input.state)?;
        Some(match changed.kind {
            Kind::Variable => format!("the environment variable {} changed", changed.name),
            _ => format!("{} changed", shown(Path::new(&changed.name), options).display()),
        })
    }

    /// What is to be said of inputs that were not declared: a line for each, and not too many.
    pub(crate) fn warnings(&self, all: bool) -> Vec<String> {
        let count = if all { self.undeclared.len() } else { LINES.min(self.undeclared.len()) };
        let mut lines = self.undeclared[..count].to_vec();
        if count < self.undeclared.len() {
            lines.push(format!("{} more inputs are not declared; -v names them", self.undeclared.len() - count));
        }
        lines
    }

    /// The same, in a folder that was called `was` and is called `now`.
    pub(crate) fn rename(&mut self, was: &Path, now: &Path) {
        for input in self.list.iter_mut().filter(|input| input.kind != Kind::Variable) {
            let name = renamed(OsStr::new(&input.name), was, now);
            // What cannot be written down was not written down.
            input.name = name.to_string_lossy().into_owned();
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }
}

/// The path without links, as far as it exists.
fn resolved(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.components().collect())
}

fn is_no_input(path: &Path, own: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let library = name.ends_with(".so") || name.contains(".so.");
    library || path == own || NO_INPUTS.iter().any(|folder| path.starts_with(folder))
}

/// Variables of this tool, of the standard library, and those that the run is given whatever the user's environment is:
/// these are part of how the binary is frozen.
fn is_no_variable(name: &OsStr, options: &FreezeOptions) -> bool {
    name.as_bytes().starts_with(b"FASTBOOT")
        || NO_VARIABLES.iter().any(|known| name == *known)
        || options.environment.iter().any(|(given, _)| given == name)
        || !options.keep_threads && run::THREAD_VARIABLES.iter().any(|known| name == *known)
}

fn undeclared(input: &capture::Input, options: &FreezeOptions) -> String {
    let root = &input.root;
    match input.kind {
        InputKind::Variable => format!(
            "root `{root}` reads the environment variable {0}, which is not declared; read it with \
             `fastboot_rt::input_env({0:?})`",
            input.name.display()
        ),
        InputKind::File => {
            let path = shown(Path::new(&input.name), options);
            format!("root `{root}` reads {}, which is not declared; add `fastboot_rt::input({path:?})`", path.display())
        }
    }
}

/// The path as it would be written in the package.
fn shown<'a>(path: &'a Path, options: &FreezeOptions) -> &'a Path {
    let inside = options.directory.as_ref().and_then(|folder| path.strip_prefix(folder).ok());
    inside.filter(|path| !path.as_os_str().is_empty()).unwrap_or(path)
}

/// What is compared to find out whether an input changed.
fn state(kind: Kind, name: &str, options: &FreezeOptions) -> String {
    match kind {
        Kind::Variable => match options.variable(OsStr::new(name)) {
            Some(value) => format!("value {}", blake3::hash(value.as_bytes())),
            None => ABSENT.to_owned(),
        },
        Kind::File | Kind::Tree => match file_state(Path::new(name), kind == Kind::Tree) {
            Ok(state) => state,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                ABSENT.to_owned()
            }
            Err(error) => format!("unreadable: {}", error.kind()),
        },
    }
}

fn file_state(path: &Path, tree: bool) -> io::Result<String> {
    let found = fs::metadata(path)?;
    if found.is_file() {
        return Ok(format!("file {}", hash_file(path)?));
    }
    if !found.is_dir() {
        // A pipe or a socket, say: to read it would be to wait for somebody.
        return Ok("special".to_owned());
    }
    let mut hash = Hasher::new();
    hash_folder(path, tree, &mut hash)?;
    Ok(format!("folder {}", hash.finalize()))
}

/// Names and types of the entries, in order; with `tree` what they hold as well. Links to folders are not followed, so
/// there is an end.
fn hash_folder(path: &Path, tree: bool, hash: &mut Hasher) -> io::Result<()> {
    let mut entries = fs::read_dir(path)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let kind = entry.file_type()?;
        hash.update(entry.file_name().as_bytes());
        hash.update(&[0, u8::from(kind.is_dir()), u8::from(kind.is_symlink())]);
        if !tree {
            continue;
        }
        if kind.is_dir() {
            hash_folder(&entry.path(), tree, hash)?;
            // The end of its entries.
            hash.update(&[0]);
        } else if fs::metadata(entry.path()).is_ok_and(|found| found.is_file()) {
            hash.update(hash_file(&entry.path())?.as_bytes());
        } else if kind.is_symlink() {
            hash.update(fs::read_link(entry.path())?.as_os_str().as_bytes());
            hash.update(&[0]);
        }
    }
    Ok(())
}

/// By BLAKE3 rather than SHA-256: files may be large, and processors without instructions for it take ten times as long.
fn hash_file(path: &Path) -> io::Result<blake3::Hash> {
    Ok(Hasher::new().update_reader(File::open(path)?)?.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsString;

    fn seen(kind: InputKind, declared: bool, name: impl Into<OsString>) -> capture::Input {
        capture::Input { root: "a::B".to_owned(), kind, declared, name: name.into() }
    }

    /// Kinds, names and warnings of what a run with these records read.
    fn of(records: &[capture::Input], options: &FreezeOptions) -> Inputs {
        Inputs::of(records, options, Path::new("/own.cold"))
    }

    fn names(inputs: &Inputs) -> Vec<&str> {
        inputs.list.iter().map(|input| input.name.as_str()).collect()
    }

    #[test]
    fn what_is_declared_covers_what_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir_all(path("tree/deep")).unwrap();
        for name in ["a.txt", "tree/deep/b.txt", "c.txt"] {
            fs::write(path(name), name).unwrap();
        }
        let file = |declared, name: &str| seen(InputKind::File, declared, path(name));
        let records = [
            file(false, "./a.txt"),
            file(false, "tree/../tree/deep/b.txt"),
            file(false, "c.txt"),
            file(false, "missing.txt"),
            file(true, "a.txt"),
            file(true, "tree"),
            file(true, "wanted.txt"),
            file(false, "wanted.txt"),
            seen(InputKind::Variable, false, "FASTBOOT_TEST_UNSET"),
            seen(InputKind::Variable, false, "PATH"),
            seen(InputKind::Variable, true, "PATH"),
        ];
        let inputs = of(&records, &FreezeOptions { directory: Some(folder.path().to_owned()), ..Default::default() });
        let expected = ["a.txt", "tree", "wanted.txt", "c.txt", "missing.txt"].map(path);
        let mut expected: Vec<_> = expected.iter().map(|path| path.to_str().unwrap()).collect();
        expected.insert(3, "PATH");
        assert_eq!(names(&inputs), expected);
        assert_eq!(
            inputs.warnings(true),
            ["root `a::B` reads c.txt, which is not declared; add `fastboot_rt::input(\"c.txt\")`"]
        );
    }

    #[test]
    fn what_is_no_input_is_left_out() {
        let options = FreezeOptions { environment: vec![("CARGO_PKG_NAME".into(), "a".into())], ..Default::default() };
        let files = ["/proc/self/maps", "/sys/fs/cgroup", "/dev/urandom", "/lib/libm.so.6", "/a/libx.so", "/own.cold"];
        let variables = ["FASTBOOT_LOG", "RUST_BACKTRACE", "CARGO_PKG_NAME", "RAYON_NUM_THREADS"];
        let files = files.map(|name| seen(InputKind::File, false, name));
        let variables = variables.map(|name| seen(InputKind::Variable, false, name));
        assert!(names(&of(&[&files[..], &variables[..]].concat(), &options)).is_empty());
        // With threads as the user's environment says, what it says counts.
        let keeping = FreezeOptions { keep_threads: true, ..options };
        assert_eq!(names(&of(&variables, &keeping)), ["RAYON_NUM_THREADS"]);
        let near = ["/processes", "/a.solution"].map(|name| seen(InputKind::File, false, name));
        assert_eq!(names(&of(&near, &keeping)).len(), 2);
    }

    #[test]
    fn names_that_cannot_be_written_down_count_as_changed() {
        use std::os::unix::ffi::OsStringExt;
        let options = FreezeOptions::default();
        let inputs = of(&[seen(InputKind::File, false, OsString::from_vec(b"/a\xff".to_vec()))], &options);
        assert!(inputs.first_changed(&options).is_some());
    }

    #[test]
    fn every_change_is_another_state() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let of = |kind| state(kind, folder.path().to_str().unwrap(), &FreezeOptions::default());
        // What each change means for the folder's listing, and for everything in it.
        let mut states = (of(Kind::File), of(Kind::Tree));
        let mut changed = |listing: bool, what: &str| {
            let now = (of(Kind::File), of(Kind::Tree));
            assert_eq!(now.0 != states.0, listing, "{what}");
            assert!(now.1 != states.1, "{what}");
            states = now;
        };
        fs::write(path("a"), "1").unwrap();
        changed(true, "a file");
        fs::write(path("a"), "2").unwrap();
        changed(false, "another content");
        fs::create_dir(path("b")).unwrap();
        changed(true, "a folder");
        fs::write(path("b/c"), "").unwrap();
        changed(false, "a file in it");
        fs::rename(path("b/c"), path("c")).unwrap();
        changed(true, "moved out of it");
        std::os::unix::fs::symlink("a", path("d")).unwrap();
        changed(true, "a link");
        fs::write(path("a"), "3").unwrap();
        changed(false, "what it leads to");
        fs::remove_file(path("d")).unwrap();
        std::os::unix::fs::symlink("..", path("d")).unwrap();
        changed(false, "a link to a folder, which is not followed");
    }

    #[test]
    fn what_is_no_file_is_not_read() {
        let path = Path::new("/dev/full");
        assert_eq!(file_state(path, false).unwrap(), "special");
        let options = FreezeOptions::default();
        assert_eq!(state(Kind::File, "/dev/full/below", &options), ABSENT);
        assert_eq!(state(Kind::Tree, "/no such file", &options), ABSENT);
    }
}
