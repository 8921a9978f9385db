//! State that roots' expressions leave behind is right in the finished program, or refused by name: every kind of it, in every
//! way of linking.
//!
//! One program has all cases, and a variable says which one it tries, so that each costs a freeze and not a build.

use anyhow::{Context, Result, ensure};
use fastboot_tests::programs::{Link, Program, fastboot, line};
use fastboot_tests::runs::Run;
use std::path::Path;
use std::process::Command;

/// What becomes of a case.
#[derive(Clone, Copy)]
enum Then {
    /// The program answers as the cold one, and nobody is warned of anything.
    Right,
    /// The same, after a warning that says this.
    Warned(&'static [&'static str]),
    /// There is no image, and the error says this.
    Refused(&'static [&'static str]),
    /// There is an image because somebody insisted, and the program answers otherwise than the cold one.
    WrongOnPurpose,
}

use Then::{Refused, Right, Warned, WrongOnPurpose};

/// These allocate otherwise in each run, which is refused where addresses have to be found out by comparing runs.
const UNEVEN: &[(&str, &[&str], Then)] = &[
    ("c-block-in-static-uneven", &[], Warned(&["bytes in C's heap"])),
    ("c-block-behind-static-uneven", &[], Refused(&["allocated with `malloc`"])),
];

const SKIP_OWNER: &[&str] = &["--skip", "right_or_refused::shared::OWNER"];

const CONSTRUCTOR: &str = "by a constructor, and then while the roots were evaluated";

const CASES: &[(&str, &[&str], Then)] = &[
    ("constructor-tree", &[], Refused(&["`right_or_refused::constructors::TREE`", CONSTRUCTOR, "skip = "])),
    ("constructor-list", &[], Refused(&["`right_or_refused::constructors::LIST`", CONSTRUCTOR])),
    ("constructor-counter", &[], Refused(&["`right_or_refused::constructors::COUNTER`", CONSTRUCTOR, "carry = "])),
    ("constructor-registry", &[], Right),
    ("expression-tree", &[], Right),
    // Statics of C, and its heap.
    (
        "c-statics",
        &[],
        Refused(&["`squares`", "statics of C code", "`right_or_refused::c_library::SET_UP`", "skip = ", "carry = "]),
    ),
    ("c-statics", &["--skip", "right_or_refused::c_library::SET_UP"], Warned(&["`squares`"])),
    ("c-heap", &[], Refused(&["`cubes`", "of C code", "`right_or_refused::c_library::SET_UP_HEAP`"])),
    ("c-statics-without-flag", &[], Warned(&["`squares`", "of C code", "do it in `main`"])),
    ("c-block-in-static", &[], Warned(&["bytes in C's heap", "`right_or_refused::c_library::HANDLE`"])),
    ("c-block-behind-static", &[], Refused(&["allocated with `malloc`", "`right_or_refused::c_library::BOXED`"])),
    // Objects that the image shares with a static that is not carried.
    ("shared-arc", &[], Right),
    (
        "shared-arc",
        SKIP_OWNER,
        Refused(&["root `right_or_refused::shared::VALUES`", "`right_or_refused::shared::OWNER`", "two"]),
    ),
    ("shared-arc", &["--skip", "right_or_refused::shared::OWNER", "--allow-shared", "OWNER"], WrongOnPurpose),
    (
        "shared-entry",
        &["--skip", "right_or_refused::shared::TABLE"],
        Refused(&["`right_or_refused::shared::TABLE`", "two"]),
    ),
    (
        "shared-leaked",
        &["--skip", "right_or_refused::shared::LEAKED"],
        Refused(&["`right_or_refused::shared::LEAKED`"]),
    ),
    ("shared-collector", &[], Right),
    // What belongs to the process. Each has a neighbour of its kind.
    ("flag log", &[], Refused(&["the logger of `log`", "`right_or_refused::process::DONE`"])),
    ("once log", &[], Refused(&["the logger of `log`", "`right_or_refused::process::ONCE`"])),
    ("once log", &["--skip", "right_or_refused::process::ONCE"], Warned(&["the logger of `log`"])),
    ("flag log", &["--carry", "right_or_refused::process::DONE"], WrongOnPurpose),
    ("bare log", &[], Warned(&["the logger of `log`"])),
    ("flag level", &[], Refused(&["the level of `log`"])),
    ("once panic-hook", &[], Refused(&["the panic hook"])),
    ("bare panic-hook", &[], Warned(&["the panic hook"])),
    ("once variable", &[], Refused(&["the environment variable RIGHT_OR_REFUSED", "ROOT"])),
    ("bare variable", &[], Warned(&["the environment variable RIGHT_OR_REFUSED"])),
    ("flag variable-removed", &[], Refused(&["the environment variable CASE_TO_REMOVE"])),
    ("once folder", &[], Refused(&["the working directory /"])),
    ("bare folder-again", &[], Warned(&["the working directory /proc"])),
    ("once umask", &[], Refused(&["the umask 0077"])),
    ("bare umask-wide", &[], Warned(&["the umask 0000"])),
    ("once locale", &[], Refused(&["locale"])),
    ("flag locale-of-numbers", &[], Refused(&["locale"])),
    ("once signal", &[], Refused(&["the handler of signal 10"])),
    ("bare signal-ignored", &[], Warned(&["the handler of signal 12"])),
    ("once at-exit", &[], Refused(&["functions for the exit of the process"])),
    ("bare at-exit", &[], Warned(&["functions for the exit of the process"])),
    ("once limit", &[], Refused(&["the resource limit Max core file size"])),
    ("bare limit-of-files", &[], Warned(&["the resource limit Max open files"])),
];

