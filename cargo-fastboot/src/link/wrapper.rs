//! Wrapper: cargo-fastboot as the linker of the final crate. It calls the linker that cargo would have called and asks for a
//! link map, and while the inputs are still there (rustc deletes its objects after the link) writes down what the roots use.
//! Whatever goes wrong with that is written down instead: the link itself is that of the user's linker.
//!
//! ```text
//! TARGET/fastboot/fastboot-linker-HASH/cc       a link to cargo-fastboot, named as the linker it stands for
//! TARGET/fastboot/fastboot-linker-HASH/linker   the path of that linker
//! TARGET/PROFILE/fastboot/NAME-HASH.link        what is known of the executable NAME-HASH
//! TARGET/PROFILE/fastboot/NAME-HASH.twin        the same program, linked for other addresses
//! TARGET/PROFILE/fastboot/NAME-HASH.wide        the same program, with gaps between its parts
//! ```

use super::linked::Linked;
use super::linker::{call, read_map, wrapped};
use super::walk::Closure;
use super::wide;
use crate::say::output;
use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus};

/// How the name of the program with gaps ends.
const WIDE: &str = "wide";
/// How the folder's name begins.
const FOLDER: &str = "fastboot-linker-";
/// The file in it that names the real linker.
const REAL: &str = "linker";
/// The usual one.
const DEFAULT: &str = "cc";
/// How far the twin is from the executable. A multiple of what any section of the linker script is aligned to.
pub(crate) const DISTANCE: u64 = 0x2345_0000;
/// Where lld and GNU ld put an executable that is not position-independent.
const BASES: [(&str, u64); 2] = [("--image-base=", 0x20_0000), ("-Ttext-segment=", 0x40_0000)];

/// What is known of a link.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct LinkRecord {
    /// What the roots use, or why that is not known.
    pub(crate) closure: Result<Closure, String>,
    /// Why there is no twin, if there is none.
    pub(crate) twin: Result<(), String>,
    /// Where in the wide program each node of the closure is, or why there is none.
    pub(crate) wide: Result<Vec<u64>, String>,
}

/// Makes a linker of this program that calls `real`, and returns its path; `None` if that one is called in another way than a
/// compiler is.
pub(crate) fn install(target: &Path, real: Option<&Path>) -> Result<Option<PathBuf>> {
    let real = real.unwrap_or(Path::new(DEFAULT));
    // By its name rustc knows how to call it.
    let Some(name) = real.file_name().filter(|name| is_compiler(name)) else { return Ok(None) };
    let digest = hex(real.as_os_str().as_bytes());
    let folder = target.join("fastboot").join(format!("{FOLDER}{}", &digest[..8]));
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
        let text = std::fs::read(&path).ok()?;
        if let Some(rest) = text.strip_prefix(digest.as_bytes()) {
            return Some((serde_json::from_slice(rest).ok()?, path.with_extension("twin")));
        }
    }
    None
}

fn hex(bytes: &[u8]) -> String {
    crate::elf::binary::hex(&Sha256::digest(bytes).into())
}

/// Links, if this program was called as a linker.
pub(crate) fn called_as_linker() -> Option<ExitCode> {
    let mut arguments = std::env::args_os();
    let program = PathBuf::from(arguments.next()?);
    let folder = program.parent()?;
    if !folder.file_name()?.to_string_lossy().starts_with(FOLDER) {
        return None;
    }
    let linked = std::fs::read(folder.join(REAL))
        .with_context(|| format!("{} names no linker", folder.display()))
        .and_then(|real| link(&OsString::from_vec(real), &arguments.collect::<Vec<_>>()));
    Some(match linked {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(status) => ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)),
        Err(error) => {
            eprintln!("cargo-fastboot as the linker: {error:#}");
            ExitCode::FAILURE
        }
    })
}

