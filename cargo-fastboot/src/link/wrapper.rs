//! Wrapper: cargo-fastboot as the linker of the final crate. It calls the linker that cargo would have called, for
//! [high addresses](super::base) if it can, and while the inputs are still there (rustc deletes its objects after the link) links
//! the program's twin and, for migration, asks for a link map and writes down what the roots use. Whatever goes wrong with that is
//! written down instead: the link itself is that of the user's linker.
//!
//! ```text
//! TARGET/fastboot/fastboot-linker-HASH-TASKS/cc       a link to cargo-fastboot, named as the linker it stands for
//! TARGET/fastboot/fastboot-linker-HASH-TASKS/linker   the path of that linker
//! TARGET/PROFILE/fastboot/NAME-HASH.link        what is known of the executable NAME-HASH
//! TARGET/PROFILE/fastboot/NAME-HASH.twin        the same program, linked for other addresses
//! TARGET/PROFILE/fastboot/NAME-HASH.wide        the same program, with gaps between its parts
//! ```

use super::base::{self, Ways};
use super::linker::{ask_for_map, call, call_quietly, output_of, read_map, wrapped};
use super::own;
use super::twin;
use super::walk::Closure;
use super::wide;
use crate::say::output;
use anyhow::{Context, Result, anyhow};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus, Output};

/// How the name of the twin ends.
const TWIN: &str = "twin";
/// How that of the program with gaps does.
const WIDE: &str = "wide";
/// How the folder's name begins.
const FOLDER: &str = "fastboot-linker-";
/// The file in it that names the real linker.
const REAL: &str = "linker";
/// The usual one.
const DEFAULT: &str = "cc";
/// How the name of a script begins that a link does without if the linker does not take it.
pub(crate) const START_SCRIPT: &str = "fastboot-start-";
/// What has a linker leave out the symbols.
const STRIPS: &str = "-Wl,--strip-all";

/// What the wrapper does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tasks {
    /// Puts an executable that rustc wants to be position-independent at high addresses, and makes one that is not of it.
    pub(crate) high: bool,
    /// Links a twin, and keeps what is known of the link.
    pub(crate) twin: bool,
    /// Finds out what the roots use, too.
    pub(crate) graph: bool,
}

impl Tasks {
    /// What the folder's name has for each. Cargo links again if the linker is another one.
    const NAMES: [&str; 3] = ["high", "twin", "graph"];

    fn name(self) -> String {
        let each = [self.high, self.twin, self.graph].into_iter().zip(Self::NAMES);
        each.filter(|(set, _)| *set).map(|(_, name)| format!("-{name}")).collect()
    }

    fn read(name: &str) -> Self {
        let [high, twin, graph] = Self::NAMES.map(|task| name.split('-').any(|part| part == task));
        Self { high, twin, graph }
    }
}

/// What is known of a link.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct LinkRecord {
    /// What the roots use, or why that is not known.
    pub(crate) closure: Result<Closure, String>,
    /// The SHA-256 of the twin, or why there is none.
    pub(crate) twin: Result<String, String>,
    /// Where in the wide program each node of the closure is, or why there is none.
    pub(crate) wide: Result<Vec<u64>, String>,
}

/// Makes a linker of this program that calls `real`, and returns its path; `None` if that one is called in another way than a
/// compiler is.
pub(crate) fn install(target: &Path, real: Option<&Path>, tasks: Tasks) -> Result<Option<PathBuf>> {
    let real = real.unwrap_or(Path::new(DEFAULT));
    // By its name rustc knows how to call it.
    let Some(name) = real.file_name().filter(|name| is_compiler(name)) else { return Ok(None) };
    let digest = hex(real.as_os_str().as_bytes());
    let folder = target.join("fastboot").join(format!("{FOLDER}{}{}", &digest[..8], tasks.name()));
    let cannot_make = || format!("cannot make a linker in {}", folder.display());
    std::fs::create_dir_all(&folder).with_context(cannot_make)?;
    output::replace(&folder.join(REAL), None, |file| Ok(file.write_all(real.as_os_str().as_bytes())?))?;
    let this = std::env::current_exe().with_context(cannot_make)?;
    let link = folder.join(name);
    if std::fs::read_link(&link).ok() != Some(this.clone()) {
        // Another build may make the same one at this moment.
        let new = folder.join(format!(".{}", std::process::id()));
        std::os::unix::fs::symlink(&this, &new).with_context(cannot_make)?;
        std::fs::rename(&new, &link).with_context(cannot_make)?;
    }
    Ok(Some(link))
}

