//! Twin: the same program once more, linked for addresses that all are the same distance further. What moves by that distance
//! from a run of the one to a run of the other is an address in the executable; what does not is a number.

use super::base;
use super::linked::Linked;
use super::linker::call;
use anyhow::{Context, Result, anyhow, bail, ensure};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// How far the twin is from the executable. A multiple of what any section of the linker script is aligned to.
const DISTANCE: u64 = 0x2345_0000;

/// Links the twin of `executable`, which came of a link with these arguments, to `out`.
/// Returns its bytes.
pub(super) fn link(real: &OsStr, arguments: &[OsString], executable: &[u8], out: &Path) -> Result<Vec<u8>> {
    let linked = Linked::parse(executable)?;
    if linked.is_position_independent() {
        bail!("a position-independent executable needs none");
    }
    let loads = linked.loads();
    let distance = DISTANCE / linked.alignment() * linked.alignment();
    let (first, ..) = loads.first().context("it has no PT_LOAD segment")?;
    ensure!(distance != 0, "its segments are aligned to too much");
    std::fs::create_dir_all(out.parent().context("no folder")?)?;
    let mut options = base::OPTIONS.map(|option| base::at(option, first + distance));
    if !linked.is_of_lld() {
        // The other way round it comes to the same, after an error.
        options.reverse();
    }
    let mut why = anyhow!("the linker cannot link for other addresses");
    for option in options {
        if !call(real, &with_output(arguments, out), &[option], true)?.success() {
            continue;
        }
        let twin = std::fs::read(out)?;
        match linked.require_alike(&Linked::parse(&twin)?, distance) {
            Ok(()) => return Ok(twin),
            Err(error) => why = error,
        }
    }
    let _ = std::fs::remove_file(out);
    Err(why)
}

/// The same arguments, for another file that is made. Of two files, linkers take the last.
fn with_output(arguments: &[OsString], out: &Path) -> Vec<OsString> {
    let mut arguments = arguments.to_vec();
    let given = arguments.iter().position(|argument| argument == "-o");
    match given.and_then(|at| arguments.get_mut(at + 1)) {
        Some(given) => *given = out.into(),
        None => arguments.extend(["-o".into(), out.into()]),
    }
    arguments
}

/// All arguments, those in files too, as rustc writes them when they do not fit on a command line: one on each line, with
/// backslashes. `None` if such a file cannot be read.
pub(super) fn unfolded(arguments: &[OsString]) -> Option<Vec<OsString>> {
    let mut all = Vec::with_capacity(arguments.len());
    for argument in arguments {
        match argument.as_bytes().strip_prefix(b"@") {
            Some(path) => {
                let text = std::fs::read_to_string(OsStr::from_bytes(path)).ok()?;
                all.extend(shlex::split(&text)?.into_iter().map(OsString::from));
            }
            None => all.push(argument.clone()),
        }
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::super::linker::output_of;
    use super::*;

    #[test]
    fn arguments_in_files_are_found_and_another_output_takes_the_place_of_theirs() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("linker-arguments");
        std::fs::write(&file, "-m64\n/a\\ b/x.o\n-o\n/t/deps/app-1\n-Wl,--wrap=open\n").unwrap();
        let mut short = OsString::from("@");
        short.push(&file);
        let arguments = [short.clone()];
        let all = unfolded(&arguments).unwrap();
        assert_eq!(all, ["-m64", "/a b/x.o", "-o", "/t/deps/app-1", "-Wl,--wrap=open"].map(OsString::from));
        assert_eq!(output_of(&all).unwrap(), Path::new("/t/deps/app-1"));
        let twin = Path::new("/t/twin");
        assert_eq!(with_output(&arguments, twin), [short, "-o".into(), "/t/twin".into()]);
        assert_eq!(output_of(&with_output(&all, twin)).unwrap(), twin);
        assert_eq!(with_output(&all, twin).len(), all.len());
        assert_eq!(unfolded(&["@/nowhere".into()]), None);
    }
}
