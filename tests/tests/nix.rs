//! The nix flake. There is no nixpkgs here, so a stand-in (`tests/nix`) has as much of it as the flake uses, made of the
//! host's programs. With it, nix evaluates the flake and builds the three phases, each a derivation of its own.

use anyhow::{Context, Result, ensure};
use fastboot_tests::programs::{TARGET, cargo, cargo_here, fastboot, succeed, workspace, workspace_target};
use fastboot_tests::runs::{Run, program};
use fastboot_tests::tools;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use tempfile::TempDir;

/// A store of its own, with nobody else in it.
struct Nix {
    folder: TempDir,
}

impl Drop for Nix {
    fn drop(&mut self) {
        // What is in a store is read-only, folders too. If that cannot be changed, something is left in /tmp.
        let _ = Command::new("chmod").args(["-R", "u+w"]).arg(self.folder.path()).status();
    }
}

impl Nix {
    /// `None`, and a word about it, where there is no nix.
    fn find() -> Result<Option<Self>> {
        Ok(tools::find("nix").map(|_| tempfile::tempdir()).transpose()?.map(|folder| Self { folder }))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `nix VERB ..`, as one user, without sandbox and without anything from elsewhere.
    fn command(&self, verb: &[&str]) -> Command {
        let mut command = Command::new("nix");
        command.args(["--extra-experimental-features", "nix-command flakes"]).args(verb);
        let options = [("sandbox", "false"), ("build-users-group", ""), ("substitute", "false"), ("max-jobs", "1")];
        command.args(options.iter().flat_map(|(name, value)| ["--option", name, value]));
        command.arg("--no-write-lock-file").current_dir(workspace());

        let home = PathBuf::from(std::env::var_os("HOME").unwrap_or_default());
        let of_home = |name: &str, folder: &str| std::env::var_os(name).unwrap_or_else(|| home.join(folder).into());
        command.env("CARGO_HOME", of_home("CARGO_HOME", ".cargo"));
        command.env("RUSTUP_HOME", of_home("RUSTUP_HOME", ".rustup"));
        command.env("FASTBOOT_NIX_TARGET", workspace_target().join("nix"));
        command.env("MINI_FZF_INPUT", self.path("list"));
        for (name, folder) in [("NIX_STORE_DIR", "store"), ("NIX_STATE_DIR", "state"), ("NIX_LOG_DIR", "log")] {
            command.env(name, self.path(folder));
        }
        command.env("NIX_CONF_DIR", self.path("configuration")).env("HOME", self.path("home"));
        command
    }

    /// `nix build` of something in `flake`, whose inputs are replaced as `inputs` says. Returns what was built.
    fn build(&self, flake: &str, inputs: &[(&str, &str)], options: &[&str]) -> Result<PathBuf> {
        let link = self.path("result");
        let mut command = self.command(&["build", "--impure", "--print-build-logs"]);
        command.args(inputs.iter().flat_map(|(input, instead)| ["--override-input", input, instead]));
        succeed(command.args(options).arg("--out-link").arg(&link).arg(flake))?;
        fs::read_link(&link).context("nix build left no result")
    }
}

/// The flake in the version of this working tree: the files that git knows.
fn flake() -> Result<String> {
    let root = workspace().canonicalize()?;
    ensure!(root.join(".git").exists(), "{} is not a git repository", root.display());
    Ok(format!("git+file://{}", root.display()))
}

/// The one that stands in for nixpkgs.
fn stand_in() -> Result<String> {
    Ok(format!("path:{}", workspace().join("tests/nix").canonicalize()?.display()))
}

#[test]
fn the_example_in_the_documentation_is_the_one_that_is_tested() -> Result<()> {
    let chapter = fs::read_to_string(workspace().join("docs/nix.md"))?;
    let example = fs::read_to_string(workspace().join("tests/nix/user/flake.nix"))?;
    ensure!(chapter.contains(&example), "docs/nix.md does not contain tests/nix/user/flake.nix");
    Ok(())
}

#[test]
fn what_the_flake_has() -> Result<()> {
    let Some(nix) = Nix::find()? else { return Ok(()) };
    let mut show = nix.command(&["flake", "show", "--json"]);
    let shown = succeed(show.args(["--override-input", "nixpkgs", &stand_in()?, &flake()?]))?;
    let shown: serde_json::Value = serde_json::from_slice(&shown.stdout)?;
    for (kind, name) in [
        ("packages", "cargo-fastboot"),
        ("packages", "bench"),
        ("packages", "snapshot"),
        ("packages", "bench-embedded"),
        ("packages", "default"),
        ("devShells", "default"),
        ("checks", "ci"),
        ("checks", "thaws"),
    ] {
        let kind_of = &shown[kind]["x86_64-linux"][name]["type"];
        ensure!(kind_of.is_string(), "no {kind}.x86_64-linux.{name}:\n{shown:#}");
    }
    Ok(())
}

#[test]
fn the_three_phases_are_built_and_the_result_thaws() -> Result<()> {
    let Some(nix) = Nix::find()? else { return Ok(()) };
    // Nothing is downloaded in the derivations.
    succeed(cargo_here("fetch").args(["--locked", "--target", TARGET]))?;
    let list = nix.path("list");
    fs::write(&list, "one/two.rs\nthree/four.c\n")?;
    let (flake, stand_in) = (flake()?, stand_in()?);
    let inputs = [("nixpkgs", stand_in.as_str())];

    let embedded = nix.build(&format!("{flake}#bench-embedded"), &inputs, &[])?;
    fs::remove_file(&list)?;
    let run = Run::of(program(&embedded.join("bin/mini-fzf")).args(["--get", "0", "1"]).env("FASTBOOT_LOG", "1"))?;
    run.require_success()?;
    ensure!(run.stdout == "one/two.rs\nthree/four.c\n", "{}", run.stdout);
    ensure!(run.stderr.starts_with("fastboot: thawed 1 root from section, "), "{}", run.stderr);

    // The phases before it are there now: nothing may be built.
    for phase in ["bench", "snapshot", "cargo-fastboot"] {
        let built = nix.build(&format!("{flake}#{phase}"), &inputs, &["--option", "max-jobs", "0"])?;
        let file = match phase {
            "snapshot" => built.join("mini-fzf.snap"),
            "bench" => built.join("bin/mini-fzf"),
            _ => built.join("share/man/man1/cargo-fastboot-build.1"),
        };
        ensure!(file.is_file(), "{phase} has no {}", file.display());
    }

    // Another project, with the flake that docs/nix.md shows.
    let demo = nix.path("demo");
    let mut new = fastboot()?;
    new.args(["new", "--vcs", "none", "--fastboot-rt-path"]).arg(workspace().join("fastboot-rt"));
    succeed(new.arg(&demo))?;
    succeed(cargo().args(["generate-lockfile", "--offline"]).current_dir(&demo))?;
    fs::copy(workspace().join("tests/nix/user/flake.nix"), demo.join("flake.nix"))?;
    let inputs = [("fastboot", flake.as_str()), ("fastboot/nixpkgs", stand_in.as_str())];
    let built = nix.build(&format!("path:{}", demo.display()), &inputs, &[])?;
    let run = Run::of(program(&built.join("bin/demo")).arg("Japan").env("FASTBOOT_LOG", "1"))?;
    ensure!(run.stdout == "Tokyo\n" && run.stderr.contains("thawed 1 root from section"), "{run:?}");
    Ok(())
}