/// Whether a linker of this name takes the arguments of a compiler.
fn is_compiler(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    let known = |part: &str| ["cc", "gcc", "clang", "c++", "g++"].iter().any(|known| part.contains(known));
    name.split(['-', '.']).any(known)
}

/// What is known of the executable with these bytes, which cargo put at `executable`; `None` if nobody wrote anything down.
/// With the path of its twin.
pub(crate) fn find(executable: &Path, bytes: &[u8]) -> Option<(LinkRecord, PathBuf)> {
    let digest = hex(bytes);
    for entry in executable.parent()?.join("fastboot").read_dir().ok()?.flatten() {
        let path = entry.path();
        if path.extension() != Some(OsStr::new("link")) {
            continue;
        }
        let Ok(text) = std::fs::read(&path) else { continue };
        if let Some(rest) = text.strip_prefix(digest.as_bytes()) {
            return Some((serde_json::from_slice(rest).ok()?, path.with_extension(TWIN)));
        }
    }
    None
}

/// Their SHA-256.
pub(crate) fn hex(bytes: &[u8]) -> String {
    crate::elf::binary::hex(&Sha256::digest(bytes).into())
}

/// Links, if this program was called as a linker.
pub(crate) fn called_as_linker() -> Option<ExitCode> {
    let mut arguments = std::env::args_os();
    let program = PathBuf::from(arguments.next()?);
    let folder = program.parent()?;
    let name = folder.file_name()?.to_string_lossy();
    if !name.starts_with(FOLDER) {
        return None;
    }
    let tasks = Tasks::read(&name);
    let linked = std::fs::read(folder.join(REAL))
        .with_context(|| format!("{} names no linker", folder.display()))
        .and_then(|real| link(&OsString::from_vec(real), &arguments.collect::<Vec<_>>(), tasks));
    Some(match linked {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(status) => ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)),
        Err(error) => {
            eprintln!("cargo-fastboot as the linker: {error:#}");
            ExitCode::FAILURE
        }
    })
}

fn link(real: &OsStr, arguments: &[OsString], tasks: Tasks) -> Result<ExitStatus> {
    let all = twin::unfolded(arguments).unwrap_or_default();
    let in_ways = |arguments: &[OsString], all: &[OsString]| match tasks.high {
        true => Ways::new(arguments, all),
        false => Ways::as_asked(arguments),
    };
    let mut ways = in_ways(arguments, &all);
    if let Some(without) = without_start_script(&all) {
        ways = ways.or(in_ways(&without, &without));
    }
    let Some(out) = output_of(&all) else {
        return call(real, ways.low.first().map_or(arguments, Vec::as_slice), &[], false);
    };
    let kept = kept_at(&out);
    // What is there belongs to an older link.
    let _ = std::fs::remove_file(&kept);
    let _ = std::fs::remove_file(kept.with_extension(TWIN));
    let map = tasks.graph.then(|| out.with_extension("map"));
    let own = kept.with_extension("own");
    let (arguments, status) = link_somewhere(real, &ways, &out, map.as_deref(), &own)?;
    if status.success() && tasks.twin {
        know(real, &arguments, &out, map.as_deref());
    }
    let _ = std::fs::remove_dir_all(&own);
    Ok(status)
}

/// Links in the best of these ways that leads to an executable, and says with which arguments. `own`: a folder to work in.
fn link_somewhere(
    real: &OsStr,
    ways: &Ways,
    out: &Path,
    map: Option<&Path>,
    own: &Path,
) -> Result<(Vec<OsString>, ExitStatus)> {
    let ask: Vec<OsString> = map.map(ask_for_map).into_iter().collect();
    for arguments in &ways.high {
        if let Some((arguments, output)) = link_high(real, arguments.clone(), &ask, out, own)? {
            // What it said of the others does not matter.
            std::io::stdout().write_all(&output.stdout)?;
            std::io::stderr().write_all(&output.stderr)?;
            return Ok((arguments, output.status));
        }
    }
    let (last, others) = ways.low.split_last().context("no way to link")?;
    for arguments in others {
        let status = call_for_map(real, arguments, &ask, true)?;
        if status.success() {
            return Ok((arguments.clone(), status));
        }
    }
    Ok((last.clone(), call_for_map(real, last, &ask, false)?))
}

