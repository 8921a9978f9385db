//! World: in what the proving run differs from the run that the image comes from, besides addresses.
//!
//! The program's user has another environment, another terminal, another machine. So has the proving run, as far as it can be
//! had: whatever comes out otherwise there depends on it, and will be wrong for somebody. Each difference can be applied
//! alone, so that halving the set says which of them it is.
//!
//! Values are as long as those that they stand for, where that can be: then everything is allocated as before, and the two
//! runs can be compared word by word. Left as they are: what expressions declare with `input_env`,
//! and what a program needs to start at all, such as `PATH`.

use crate::elf::binary::{Binary, Elf};
use crate::elf::cpuid;
use crate::options::FreezeOptions;
use anyhow::{Context, Result};
use fastboot_format::features::{self, Mask};
use fastboot_format::protocol::{self, TUNABLES_VARIABLE, World};
use object::LittleEndian as LE;
use object::read::elf::SectionHeader as _;
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

/// Something in which a run differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Difference {
    /// An environment variable has this value, or none.
    Variable(&'static str, Option<OsString>),
    /// The executable has this path, and its twin that one.
    Path(PathBuf, Option<PathBuf>),
    /// The program is called with arguments.
    Arguments,
    /// Standard output and standard error are a terminal.
    Terminal,
    /// Standard input is a terminal, too, of which nothing can be read.
    Input,
    /// The working directory has another name.
    Folder,
    /// User and group have other numbers, as far as the program is told.
    User,
    /// Other permissions are kept from new files.
    Umask,
    /// There is one processor less.
    Processors,
    /// It is another time of day, on another day.
    Clock,
    /// Of the processor only these features can be seen. Where it cannot hide others by itself, the instructions that ask for
    /// them are replaced: they stand there in the file.
    Features(Mask, Arc<[u64]>),
    /// The executable lies at other addresses: its twin runs. That has another path, too; so where both differ, the path comes
    /// first.
    Executable,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Variable(name, _) => return write!(f, "the environment variable {name}"),
            Self::Path(..) => "the path of the executable",
            Self::Arguments => "the arguments",
            Self::Terminal => "what standard output is, a terminal or not",
            Self::Input => "what standard input is, a terminal or not",
            Self::Folder => "the working directory",
            Self::User => "the user and group",
            Self::Umask => "the umask",
            Self::Processors => "the number of processors",
            Self::Clock => "the clock",
            Self::Features(..) => "the processor",
            Self::Executable => "where the executable lies",
        })
    }
}

/// Environment variables that differ from user to user, each with values to choose from. Without any, it is only changed
/// where it is set.
const VARIABLES: [(&str, &[&str]); 20] = [
    ("TZ", &["Asia/Kathmandu", "EST", "HST10", "Asia/Tokyo", "America/Chicago", "Europe/Helsinki"]),
    ("LANG", &["de_DE.UTF-8", "C", "POSIX", "fr_FR"]),
    ("LC_ALL", &["sv_SE.UTF-8", "C", "POSIX", "fr_FR"]),
    ("LC_CTYPE", &["sv_SE.UTF-8", "C", "POSIX", "fr_FR"]),
    ("LANGUAGE", &[]),
    ("TERM", &["xterm-256color", "vt100", "dumb", "screen"]),
    ("COLORTERM", &["truecolor"]),
    ("COLUMNS", &["132", "97"]),
    ("LINES", &["43", "101"]),
    ("NO_COLOR", &["1"]),
    ("CLICOLOR_FORCE", &["1"]),
    ("HOME", &["/home/somebody"]),
    ("USER", &["somebody"]),
    ("LOGNAME", &["somebody"]),
    ("SHELL", &[]),
    ("TMPDIR", &[]),
    ("RUST_LOG", &["debug", "warn", "error", "info"]),
    ("XDG_CONFIG_HOME", &[]),
    ("XDG_CACHE_HOME", &[]),
    ("XDG_DATA_HOME", &[]),
];

/// Of these it counts whether they are set.
const FLAGS: [&str; 2] = ["NO_COLOR", "CLICOLOR_FORCE"];

/// Columns and rows of the terminal.
const SIZE: (u16, u16) = (117, 41);

/// Arguments that no program knows.
const ARGUMENTS: [&str; 2] = ["another", "world"];

