//! A table of edits: what a change of a program does to the image that is there, for roots of real crates, in profiles and by
//! linkers that differ in what they make of the program.
//!
//! A change that the roots do not see has to take the image over, and what was taken over has to be what a freeze makes, byte by
//! byte. A change that they do see has to freeze again, each time. Each test prints its part of the table, such as
//! `cargo test --test edits -- --ignored --nocapture regex::release`. Some of a plain program's is looked at in every run.

use anyhow::{Context, Result, bail, ensure};
use fastboot_tests::programs::{fastboot, programs, workspace};
use fastboot_tests::runs::{self, Run};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use tempfile::TempDir;

/// A program: what its root is made of.
struct Case {
    name: &'static str,
    /// The lines of its manifest.
    dependencies: &'static str,
    /// Declarations for its own root, `OWN`, which is built with [`PATTERN`].
    own: &'static str,
    /// What it prints of it.
    shown: &'static str,
    /// Files that belong to it: where they come from, where they go.
    files: &'static [(&'static str, &'static str)],
}

const PATTERN: &str = r#"r"([a-z]+)-(\d{2,5})""#;
const OTHER_PATTERN: &str = r#"r"([a-z]+)-(\d{2,4})""#;

const PLAIN: Case = Case {
    name: "plain",
    dependencies: "",
    own: "static OWN: Vec<&'static str> = PATTERN.split('-').collect();",
    shown: "OWN.len()",
    files: &[],
};

const CASES: [Case; 6] = [
    Case {
        name: "regex",
        dependencies: "regex = \"1\"",
        own: "static OWN: regex::Regex = regex::Regex::new(PATTERN).unwrap(), check = |a, b| a.as_str() == b.as_str();",
        shown: "OWN.find(\"a word-12345 or two\").map(|found| found.range())",
        ..PLAIN
    },
    Case {
        name: "hashbrown",
        dependencies: "hashbrown = \"0.17\"",
        own: "static OWN: hashbrown::HashMap<String, usize> = PATTERN.split('-').map(|part| (part.to_owned(), part.len())).collect();",
        shown: "OWN.values().sum::<usize>()",
        ..PLAIN
    },
    Case {
        name: "serde_json",
        dependencies: "serde_json = \"1\"",
        own: "static OWN: serde_json::Value = serde_json::from_str(&format!(\"{{\\\"{}\\\": [1, 2.5, null, {:?}]}}\", FACTOR, PATTERN)).unwrap();",
        shown: "OWN.to_string()",
        ..PLAIN
    },
    Case {
        name: "syntect",
        dependencies: "syntect = { version = \"5\", default-features = false, features = [\"default-fancy\"] }",
        own: "static OWN: (syntect::parsing::SyntaxSet, usize) = (syntect::parsing::SyntaxSet::load_defaults_newlines(), PATTERN.len()), \
              check = |a, b| a.0.syntaxes().len() == b.0.syntaxes().len() && a.1 == b.1;",
        shown: "OWN.0.find_syntax_by_extension(\"rs\").map(|syntax| syntax.scope.build_string())",
        ..PLAIN
    },
    Case {
        name: "jieba",
        dependencies: "jieba-rs = \"0.10\"",
        own: "static OWN: (jieba_rs::Jieba, usize) = (jieba_rs::Jieba::new(), PATTERN.len()), check = |a, b| a.1 == b.1;",
        shown: "OWN.0.cut(\"我们中出了一个叛徒\", true).len()",
        ..PLAIN
    },
    Case {
        name: "mini-fzf",
        dependencies: "nucleo-matcher = \"0.3\"",
        own: "static OWN: Vec<String> = crate::paths::made_up(20_000 + PATTERN.len());",
        shown: "crate::search::best(&OWN, \"krnl\", 3).len()",
        files: &[("bench/mini-fzf/src/paths.rs", "src/paths.rs"), ("bench/mini-fzf/src/search.rs", "src/search.rs")],
    },
];

/// How it is compiled and linked.
#[derive(Clone, Copy)]
struct Way {
    profile: &'static str,
    /// What the profile says.
    settings: &'static str,
    gnu: bool,
    /// How many harmless edits may freeze again, of a program's eight.
    most_frozen: usize,
}

