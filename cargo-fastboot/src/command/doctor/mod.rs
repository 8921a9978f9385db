//! Doctor: can this machine build, and what to do if not?
//!
//! What can be tried is tried, not looked up: a small program (`templates/probe.rs`) is built by the user's cargo with
//! the user's configuration and the flags of `build`, and run where binaries are built. It needs no crates, so it says
//! something even where nothing can be downloaded. Everything after that is judging what it printed.

mod diagnosis;
mod judge;
mod probe;

use crate::cargo;
use crate::cargo::platform::Platform;
use crate::cargo::select::RUNTIME;
use crate::cli::{DoctorFlags, LinkFlags};
use crate::options::Place;
use crate::say::shell::Shell;
use anstream::AutoStream;
use anstyle::{AnsiColor, Style};
use anyhow::{Context, Result, bail};
use cargo_metadata::{Metadata, MetadataCommand};
use diagnosis::{Diagnosis, Level};
use fastboot_format::protocol::RUNTIME_VERSION;
use judge::{judge, kernel, linker, randomize_va_space, variant, version};
use probe::{Probe, build_probe, probe_folder, run_probe};
use std::io::Write;
use std::process::Command;

/// `cargo fastboot doctor`.
pub(crate) fn doctor(flags: &DoctorFlags, shell: &Shell) -> Result<()> {
    let findings = examine(shell)?;
    report(&findings, flags.output.color()).context("cannot write to standard output")?;
    let count = |level| findings.iter().filter(|finding| finding.level == level).count();
    match (count(Level::Fail), count(Level::Warn)) {
        (0, 0) => shell.status("Finished", "programs can be built here"),
        (0, warnings) => shell.status("Finished", format_args!("programs can be built here; warnings: {warnings}")),
        (failures, _) => bail!("programs cannot be built here; failures: {failures}; what to do about each is above"),
    }
    Ok(())
}

fn examine(shell: &Shell) -> Result<Vec<Diagnosis>> {
    let (compiler, host) = compiler();
    if compiler.level == Level::Fail {
        return Ok(vec![compiler]);
    }
    let metadata = metadata(&host);
    let mut findings = vec![compiler];
    findings.extend(metadata.as_ref().map(package));
    let platform = match Platform::load(None, &[]) {
        Ok(platform) => platform,
        Err(error) => {
            // It says itself what to do.
            findings.push(Diagnosis { level: Level::Fail, about: "target", found: format!("{error:#}"), remedy: None });
            return Ok(findings);
        }
    };

    if let Err(error) = platform.require_flags() {
        findings.push(Diagnosis { level: Level::Fail, about: "code model", found: format!("{error:#}"), remedy: None });
        return Ok(findings);
    }
    let folder = probe_folder(metadata.as_ref())?;
    let build =
        |pie, static_libc, place| build_probe(folder.path(), LinkFlags { pie, static_libc }, place, &platform, shell);
    let in_section = build(false, false, Place::Section)?;
    let as_footer = match &in_section {
        Probe::Built { .. } => None,
        Probe::Failed(_) => Some(build(false, false, Place::Footer)?),
    };
    findings.push(linker(&in_section, as_footer.as_ref()));
    findings.push(kernel());
    let place = if as_footer.is_some() { Place::Footer } else { Place::Section };
    let Probe::Built { path, .. } = as_footer.as_ref().unwrap_or(&in_section) else { return Ok(findings) };
    match run_probe(path, &platform.runner) {
        Ok(said) => findings.extend(judge(&said, &randomize_va_space())),
        Err(error) => findings.push(Diagnosis::fail(
            "program",
            format!("{error:#}"),
            format!(
                "freezing runs the program where it is built: {} must not be on a file system mounted `noexec`",
                folder.path().parent().unwrap_or(folder.path()).display()
            ),
        )),
    }
    findings.push(variant(
        "--static",
        &build(false, true, place)?,
        &platform.runner,
        "for `--static`, install the C library's static archives (Debian: libc6-dev; Fedora: glibc-static), and use\n\
         rust-lld or GNU ld",
    ));
    findings.push(variant("--pie", &build(true, false, place)?, &platform.runner, "do without `--pie`"));
    findings.push(variant("--static --pie", &build(true, true, place)?, &platform.runner, "do without one of the two"));
    Ok(findings)
}