/// By how many seconds the clock is put back: another year, month, day, day of the week, hour, minute and second. Not forward,
/// because C code that waits for a moment would wait until then.
const CLOCK: i64 = -(((401 * 24 + 7) * 60 + 13) * 60 + 17);

/// All that can be had of them for a binary. `declared` are the variables that expressions declare; what has to be on the
/// disk is put into `folder`, and removed with what is returned.
pub(crate) fn differences(
    binary: &Binary,
    twin: Option<&Binary>,
    options: &FreezeOptions,
    declared: &[&OsStr],
    folder: &Path,
) -> (Vec<Difference>, Vec<tempfile::TempDir>) {
    let variables = VARIABLES.iter().filter(|(name, _)| !declared.iter().any(|declared| declared == name));
    let mut all: Vec<Difference> = variables
        .filter_map(|(name, values)| {
            let present = options.variable(OsStr::new(name));
            let value = match *name {
                // It has to be there.
                "TMPDIR" => Some(another_folder(folder).ok()?.into_os_string()),
                _ => another_value(name, present.as_deref(), values)?,
            };
            Some(Difference::Variable(name, value))
        })
        .collect();
    all.extend([
        Difference::Terminal,
        Difference::Input,
        Difference::Folder,
        Difference::User,
        Difference::Umask,
        Difference::Processors,
        Difference::Clock,
        Difference::Arguments,
    ]);
    let named = |binary: &Binary| another_name(&binary.path, folder).ok();
    let (path, own) = if has_neighbours(binary) { None } else { named(binary) }.unzip();
    let (of_twin, twins) = twin.filter(|_| path.is_some()).and_then(named).unzip();
    all.extend(path.map(|path| Difference::Path(path, of_twin)));
    all.extend(another_processor(binary, options));
    all.extend(twin.map(|_| Difference::Executable));
    (all, [own, twins].into_iter().flatten().flatten().collect())
}

/// Whether the processor can hide features by itself.
pub(crate) fn can_hide_features() -> bool {
    let flags = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    flags.split_whitespace().any(|flag| flag == "cpuid_fault")
}

/// A processor of the lowest level, if others can be hidden here.
fn another_processor(binary: &Binary, options: &FreezeOptions) -> Option<Difference> {
    // Of a runner nobody knows.
    if !options.runner.is_empty() {
        return None;
    }
    let sites = cpuid::sites(&binary.bytes).ok().flatten().unwrap_or_default();
    (can_hide_features() || !sites.is_empty())
        .then(|| Difference::Features(features::level("x86-64-v1").unwrap_or(0), sites.into()))
}

/// Whether the executable looks for libraries where it lies itself.
fn has_neighbours(binary: &Binary) -> bool {
    let strings = || {
        let (_, section) = Elf::parse(&binary.bytes).ok()?.section_named(".dynstr")?;
        section.data(LE, binary.bytes.as_slice()).ok()
    };
    strings().is_some_and(|strings| memchr::memmem::find(strings, b"ORIGIN").is_some())
}

/// The value that an environment variable is to have instead of this one; `None` if it is to stay as it is.
fn another_value(name: &str, present: Option<&OsStr>, values: &[&str]) -> Option<Option<OsString>> {
    let Some(present) = present else { return values.first().map(|value| Some(value.into())) };
    if FLAGS.contains(&name) && !present.is_empty() {
        return Some(None);
    }
    let as_long = values.iter().find(|value| value.len() == present.len() && **value != present);
    let value = as_long.map_or_else(|| OsString::from_vec(scrambled(present.as_bytes())), OsString::from);
    (value != present).then_some(Some(value))
}

/// Other letters and digits in place of these: as many, and each of them another one.
fn scrambled(text: &[u8]) -> Vec<u8> {
    let rotate = |byte: u8, first: u8, count: u8| first + (byte - first + count / 2) % count;
    text.iter()
        .map(|byte| match *byte {
            letter @ b'a'..=b'z' => rotate(letter, b'a', 26),
            letter @ b'A'..=b'Z' => rotate(letter, b'A', 26),
            digit @ b'0'..=b'9' => rotate(digit, b'0', 10),
            other => other,
        })
        .collect()
}

