//! `build --migrate`: a change of what the roots do not use takes the image over, any other freezes again, and what was taken
//! over is what a freeze would have made.

use anyhow::{Context, Result, ensure};
use fastboot_tests::package::Package;
use fastboot_tests::programs::fastboot;
use fastboot_tests::runs::{self, Run};
use std::fs;
use std::path::Path;

const MAIN: &str = r#"
mod tables;
fastboot_rt::install!();
fn main() {
    println!("{}", tables::all());
}
"#;

const TABLES: &str = r#"
use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

fastboot_rt::frozen! {
    static WORDS: Vec<&'static str> = "to be or not".split(' ').collect();
    static CALLS: BTreeMap<&'static str, fn() -> usize> = [("one", one as fn() -> usize), ("two", two)].into();
    static SIZES: HashMap<String, usize> = WORDS.iter().map(|word| (word.to_string(), word.len() * FACTOR)).collect();
    static SHAPES: Vec<Box<dyn Shape>> = vec![Box::new(Square(3)), Box::new(Circle(5))];
    static PAIR: (&'static AtomicUsize, &'static AtomicUsize) = (&LEFT, &RIGHT);
    // Numbers that are addresses of the executable for all one can see, at low addresses and at high ones.
    static NUMBERS: Vec<u64> =
        [0x20_0000, 0x54ff_0000_0000].into_iter().flat_map(|first| (0..0x40_u64).map(move |n| first + n * 0x1_0000)).collect();
    static READ: String = std::fs::read_to_string(fastboot_rt::input("words.txt")).unwrap();
}
const FACTOR: usize = 3;
static LEFT: AtomicUsize = AtomicUsize::new(0);
static RIGHT: AtomicUsize = AtomicUsize::new(0);
static LAZY: LazyLock<Vec<usize>> = LazyLock::new(|| (0..100).collect());
fastboot_rt::warm! { LEFT.fetch_add(LAZY.len(), Ordering::Relaxed) }

trait Shape: Send + Sync {
    fn area(&self) -> usize;
}
struct Square(usize);
struct Circle(usize);
impl Shape for Square {
    fn area(&self) -> usize { self.0 * self.0 }
}
impl Shape for Circle {
    fn area(&self) -> usize { self.0 * self.0 * 3 }
}
fn one() -> usize { 1 }
fn two() -> usize { SHAPES.len() }

pub fn all() -> String {
    let shapes: Vec<usize> = SHAPES.iter().map(|shape| shape.area()).collect();
    PAIR.0.fetch_add(1, Ordering::Relaxed);
    let counters = [PAIR.0, PAIR.1].map(|counter| counter.load(Ordering::Relaxed));
    let calls = [CALLS["one"](), CALLS["two"]()];
    let numbers: u64 = NUMBERS.iter().sum();
    format!("{} {} {calls:?} {shapes:?} {counters:?} {} {numbers:x} {}", WORDS.len(), SIZES["not"], LAZY[9], READ.trim())
}
"#;

const PRINTS: &str = "4 9 [1, 2] [9, 75] [101, 0] 9 153fc017c00000 words\n";
const ROOTS: usize = 7;

struct Program {
    package: Package,
    flags: Vec<&'static str>,
}

