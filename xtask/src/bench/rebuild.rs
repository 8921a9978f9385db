//! How long a build takes after a change of `main`, whose roots take long: plain, with the image taken over, and frozen again.

use super::Size;
use super::programs::{Workshop, length};
use super::statistics::Spread;
use crate::command::{cargo, root};
use crate::usage::measure;
use anyhow::{Context, Result, ensure};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A program whose `main` is changed.
struct Subject {
    name: &'static str,
    folder: &'static str,
    /// Lines of its manifest.
    manifest: &'static str,
    /// A root besides the one that takes long.
    root: &'static str,
}

const SUBJECTS: [Subject; 2] = [
    Subject { name: "a small program", folder: "small", manifest: "", root: "static OTHER: u32 = 7;" },
    Subject {
        name: "one with syntect and debug information",
        folder: "large",
        manifest: "syntect = { version = \"5\", default-features = false, features = [\"default-fancy\"] }\n\
                   [profile.release]\ndebug = true\n",
        root: "static OTHER: syntect::parsing::SyntaxSet = syntect::parsing::SyntaxSet::load_defaults_newlines();",
    },
];

/// Seconds that the root takes which takes long. It waits: that takes as long on every machine.
fn seconds(size: Size) -> u64 {
    match size {
        Size::Quick => 2,
        Size::Full => 10,
    }
}

/// Builds of a program after a change. Times are in microseconds.
#[derive(Serialize)]
pub(crate) struct Rebuild {
    pub(crate) name: &'static str,
    /// Of the plain binary.
    pub(crate) binary_bytes: u64,
    /// `cargo build`.
    pub(crate) plain: Spread,
    /// `cargo fastboot build --migrate`, which takes the image over.
    pub(crate) migrated: Spread,
    /// What that takes longer, in the same round.
    pub(crate) longer: Spread,
    /// `cargo fastboot build`, which freezes again.
    pub(crate) frozen: Spread,
}

/// Changes each program again and again, and builds it in each way. None is verified, which would evaluate the roots.
pub(crate) fn rebuild(workshop: &Workshop, size: Size) -> Result<Vec<Rebuild>> {
    // The dependencies of the large one take minutes, in each target folder.
    let subjects = SUBJECTS.iter().take(if size == Size::Quick { 1 } else { SUBJECTS.len() });
    subjects.map(|subject| one_program(workshop, size, subject)).collect()
}

fn one_program(workshop: &Workshop, size: Size, subject: &Subject) -> Result<Rebuild> {
    let rounds = match size {
        Size::Quick => 3,
        Size::Full => 9,
    };
    let package = Package::make(workshop, size, subject)?;
    eprintln!("xtask: building {} after a change, {rounds} times", subject.name);
    let mut times = Vec::new();
    // The first round builds the dependencies, and freezes in either way.
    for round in 0..=rounds {
        package.change(round)?;
        let plain = measure(&mut package.build("plain", cargo("build")))?.wall();
        let migrated = measure(&mut package.build("migrated", package.tool(&["--migrate"])))?;
        let frozen = measure(&mut package.build("frozen", package.tool(&[])))?.wall();
        if round > 0 {
            let said = &migrated.errors;
            ensure!(said.contains("Migrating rebuild"), "the image of {} was not taken over:\n{said}", subject.name);
            times.push((plain, migrated.wall(), frozen));
        }
    }
    let spread = |what: &dyn Fn(&(f64, f64, f64)) -> f64| Spread::of(times.iter().map(what));
    Ok(Rebuild {
        name: subject.name,
        binary_bytes: length(&package.folder.join("target-plain/release/rebuild"))?,
        plain: spread(&|(plain, ..)| *plain),
        migrated: spread(&|(_, migrated, _)| *migrated),
        longer: spread(&|(plain, migrated, _)| migrated - plain),
        frozen: spread(&|(.., frozen)| *frozen),
    })
}

/// A package that the bench makes.
struct Package {
    folder: PathBuf,
    tool: PathBuf,
}

impl Package {
    fn make(workshop: &Workshop, size: Size, subject: &Subject) -> Result<Self> {
        let folder = workshop.folder.join("rebuild").join(subject.folder);
        let runtime = root().join("fastboot-rt").canonicalize()?;
        let manifest = format!(
            "[package]\nname = \"rebuild\"\nedition = \"2024\"\n[workspace]\n[dependencies]\n\
             fastboot-rt = {{ path = {runtime:?} }}\n{}",
            subject.manifest
        );
        let roots = format!(
            "fastboot_rt::frozen! {{\n    /// What takes long.\n    pub static SLOW: Vec<String> = slow();\n    /// Another.\n    \
             pub {}\n}}\nfn slow() -> Vec<String> {{\n    std::thread::sleep(std::time::Duration::from_secs({}));\n    \
             (0..1000).map(|n| n.to_string()).collect()\n}}\n",
            subject.root,
            seconds(size)
        );
        let package = Self { folder, tool: workshop.tool_path().to_owned() };
        package.write("Cargo.toml", &manifest)?;
        package.write("src/roots.rs", &roots)?;
        Ok(package)
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.folder.join(name);
        let cannot_write = || format!("cannot write {}", path.display());
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new("."))).with_context(cannot_write)?;
        std::fs::write(&path, text).with_context(cannot_write)
    }

    /// Another text in `main`.
    fn change(&self, round: usize) -> Result<()> {
        let main = format!(
            "mod roots;\nfastboot_rt::install!();\nfn main() {{\n    let other = &raw const *roots::OTHER;\n    \
             println!(\"change {round}, {{}} {{other:?}}\", roots::SLOW.len());\n}}\n"
        );
        self.write("src/main.rs", &main)
    }

    fn tool(&self, flags: &[&str]) -> Command {
        let mut command = Command::new(&self.tool);
        command.args(["build", "--no-verify"]).args(flags);
        command
    }

    /// The command, for this package, with a target folder of its own.
    fn build(&self, way: &str, mut command: Command) -> Command {
        command.arg("--release").current_dir(&self.folder);
        command.env("CARGO_TARGET_DIR", self.folder.join(format!("target-{way}")));
        command
    }
}