/// Prints the findings, what to do about each on a line of its own.
fn report(findings: &[Diagnosis], color: anstream::ColorChoice) -> std::io::Result<()> {
    let mut out = AutoStream::new(std::io::stdout(), color).lock();
    for Diagnosis { level, about, found, remedy } in findings {
        let (color, word) = match level {
            Level::Ok => (AnsiColor::Green, "ok"),
            Level::Warn => (AnsiColor::Yellow, "warn"),
            Level::Fail => (AnsiColor::Red, "fail"),
        };
        let style: Style = color.on_default().bold();
        writeln!(out, "{style}{word:<4}{style:#}  {about:<16} {}", indented(found))?;
        if let Some(remedy) = remedy {
            writeln!(out, "{:20}-> {}", "", indented(remedy))?;
        }
    }
    Ok(())
}

/// With further lines below the first.
fn indented(text: &str) -> String {
    text.replace('\n', &format!("\n{:23}", ""))
}

/// Rust, as the current folder's configuration has it, and the triple of its host.
fn compiler() -> (Diagnosis, String) {
    const ABOUT: &str = "rustc";
    const NEEDED: &str = env!("CARGO_PKG_RUST_VERSION");
    let install = format!("install Rust {NEEDED} or later (`rustup update stable`)");
    let said = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into())).arg("-vV").output();
    let said = match said {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).into_owned(),
        Ok(output) => {
            let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return (Diagnosis::fail(ABOUT, why, install), String::new());
        }
        Err(error) => return (Diagnosis::fail(ABOUT, format!("cannot be run: {error}"), install), String::new()),
    };
    let field =
        |name: &str| said.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("unknown").trim().to_owned();
    let (release, host) = (field("release:"), field("host:"));
    let found = format!("{release} for {host}");
    let is_new = version(&release) >= version(NEEDED);
    (if is_new { Diagnosis::ok(ABOUT, found) } else { Diagnosis::fail(ABOUT, found, install) }, host)
}

/// The package of the current folder, if there is one and cargo can say something about it without the network. It is asked
/// about this platform only: what others need has not been downloaded.
fn metadata(host: &str) -> Option<Metadata> {
    let of = |options: &[&str]| {
        let options: Vec<String> = options.iter().map(ToString::to_string).collect();
        MetadataCommand::new().cargo_path(cargo::program()).other_options(options).exec().ok()
    };
    // Without its dependencies, it still has a target folder.
    of(&["--offline", "--filter-platform", host]).or_else(|| of(&["--offline", "--no-deps"]))
}

/// Whether the runtime of this package fits the tool.
fn package(metadata: &Metadata) -> Diagnosis {
    const ABOUT: &str = "this package";
    let packages = metadata.workspace_default_packages();
    let names = packages.iter().map(|package| package.name.as_str()).collect::<Vec<_>>().join(", ");
    if metadata.resolve.is_none() {
        return Diagnosis::warn(
            ABOUT,
            format!(
                "{names}; which {RUNTIME} it uses is not known, because not all of its dependencies are downloaded"
            ),
            "`cargo fetch`, then ask again",
        );
    }
    let other = metadata
        .packages
        .iter()
        .filter(|package| package.name.as_str() == RUNTIME)
        .map(|package| package.version.to_string())
        .find(|version| version != RUNTIME_VERSION);
    let exactly = format!("cargo add {RUNTIME}@={RUNTIME_VERSION}");
    if let Some(other) = other {
        return Diagnosis::fail(
            ABOUT,
            format!("{names}, with {RUNTIME} {other}; this is cargo-fastboot for {RUNTIME_VERSION}"),
            format!("`{exactly}`, or install the other version of cargo-fastboot"),
        );
    }
    if !packages.iter().any(|package| crate::cargo::select::depends_on_runtime(metadata, package)) {
        return Diagnosis::warn(
            ABOUT,
            format!("{names}, without {RUNTIME}"),
            format!("to freeze something here: `{exactly}`, then `fastboot_rt::install!();` into main.rs"),
        );
    }
    Diagnosis::ok(ABOUT, format!("{names}, with {RUNTIME} {RUNTIME_VERSION}"))
}
