//! The CI artifact: what the action of this repository runs, run here.

use anyhow::{Context, Result, ensure};
use fastboot_tests::programs::{TargetFolder, fastboot, programs, succeed, workspace};
use fastboot_tests::runs::{Run, program};
use std::fs;
use std::path::Path;
use std::process::Command;

#[test]
fn a_static_program_with_checksum_and_provenance() -> Result<()> {
    let target = TargetFolder::lock()?;
    let folder = tempfile::tempdir()?;
    let (out, output) = (folder.path().join("artifact"), folder.path().join("output"));
    // As an action gets it installed.
    let tool = fastboot()?.get_program().to_owned();
    let tools = Path::new(&tool).parent().context("a tool without a folder")?.to_owned();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths([tools].into_iter().chain(std::env::split_paths(&path)))?;
    let mut bake = Command::new(workspace().join(".github/bake"));
    bake.current_dir(programs()).env("PATH", path).env("BIN", "small").env("FOLDER", &out);
    bake.env("ARGUMENTS", "--package small --static --locked").env("CARGO_TARGET_DIR", target.path());
    succeed(bake.env("GITHUB_OUTPUT", &output))?;
    ensure!(fs::read_to_string(&output)? == format!("folder={}\n", out.display()));

    succeed(Command::new("sha256sum").args(["--check", "--strict", "small.sha256"]).current_dir(&out))?;
    let listed = fs::read_to_string(out.join("small.sha256"))?;
    ensure!(listed.lines().count() == 2, "{listed}");

    let provenance: serde_json::Value = serde_json::from_slice(&fs::read(out.join("small.provenance.json"))?)?;
    ensure!(provenance["kind"] == "embedded" && provenance["file"] == "small", "{provenance:#}");
    ensure!(provenance["dynamic"] == false, "not static: {provenance:#}");
    ensure!(provenance["image"]["identity"] == provenance["identity"], "{provenance:#}");
    ensure!(provenance["image"]["cpu_features"].is_array(), "{provenance:#}");
    let roots = provenance["image"]["roots"].as_array().context("no roots")?.len();

    Run::of(program(&out.join("small")).env("FASTBOOT_LOG", "1"))?.require_thawed(roots)
}