impl Way {
    const fn new(profile: &'static str, settings: &'static str, most_frozen: usize) -> Self {
        Self { profile, settings, gnu: false, most_frozen }
    }

    /// It lays out what the roots use in another order now and then.
    const fn by_gnu_ld(self) -> Self {
        Self { gnu: true, most_frozen: self.most_frozen + 3, ..self }
    }
}

const PLAIN_WAY: Way = Way::new("plain", "", 1);
const ONE_UNIT: Way = Way::new("one-unit", "codegen-units = 1\n", 1);
/// All of the program is compiled together.
const FAT: Way = Way::new("fat", "lto = \"fat\"\n", 4);
const PROFILES: [Way; 3] = [PLAIN_WAY, ONE_UNIT, FAT];

const MAIN: &str = r#"
mod help;
mod tables;
MODULES
fastboot_rt::install!();
fn main() {
    if std::env::args().nth(1).is_some() {
        return println!("{}", help::text());
    }
    println!("{}", tables::all());
}
"#;

const HELP: &str = r#"
pub fn text() -> &'static str {
    "usage: app [--help]\nPrints what its tables hold."
}
"#;

const TABLES: &str = r#"
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};

fastboot_rt::frozen! {
    static CALLS: BTreeMap<&'static str, fn() -> usize> = [("one", one as fn() -> usize), ("two", two)].into();
    static SIZES: HashMap<String, usize> = "to be or not".split(' ').map(|word| (word.to_string(), word.len() * FACTOR)).collect();
    static SHAPES: Vec<Box<dyn Shape>> = vec![Box::new(Square { side: 3, name: 's' }), Box::new(Circle { radius: 5 })];
    static PAIR: (&'static AtomicUsize, &'static AtomicUsize) = (&LEFT, &RIGHT);
    static READ: String = std::fs::read_to_string(fastboot_rt::input("words.txt")).unwrap();
    static FROM_LIBRARY: Vec<String> = library::words(7);
    OWN
}
const PATTERN: &str = PATTERN_TEXT;
const FACTOR: usize = 3;
static LEFT: AtomicUsize = AtomicUsize::new(0);
static RIGHT: AtomicUsize = AtomicUsize::new(0);
static WARM: std::sync::RwLock<Vec<usize>> = std::sync::RwLock::new(Vec::new());
fastboot_rt::warm! { WARM.write().unwrap().push(7) }

pub trait Shape: Send + Sync {
    fn area(&self) -> usize;
}
struct Square { side: usize, name: char }
struct Circle { radius: usize }
impl Shape for Square {
    fn area(&self) -> usize { self.side * self.side + usize::from(self.name == 'q') }
}
impl Shape for Circle {
    fn area(&self) -> usize { self.radius * self.radius * 3 }
}
fn one() -> usize { 1 }
fn two() -> usize { SHAPES.len() }

pub fn all() -> String {
    let areas: Vec<usize> = SHAPES.iter().map(|shape| shape.area()).collect();
    PAIR.0.fetch_add(1, Ordering::Relaxed);
    let counters = [PAIR.0, PAIR.1].map(|counter| counter.load(Ordering::Relaxed));
    let calls = [CALLS["one"](), CALLS["two"]()];
    let warm = WARM.read().unwrap();
    format!(
        "{calls:?} {} {areas:?} {counters:?} {} {:?} {:?} {:?}",
        SIZES["not"], READ.trim(), *FROM_LIBRARY, warm.first(), SHOWN,
    )
}
"#;

const LIBRARY: &str = r#"
pub fn words(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("word {}", number * 3)).collect()
}
"#;

const EXTRA: &str = r#"
pub fn extra(text: &str) -> usize {
    text.bytes().filter(u8::is_ascii_uppercase).count()
}
"#;

/// A change of the program.
struct Edit {
    name: &'static str,
    /// Whether the roots see nothing of it.
    harmless: bool,
    change: fn(&mut Files) -> Result<()>,
}