fn link(real: &OsStr, arguments: &[OsString]) -> Result<ExitStatus> {
    let plain = || call(real, arguments, &[], false);
    // What stands in a file is left alone: it is too much to be given as arguments.
    let Some(out) = output_of(arguments) else { return plain() };
    let kept = kept_at(&out);
    let _ = std::fs::remove_file(&kept);
    let map = out.with_extension("map");
    let mut ask = OsString::from("-Wl,-Map=");
    ask.push(&map);
    let status = call(real, arguments, &[ask], false)?;
    if !status.success() {
        // It may be one that knows no maps. If it fails again, it has said why.
        let again = call(real, arguments, &[], true)?;
        return Ok(if again.success() { again } else { status });
    }
    let text = read_map(&map);
    let bytes = std::fs::read(&out);
    if let (Ok(map), Ok(bytes)) = (text, bytes) {
        let closure = super::closure(&bytes, &map, wrapped(arguments));
        let twin = twin(real, arguments, &bytes, &map, &kept.with_extension("twin"));
        let wide = closure
            .as_ref()
            .ok()
            .map(|closure| wide::link(real, arguments, &bytes, &map, closure, &kept.with_extension(WIDE)));
        let error = |error: anyhow::Error| format!("{error:#}");
        let known = LinkRecord {
            closure: closure.map_err(error),
            twin: twin.map_err(error),
            wide: wide.unwrap_or_else(|| Err(anyhow!("it is not known what the roots use"))).map_err(error),
        };
        // Nobody who does not find it is the worse for it.
        let _ = keep(&kept, &bytes, &known);
    }
    Ok(status)
}

fn keep(path: &Path, executable: &[u8], known: &LinkRecord) -> Result<()> {
    std::fs::create_dir_all(path.parent().context("no folder")?)?;
    let text = serde_json::to_vec(known)?;
    output::replace(path, None, |file| {
        file.write_all(hex(executable).as_bytes())?;
        Ok(file.write_all(&text)?)
    })
}

/// Links the same once more, for addresses that all are [`DISTANCE`] further.
fn twin(real: &OsStr, arguments: &[OsString], executable: &[u8], map: &str, out: &Path) -> Result<()> {
    if arguments.iter().any(|argument| argument == "-pie" || argument == "-static-pie") {
        bail!("a position-independent executable needs none");
    }
    let [lld, gnu] = BASES.map(|(option, base)| format!("-Wl,{option}{:#x}", base + DISTANCE));
    let base = if map.trim_start().starts_with("VMA") { lld } else { gnu };
    std::fs::create_dir_all(out.parent().context("no folder")?)?;
    let mut moved = arguments.to_vec();
    let at = moved.iter().position(|argument| argument == "-o").context("no output")?;
    *moved.get_mut(at + 1).context("no output")? = out.into();
    ensure!(call(real, &moved, &[base.into()], true)?.success(), "the linker cannot link for other addresses");
    let bytes = std::fs::read(out)?;
    let moved =
        Linked::parse(executable)?.loads().into_iter().map(|(start, size, flags)| (start + DISTANCE, size, flags));
    ensure!(
        moved.collect::<Vec<_>>() == Linked::parse(&bytes)?.loads(),
        "the linker lays it out in another way at other addresses"
    );
    Ok(())
}

/// The file that is linked; `None` if that is not among the arguments.
fn output_of(arguments: &[OsString]) -> Option<PathBuf> {
    if arguments.iter().any(|argument| argument.as_bytes().starts_with(b"@")) {
        return None;
    }
    let at = arguments.iter().position(|argument| argument == "-o")?;
    Some(PathBuf::from(arguments.get(at + 1)?))
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
        assert_eq!(output_of(&["-o", "x", "@/tmp/arguments"].map(OsString::from)), None);
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
        let path = install(folder.path(), Some(Path::new("/opt/x-gcc"))).unwrap().unwrap();
        assert_eq!(path.file_name(), Some(OsStr::new("x-gcc")));
        assert_eq!(std::fs::read(path.with_file_name(REAL)).unwrap(), b"/opt/x-gcc");
        assert_eq!(install(folder.path(), Some(Path::new("/opt/x-gcc"))).unwrap(), Some(path));
        assert_eq!(install(folder.path(), Some(Path::new("/usr/bin/mold"))).unwrap(), None);
    }

    #[test]
    fn what_is_kept_is_found_by_the_bytes_of_the_executable() {
        let folder = tempfile::tempdir().unwrap();
        let executable = folder.path().join("app");
        let known = LinkRecord { closure: Err("no map".to_owned()), twin: Ok(()), wide: Err("too long".to_owned()) };
        keep(&folder.path().join("fastboot/app-1.link"), b"one", &known).unwrap();
        let (kept, twin) = find(&executable, b"one").unwrap();
        assert_eq!(kept.closure.unwrap_err(), "no map");
        assert_eq!(twin, folder.path().join("fastboot/app-1.twin"));
        assert!(find(&executable, b"two").is_none());
    }
}
