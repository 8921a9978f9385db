//! A published program, made to start with its values in place: the example of docs/adding.md, from the patch that it shows.

use anyhow::{Context, Result, ensure};
use fastboot_tests::programs::{cargo, fastboot, succeed, workspace};
use fastboot_tests::runs::Run;
use fastboot_tests::tools;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const PATCH: &str = "bench/adding/rink-0.9.0.patch";

/// Has cargo download the package, and returns where it is.
fn download(folder: &Path, name: &str, version: &str) -> Result<PathBuf> {
    fs::create_dir_all(folder.join("src"))?;
    fs::write(folder.join("src/lib.rs"), "")?;
    let manifest = format!(
        "[package]\nname = \"download\"\nedition = \"2024\"\n[workspace]\n[dependencies]\n{name} = \"={version}\"\n"
    );
    fs::write(folder.join("Cargo.toml"), manifest)?;
    let said = succeed(cargo().current_dir(folder).args(["metadata", "--format-version=1"]))?;
    let metadata: serde_json::Value = serde_json::from_slice(&said.stdout)?;
    let packages = metadata["packages"].as_array().context("no packages")?;
    let package = packages.iter().find(|package| package["name"] == name).context("cargo did not download it")?;
    let manifest = package["manifest_path"].as_str().context("no manifest")?;
    Ok(Path::new(manifest).parent().context("no folder")?.to_owned())
}

#[test]
#[ignore = "downloads a program, and builds it twice with what it depends on: minutes"]
fn the_program_of_the_documentation_starts_with_its_units() -> Result<()> {
    if tools::find("git").is_none() || tools::find("pkg-config").is_none() {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let source = download(&folder.path().join("download"), "rink", "0.9.0")?;
    let [plain, patched] = ["plain", "patched"].map(|name| folder.path().join(name));
    for copy in [&plain, &patched] {
        succeed(Command::new("cp").arg("-r").arg(&source).arg(copy))?;
    }
    let patch = workspace().join(PATCH).canonicalize()?;
    succeed(Command::new("git").current_dir(&patched).args(["apply", "-p1"]).arg(&patch))?;

    let target = folder.path().join("target");
    let mut build = cargo();
    build.current_dir(&plain).args(["build", "--release", "--locked", "--target-dir"]).arg(&target);
    succeed(&mut build)?;
    let program = folder.path().join("plain-rink");
    fs::copy(target.join("release/rink"), &program)?;

    let runtime = workspace().join("fastboot-rt").canonicalize()?;
    let config = format!("patch.crates-io.fastboot-rt.path={runtime:?}");
    let mut build = fastboot()?;
    build.current_dir(&patched).args(["build", "--release", "--config", &config, "--target-dir"]).arg(&target);
    let said = succeed(&mut build)?;
    let said = String::from_utf8_lossy(&said.stderr);
    ensure!(said.contains("Verified 1 root equal"), "{said}");

    // Without exchange rates, which it would download.
    let config = folder.path().join("config.toml");
    fs::write(&config, "[currency]\nenabled = false\n")?;
    for asked in
        ["3 inches to cm", "speed of light to km/hour", "H2O", "2 kWh / 3 hours to hp", "nonsense", "units for power"]
    {
        let run = |program: &Path| {
            let mut command = Command::new(program);
            command.current_dir(folder.path()).env("HOME", folder.path()).env_remove("XDG_CONFIG_HOME");
            Run::of(command.arg("--config").arg(&config).arg(asked).env("FASTBOOT_LOG", "1"))
        };
        let (plain, embedded) = (run(&program)?, run(&target.join("release/rink"))?);
        ensure!(embedded.stderr.starts_with("fastboot: thawed 1 root"), "{embedded:?}");
        ensure!((&plain.stdout, plain.status) == (&embedded.stdout, embedded.status), "{plain:?}\n{embedded:?}");
    }
    Ok(())
}