/// A folder for temporary files.
fn another_folder(folder: &Path) -> io::Result<PathBuf> {
    let path = folder.join("tmp");
    fs::create_dir_all(&path).map(|()| path)
}

/// Gives an executable another name, in a folder of another name: as long as its own, beside its own folder, or where
/// nothing can be written, in `folder`.
fn another_name(binary: &Path, folder: &Path) -> Result<(PathBuf, Option<tempfile::TempDir>)> {
    const PREFIX: &str = ".fb";
    /// How many characters make a name that nobody else has.
    const LEAST: usize = 4;
    let name = binary.file_name().context("it has no name")?;
    let name = OsString::from_vec(scrambled(name.as_bytes()));
    let parent = binary.parent().context("it is in no folder")?;
    let length = parent.file_name().map_or(0, OsStr::len);
    let beside = parent.parent().filter(|_| length >= PREFIX.len() + LEAST).and_then(|parents| {
        let mut builder = tempfile::Builder::new();
        builder.prefix(PREFIX).rand_bytes(length - PREFIX.len()).tempdir_in(parents).ok()
    });
    let path = beside.as_ref().map_or(folder, tempfile::TempDir::path).join(name);
    // Another user's file may not be linked, and another file system cannot be.
    if fs::hard_link(binary, &path).is_err() {
        fs::copy(binary, &path)?;
    }
    Ok((path, beside))
}

/// The path that the executable has in this world.
pub(crate) fn path<'a>(world: &'a [Difference], own: &'a Path) -> &'a Path {
    let is_twin = world.contains(&Difference::Executable);
    let path = world.iter().find_map(|difference| match difference {
        Difference::Path(_, twin) if is_twin => twin.as_deref(),
        Difference::Path(path, _) => Some(path.as_path()),
        _ => None,
    });
    path.unwrap_or(own)
}

/// What the process is to change itself in this world.
pub(crate) fn from_inside(world: &[Difference]) -> World {
    World {
        umask: world.contains(&Difference::Umask).then_some(0o137),
        fewer_processors: world.contains(&Difference::Processors),
        clock: if world.contains(&Difference::Clock) { CLOCK } else { 0 },
        other_folder: world.contains(&Difference::Folder),
        other_user: world.contains(&Difference::User),
    }
}

/// What features of the processor a run in this world may see, and where the instructions are that ask for them.
pub(crate) fn features(world: &[Difference]) -> (Mask, Vec<u64>) {
    let of = |difference: &Difference| match difference {
        Difference::Features(seen, sites) => Some((*seen, sites.to_vec())),
        _ => None,
    };
    world.iter().find_map(of).unwrap_or((Mask::MAX, Vec::new()))
}

/// The tunables of a freeze run, with which the C library does without the features of higher levels as well: it has asked
/// for them before anything can be hidden.
fn without_features(seen: Mask) -> String {
    let has = |level| seen & features::level(level).unwrap_or(0) == features::level(level).unwrap_or(0);
    let mut names = Vec::new();
    if !has("x86-64-v4") {
        names.extend(["AVX512F", "AVX512VL", "AVX512BW", "AVX512DQ", "AVX512CD"]);
    }
    if !has("x86-64-v3") {
        names.extend(["AVX", "AVX2", "BMI1", "BMI2", "LZCNT", "MOVBE", "FMA", "F16C"]);
    }
    if !has("x86-64-v2") {
        names.extend(["SSE3", "SSSE3", "SSE4_1", "SSE4_2", "POPCNT"]);
    }
    let own = protocol::tunables(std::env::var(TUNABLES_VARIABLE).ok().as_deref());
    format!("{own}:glibc.cpu.hwcaps=-{}", names.join(",-"))
}

/// Has a command run in this world. What is not to be had here is left out.
pub(crate) fn apply(world: &[Difference], command: &mut Command) {
    for difference in world {
        match difference {
            Difference::Variable(name, Some(value)) => _ = command.env(name, value),
            Difference::Variable(name, None) => _ = command.env_remove(name),
            Difference::Arguments => _ = command.args(ARGUMENTS),
            Difference::Terminal => {
                if let Ok([output, errors]) = terminal(&[]) {
                    command.stdout(output).stderr(errors);
                }
            }
            Difference::Input => {
                if let Ok([input, _]) = terminal(&[END; 1000]) {
                    command.stdin(input);
                }
            }
            Difference::Features(seen, _) => _ = command.env(TUNABLES_VARIABLE, without_features(*seen)),
            Difference::Path(..)
            | Difference::Folder
            | Difference::User
            | Difference::Umask
            | Difference::Processors
            | Difference::Clock
            | Difference::Executable => {}
        }
    }
}