const fn harmless(name: &'static str, change: fn(&mut Files) -> Result<()>) -> Edit {
    Edit { name, harmless: true, change }
}

const fn harmful(name: &'static str, change: fn(&mut Files) -> Result<()>) -> Edit {
    Edit { name, harmless: false, change }
}

const EDITS: [Edit; 16] = [
    harmless("string in main", |files| {
        files.edit("src/main.rs", "\"{}\", tables", "\"{} and some more text\", tables")
    }),
    harmless("help text", |files| files.edit("src/help.rs", "Prints what", "Prints all that")),
    harmless("new function", |files| {
        files.edit(
            "src/main.rs",
            "fn main() {",
            "#[inline(never)]\nfn more(n: usize) -> String { format!(\"{n:x}\") }\nfn main() {",
        )?;
        files.edit("src/main.rs", "    println!", "    print!(\"{} \", more(std::env::args().count()));\n    println!")
    }),
    harmless("new module", |files| {
        files.edit("src/main.rs", "mod help;", "mod help;\nmod extra;")?;
        files.write("src/extra.rs", EXTRA)?;
        files.edit("src/main.rs", "    println!", "    print!(\"{} \", extra::extra(help::text()));\n    println!")
    }),
    harmless("new dependency", |files| {
        files.edit("Cargo.toml", "[dependencies]", "[dependencies]\nextra = { path = \"../extra\" }")?;
        files.edit("src/main.rs", "    println!", "    print!(\"{} \", extra::extra(help::text()));\n    println!")
    }),
    harmless("reordered functions", |files| {
        files.edit("src/tables.rs", "fn two() -> usize { SHAPES.len() }\n", "")?;
        files.edit(
            "src/tables.rs",
            "fn one() -> usize { 1 }",
            "fn two() -> usize { SHAPES.len() }\nfn one() -> usize { 1 }",
        )
    }),
    harmless("shifted lines", |files| {
        files.edit("src/tables.rs", "use std::collections", "// One.\n\n// Two.\nuse std::collections")
    }),
    harmless("renamed folder", |files| files.rename("renamed")),
    harmful("function", |files| files.edit("src/tables.rs", "usize { 1 }", "usize { 11 }")),
    harmful("struct layout", |files| {
        files.edit("src/tables.rs", "side: usize, name: char }", "side: u32, name: char }")?;
        files.edit("src/tables.rs", "self.side * self.side", "(self.side * self.side) as usize")
    }),
    harmful("constant", |files| files.edit("src/tables.rs", "FACTOR: usize = 3", "FACTOR: usize = 4")),
    harmful("pattern", |files| files.edit("src/tables.rs", PATTERN, OTHER_PATTERN)),
    harmful("vtable method", |files| files.edit("src/tables.rs", "self.radius * 3", "self.radius * 4")),
    harmful("input file", |files| files.write("words.txt", "others")),
    harmful("library", |files| files.edit("../library/src/lib.rs", "number * 3", "number * 5")),
    harmful("equal atomics", |files| files.edit("src/tables.rs", "(&LEFT, &RIGHT)", "(&LEFT, &LEFT)")),
];

/// The files of a program.
struct Files {
    folder: TempDir,
    /// The folder of the package.
    package: PathBuf,
}

