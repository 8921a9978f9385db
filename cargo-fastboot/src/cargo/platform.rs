//! Platform: what cargo's configuration says about the target, and whether it can be frozen for it here.

use super::overrides::Overrides;
use anyhow::{Context, Result, anyhow, ensure};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What cargo's configuration says about running a program of the target.
#[derive(Debug, Default)]
pub(crate) struct Platform {
    /// The target.
    pub(crate) triple: String,
    /// The program that runs programs of the target, with its arguments; empty if they run by themselves.
    pub(crate) runner: Vec<OsString>,
    /// Variables of the `[env]` table, for every program that cargo starts.
    pub(crate) environment: Vec<(OsString, OsString)>,
    /// The code model that the flags for rustc ask for, if they do.
    code_model: Option<String>,
    /// The folder of the standard library's shared libraries, for programs that prefer those.
    pub(crate) libraries: Option<PathBuf>,
    /// The linker, if one is configured.
    pub(crate) linker: Option<PathBuf>,
    /// Whether the flags for rustc say how or by what executables are linked.
    links_otherwise: bool,
}

impl Platform {
    /// Reads the configuration, with the arguments of `--config`, for `target`, else for the one it names, else for the host;
    /// refuses what cannot be frozen here, before anything is built.
    pub(crate) fn load(target: Option<&str>, arguments: &[String]) -> Result<Self> {
        let folder = std::env::current_dir().context("cannot find the current folder")?;
        let overrides = Overrides::read(arguments, &folder)?;
        let target = target.or(overrides.build_target.as_deref());
        let config = cargo_config2::Config::load_with_cwd(&folder)
            .with_context(|| format!("cannot read cargo's configuration for {}", folder.display()))?;
        let host = config.host_triple().context("cannot find out the host; is `rustc` installed?")?.to_owned();
        // As cargo has it, `host-tuple` stands for the host.
        let target = target.map(|target| if target == "host-tuple" { host.as_str() } else { target });
        let targets = config.build_target_for_config(target).context("cannot find out the target")?;
        let [target] = targets.as_slice() else {
            let names: Vec<&str> = targets.iter().map(|target| target.triple()).collect();
            return Err(anyhow!("several targets are configured ({}); name one with `--target`", names.join(", ")));
        };
        let triple = target.triple();
        ensure!(
            triple.starts_with("x86_64-") && triple.contains("-linux-") && !triple.ends_with("x32"),
            "cannot freeze for {triple}: images exist for Linux on x86-64 only. `cargo build --target {triple}` builds \
             the same program, with its roots evaluated on first use (see docs/limits.md)"
        );
        let no_runner = || format!("cannot find out the runner for {triple}");
        let runner = match overrides.runner(triple, &config).with_context(no_runner)? {
            None => config.runner(target).with_context(no_runner)?,
            some => some,
        };
        ensure!(
            runner.is_some() || host.starts_with("x86_64-") && host.contains("-linux-"),
            "cannot run programs for {triple} on {host}, and freezing runs the program; configure a runner with \
             `[target.{triple}] runner = \"...\"` in .cargo/config.toml (see docs/limits.md)"
        );
        let configured = config.linker(target).with_context(|| format!("cannot find out the linker for {triple}"))?;
        let linker = overrides.linker(triple).map(Path::to_owned).or(configured);
        let flags = config.rustflags(target).with_context(|| format!("cannot find out the flags for {triple}"))?;
        let mut flags = flags.map(|flags| flags.flags).unwrap_or_default();
        flags.extend_from_slice(&overrides.rustflags);
        let files = config.env.iter().map(|(name, entry)| (name.as_str(), entry.value.as_os_str(), entry.force));
        let variables = overrides.variables().map(|(name, value, force)| (name, OsStr::new(value), force));
        // The last one counts.
        let variables: BTreeMap<&str, (&OsStr, bool)> =
            files.chain(variables).map(|(name, value, force)| (name, (value, force))).collect();
        let environment = variables.into_iter().filter(|(name, (_, force))| *force || std::env::var_os(name).is_none());
        let mut rustc = Command::from(config.rustc());
        let printed = rustc.args(["--print", "target-libdir", "--target", triple]).output().ok();
        let libraries = printed
            .filter(|output| output.status.success())
            .map(|output| PathBuf::from(String::from_utf8_lossy(output.stdout.trim_ascii_end()).into_owned()));
        Ok(Self {
            triple: triple.to_owned(),
            code_model: last(&flags, "code-model"),
            links_otherwise: links_otherwise(&flags),
            libraries,
            linker,
            runner: runner.map_or_else(Vec::new, |runner| {
                std::iter::once(runner.path.into_os_string()).chain(runner.args).collect()
            }),
            environment: environment.map(|(name, (value, _))| (name.into(), value.to_owned())).collect(),
        })
    }
}

