//! Options: what the user asked for, as every stage sees it.

use anyhow::{Context, Result};
use fastboot_format::features::Mask;
use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::str::FromStr;
use std::time::Duration;

/// A finding that can be made an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Deny {
    /// Words that differ from run to run and are no addresses.
    Nondeterminism,
    /// Addresses of memory that is not in the image.
    Foreign,
    /// Files and environment variables that were read without being declared.
    Undeclared,
    /// Values that would be others in the user's own process.
    World,
}

/// How a binary is frozen.
#[derive(Clone, Debug)]
pub(crate) struct FreezeOptions {
    /// The home address.
    pub(crate) home: u64,
    /// How long one run may take.
    pub(crate) timeout: Option<Duration>,
    /// How many bytes the roots may take while they are evaluated; by default what the machine has to spare.
    pub(crate) memory_limit: Option<u64>,
    /// Whether random bytes are to be random while roots are evaluated.
    pub(crate) real_random: bool,
    /// Whether libraries may use as many threads as they like while roots are evaluated.
    pub(crate) keep_threads: bool,
    /// What the program is called with to learn what it uses.
    pub(crate) train: Vec<Arguments>,
    /// Files that it reads as its standard input then, one after the other; none for an empty one.
    pub(crate) stdin: Vec<PathBuf>,
    /// What the finished program is called with, with and without its image, to see that it does the same.
    pub(crate) compare: Vec<CompareRun>,
    /// The objects that were used then: they are placed first, together.
    pub(crate) preferred: HashSet<Allocation>,
    /// Processor features that the roots may see, as [`fastboot_format::features`] numbers them.
    pub(crate) cpu: Mask,
    /// Whether to keep every object, dead or alive, in one run.
    pub(crate) verbatim: bool,
    /// Whether to record which function made each object.
    pub(crate) trace: bool,
    /// Which statics are carried or not, whatever the table says.
    pub(crate) choices: Choices,
    /// What is an error rather than a warning.
    pub(crate) deny: Vec<Deny>,
    /// Crates that those lists may name though the program does not have them.
    pub(crate) elsewhere: Vec<String>,
    /// Crates that are not from a registry or a repository, but from a folder.
    pub(crate) local: Vec<String>,
    /// The program's packages that bind C libraries.
    pub(crate) c_libraries: Vec<String>,
    /// Roots and carried statics that may hold addresses of memory outside of the image.
    pub(crate) allow_foreign: Vec<String>,
    /// Roots and carried statics that may differ from run to run.
    pub(crate) allow_nondeterminism: Vec<String>,
    /// Roots and statics that may lead to an object together, though the static does not travel.
    pub(crate) allow_shared: Vec<String>,
    /// Roots that may leave threads running.
    pub(crate) allow_threads: Vec<String>,
    /// Roots and carried statics that may depend on the process that froze, its environment, its machine.
    pub(crate) allow_world: Vec<String>,
    /// The program that runs the binary, with its arguments; empty to run it directly.
    pub(crate) runner: Vec<OsString>,
    /// Working directory of the run.
    pub(crate) directory: Option<PathBuf>,
    /// Environment variables set for the run.
    pub(crate) environment: Vec<(OsString, OsString)>,
    /// What random bytes follow from while roots are evaluated, unless it is the identity of the binary.
    pub(crate) seed: Option<u64>,
    /// The same program, linked for other addresses, and its SHA-256: what run 3 runs, so that addresses in the executable
    /// are told from numbers.
    pub(crate) twin: Option<(PathBuf, String)>,
    /// Whether it is to be known exactly which words of the image are addresses in the executable, if that takes one more run, too.
    pub(crate) exact_addresses: bool,
}

impl Default for FreezeOptions {
    fn default() -> Self {
        Self {
            home: fastboot_format::image::DEFAULT_HOME,
            timeout: None,
            memory_limit: None,
            real_random: false,
            keep_threads: false,
            train: Vec::new(),
            stdin: Vec::new(),
            compare: Vec::new(),
            preferred: HashSet::new(),
            cpu: Mask::MAX,
            verbatim: false,
            trace: false,
            choices: Choices::default(),
            deny: Vec::new(),
            elsewhere: Vec::new(),
            local: Vec::new(),
            c_libraries: Vec::new(),
            allow_foreign: Vec::new(),
            allow_nondeterminism: Vec::new(),
            allow_shared: Vec::new(),
            allow_threads: Vec::new(),
            allow_world: Vec::new(),
            runner: Vec::new(),
            directory: None,
            environment: Vec::new(),
            seed: None,
            twin: None,
            exact_addresses: false,
        }
    }
}