impl Files {
    fn new(case: &Case) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let package = folder.path().join("app");
        let mut files = Self { folder, package };
        files.write("../library/Cargo.toml", "[package]\nname = \"library\"\nedition = \"2024\"\n[workspace]\n")?;
        files.write("../extra/Cargo.toml", "[package]\nname = \"extra\"\nedition = \"2024\"\n[workspace]\n")?;
        let runtime = workspace().join("fastboot-rt").canonicalize()?;
        let profiles: String = PROFILES
            .iter()
            .map(|way| format!("[profile.{}]\ninherits = \"release\"\n{}", way.profile, way.settings))
            .collect();
        files.write(
            "Cargo.toml",
            &format!(
                "[package]\nname = \"app\"\nedition = \"2024\"\n[dependencies]\nfastboot-rt = {{ path = {runtime:?} }}\n\
                 library = {{ path = \"../library\" }}\n{}\n{profiles}[workspace]\n",
                case.dependencies
            ),
        )?;
        fs::copy(programs().join("Cargo.lock"), files.package.join("Cargo.lock"))?;
        for (from, to) in case.files {
            fs::create_dir_all(files.package.join("src"))?;
            fs::copy(workspace().join(from), files.package.join(to))?;
        }
        files.restore(case)?;
        Ok(files)
    }

    /// As they were, but for what is in nobody's way.
    fn restore(&mut self, case: &Case) -> Result<()> {
        self.rename("app")?;
        let modules: String = case
            .files
            .iter()
            .filter_map(|(_, to)| Some(format!("#[allow(dead_code)]\nmod {};\n", Path::new(to).file_stem()?.display())))
            .collect();
        self.write("src/main.rs", &MAIN.replace("MODULES", &modules))?;
        self.write("src/help.rs", HELP)?;
        let tables = TABLES.replace("PATTERN_TEXT", PATTERN).replace("    OWN", case.own).replace("SHOWN", case.shown);
        self.write("src/tables.rs", &tables)?;
        self.write("words.txt", "words")?;
        self.write("../library/src/lib.rs", LIBRARY)?;
        self.write("../extra/src/lib.rs", EXTRA)?;
        let manifest = fs::read_to_string(self.package.join("Cargo.toml"))?;
        self.write("Cargo.toml", &manifest.replace("extra = { path = \"../extra\" }\n", ""))
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.package.join(name);
        fs::create_dir_all(&self.package)?;
        fs::create_dir_all(path.parent().context("no folder")?)?;
        // What is as it was is not compiled again.
        if fs::read_to_string(&path).ok().as_deref() != Some(text) {
            fs::write(path, text)?;
        }
        Ok(())
    }

    fn edit(&mut self, name: &str, from: &str, to: &str) -> Result<()> {
        let text = fs::read_to_string(self.package.join(name))?;
        ensure!(text.contains(from), "{name} has no `{from}`");
        self.write(name, &text.replacen(from, to, 1))
    }

    fn rename(&mut self, name: &str) -> Result<()> {
        let other = self.folder.path().join(name);
        fs::rename(&self.package, &other)?;
        self.package = other;
        Ok(())
    }
}

/// What is said of an edit of which nothing reaches the executable.
const FRESH: &str = "fresh";
/// What comes before the reason why an image cannot be taken over later.
const NOT_LATER: &str = "; nor can this one be later: ";

/// What became of an edit.
enum Outcome {
    Migrated,
    /// And why.
    Frozen(String),
    /// What is wrong.
    Wrong(String),
}

/// A program, as it is built in one way.
struct Built<'c> {
    case: &'c Case,
    way: Way,
    files: Files,
    target: PathBuf,
}

impl<'c> Built<'c> {
    /// Builds the program as it is before any edit.
    fn new(case: &'c Case, way: Way, target: &Path) -> Result<Self> {
        let built = Self { case, way, files: Files::new(case)?, target: target.to_owned() };
        let _ = fs::remove_dir_all(built.made().join("fastboot"));
        let Err(why) = built.build()? else { bail!("there was nothing to take over") };
        // Or else no edit would show anything.
        ensure!(!why.contains(NOT_LATER), "{why}");
        copy_files(&built.made().join("fastboot"), &built.kept())?;
        Ok(built)
    }

    /// Where cargo puts the executable.
    fn made(&self) -> PathBuf {
        self.target.join(self.way.profile)
    }

    /// What was kept of the freeze before any edit.
    fn kept(&self) -> PathBuf {
        self.files.folder.path().join("kept")
    }