#[test]
fn at_a_fixed_address() -> Result<()> {
    require_all(Link::NonPie)
}

#[test]
fn static_executables() -> Result<()> {
    require_all(Link::Static)
}

#[test]
fn position_independent_executables() -> Result<()> {
    require_all(Link::Pie)
}

fn require_all(link: Link) -> Result<()> {
    let built = Program::new("right-or-refused").link(link).build()?;
    let uneven = if link == Link::Pie { &[] } else { UNEVEN };
    let tried = CASES.iter().chain(uneven).filter_map(|(case, options, then)| {
        let told = || format!("{case} {options:?}, {link:?}");
        require(&built.cold, built.folder(), case, options, *then).with_context(told).err()
    });
    let failed: Vec<String> = tried.map(|error| format!("{error:#}")).collect();
    ensure!(failed.is_empty(), "{} cases:\n{}", failed.len(), failed.join("\n\n"));
    Ok(())
}

/// Freezes a case, and compares what its program says with what it says without an image.
fn require(cold: &Path, folder: &Path, case: &str, options: &[&str], then: Then) -> Result<()> {
    let snapshot = folder.join(format!("{case} {}.snap", options.join(" ")));
    let mut command = fastboot()?;
    command.arg("freeze").arg("--binary").arg(cold).arg("--output").arg(&snapshot).args(options).env("CASE", case);
    command.env("CASE_TO_REMOVE", "there");
    let frozen = Run::of(&mut command)?;
    let told = |texts: &[&str]| {
        let missing = texts.iter().find(|text| !frozen.stderr.contains(*text));
        missing.map_or(Ok(()), |text| Err(anyhow::anyhow!("`{text}` is not said:\n{}", frozen.stderr)))
    };
    if let Refused(texts) = then {
        ensure!(!frozen.status.success() && !snapshot.exists(), "it was not refused:\n{}", frozen.stderr);
        return told(texts);
    }
    ensure!(frozen.status.success(), "{}:\n{}", line(&command), frozen.stderr);
    match then {
        Warned(texts) => told(texts)?,
        Right => ensure!(!frozen.stderr.contains("warning"), "{}", frozen.stderr),
        _ => {}
    }
    let expected = Run::of(Command::new(cold).env("FASTBOOT", "off").env("CASE", case))?;
    let thawed =
        Run::of(Command::new(cold).env("FASTBOOT_SNAPSHOT", &snapshot).env("FASTBOOT_LOG", "1").env("CASE", case))?;
    ensure!(thawed.stderr.contains("fastboot: thawed"), "{}", thawed.stderr);
    ensure!(expected.status.success() && thawed.status == expected.status, "{:?}, then {:?}", expected, thawed);
    if let WrongOnPurpose = then {
        ensure!(thawed.stdout != expected.stdout, "it is right: `{}`", thawed.stdout);
        return Ok(());
    }
    ensure!(thawed.stdout == expected.stdout, "`{}` instead of `{}`", thawed.stdout, expected.stdout);
    Ok(())
}