/// What ends the input at a terminal: Control-D.
const END: u8 = 4;

/// A terminal at which this is typed, and of which nobody sees what is written to it.
fn terminal(typed: &[u8]) -> Result<[Stdio; 2]> {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    let name = ptsname(&master, Vec::new())?;
    let terminal = rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?;
    let (columns, rows) = SIZE;
    tcsetwinsize(&terminal, Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 })?;
    let terminal = File::from(terminal);
    let mut master = File::from(master);
    master.write_all(typed)?;
    // Until the last one who could write has closed it: that is an error of the read.
    std::thread::spawn(move || while matches!(master.read(&mut [0; 4096]), Ok(1..)) {});
    Ok([terminal.try_clone()?.into(), terminal.into()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_others_and_as_long() {
        for (name, values) in VARIABLES {
            for present in ["", "x", "C.UTF-8", "en_US.UTF-8", "/root", "80", "xterm", "info", "de_DE.UTF-8"] {
                let Some(other) = another_value(name, Some(OsStr::new(present)), values) else {
                    assert!(present.is_empty(), "{name}={present} stays");
                    continue;
                };
                match other {
                    Some(other) => assert!(other != present && other.len() == present.len(), "{name}: {other:?}"),
                    None => assert!(FLAGS.contains(&name), "{name} is not there"),
                }
            }
            assert_eq!(another_value(name, None, values).is_some(), !values.is_empty(), "{name}");
        }
    }

    #[test]
    fn scrambling_changes_every_letter_and_digit() {
        assert_eq!(scrambled(b"/home/Ab-09.x"), b"/ubzr/No-54.k");
    }

    #[test]
    fn another_name_is_as_long() {
        let folder = tempfile::tempdir().unwrap();
        let parent = folder.path().join("release/fastboot");
        fs::create_dir_all(&parent).unwrap();
        let binary = parent.join("app.cold");
        fs::write(&binary, "bytes").unwrap();
        let (path, own) = another_name(&binary, folder.path()).unwrap();
        assert_eq!(path.as_os_str().len(), binary.as_os_str().len());
        assert!(path.parent() != binary.parent() && path.file_name() != binary.file_name());
        assert_eq!(fs::read(&path).unwrap(), b"bytes");
        drop(own);
        assert!(!path.exists());
        // Where the folder's name is too short.
        let binary = folder.path().join("release/app");
        fs::write(&binary, "bytes").unwrap();
        let short = folder.path().join("bin");
        fs::create_dir(&short).unwrap();
        fs::rename(&binary, short.join("app")).unwrap();
        let (path, own) = another_name(&short.join("app"), folder.path()).unwrap();
        assert!(own.is_none() && path == folder.path().join("ncc"));
    }

    #[test]
    fn each_difference_can_be_applied_alone() {
        let output = |world: &[Difference]| {
            let mut command = Command::new("sh");
            command.args(["-c", "echo $COLUMNS $1 $2 > $0; test -t 0 && cat >> $0 && cat >> $0 && echo input >> $0; test -t 1 && test -t 2 && stty size <&1 >> $0"]);
            let folder = tempfile::tempdir().unwrap();
            command
                .arg(folder.path().join("out"))
                .env("COLUMNS", "80")
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            apply(world, &mut command);
            command.status().unwrap();
            fs::read_to_string(folder.path().join("out")).unwrap()
        };
        assert_eq!(output(&[]), "80\n");
        assert_eq!(output(&[Difference::Variable("COLUMNS", Some("97".into()))]), "97\n");
        assert_eq!(output(&[Difference::Variable("COLUMNS", None)]), "\n");
        assert_eq!(output(&[Difference::Arguments]), "80 another world\n");
        assert_eq!(output(&[Difference::Terminal]), "80\n41 117\n");
        assert_eq!(output(&[Difference::Input]), "80\ninput\n");
    }
}