    /// Builds, and says whether the image was taken over, or why it was not.
    fn build(&self) -> Result<std::result::Result<(), String>> {
        let mut command = fastboot()?;
        command.current_dir(&self.files.package).args(["build", "--offline", "-v", "--migrate", "--no-verify"]);
        command.args(["--profile", self.way.profile, "--target-dir"]).arg(&self.target);
        if self.way.gnu {
            command.env("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS", "-Clinker-features=-lld");
        }
        let run = Run::of(&mut command)?;
        run.require_success()?;
        let said = |what: &str| run.stderr.lines().find_map(|line| line.trim_start().strip_prefix(what));
        match (said("Migrating app "), said("Freezing app")) {
            (Some(_), None) => Ok(Ok(())),
            (None, Some(_)) => {
                // What stands in the way later says more than what stood in the way now: that there was no image yet.
                let why = said("the image is not taken over: ").or(said("it is not known what the roots use: "));
                let later =
                    said("the image cannot be taken over later: ").map(|later| format!("; not later either: {later}"));
                Ok(Err(format!(
                    "{}{}",
                    why.or(said("to be frozen: ")).unwrap_or("nothing was said"),
                    later.unwrap_or_default()
                )))
            }
            (None, None) if said("Fresh app").is_some() => Ok(Err(FRESH.to_owned())),
            _ => bail!("neither or both:\n{}", run.stderr),
        }
    }

    fn edited(&mut self, edit: &Edit) -> Result<Outcome> {
        let kept = self.kept();
        // As it was after the first build.
        self.files.restore(self.case)?;
        copy_files(&kept, &self.made().join("fastboot"))?;
        (edit.change)(&mut self.files)?;
        let outcome = self.build()?;
        let executable = self.made().join("app");
        let was = fs::read(&executable)?;
        let run = |mode: &str| {
            let mut program = runs::program(&executable);
            Run::of(program.current_dir(&self.files.package).env("FASTBOOT", mode).env("FASTBOOT_LOG", "1"))
        };
        let (prints, cold) = (run("")?, run("off")?);
        prints.require_success()?;
        ensure!(prints.stderr.starts_with("fastboot: thawed "), "{prints:?}");
        // What runs while freezing, `warm!`, does not run without an image.
        let without = |text: &str| text.replace("Some(7)", "None");
        let same = |prints: &Run| without(&prints.stdout) == without(&cold.stdout);
        Ok(match outcome {
            Err(why) if !same(&prints) => {
                Outcome::Wrong(format!("frozen ({why}), but prints {}, not {}", prints.stdout, cold.stdout))
            }
            Err(why) if why == FRESH && edit.harmless => Outcome::Migrated,
            Err(why) => Outcome::Frozen(why),
            Ok(()) if !edit.harmless => Outcome::Wrong("taken over".to_owned()),
            Ok(()) if !same(&prints) => Outcome::Wrong(format!("prints {}", prints.stdout)),
            Ok(()) => {
                // Once more from the beginning.
                for entry in fs::read_dir(self.made().join("fastboot"))?.flatten().filter(|entry| entry.path().is_dir())
                {
                    fs::remove_dir_all(entry.path())?;
                }
                for entry in fs::read_dir(self.made().join("fastboot"))? {
                    let path = entry?.path();
                    if path.extension().is_some_and(|extension| extension == "inputs" || extension == "nodes") {
                        fs::remove_file(path)?;
                    }
                }
                match self.build()? {
                    Ok(()) => Outcome::Wrong("there was nothing to take over".to_owned()),
                    Err(_) if fs::read(&executable)? != was => {
                        Outcome::Wrong("a freeze makes another program".to_owned())
                    }
                    Err(_) => Outcome::Migrated,
                }
            }
        })
    }
}

/// Makes the files below `to` those below `from`.
fn copy_files(from: &Path, to: &Path) -> Result<()> {
    let _ = fs::remove_dir_all(to);
    let mut command = Command::new("cp");
    fastboot_tests::programs::succeed(command.arg("-a").arg(from).arg(to)).map(drop)
}

/// Cells of the table.
#[derive(Default)]
struct Table {
    text: String,
    /// Of the harmless edits, how many there were, and how many took the image over.
    harmless: (usize, usize),
    /// Of the harmful ones, how many there were, and how many froze.
    harmful: (usize, usize),
    wrong: Vec<String>,
}

