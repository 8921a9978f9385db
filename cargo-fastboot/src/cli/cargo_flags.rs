//! Cargo flags: those that mean what they mean to cargo.

use anstream::ColorChoice;
use clap::{ArgAction, Args};
use std::path::PathBuf;

use super::values::parse_color;
use crate::say::shell::Verbosity;

/// Which binaries.
#[derive(Debug, Args)]
pub(crate) struct TargetFlags {
    /// Build only the specified binary
    #[arg(long, value_name = "NAME")]
    pub(crate) bin: Vec<String>,
    /// Build all binaries
    #[arg(long)]
    pub(crate) bins: bool,
    /// Build only the specified example
    #[arg(long, value_name = "NAME")]
    pub(crate) example: Vec<String>,
    /// Build all examples
    #[arg(long)]
    pub(crate) examples: bool,
}

impl CompilationFlags {
    /// Whether the profile is one for programs that are used: not `dev`, nor `test`.
    pub(crate) fn is_optimized(&self) -> bool {
        self.release || self.profile.as_deref().is_some_and(|name| !["dev", "test"].contains(&name))
    }

    /// The folder of the profile, as cargo calls it.
    pub(crate) fn profile_folder(&self) -> &str {
        match self.profile.as_deref() {
            Some("dev" | "test") => "debug",
            Some("bench") => "release",
            Some(name) => name,
            None if self.release => "release",
            None => "debug",
        }
    }
}

/// How cargo builds.
#[derive(Debug, Args)]
pub(crate) struct CompilationFlags {
    /// Build in release mode, with optimizations
    #[arg(short, long, conflicts_with = "profile")]
    pub(crate) release: bool,
    /// Build with the specified profile
    #[arg(long, value_name = "PROFILE-NAME")]
    pub(crate) profile: Option<String>,
    /// Number of parallel jobs, defaults to # of CPUs
    #[arg(short, long, value_name = "N", allow_hyphen_values = true)]
    pub(crate) jobs: Option<String>,
    /// Do not abort the build as soon as there is an error
    #[arg(long)]
    pub(crate) keep_going: bool,
    /// Target triple to build for
    #[arg(long, value_name = "TRIPLE")]
    pub(crate) target: Option<String>,
    /// Folder for all generated artifacts
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) target_dir: Option<PathBuf>,
    /// Output a build timing report at the end of the build
    #[arg(long)]
    pub(crate) timings: bool,
}

/// Where the manifest is, and what cargo may do with it.
#[derive(Debug, Args)]
pub(crate) struct ManifestFlags {
    /// Path to Cargo.toml
    #[arg(long, value_name = "PATH")]
    pub(crate) manifest_path: Option<PathBuf>,
    /// Ignore `rust-version` specification in packages
    #[arg(long)]
    pub(crate) ignore_rust_version: bool,
    /// Assert that `Cargo.lock` will remain unchanged
    #[arg(long)]
    pub(crate) locked: bool,
    /// Run without accessing the network
    #[arg(long)]
    pub(crate) offline: bool,
    /// Equivalent to specifying both --locked and --offline
    #[arg(long)]
    pub(crate) frozen: bool,
    /// Override a cargo configuration value
    #[arg(long, value_name = "KEY=VALUE|PATH")]
    pub(crate) config: Vec<String>,
    /// Unstable (nightly-only) flags to cargo
    #[arg(short = 'Z', value_name = "FLAG")]
    pub(crate) unstable: Vec<String>,
}

/// How much is said.
#[derive(Debug, Args)]
pub(crate) struct OutputFlags {
    /// Use verbose output (-vv very verbose)
    #[arg(short, long, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Say nothing but warnings and errors
    #[arg(short, long, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Coloring: auto, always, never
    #[arg(long, value_name = "WHEN", value_parser = parse_color)]
    pub(crate) color: Option<ColorChoice>,
}

impl OutputFlags {
    /// How much is said; cargo's variables count when there is no flag.
    pub(crate) fn verbosity(&self) -> Verbosity {
        let wanted = |name| std::env::var(name).is_ok_and(|value| value == "true");
        match (self.quiet, self.verbose) {
            (true, _) => Verbosity::Quiet,
            (false, 1..) => Verbosity::Verbose,
            (false, 0) if wanted("CARGO_TERM_QUIET") => Verbosity::Quiet,
            (false, 0) if wanted("CARGO_TERM_VERBOSE") => Verbosity::Verbose,
            (false, 0) => Verbosity::Normal,
        }
    }

    /// Whether in colour; cargo's variable counts when there is no flag.
    pub(crate) fn color(&self) -> ColorChoice {
        self.color.or_else(|| parse_color(&std::env::var("CARGO_TERM_COLOR").ok()?).ok()).unwrap_or(ColorChoice::Auto)
    }

    /// The value of cargo's own `--color` that says the same as the flag.
    pub(crate) fn color_name(&self) -> Option<&'static str> {
        Some(match self.color? {
            ColorChoice::Always | ColorChoice::AlwaysAnsi => "always",
            ColorChoice::Never => "never",
            ColorChoice::Auto => "auto",
        })
    }
}