/// Links, and asks for a link map, if so.
fn call_for_map(real: &OsStr, arguments: &[OsString], ask: &[OsString], quiet: bool) -> Result<ExitStatus> {
    let status = call(real, arguments, ask, quiet)?;
    if status.success() || ask.is_empty() {
        return Ok(status);
    }
    // It may be one that knows no maps. If it fails again, it has said why.
    let again = call(real, arguments, &[], true)?;
    Ok(if again.success() { again } else { status })
}

/// Links for high addresses, and once more if functions of shared libraries need an address there. `None` if that cannot be.
fn link_high(
    real: &OsStr,
    mut arguments: Vec<OsString>,
    ask: &[OsString],
    out: &Path,
    own: &Path,
) -> Result<Option<(Vec<OsString>, Output)>> {
    let link = |arguments: &[OsString]| -> Result<Option<(Output, Vec<u8>)>> {
        let output = call_quietly(real, arguments, ask)?;
        let bytes = std::fs::read(out).ok().filter(|bytes| output.status.success() && base::is_high(bytes));
        Ok(bytes.map(|bytes| (output, bytes)))
    };
    let Some((output, bytes)) = link(&arguments)? else { return Ok(None) };
    let all = twin::unfolded(&arguments).unwrap_or_default();
    let Ok(functions) = own::functions(&all, &bytes) else { return Ok(None) };
    if functions.is_empty() {
        return Ok(Some((arguments, output)));
    }
    let Ok(more) = own::compile(real, &functions, own) else { return Ok(None) };
    arguments.extend(more);
    Ok(link(&arguments)?.map(|(output, _)| (arguments, output)))
}

/// Links the twin of what was linked with these arguments to `out`, and keeps what is known of it.
fn know(real: &OsStr, arguments: &[OsString], out: &Path, map: Option<&Path>) {
    let map = map.map_or(Err(anyhow!("nobody asked for it")), read_map);
    let Ok(bytes) = std::fs::read(out) else { return };
    let all = twin::unfolded(arguments).unwrap_or_default();
    let kept = kept_at(out);
    // Where the profile strips, it is linked once more, with symbols.
    let twin = match all.iter().any(|argument| argument == STRIPS) {
        true => Err(anyhow!("it is linked without symbols")),
        false => twin::link(real, arguments, &bytes, &kept.with_extension(TWIN)).map(|twin| hex(&twin)),
    };
    let (closure, wide) = match map.map_err(said) {
        Ok(map) => graph_of(real, &all, &bytes, &map, &kept.with_extension(WIDE)),
        Err(why) => (Err(why.clone()), Err(why)),
    };
    // Nobody who does not find it is the worse for it.
    let _ = keep(&kept, &bytes, &LinkRecord { closure, twin: twin.map_err(said), wide });
}

/// What the roots use of the executable, and where that is in the wide one, which it links to `out`.
fn graph_of(
    real: &OsStr,
    arguments: &[OsString],
    executable: &[u8],
    map: &str,
    out: &Path,
) -> (Result<Closure, String>, Result<Vec<u64>, String>) {
    let closure = super::closure(executable, map, wrapped(arguments)).map_err(said);
    let wide = match &closure {
        Ok(closure) => wide::link(real, arguments, executable, map, closure, out).map_err(said),
        Err(_) => Err("it is not known what the roots use".to_owned()),
    };
    (closure, wide)
}

/// For a file.
fn said(error: anyhow::Error) -> String {
    format!("{error:#}")
}

/// All of the arguments but the script that a link does without; `None` if there is none among them.
fn without_start_script(all: &[OsString]) -> Option<Vec<OsString>> {
    let is_script = |argument: &OsString| {
        let path = argument.as_bytes().strip_prefix(b"-T").map(|path| Path::new(OsStr::from_bytes(path)));
        path.and_then(Path::file_name).is_some_and(|name| name.as_bytes().starts_with(START_SCRIPT.as_bytes()))
    };
    let at = all.iter().position(is_script)?;
    let mut rest = all.to_vec();
    rest.remove(at);
    Some(rest)
}