impl Program {
    fn new(flags: &[&'static str]) -> Result<Self> {
        let package =
            Package::new("[profile.dev]\nopt-level = 2\ncodegen-units = 1\nincremental = false\ndebug = false\n")?;
        let program = Self { package, flags: flags.to_vec() };
        program.restore()?;
        Ok(program)
    }

    fn restore(&self) -> Result<()> {
        self.package.write("src/main.rs", MAIN)?;
        self.package.write("src/tables.rs", TABLES)?;
        self.package.write("words.txt", "words")
    }

    /// Builds, and says whether the image was taken over.
    fn build(&self, more: &[&str]) -> Result<bool> {
        self.build_in(self.package.folder(), more)
    }

    /// The same, where the package's folder is that.
    fn build_in(&self, folder: &Path, more: &[&str]) -> Result<bool> {
        let mut command = fastboot()?;
        command.current_dir(folder).args(["build", "--offline", "-v", "--migrate", "--verify"]);
        let run = Run::of(command.args(&self.flags).args(more))?;
        run.require_success()?;
        let said = |what: &str| run.stderr.lines().any(|line| line.trim_start().starts_with(what));
        let (migrated, frozen) = (said("Migrating app "), said("Freezing app"));
        ensure!(migrated != frozen || said("Fresh app"), "neither or both:\n{}", run.stderr);
        ensure!(!frozen || run.stderr.contains("not taken over: "), "why it is frozen is not said:\n{}", run.stderr);
        Ok(migrated)
    }

    fn prints(&self) -> Result<String> {
        let run = Run::of(runs::program(&self.package.executable()).env("FASTBOOT_LOG", "1"))?;
        ensure!(run.stderr.starts_with(&format!("fastboot: thawed {ROOTS} roots")), "{run:?}");
        Ok(run.stdout)
    }

    /// Forgets what was kept of earlier builds.
    fn forget(&self) -> Result<()> {
        for entry in fs::read_dir(self.package.folder().join("target/debug/fastboot"))? {
            let path = entry?.path();
            if path.is_dir() {
                fs::remove_dir_all(path)?;
            }
        }
        Ok(())
    }
}

fn changed(text: &str, from: &str, to: &str) -> Result<String> {
    ensure!(text.contains(from), "the program has no `{from}`");
    Ok(text.replace(from, to))
}

/// Changes that the roots do not see, and changes that they do.
fn edits(flags: &[&'static str]) -> Result<()> {
    let program = Program::new(flags)?;
    ensure!(!program.build(&[])?, "there was nothing to take over");
    ensure!(!program.build(&[])?, "nothing changed");
    runs::require_same(PRINTS, &program.prints()?)?;

    let harmless = [
        ("src/main.rs", changed(MAIN, "\"{}\"", "\"{} and a longer text\"")?),
        (
            "src/main.rs",
            changed(
                MAIN,
                "fn main() {",
                "#[inline(never)]\nfn more(n: usize) -> String { format!(\"{n:x}\") }\nfn main() {\n println!(\"{}\", more(77));",
            )?,
        ),
        // Locations in it, and `warm!`, have other lines.
        ("src/tables.rs", format!("// One.\n\n// Two.\n{TABLES}")),
    ];
    for (name, text) in harmless {
        program.package.write(name, &text)?;
        ensure!(program.build(&[])?, "frozen again, though the roots use nothing of it: {text}");
        let (migrated, printed) = (fs::read(program.package.executable())?, program.prints()?);
        program.forget()?;
        ensure!(!program.build(&[])?, "what was kept was forgotten");
        ensure!(
            fs::read(program.package.executable())? == migrated,
            "a freeze makes another program than what was taken over"
        );
        runs::require_same(&printed, &program.prints()?)?;
    }

    let harmful = [
        ("src/tables.rs", changed(TABLES, "self.0 * self.0 * 3", "self.0 * self.0 * 4")?, "[9, 100]"),
        ("src/tables.rs", changed(TABLES, "FACTOR: usize = 3", "FACTOR: usize = 5")?, "4 15 "),
        ("src/tables.rs", changed(TABLES, "(&LEFT, &RIGHT)", "(&LEFT, &LEFT)")?, "[101, 101]"),
        ("src/tables.rs", changed(TABLES, "fn one() -> usize { 1 }", "fn one() -> usize { 11 }")?, "[11, 2]"),
        ("words.txt", "others".to_owned(), "others"),
    ];
    for (name, text, expected) in harmful {
        program.restore()?;
        program.build(&[])?;
        program.package.write(name, &text)?;
        ensure!(!program.build(&[])?, "taken over, though the roots use what changed: {text}");
        let printed = program.prints()?;
        ensure!(printed.contains(expected), "`{expected}` is missing in {printed}");
    }
    Ok(())
}

/// A root that holds the line that it is on.
const OWN_LINE: &str = r#"
fastboot_rt::frozen! { static LINE: u32 = line(); }
#[track_caller]
#[inline(never)]
fn line() -> u32 { std::panic::Location::caller().line() }
pub fn all() -> u32 { *LINE }
"#;

#[test]
fn a_root_that_holds_its_line_is_frozen_again() -> Result<()> {
    let program = Program::new(&[])?;
    program.package.write("src/tables.rs", OWN_LINE)?;
    ensure!(!program.build(&[])?, "there was nothing to take over");
    program.package.write("src/tables.rs", &format!("\n\n\n{OWN_LINE}"))?;
    ensure!(!program.build(&[])?, "taken over, though its line is another one");
    let run = Run::of(runs::program(&program.package.executable()).env("FASTBOOT_LOG", "1"))?;
    ensure!(run.stderr.starts_with("fastboot: thawed 1 root"), "{run:?}");
    runs::require_same("5\n", &run.stdout)
}

/// Roots that hold what follows from where things lie to each other: how far it is from a function to a static, the low bits
/// of an address, and which of two comes first. What lies between is none of theirs.
const DISTANCES: [&str; 3] = [
    "static ORDER: bool = std::hint::black_box((&raw const NUMBER).addr()) < (&raw const OTHER).addr();",
    "static FAR: usize = (&raw const NUMBER).addr() - first as fn() -> usize as usize;",
    "static LOW: usize = (&raw const NUMBER).addr() % 65536;",
];
const BETWEEN: &str = r#"
fastboot_rt::frozen! { ROOT }
static NUMBER: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(7);
static OTHER: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(8);
#[inline(never)]
fn first() -> usize { NUMBER.load(std::sync::atomic::Ordering::Relaxed) }
#[inline(never)]
fn between(n: usize) -> String { format!("{n}") }
#[inline(never)]
fn last() -> usize { NUMBER.load(std::sync::atomic::Ordering::Relaxed) + OTHER.load(std::sync::atomic::Ordering::Relaxed) }
pub fn all() -> String { format!("{} {} {} {}", between(first() + last()), *NAME, first as fn() -> usize as usize != 0, NUMBER.load(std::sync::atomic::Ordering::Relaxed)) }
"#;

#[test]
fn what_follows_from_how_things_lie_to_each_other_is_frozen_again() -> Result<()> {
    let program = Program::new(&[])?;
    for root in DISTANCES {
        let name = root.split([' ', ':']).nth(1).context("no name")?;
        let text = BETWEEN.replace("ROOT", root).replace("NAME", name);
        program.package.write("src/tables.rs", &text)?;
        ensure!(!program.build(&[])?, "there was nothing to take over");
        let longer =
            changed(&text, "format!(\"{n}\")", "format!(\"{n:x} {n:o} {n:b} {}\", n.wrapping_mul(77).rotate_left(5))")?;
        program.package.write("src/tables.rs", &longer)?;
        ensure!(!program.build(&[])?, "taken over, though it lies otherwise: {root}");
    }
    Ok(())
}

/// A root that reads a file of its folder, and one that holds the folder's name.
const IN_FOLDER: &str = r#"
fastboot_rt::frozen! {
    static READ: String = std::fs::read_to_string(fastboot_rt::input("words.txt")).unwrap();
    NAMED
}
pub fn all() -> String { format!("{} {}", *READ, SHOWN) }
"#;

#[test]
fn a_folder_may_have_another_name_where_nothing_follows_from_it() -> Result<()> {
    let named = "static NAMED: String = std::env::var(\"CARGO_MANIFEST_DIR\").unwrap();";
    for (root, shown, migrates) in [("", "7", true), (named, "*NAMED", false)] {
        let program = Program::new(&[])?;
        program
            .package
            .write("src/tables.rs", &IN_FOLDER.replace("NAMED\n", &format!("{root}\n")).replace("SHOWN", shown))?;
        ensure!(!program.build(&[])?, "there was nothing to take over");
        let folder = program.package.folder().to_owned();
        let other = folder.with_extension("renamed");
        fs::rename(&folder, &other)?;
        let built = program.build_in(&other, &[]);
        fs::rename(&other, &folder)?;
        ensure!(built? == migrates, "in a renamed folder, with `{root}`");
        fs::rename(&folder, &other)?;
        fs::write(other.join("words.txt"), "others")?;
        let built = program.build_in(&other, &[]);
        fs::rename(&other, &folder)?;
        ensure!(!built?, "taken over, though the input is another one");
        let run = Run::of(runs::program(&program.package.executable()).env("FASTBOOT_LOG", "1"))?;
        ensure!(run.stdout.starts_with("others ") && run.stderr.starts_with("fastboot: thawed"), "{run:?}");
    }
    Ok(())
}

#[test]
fn what_the_roots_do_not_use_changes_nothing() -> Result<()> {
    edits(&[])
}

#[test]
#[ignore = "takes minutes"]
fn what_the_roots_do_not_use_changes_nothing_in_a_pie() -> Result<()> {
    edits(&["--pie"])
}
