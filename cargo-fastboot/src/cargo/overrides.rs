//! Overrides: what `--config` says about running and linking programs. Cargo is given the flags as they are; this is for the
//! program that is frozen, which cargo does not run, and for how it is linked, which cargo is told by the tool.
//!
//! An argument is a file, or else a line of TOML; a later one goes before an earlier one, and all of them before files and
//! environment variables.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use cargo_config2::{PathAndArgs, ResolveOptions};
use toml::{Table, Value};

use crate::say::output;

/// What the flags set.
#[derive(Debug, Default)]
pub(crate) struct Overrides {
    /// Runners: the name of the target or its condition, and the words.
    runners: BTreeMap<String, Vec<String>>,
    env: Table,
    /// Linkers, by target.
    linkers: BTreeMap<String, PathBuf>,
    /// Flags for rustc, whatever they are for.
    pub(crate) rustflags: Vec<String>,
    /// The target to build for, if they name one.
    pub(crate) build_target: Option<String>,
}

impl Overrides {
    /// Reads the arguments of `--config`. Relative paths in them are relative to `folder`; those in a file, to the folder above
    /// the file's own, as if that were `.cargo`.
    pub(crate) fn read(arguments: &[String], folder: &Path) -> Result<Self> {
        let mut overrides = Self::default();
        for argument in arguments {
            let path = folder.join(argument);
            let (text, base) = if path.is_file() {
                let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
                (text, path.parent().and_then(Path::parent).map_or_else(PathBuf::new, Path::to_owned))
            } else {
                (argument.clone(), folder.to_owned())
            };
            let table: Table = text.parse().with_context(|| format!("cannot read `--config {argument}`"))?;
            overrides.take(table, &base);
        }
        Ok(overrides)
    }

    fn take(&mut self, mut table: Table, base: &Path) {
        if let Some(Value::Table(targets)) = table.remove("target") {
            for (name, value) in targets {
                if let Some(linker) = value.get("linker").and_then(Value::as_str) {
                    let path = if linker.contains('/') { base.join(linker) } else { linker.into() };
                    self.linkers.insert(name.clone(), path);
                }
                self.rustflags.extend(value.get("rustflags").into_iter().flat_map(words));
                if let Some(runner) = value.get("runner") {
                    self.runners.insert(name, program(runner, base));
                }
            }
        }
        self.rustflags.extend(table.get("build").and_then(|build| build.get("rustflags")).into_iter().flat_map(words));
        if let Some(Value::Table(env)) = table.remove("env") {
            self.env.extend(env.into_iter().map(|(name, value)| (name, variable(value, base))));
        }
        let target = table.get("build").and_then(|build| build.get("target")).and_then(Value::as_str);
        self.build_target = target.map(str::to_owned).or(self.build_target.take());
    }

    /// The runner for the target, if one is set.
    pub(crate) fn runner(&self, triple: &str, config: &cargo_config2::Config) -> Result<Option<PathAndArgs>> {
        if self.runners.is_empty() {
            return Ok(None);
        }
        // Read by itself, for what `cfg(..)` means.
        let folder = output::temporary_folder(".fastboot-config-", None)?;
        let cannot_write = || format!("cannot write into {}", folder.path().display());
        std::fs::create_dir(folder.path().join(".cargo")).with_context(cannot_write)?;
        // Strings of JSON are strings of TOML.
        let table = |(name, words)| anyhow::Ok(format!("target.{}.runner = {}\n", json(name)?, json(words)?));
        let text = self.runners.iter().map(table).collect::<Result<String>>()?;
        std::fs::write(folder.path().join(".cargo/config.toml"), text).with_context(cannot_write)?;
        let nothing: [(&str, &str); 0] = [];
        let options = ResolveOptions::default().cargo_home(None).env(nothing).rustc(config.rustc().clone());
        let own = cargo_config2::Config::load_with_options(folder.path(), options)?;
        own.runner(triple).context("cannot find out the runner that `--config` sets")
    }

    /// The linker for the target, if one is set.
    pub(crate) fn linker(&self, triple: &str) -> Option<&Path> {
        self.linkers.get(triple).map(PathBuf::as_path)
    }