impl FreezeOptions {
    /// The same, where the package's folder is called `name`.
    pub(crate) fn in_folder(&self, name: &Path) -> Self {
        let Some(folder) = &self.directory else { return self.clone() };
        let environment = self.environment.iter();
        let environment =
            environment.map(|(variable, value)| (variable.clone(), renamed(value, folder, name))).collect();
        Self { directory: Some(name.to_owned()), environment, ..self.clone() }
    }

    /// The command that runs `binary` the way these options say.
    pub(crate) fn command(&self, binary: &Path) -> Command {
        let mut words = self.runner.iter().map(OsString::as_os_str).chain([binary.as_os_str()]);
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words).envs(self.environment.iter().map(|(name, value)| (name, value)));
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        command
    }

    /// The value that an environment variable has in a run.
    pub(crate) fn variable(&self, name: &OsStr) -> Option<OsString> {
        let given = self.environment.iter().rev().find(|(given, _)| given == name);
        given.map(|(_, value)| value.clone()).or_else(|| std::env::var_os(name))
    }
}

/// What `[package.metadata.fastboot]` of the user's package chooses: names of crates, of modules or of statics, or the
/// beginning of such a name and `*`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Choices {
    /// Carried though the table says otherwise.
    pub(crate) carry: Vec<String>,
    /// Not carried.
    pub(crate) skip: Vec<String>,
}

/// What a program is called with, taken apart as a shell would.
#[derive(Clone, Debug)]
pub(crate) struct Arguments {
    text: String,
    pub(crate) words: Vec<String>,
}

impl FromStr for Arguments {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let words = shlex::split(text).ok_or("a quotation mark has no counterpart, or nothing follows a backslash")?;
        Ok(Self { text: text.to_owned(), words })
    }
}

impl fmt::Display for Arguments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A run of the finished program, to be compared with one without an image.
#[derive(Clone, Debug)]
pub(crate) struct CompareRun {
    pub(crate) arguments: Arguments,
    /// The file that it reads as its standard input; none for an empty one.
    pub(crate) stdin: Option<PathBuf>,
    /// Whether standard error has to be the same, too.
    pub(crate) errors: bool,
}

impl CompareRun {
    /// Its standard input.
    pub(crate) fn stdin(&self) -> Result<Stdio> {
        stdin(self.stdin.as_deref())
    }
}

impl fmt::Display for CompareRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.stdin {
            Some(path) => write!(f, "`{} < {}`", self.arguments, path.display()),
            None => write!(f, "`{}`", self.arguments),
        }
    }
}

/// The standard input of a program: this file, or an empty one.
pub(crate) fn stdin(path: Option<&Path>) -> Result<Stdio> {
    let Some(path) = path else { return Ok(Stdio::null()) };
    let file = File::open(path).with_context(|| format!("cannot read {}, which `--stdin` names", path.display()))?;
    Ok(Stdio::from(file))
}

/// Where in the file an image goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Into the `fastboot` section: execve maps it.
    Section,
    /// Behind the executable: the program maps it.
    Footer,
}

/// An allocation, the same one in every run: the key of its thread, and which one on that thread it is.
pub(crate) type Allocation = (u64, u64);
/// A text, such as a list of paths, in which a folder has another name.
pub(crate) fn renamed(text: &OsStr, folder: &Path, name: &Path) -> OsString {
    let (folder, name) = (folder.as_os_str().as_bytes(), name.as_os_str().as_bytes());
    let mut rest = text.as_bytes();
    let mut changed = Vec::new();
    while let Some(at) = memchr::memmem::find(rest, folder) {
        let (before, from) = rest.split_at(at);
        let behind = &from[folder.len()..];
        changed.extend_from_slice(before);
        // Not `/a/bc`, nor `/x/a/b`, for `/a/b`.
        let is_it = matches!(behind.first(), None | Some(b'/' | b':')) && matches!(changed.last(), None | Some(b':'));
        changed.extend_from_slice(if is_it { name } else { folder });
        rest = behind;
    }
    changed.extend_from_slice(rest);
    OsString::from_vec(changed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_renamed_where_it_is_named() {
        let renamed =
            |text: &str| renamed(OsStr::new(text), Path::new("/a/b"), Path::new("/new")).into_string().unwrap();
        assert_eq!(renamed("/a/b"), "/new");
        assert_eq!(renamed("/x/a/b:/a/b/c:/a/bc:/a/b"), "/x/a/b:/new/c:/a/bc:/new");
        assert_eq!(renamed("a text"), "a text");
    }
}
