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
}

use Then::{Refused, Right, Warned};

const CONSTRUCTOR: &str = "by a constructor, and then while the roots were evaluated";

const CASES: &[(&str, &[&str], Then)] = &[
    ("constructor-tree", &[], Refused(&["`right_or_refused::constructors::TREE`", CONSTRUCTOR, "skip = "])),
    ("constructor-list", &[], Refused(&["`right_or_refused::constructors::LIST`", CONSTRUCTOR])),
    ("constructor-counter", &[], Refused(&["`right_or_refused::constructors::COUNTER`", CONSTRUCTOR, "carry = "])),
    ("constructor-registry", &[], Right),
    ("expression-tree", &[], Right),
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
    for (case, options, then) in CASES {
        require(&built.cold, built.folder(), case, options, *then).with_context(|| format!("{case}, {link:?}"))?;
    }
    Ok(())
}

/// Freezes a case, and compares what its program says with what it says without an image.
fn require(cold: &Path, folder: &Path, case: &str, options: &[&str], then: Then) -> Result<()> {
    let snapshot = folder.join(format!("{case}.snap"));
    let mut command = fastboot()?;
    command.arg("freeze").arg("--binary").arg(cold).arg("--output").arg(&snapshot).args(options).env("CASE", case);
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
    if let Warned(texts) = then {
        told(texts)?;
    } else {
        ensure!(!frozen.stderr.contains("warning"), "{}", frozen.stderr);
    }
    let expected = Run::of(Command::new(cold).env("FASTBOOT", "off").env("CASE", case))?;
    let thawed =
        Run::of(Command::new(cold).env("FASTBOOT_SNAPSHOT", &snapshot).env("FASTBOOT_LOG", "1").env("CASE", case))?;
    ensure!(thawed.stderr.contains("fastboot: thawed"), "{}", thawed.stderr);
    ensure!(expected.status.success() && thawed.status == expected.status, "{:?}, then {:?}", expected, thawed);
    ensure!(thawed.stdout == expected.stdout, "`{}` instead of `{}`", thawed.stdout, expected.stdout);
    Ok(())
}