    /// The variables that are set, each with whether it is set even if the environment has it.
    pub(crate) fn variables(&self) -> impl Iterator<Item = (&str, &str, bool)> {
        self.env.iter().filter_map(|(name, value)| {
            let force = value.get("force").and_then(Value::as_bool).unwrap_or(false);
            Some((name.as_str(), value.get("value").unwrap_or(value).as_str()?, force))
        })
    }
}

fn json(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value).context("cannot write down what `--config` says")
}

/// Those of a list, or of a text.
fn words(value: &Value) -> Vec<String> {
    match value {
        Value::Array(words) => words.iter().filter_map(|word| word.as_str().map(str::to_owned)).collect(),
        other => other.as_str().unwrap_or_default().split_whitespace().map(str::to_owned).collect(),
    }
}

/// The words of a runner, its path made absolute.
fn program(runner: &Value, base: &Path) -> Vec<String> {
    let mut words = words(runner);
    if let Some(first) = words.first_mut().filter(|first| first.contains('/')) {
        *first = base.join(&*first).to_string_lossy().into_owned();
    }
    words
}

/// An entry of `[env]`, its path made absolute if it is one.
fn variable(mut value: Value, base: &Path) -> Value {
    if let Value::Table(entry) = &mut value
        && entry.remove("relative").is_some_and(|relative| relative.as_bool() == Some(true))
        && let Some(Value::String(path)) = entry.get_mut("value")
    {
        *path = base.join(&*path).to_string_lossy().into_owned();
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &[&str], folder: &Path) -> Overrides {
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        Overrides::read(&arguments, folder).expect("arguments")
    }

    #[test]
    fn variables_of_lines_and_files() {
        let folder = tempfile::tempdir().expect("a folder");
        let inner = folder.path().join("inner");
        std::fs::create_dir(&inner).expect("a folder");
        std::fs::write(inner.join("more.toml"), "[env]\nHERE = { value = \"x\", relative = true }\nA = \"file\"\n")
            .expect("a file");
        let overrides = read(
            &[
                "env.A='one'",
                "env.B={value='two', force=true}",
                "env.C.value='three'",
                "inner/more.toml",
                "build.jobs=1",
            ],
            folder.path(),
        );
        let here = folder.path().join("x").to_string_lossy().into_owned();
        let found: Vec<_> = overrides.variables().collect();
        assert_eq!(
            found,
            [("A", "file", false), ("B", "two", true), ("C", "three", false), ("HERE", here.as_str(), false)]
        );
    }

    #[test]
    fn what_links_otherwise() {
        let arguments = [
            "target.x86_64-unknown-linux-gnu.linker='bin/my-cc'",
            "build.rustflags='-C relocation-model=pie'",
            "target.'cfg(unix)'.rustflags=['-Clink-arg=-s']",
        ];
        let overrides = read(&arguments, Path::new("/p"));
        assert_eq!(overrides.linker("x86_64-unknown-linux-gnu"), Some(Path::new("/p/bin/my-cc")));
        assert_eq!(overrides.linker("x86_64-unknown-linux-musl"), None);
        assert_eq!(overrides.rustflags, ["-C", "relocation-model=pie", "-Clink-arg=-s"]);
    }

    #[test]
    fn runners_by_triple_and_by_condition() {
        let (folder, triple) = (Path::new("/some/folder"), "x86_64-unknown-linux-gnu");
        let config = cargo_config2::Config::load_with_cwd("/").expect("cargo's configuration");
        for (argument, expected) in [
            ("target.x86_64-unknown-linux-gnu.runner='bin/run -a'", Some(("/some/folder/bin/run", 1))),
            ("target.'cfg(unix)'.runner=['run', 'a b', 'c']", Some(("run", 2))),
            ("target.'cfg(windows)'.runner='run'", None),
            ("build.target='x86_64-unknown-linux-musl'", None),
        ] {
            let runner = read(&[argument], folder).runner(triple, &config).expect("a runner");
            let found = runner.as_ref().map(|runner| (runner.path.to_str().expect("UTF-8"), runner.args.len()));
            assert_eq!(found, expected, "{argument}");
        }
    }

    #[test]
    fn a_line_that_is_none() {
        assert!(Overrides::read(&["env.A".to_owned()], Path::new("/")).is_err());
    }
}
