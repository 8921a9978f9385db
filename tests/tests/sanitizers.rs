//! Programs with AddressSanitizer, LeakSanitizer and ThreadSanitizer in them. Their shadows take up most of the
//! address space, and they put functions of their own into the place of C's.

use anyhow::{Context, Result, ensure};
use fastboot_tests::places::Places;
use fastboot_tests::programs::{Link, Program, Sanitizer, TARGET, succeed};
use fastboot_tests::runs::{self, Run};
use fastboot_tests::tools;
use std::path::Path;
use std::process::Command;

/// How many roots the program has.
const ROOTS: usize = 7;

/// Whether the compiler comes with the sanitizer's runtime.
fn is_there(sanitizer: Sanitizer) -> Result<bool> {
    let output = succeed(Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET]))?;
    let folder = String::from_utf8(output.stdout)?;
    let mut found = false;
    for entry in std::fs::read_dir(folder.trim()).with_context(|| folder.clone())? {
        found |= entry?.file_name().to_string_lossy().ends_with(sanitizer.runtime());
    }
    if !found {
        tools::skip(&format!("no *{} in {folder}", sanitizer.runtime()));
    }
    Ok(found)
}

/// The program, which has unaligned pointers: LeakSanitizer looks for none if it is not told to.
fn program(path: &Path) -> Command {
    let mut program = runs::program(path);
    program.env("LSAN_OPTIONS", "use_unaligned=1");
    program
}

/// Builds a program with the sanitizer, and requires that it does with its image, from wherever, what it does without, and
/// that the sanitizer has nothing to say.
fn works_with(sanitizer: Sanitizer) -> Result<()> {
    if !is_there(sanitizer)? {
        return Ok(());
    }
    // No compiler has both a sanitizer and a static C library.
    for link in [Link::NonPie, Link::Pie] {
        let built = Program { sanitizer: Some(sanitizer), ..Program::new("sources").link(link) }.build()?;
        let cold = Run::of(&mut program(&built.cold))?;
        cold.require_cold()?;
        let places = Places::of(&built)?;
        for (source, path) in places.programs() {
            // What `fork` grows is only referred to by the image: a search for leaks that does not know it finds some.
            for what in ["", "fork", "race"] {
                for occupied in [false, true] {
                    let mut program = program(path);
                    program.arg(what).env("FASTBOOT_LOG", "1");
                    program.envs(occupied.then_some(("SOURCES_OCCUPY", "1")));
                    let run = Run::of(&mut program)?;
                    let told = || format!("{sanitizer:?}, {link:?}, {source}, `{what}`, occupied: {occupied}");
                    run.require_thawed_from(source, ROOTS).with_context(told)?;
                    runs::require_same(&cold.stdout, &run.stdout).with_context(told)?;
                    ensure!(!run.stderr.contains("Sanitizer"), "{}:\n{}", told(), run.stderr);
                }
            }
        }
    }
    Ok(())
}

#[test]
fn address() -> Result<()> {
    works_with(Sanitizer::Address)
}

#[test]
fn leak() -> Result<()> {
    works_with(Sanitizer::Leak)
}

#[test]
fn thread() -> Result<()> {
    works_with(Sanitizer::Thread)
}