impl Table {
    fn fill(&mut self, case: &Case, way: &Way, edits: &[&Edit], target: &Path) -> Result<()> {
        let title = format!("{} {} {}", case.name, way.profile, if way.gnu { "GNU ld" } else { "lld" });
        let mut built = Built::new(case, *way, target).with_context(|| title.clone())?;
        for edit in edits {
            let outcome = built.edited(edit).with_context(|| format!("{title}: {}", edit.name))?;
            let counted = if edit.harmless { &mut self.harmless } else { &mut self.harmful };
            counted.0 += 1;
            if matches!(&outcome, Outcome::Frozen(why) if why == FRESH) {
                bail!("{title}: {}: nothing changed", edit.name);
            }
            let said = match outcome {
                Outcome::Migrated => "migrated".to_owned(),
                Outcome::Frozen(why) => format!("frozen: {why}"),
                Outcome::Wrong(why) => format!("WRONG: {why}"),
            };
            counted.1 += usize::from(said.starts_with(if edit.harmless { "migrated" } else { "frozen" }));
            let line = format!("{title:<28} {:<20} {said}", edit.name);
            println!("{line}");
            if said.starts_with("WRONG") {
                self.wrong.push(line.clone());
            }
            writeln!(self.text, "{line}")?;
        }
        Ok(())
    }

    fn judge(&self, case: &Case, way: &Way) -> Result<()> {
        let ((harmless, migrated), (harmful, frozen)) = (self.harmless, self.harmful);
        println!(
            "{}: {migrated} of {harmless} harmless edits migrated, {frozen} of {harmful} harmful ones froze",
            case.name
        );
        ensure!(self.wrong.is_empty(), "{}", self.wrong.join("\n"));
        ensure!(frozen == harmful, "{}", self.text);
        ensure!(harmless - migrated <= way.most_frozen, "too few migrated:\n{}", self.text);
        Ok(())
    }
}

/// Fills the part of the table that is about a program, built in one way.
fn check(case: &Case, way: &Way, is_in: fn(&Edit) -> bool) -> Result<()> {
    // One at a time: they share a folder, because of what the programs have in common.
    static FOLDER: Mutex<()> = Mutex::new(());
    let _alone = FOLDER.lock().unwrap_or_else(PoisonError::into_inner);
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("edits");
    fs::create_dir_all(&target)?;
    let mut table = Table::default();
    table.fill(case, way, &EDITS.iter().filter(|edit| is_in(edit)).collect::<Vec<_>>(), &target)?;
    table.judge(case, way)
}

/// A program in all ways to build it: minutes each.
macro_rules! table {
    ($program:ident, $case:expr) => {
        mod $program {
            use super::*;

            #[test]
            #[ignore = "takes minutes"]
            fn release() -> Result<()> {
                check(&$case, &PLAIN_WAY, |_| true)
            }

            #[test]
            #[ignore = "takes minutes"]
            fn release_by_gnu_ld() -> Result<()> {
                check(&$case, &PLAIN_WAY.by_gnu_ld(), |_| true)
            }

            #[test]
            #[ignore = "takes minutes"]
            fn one_codegen_unit() -> Result<()> {
                check(&$case, &ONE_UNIT, |_| true)
            }

            #[test]
            #[ignore = "takes minutes"]
            fn one_codegen_unit_by_gnu_ld() -> Result<()> {
                check(&$case, &ONE_UNIT.by_gnu_ld(), |_| true)
            }

            #[test]
            #[ignore = "takes minutes"]
            fn fat() -> Result<()> {
                check(&$case, &FAT, |_| true)
            }

            #[test]
            #[ignore = "takes minutes"]
            fn fat_by_gnu_ld() -> Result<()> {
                check(&$case, &FAT.by_gnu_ld(), |_| true)
            }
        }
    };
}

#[test]
fn some_edits_of_a_plain_program() -> Result<()> {
    const SOME: [&str; 5] = ["new function", "shifted lines", "renamed folder", "vtable method", "equal atomics"];
    check(&PLAIN, &PLAIN_WAY, |edit| SOME.contains(&edit.name))
}

table!(plain, PLAIN);
table!(regex, CASES[0]);
table!(hashbrown, CASES[1]);
table!(serde_json, CASES[2]);
table!(syntect, CASES[3]);
table!(jieba, CASES[4]);
table!(mini_fzf, CASES[5]);
