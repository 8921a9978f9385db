//! Two builds at once in one target folder: each delivers its own program, whatever is at cargo's place in the end.

use anyhow::{Context, Result, ensure};
use fastboot_tests::programs::{fastboot, workspace};
use fastboot_tests::runs;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// Two packages with a binary of one name, one of them with features.
struct Workspace {
    folder: TempDir,
}

/// Says which program it is, and of which round; frozen long enough for another build to come between.
const SOURCE: &str = r#"
    fastboot_rt::install!();
    fastboot_rt::frozen! {
        static WHO: String = {
            std::thread::sleep(std::time::Duration::from_millis(100));
            let feature = if cfg!(feature = "left") { "left" } else { "right" };
            format!("{} {feature} {}", env!("CARGO_PKG_NAME"), option_env!("ROUND").unwrap_or_default())
        };
    }
    fn main() {
        println!("{}", *WHO);
    }
"#;

impl Workspace {
    fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join("Cargo.toml"), "[workspace]\nresolver = \"3\"\nmembers = [\"one\", \"two\"]\n")?;
        let runtime = workspace().join("fastboot-rt").canonicalize()?;
        for name in ["one", "two"] {
            let package = folder.path().join(name);
            fs::create_dir_all(package.join("src"))?;
            fs::write(package.join("src/main.rs"), SOURCE)?;
            let manifest = format!(
                "[package]\nname = \"{name}\"\nedition = \"2024\"\n[[bin]]\nname = \"same\"\npath = \"src/main.rs\"\n\
                 [features]\nleft = []\n[dependencies]\nfastboot-rt = {{ path = {runtime:?} }}\n"
            );
            fs::write(package.join("Cargo.toml"), manifest)?;
        }
        Ok(Self { folder })
    }

    /// Starts a build of `package` with `flags`, whose program goes into the folder `out`.
    fn build(&self, package: &str, flags: &[&str], round: usize, out: &str) -> Result<Child> {
        let mut command = fastboot()?;
        command.current_dir(self.folder.path()).args(["build", "--offline", "--package", package]).args(flags);
        command.arg("--out-dir").arg(self.folder.path().join(out)).env("ROUND", round.to_string());
        Ok(command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?)
    }

    fn said_by(&self, out: &Path) -> Result<String> {
        let path: PathBuf = self.folder.path().join(out).join("same");
        let run = runs::Run::of(runs::program(&path).env("FASTBOOT_LOG", "1"))?;
        ensure!(run.stderr.starts_with("fastboot: thawed 1 root"), "{run:?}");
        Ok(run.stdout.trim().to_owned())
    }
}

fn ended(child: Child) -> Result<String> {
    let Output { status, stderr, .. } = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&stderr).into_owned();
    ensure!(status.success(), "{status}: {said}");
    Ok(said)
}

/// Two builds, the second begun that much later than the first, one round for each of `after`.
fn in_rounds(after: impl Iterator<Item = Duration>) -> Result<()> {
    let workspace = Workspace::new()?;
    // What they have in common.
    ended(workspace.build("one", &[], 0, "warm")?)?;
    let mut waited = 0;
    for (round, after) in after.enumerate() {
        let pairs = [("one", &["--features", "left"][..], "left"), ("one", &[], "right"), ("two", &[], "right")];
        let [first, second] = [pairs[0], pairs[1 + round % 2]];
        let build = |(package, flags, _): (_, _, _), out| workspace.build(package, flags, round, out);
        let a = build(first, "a")?;
        std::thread::sleep(after);
        let b = build(second, "b")?;
        for (child, (package, _, feature), out) in [(a, first, "a"), (b, second, "b")] {
            let said = ended(child)?;
            waited += usize::from(said.contains("Blocking waiting for file lock on build directory"));
            let expected = format!("{package} {feature} {round}");
            let found = workspace.said_by(Path::new(out))?;
            ensure!(found == expected, "round {round}, {after:?} apart: `{found}` instead of `{expected}`\n{said}");
        }
        // At cargo's place is one of them, whole.
        let last = workspace.said_by(Path::new("target/debug")).context("at cargo's place")?;
        ensure!(last.ends_with(&round.to_string()), "round {round}: {last}");
    }
    ensure!(waited > 0, "no build waited for the other");
    Ok(())
}

#[test]
fn each_delivers_its_own_program() -> Result<()> {
    in_rounds([0, 300, 1200].into_iter().map(Duration::from_millis))
}

#[test]
#[ignore = "takes minutes"]
fn each_delivers_its_own_program_however_far_apart_they_begin() -> Result<()> {
    in_rounds((0..20).map(|round| Duration::from_millis(round * 10_000 / 19)))
}

#[test]
fn alternating_builds_stay_fresh() -> Result<()> {
    let workspace = Workspace::new()?;
    let build = |flags: &[&str]| ended(workspace.build("one", flags, 0, "out")?);
    build(&["--features", "left"])?;
    build(&[])?;
    let said = build(&["--features", "left"])?;
    ensure!(said.contains("Fresh same") && workspace.said_by(Path::new("out"))? == "one left 0", "{said}");
    Ok(())
}

#[test]
fn two_programs_of_one_name_are_refused_in_one_build() -> Result<()> {
    let workspace = Workspace::new()?;
    let both = workspace.build("one", &["--package", "two"], 0, "out")?.wait_with_output()?;
    let said = String::from_utf8_lossy(&both.stderr);
    ensure!(!both.status.success() && said.contains("`same` is a program of the packages one and two"), "{said}");
    Ok(())
}