fn keep(path: &Path, executable: &[u8], known: &LinkRecord) -> Result<()> {
    std::fs::create_dir_all(path.parent().context("no folder")?)?;
    let text = serde_json::to_vec(known)?;
    output::replace(path, None, |file| {
        file.write_all(hex(executable).as_bytes())?;
        Ok(file.write_all(&text)?)
    })
}

/// Where what is known of an executable is kept: where the tool keeps what it makes of it.
fn kept_at(out: &Path) -> PathBuf {
    let folder = out.parent().unwrap_or(Path::new(""));
    let folder =
        if folder.file_name() == Some(OsStr::new("deps")) { folder.parent().unwrap_or(folder) } else { folder };
    let mut name = out.file_name().unwrap_or_default().to_owned();
    name.push(".link");
    folder.join("fastboot").join(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn what_the_arguments_of_a_link_say() {
        let arguments =
            ["-m64", "-Wl,--wrap=open,-O1", "-Wl,--wrap,getenv", "-o", "/t/release/deps/app-12", "-Wl,-wrap=x"];
        let arguments = arguments.map(OsString::from);
        assert_eq!(wrapped(&arguments), BTreeSet::from(["open", "getenv", "x"]));
        let out = output_of(&arguments).unwrap();
        assert_eq!(kept_at(&out), Path::new("/t/release/fastboot/app-12.link"));
        assert_eq!(kept_at(Path::new("/t/debug/examples/e-1")), Path::new("/t/debug/examples/fastboot/e-1.link"));
    }

    #[test]
    fn a_link_without_the_script_that_nothing_depends_on() {
        let arguments = ["-m64", "-T/t t/fastboot-start-1.ld", "-o", "/t/app"].map(OsString::from);
        assert_eq!(without_start_script(&arguments).unwrap(), ["-m64", "-o", "/t/app"]);
        let arguments = ["-m64", "-T/t/fastboot-12.ld", "-Tfastboot-start-1/x.ld"].map(OsString::from);
        assert_eq!(without_start_script(&arguments), None);
    }

    #[test]
    fn linkers_that_are_called_like_compilers() {
        let known = ["cc", "gcc-12", "x86_64-linux-gnu-gcc", "clang", "clang-19", "musl-gcc", "c++"];
        assert!(known.into_iter().all(|name| is_compiler(OsStr::new(name))));
        assert!(!["ld", "ld.lld", "rust-lld", "mold", "wild"].into_iter().any(|name| is_compiler(OsStr::new(name))));
    }

    #[test]
    fn a_linker_is_made_once_and_calls_the_real_one() {
        let folder = tempfile::tempdir().unwrap();
        let install = |real: &str, tasks| install(folder.path(), Some(Path::new(real)), tasks).unwrap();
        let tasks = Tasks { high: true, twin: true, graph: false };
        let path = install("/opt/x-gcc", tasks).unwrap();
        assert_eq!(path.file_name(), Some(OsStr::new("x-gcc")));
        assert_eq!(std::fs::read(path.with_file_name(REAL)).unwrap(), b"/opt/x-gcc");
        let named = path.parent().unwrap().file_name().unwrap().to_str().unwrap();
        assert_eq!(Tasks::read(named), tasks);
        assert_eq!(install("/opt/x-gcc", tasks).unwrap(), path);
        for other in [Tasks { graph: true, ..tasks }, Tasks { twin: false, ..tasks }, Tasks { high: false, ..tasks }] {
            assert_ne!(install("/opt/x-gcc", other).unwrap(), path, "cargo has to link again");
        }
        assert_eq!(install("/usr/bin/mold", tasks), None);
    }

    #[test]
    fn what_is_kept_is_found_by_the_bytes_of_the_executable() {
        let folder = tempfile::tempdir().unwrap();
        let executable = folder.path().join("app");
        let known = LinkRecord {
            closure: Err("no map".to_owned()),
            twin: Ok("12ab".to_owned()),
            wide: Err("too long".to_owned()),
        };
        keep(&folder.path().join("fastboot/app-1.link"), b"one", &known).unwrap();
        let (kept, twin) = find(&executable, b"one").unwrap();
        assert_eq!(kept.closure.unwrap_err(), "no map");
        assert_eq!(twin, folder.path().join("fastboot/app-1.twin"));
        assert!(find(&executable, b"two").is_none());
    }
}