impl Platform {
    /// Refuses flags for rustc with which no binary can be frozen, before anything is built.
    pub(crate) fn require_flags(&self) -> Result<()> {
        match self.code_model.as_deref() {
            None | Some("small") => Ok(()),
            Some(model) => Err(anyhow!(
                "cannot freeze with `-C code-model={model}`: the section for the image is found by the distances of the small \
                 code model; leave the flag out of RUSTFLAGS and of `rustflags` in cargo's configuration. The image \
                 itself may have any size"
            )),
        }
    }

    /// Whether an executable can be linked for high addresses: what is called as the linker is the tool, and position-independent
    /// executables are made with the C compiler's own start files. Those of musl are named one by one, and static.
    pub(crate) fn can_link_high(&self) -> bool {
        self.triple.ends_with("-linux-gnu") && !self.links_otherwise
    }
}

/// The value of the last `-C OPTION=` in these flags.
fn last(flags: &[String], option: &str) -> Option<String> {
    let mut values = flags.iter().filter_map(|flag| {
        let flag = flag.strip_prefix("--codegen=").or(flag.strip_prefix("-C")).unwrap_or(flag);
        flag.trim_start().strip_prefix(option)?.strip_prefix('=')
    });
    values.next_back().map(str::to_owned)
}

/// Whether these flags name a linker, or say whether an executable is to be position-independent or static.
fn links_otherwise(flags: &[String]) -> bool {
    let features = last(flags, "target-feature").unwrap_or_default();
    last(flags, "linker").or(last(flags, "relocation-model")).is_some() || features.contains("+crt-static")
}

/// The runner for a binary that is there already. Nobody is asked for the host unless it matters: that takes longer than many
/// a freeze, and the machine may be one without Rust, where the binary simply runs.
pub(crate) fn runner(target: Option<&str>) -> Result<Vec<OsString>> {
    if target.is_none() && !names_targets()? {
        return Ok(Vec::new());
    }
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let missing = Command::new(rustc).arg("-vV").output().is_err_and(|error| error.kind() == ErrorKind::NotFound);
    if missing && target.is_none() { Ok(Vec::new()) } else { Ok(Platform::load(target, &[])?.runner) }
}

/// Whether cargo's configuration says anything about targets, in a file or in the environment.
fn names_targets() -> Result<bool> {
    let folder = std::env::current_dir().context("cannot find the current folder")?;
    let config = cargo_config2::de::Config::load_with_cwd(&folder)
        .with_context(|| format!("cannot read cargo's configuration for {}", folder.display()))?;
    let is_about_targets =
        |name: &OsStr| name == "CARGO_BUILD_TARGET" || name.as_encoded_bytes().starts_with(b"CARGO_TARGET_");
    Ok(!config.target.is_empty()
        || config.build.target.is_some()
        || std::env::vars_os().any(|(name, _)| is_about_targets(&name) && name != "CARGO_TARGET_DIR"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(flags: &str) -> Vec<String> {
        flags.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn code_models() {
        let of = |flags: &str| last(&list(flags), "code-model");
        assert_eq!(of("-Ccode-model=large -O"), Some("large".to_owned()));
        assert_eq!(of("-C code-model=large -C code-model=small"), Some("small".to_owned()));
        assert_eq!(of("-C opt-level=3 --cfg code-model"), None);
        let platform = |model: &str| Platform { code_model: Some(model.to_owned()), ..Platform::default() };
        assert!(platform("small").require_flags().is_ok() && Platform::default().require_flags().is_ok());
        assert!(platform("medium").require_flags().is_err_and(|error| error.to_string().contains("code-model=medium")));
    }

    #[test]
    fn where_executables_can_be_linked_for_high_addresses() {
        let can = |triple: &str, flags: &str| {
            let links_otherwise = links_otherwise(&list(flags));
            Platform { triple: triple.to_owned(), links_otherwise, ..Platform::default() }.can_link_high()
        };
        let usual = "x86_64-unknown-linux-gnu";
        assert!(can(usual, "-O"));
        assert!(can(usual, "-Clinker-features=-lld -C link-arg=-fuse-ld=mold -C target-feature=+avx2,-crt-static"));
        assert!(!can("x86_64-unknown-linux-musl", "-O"));
        for flags in [
            "-Clinker=clang",
            "-C linker=ld",
            "--codegen=linker=/opt/ld",
            "-C relocation-model=pie",
            "-Crelocation-model=static",
            "-C target-feature=+crt-static",
        ] {
            assert!(!can(usual, flags), "{flags}");
        }
    }
}
