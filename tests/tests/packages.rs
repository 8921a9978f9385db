//! The published crates: what `cargo package` puts into them is all that a new user has. Installed from there, outside
//! of the repository, `cargo fastboot` makes a program, builds it, and builds it again with other data.

use anyhow::{Context, Result, ensure};
use fastboot_tests::programs::{cargo_here, succeed, workspace_target};
use fastboot_tests::runs;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// What the tool and new programs depend on, as long as no registry has it.
const SIBLINGS: [&str; 4] = ["fastboot-defer", "fastboot-format", "fastboot-kernel", "fastboot-linker"];

/// The published crates, unpacked: one folder for each.
struct Packages {
    folder: TempDir,
    /// Where each crate is, by its name.
    of: BTreeMap<String, PathBuf>,
}

impl Packages {
    fn unpack() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        // The default members of the workspace are what is published. Whether they build shows below.
        let target = folder.path().join("target");
        let mut package = cargo_here("package");
        succeed(package.args(["--locked", "--allow-dirty", "--no-verify", "--quiet", "--target-dir"]).arg(&target))?;
        let mut of = BTreeMap::new();
        for entry in fs::read_dir(target.join("package"))? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if let Some(name) = name.strip_suffix(".crate") {
                succeed(Command::new("tar").arg("-xzf").arg(&path).arg("-C").arg(folder.path()))?;
                let (package, _) = name.rsplit_once('-').context("a crate without a version")?;
                of.insert(package.to_owned(), folder.path().join(name));
            }
        }
        Ok(Self { folder, of })
    }

    /// Where a crate is, or where it would be.
    fn of(&self, name: &str) -> PathBuf {
        self.of.get(name).cloned().unwrap_or_else(|| self.folder.path().join(name))
    }

    /// `cargo VERB` in an unpacked crate, its siblings taken from beside it, as long as no registry has them.
    fn cargo(&self, verb: &str, name: &str) -> Command {
        let mut command = cargo_here(verb);
        command.current_dir(self.of(name)).arg("--offline");
        for sibling in SIBLINGS {
            let path = self.of(sibling).display().to_string();
            command.arg("--config").arg(format!("patch.crates-io.{sibling}.path={path:?}"));
        }
        command
    }
}

#[test]
fn a_new_user_installs_makes_a_program_and_changes_its_data() -> Result<()> {
    let packages = Packages::unpack()?;
    for (name, files) in [
        ("fastboot-linker", &["fastboot.ld", "start.ld"][..]),
        ("fastboot-format", &["src/lib.rs"]),
        ("fastboot-kernel", &["src/lib.rs"]),
        ("fastboot-rt", &["src/lib.rs", "README.md"]),
        ("fastboot-defer", &["src/lib.rs", "README.md"]),
        ("cargo-fastboot", &["templates/main.rs", "templates/probe.rs", "README.md", "Cargo.lock"]),
    ] {
        for file in files.iter().chain(&["LICENSE-MIT", "LICENSE-APACHE"]) {
            ensure!(packages.of(name).join(file).is_file(), "{name} is published without {file}");
        }
    }

    // The lock file names the siblings of a registry that does not have them yet.
    succeed(packages.cargo("update", "cargo-fastboot").args(SIBLINGS))?;
    let root = packages.folder.path().join("installed");
    let mut install = packages.cargo("install", "cargo-fastboot");
    // Where everything that does not come from here has been built already.
    install.args(["--locked", "--debug", "--path", "."]).arg("--target-dir").arg(workspace_target());
    succeed(install.arg("--root").arg(&root))?;

    let empty = tempfile::tempdir()?;
    // What the runtime depends on is in no registry yet either.
    let cargo = empty.path().join(".cargo");
    fs::create_dir(&cargo)?;
    let patch = format!("[patch.crates-io]\nfastboot-format.path = {:?}\n", packages.of("fastboot-format"));
    fs::write(cargo.join("config.toml"), patch)?;
    let user = User { path: root.join("bin") };
    let runtime = packages.of("fastboot-rt");
    succeed(user.cargo(empty.path()).args(["fastboot", "new", "demo", "--fastboot-rt-path"]).arg(&runtime))?;
    let demo = empty.path().join("demo");
    for file in ["Cargo.toml", "src/main.rs", "data/capitals.txt", ".gitignore"] {
        ensure!(demo.join(file).is_file(), "no {file}");
    }

    let build = || succeed(user.cargo(&demo).args(["fastboot", "build", "--offline", "--verify"]));
    let program = demo.join("target/debug/demo");
    let ask = |country: &str| {
        let mut command = runs::program(&program);
        runs::Run::of(command.arg(country).env("FASTBOOT_LOG", "1"))
    };
    let said = |output: std::process::Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let first = said(build()?);
    ensure!(first.contains("Freezing demo") && !first.contains("warning"), "{first}");
    let answer = ask("France")?;
    ensure!(
        answer.stdout == "Paris\n" && answer.stderr.starts_with("fastboot: thawed 1 root from section, "),
        "{answer:?}"
    );
    let unknown = ask("Utopia")?;
    ensure!(!unknown.status.success() && unknown.stderr.contains("`Utopia`"), "{unknown:?}");

    let data = demo.join("data/capitals.txt");
    fs::write(&data, fs::read_to_string(&data)? + "Utopia: Amaurot\n")?;
    ensure!(ask("Utopia")?.stdout.is_empty(), "the program read the file");
    let again = said(build()?);
    ensure!(again.contains("Freezing demo"), "{again}");
    let fresh = said(build()?);
    ensure!(fresh.contains("Fresh demo"), "{fresh}");
    ensure!(ask("Utopia")?.stdout == "Amaurot\n", "{:?}", ask("Utopia")?);

    let inspected = succeed(user.cargo(&demo).args(["fastboot", "inspect", "--json"]).arg(&program))?;
    let inspected: serde_json::Value = serde_json::from_slice(&inspected.stdout)?;
    ensure!(inspected["image"]["roots"][0]["name"] == "demo::CAPITALS", "{inspected:#}");

    let tested = succeed(user.cargo(&demo).args(["test", "--offline"]))?;
    ensure!(String::from_utf8_lossy(&tested.stdout).contains("1 passed"), "{tested:?}");
    // With no settings, whatever there is in folders above this one or at home.
    let defaults = empty.path().join("rustfmt.toml");
    fs::write(&defaults, "")?;
    let formatted = succeed(user.cargo(&demo).args(["fmt", "--check", "--", "--config-path"]).arg(&defaults));
    formatted.context("the new program is not formatted as rustfmt does it without settings")?;
    Ok(())
}

/// Someone who has installed `cargo fastboot` and nothing else of this repository.
struct User {
    path: PathBuf,
}

impl User {
    fn cargo(&self, folder: &Path) -> Command {
        let mut command = fastboot_tests::programs::cargo();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(std::iter::once(self.path.clone()).chain(std::env::split_paths(&path)));
        // A path that is in PATH cannot contain what cannot be in PATH.
        command.current_dir(folder).env("PATH", path.unwrap_or_default());
        command
    }
}
