//! Doctor: can this machine build, and what to do if not?
//!
//! What can be tried is tried, not looked up: a small program (`templates/probe.rs`) is built by the user's cargo with
//! the user's configuration and the flags of `build`, and run where binaries are built. It needs no crates, so it says
//! something even where nothing can be downloaded. Everything after that is judging what it printed.

use crate::cargo::select::RUNTIME;
use crate::cargo::{self, Platform};
use crate::cli::{DoctorFlags, LinkFlags};
use crate::elf::binary::Elf;
use crate::options::Place;
use crate::runs::run::spare_memory;
use crate::say::shell::Shell;
use anstream::AutoStream;
use anstyle::{AnsiColor, Style};
use anyhow::{Context, Result, bail, ensure};
use cargo_metadata::{Metadata, MetadataCommand};
use fastboot_format::image::{DEFAULT_HOME, PAGE};
use fastboot_format::protocol::{HOME_SHIFT, RUNTIME_VERSION, SCRATCH, SCRATCH_LEN, STACK_TOP, STACKS_LEN};
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

const PROBE: &str = include_str!("../../templates/probe.rs");

const PROBE_MANIFEST: &str = "\
[package]
name = \"fastboot-probe\"
edition = \"2024\"

[[bin]]
name = \"fastboot-probe\"
path = \"probe.rs\"

[workspace]
";

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Ok,
    /// Building works, with a restriction.
    Warn,
    /// Building cannot work.
    Fail,
}

/// One line of the report.
#[derive(Debug)]
struct Finding {
    level: Level,
    about: &'static str,
    found: String,
    /// What to do about it; for what is not well.
    remedy: Option<String>,
}

impl Finding {
    fn ok(about: &'static str, found: impl Into<String>) -> Self {
        Self { level: Level::Ok, about, found: found.into(), remedy: None }
    }

    fn warn(about: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { level: Level::Warn, about, found: found.into(), remedy: Some(remedy.into()) }
    }

    fn fail(about: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { level: Level::Fail, about, found: found.into(), remedy: Some(remedy.into()) }
    }
}

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

fn examine(shell: &Shell) -> Result<Vec<Finding>> {
    let metadata = metadata();
    let compiler = compiler();
    if compiler.level == Level::Fail {
        return Ok(vec![compiler]);
    }
    let mut findings = vec![compiler];
    findings.extend(metadata.as_ref().and_then(package));
    let platform = match Platform::load(None) {
        Ok(platform) => platform,
        Err(error) => {
            // It says itself what to do.
            findings.push(Finding { level: Level::Fail, about: "target", found: format!("{error:#}"), remedy: None });
            return Ok(findings);
        }
    };

    let folder = probe_folder(metadata.as_ref())?;
    let build = |pie, static_libc, place| build_probe(folder.path(), LinkFlags { pie, static_libc }, place, shell);
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
        Err(error) => findings.push(Finding::fail(
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
    Ok(findings)
}

/// Prints the findings, what to do about each on a line of its own.
fn report(findings: &[Finding], color: anstream::ColorChoice) -> std::io::Result<()> {
    let mut out = AutoStream::new(std::io::stdout(), color).lock();
    for Finding { level, about, found, remedy } in findings {
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

/// Rust, as the current folder's configuration has it.
fn compiler() -> Finding {
    const ABOUT: &str = "rustc";
    const NEEDED: &str = env!("CARGO_PKG_RUST_VERSION");
    let install = format!("install Rust {NEEDED} or later (`rustup update stable`)");
    let said = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into())).arg("-vV").output();
    let said = match said {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).into_owned(),
        Ok(output) => return Finding::fail(ABOUT, String::from_utf8_lossy(&output.stderr).trim().to_owned(), install),
        Err(error) => return Finding::fail(ABOUT, format!("cannot be run: {error}"), install),
    };
    let field =
        |name: &str| said.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("unknown").trim().to_owned();
    let (release, host) = (field("release:"), field("host:"));
    let found = format!("{release} for {host}");
    if version(&release) >= version(NEEDED) { Finding::ok(ABOUT, found) } else { Finding::fail(ABOUT, found, install) }
}

/// The first two numbers in a version; zeros for what is none.
fn version(text: &str) -> [u32; 2] {
    let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().unwrap_or(0));
    [(); 2].map(|()| numbers.next().unwrap_or(0))
}

/// The package of the current folder, if there is one and cargo can say something about it without the network.
fn metadata() -> Option<Metadata> {
    let of = |options: &[&str]| {
        let options: Vec<String> = options.iter().map(ToString::to_string).collect();
        MetadataCommand::new().cargo_path(cargo::program()).other_options(options).exec().ok()
    };
    // Without its dependencies, it still has a target folder.
    of(&["--offline"]).or_else(|| of(&["--offline", "--no-deps"]))
}

/// Whether the runtime of this package fits the tool.
fn package(metadata: &Metadata) -> Option<Finding> {
    const ABOUT: &str = "this package";
    let packages = metadata.workspace_default_packages();
    let names = packages.iter().map(|package| package.name.as_str()).collect::<Vec<_>>().join(", ");
    // Without a graph, nothing is known of the dependencies.
    metadata.resolve.as_ref()?;
    let other = metadata
        .packages
        .iter()
        .filter(|package| package.name.as_str() == RUNTIME)
        .map(|package| package.version.to_string())
        .find(|version| version != RUNTIME_VERSION);
    let exactly = format!("cargo add {RUNTIME}@={RUNTIME_VERSION}");
    if let Some(other) = other {
        return Some(Finding::fail(
            ABOUT,
            format!("{names}, with {RUNTIME} {other}; this is cargo-fastboot for {RUNTIME_VERSION}"),
            format!("`{exactly}`, or install the other version of cargo-fastboot"),
        ));
    }
    if !packages.iter().any(|package| crate::cargo::select::depends_on_runtime(metadata, package)) {
        return Some(Finding::warn(
            ABOUT,
            format!("{names}, without {RUNTIME}"),
            format!("to freeze something here: `{exactly}`, then `fastboot_rt::install!();` into main.rs"),
        ));
    }
    Some(Finding::ok(ABOUT, format!("{names}, with {RUNTIME} {RUNTIME_VERSION}")))
}

/// A folder for the probe: where binaries of this package are built, else where temporary files are.
fn probe_folder(metadata: Option<&Metadata>) -> Result<tempfile::TempDir> {
    let mut builder = tempfile::Builder::new();
    let builder = builder.prefix(".fastboot-doctor-");
    let target = metadata.map(|metadata| metadata.target_directory.as_std_path());
    let there = target.and_then(|target| target.ancestors().find(|folder| folder.is_dir()));
    there
        .and_then(|folder| builder.tempdir_in(folder).ok())
        .map_or_else(|| builder.tempdir(), Ok)
        .context("cannot make a temporary folder for the probe; set TMPDIR to a folder that you may write into")
}

/// What came of building the probe.
enum Probe {
    Built {
        path: PathBuf,
        linker: String,
    },
    /// With what the compiler or the linker said.
    Failed(String),
}

/// Builds the probe as `build` would, in the current folder's configuration, for an image in that place. It is a package
/// without dependencies.
fn build_probe(folder: &Path, link: LinkFlags, place: Place, shell: &Shell) -> Result<Probe> {
    let told = || format!("cannot write into {}", folder.display());
    let script = folder.join("fastboot.ld");
    std::fs::write(folder.join("Cargo.toml"), PROBE_MANIFEST).with_context(told)?;
    std::fs::write(folder.join("probe.rs"), [PROBE, &wrappers()].concat()).with_context(told)?;
    std::fs::write(&script, fastboot_linker::SCRIPT).with_context(told)?;

    let mut command = Command::new(cargo::program());
    command.args([
        "rustc",
        "--offline",
        "--message-format=json-render-diagnostics",
        "--color=never",
        "--manifest-path",
    ]);
    command.arg(folder.join("Cargo.toml")).arg("--target-dir").arg(folder.join("target"));
    command.arg("--").args(cargo::rustc_arguments(link, (place == Place::Section).then_some(&script)));
    // The linker says which one it is, and rustc passes that on.
    command.args(["-C", "link-arg=-Wl,-v", "-W", "linker-messages"]);
    shell.verbose(format_args!("running {command:?}"));
    let output = command.output().with_context(|| format!("cannot start {}", command.get_program().display()))?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Ok(Probe::Failed(what_is_wrong(&stderr)));
    }
    let path = output.stdout.split(|byte| *byte == b'\n').find_map(|line| {
        let message: serde_json::Value = serde_json::from_slice(line).ok()?;
        Some(PathBuf::from(message["executable"].as_str()?))
    });
    let path = path.context("cargo built the probe without naming the executable")?;
    let linked = if place == Place::Section { segment_of_its_own(&path) } else { Ok(()) };
    match linked {
        Ok(()) => Ok(Probe::Built { path, linker: linker_name(&stderr) }),
        Err(error) => Ok(Probe::Failed(format!("{}: {error:#}", linker_name(&stderr)))),
    }
}

/// The functions that `--wrap` leads calls to, each of which passes them on.
fn wrappers() -> String {
    let names = fastboot_linker::WRAP.iter().filter_map(|option| option.strip_prefix("--wrap="));
    let each = |name| {
        format!(
            "std::arch::global_asm!(\".globl __wrap_{name}\", \".type __wrap_{name}, @function\", \"__wrap_{name}:\", \
             \"jmp __real_{name}@PLT\");\n"
        )
    };
    names.map(each).collect()
}

/// Whether the linker did what the linker script says.
fn segment_of_its_own(path: &Path) -> Result<()> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let found = Elf::parse(&bytes)?.fastboot_section(bytes.len());
    ensure!(found.is_ok(), "it took the linker script, but the section `fastboot` has no segment of its own");
    Ok(())
}

/// The linker, as it calls itself.
fn linker_name(stderr: &str) -> String {
    let said =
        stderr.lines().filter_map(|line| line.split_once("linker stdout: ").or(line.split_once("linker stderr: ")));
    let mut said = said.map(|(_, name)| name.trim());
    let Some(name) = said.find(|name| ["LLD", "GNU", "mold", "Wild"].iter().any(|known| name.starts_with(known)))
    else {
        return "a linker that does not say which one it is".to_owned();
    };
    // LLD's has the place and the revision it was built from in it.
    name.split_once(" (/").map_or(name, |(name, _)| name).to_owned()
}

/// What rustc and the linker complained of, without the commands that were run.
fn what_is_wrong(stderr: &str) -> String {
    let lines =
        stderr.lines().map(|line| line.trim().trim_start_matches("= note:").trim_start_matches("= help:").trim());
    let complaint = |line: &&str| {
        let about = ["error", "fatal", "cannot find", "not found", "may not be installed", "consider"];
        about.iter().any(|word| line.contains(word)) && line.len() < 300
    };
    let repeated =
        |line: &&str| ["error: aborting", "error: could not compile"].iter().any(|start| line.starts_with(start));
    let lines: Vec<&str> = lines.filter(complaint).filter(|line| !repeated(line)).take(5).collect();
    if lines.is_empty() { "cargo failed; -v shows the command".to_owned() } else { lines.join("\n") }
}

/// `as_footer` was built if `in_section` could not be.
fn linker(in_section: &Probe, as_footer: Option<&Probe>) -> Finding {
    const ABOUT: &str = "linker";
    const OTHERS: &str = "use rust-lld, which is Rust's default,\n\
                          or GNU ld, which `-C link-arg=-fuse-ld=bfd` asks for behind an option that asks for another";
    match (in_section, as_footer) {
        (Probe::Built { linker, .. }, _) => Finding::ok(ABOUT, linker.clone()),
        (Probe::Failed(why), Some(Probe::Built { linker, .. })) => Finding::warn(
            ABOUT,
            format!("{linker} does not take linker scripts\n{why}"),
            format!("build with `--footer`, which does without; or {OTHERS}"),
        ),
        (Probe::Failed(why), _) if why.contains("error[") => {
            Finding::fail("compiler", why.clone(), "mend what the compiler complains of")
        }
        (Probe::Failed(why), _) => {
            Finding::fail(ABOUT, why.clone(), format!("install a C compiler (Debian: gcc and libc6-dev), and {OTHERS}"))
        }
    }
}

/// Another way to link, that one can do without.
fn variant(about: &'static str, probe: &Probe, runner: &[OsString], remedy: &str) -> Finding {
    match probe {
        Probe::Built { path, .. } => match run_probe(path, runner) {
            Ok(_) => Finding::ok(about, "can be linked, and runs"),
            Err(error) => Finding::warn(about, format!("{error:#}"), remedy),
        },
        Probe::Failed(why) => Finding::warn(about, why.clone(), remedy),
    }
}

fn kernel() -> Finding {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let release = release.trim();
    if version(release) >= [4, 17] {
        Finding::ok("kernel", format!("Linux {release}"))
    } else {
        Finding::warn("kernel", format!("Linux {release}"), "build without `--pie`, or on Linux 4.17 or later")
    }
}

/// `kernel.randomize_va_space`, or nothing where that cannot be read.
fn randomize_va_space() -> String {
    std::fs::read_to_string("/proc/sys/kernel/randomize_va_space").unwrap_or_default().trim().to_owned()
}

/// What a freeze run reserves, with what it is for: at the first place, and at that of the third run.
fn ranges(place: usize) -> [(&'static str, u64, u64); 3] {
    let home = DEFAULT_HOME + [0, HOME_SHIFT][place];
    [
        ("image", home, spare_memory().min(HOME_SHIFT)),
        ("temporaries", SCRATCH[place], SCRATCH_LEN),
        ("stacks", STACK_TOP[place] - STACKS_LEN, STACKS_LEN),
    ]
}

/// What the probe printed, run as two freeze runs are: with other addresses the second time.
fn run_probe(path: &Path, runner: &[OsString]) -> Result<String> {
    let mut said = String::new();
    for place in [0, 1] {
        let mut words = runner.iter().map(OsString::as_os_str).chain([path.as_os_str()]);
        let mut command = Command::new(words.next().unwrap_or(path.as_os_str()));
        command.args(words);
        for (_, address, length) in ranges(place) {
            command.arg(format!("{address:x}")).arg(format!("{length:x}"));
        }
        let output = command.output().context("the program that was built cannot be run")?;
        if !output.status.success() {
            let said = format!("{}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
            bail!("the program that was built failed: {}", said.trim());
        }
        said += &String::from_utf8_lossy(&output.stdout);
    }
    Ok(said)
}

/// What follows from what the probe printed in its two runs, and from `kernel.randomize_va_space`.
fn judge(said: &str, randomize_va_space: &str) -> Vec<Finding> {
    let answers = |key: &str| {
        said.lines()
            .filter_map(|line| line.split_once(' '))
            .filter(|(name, _)| *name == key)
            .map(|(_, value)| value.trim())
            .collect::<Vec<_>>()
    };
    let answer = |key: &str| answers(key).first().copied().unwrap_or("no answer");
    vec![
        wrapped(answer("wrapped")),
        home_window(&answers("reserve")),
        randomization(answer("randomization"), randomize_va_space),
        page_size(answer("page")),
        cpuid_faulting(answer("cpuid-faulting")),
        file_pages(answer("faults")),
    ]
}

fn wrapped(answer: &str) -> Finding {
    match answer {
        "yes" => Finding::ok("--wrap", "the linker leads calls to the runtime"),
        _ => Finding::fail("--wrap", "the linker ignored it", "use rust-lld or GNU ld"),
    }
}

fn home_window(answers: &[&str]) -> Finding {
    const ABOUT: &str = "home window";
    let taken: Vec<String> = [ranges(0), ranges(1)]
        .iter()
        .flatten()
        .zip(answers.iter().copied().chain(std::iter::repeat("no answer")))
        .filter(|(_, answer)| *answer != "ok")
        .map(|((name, address, length), answer)| format!("{address:#x}..{:#x} ({name}): {answer}", address + length))
        .collect();
    if taken.is_empty() {
        return Finding::ok(ABOUT, format!("free, from {DEFAULT_HOME:#x} on"));
    }
    Finding::fail(
        ABOUT,
        taken.join("\n"),
        "lift the limit on address space (`ulimit -v unlimited`), set vm.overcommit_memory to 0 or 1, and leave out\n\
         libraries in LD_PRELOAD that map memory there",
    )
}

fn randomization(answer: &str, randomize_va_space: &str) -> Finding {
    const ABOUT: &str = "randomization";
    match (answer, randomize_va_space) {
        (_, "0") => Finding::warn(
            ABOUT,
            "addresses are not randomised here",
            "`--pie` is refused, and addresses of shared libraries in roots are not noticed: set\n\
             kernel.randomize_va_space to 2",
        ),
        ("ok", _) => Finding::ok(ABOUT, "can be turned off and on"),
        (error, _) => Finding::warn(
            ABOUT,
            format!("cannot be turned off and on: {error}"),
            "two builds may differ in words that hold stale addresses; in a container, a seccomp profile that allows\n\
             `personality` makes them equal",
        ),
    }
}

fn page_size(answer: &str) -> Finding {
    if answer == PAGE.to_string() {
        Finding::ok("page size", format!("{answer} bytes"))
    } else {
        Finding::fail("page size", format!("{answer} bytes"), format!("images are made for pages of {PAGE} bytes"))
    }
}

fn cpuid_faulting(answer: &str) -> Finding {
    match answer {
        "ok" => Finding::ok("CPU masking", "available (CPUID faulting)"),
        error => Finding::warn(
            "CPU masking",
            format!("not available: {error}"),
            "an image thaws only on processors with every feature of the build machine's: build on the oldest one",
        ),
    }
}

/// Without large folios, the kernel maps 16 pages around a fault.
fn file_pages(answer: &str) -> Finding {
    const ABOUT: &str = "large folios";
    match answer.parse::<u32>() {
        Ok(faults) if faults <= 16 => {
            Finding::ok(ABOUT, format!("the file system has them: {faults} page faults for 4 MiB of a file"))
        }
        Ok(faults) => Finding::warn(
            ABOUT,
            format!("the file system here has none: {faults} page faults for 4 MiB of a file"),
            "a start is a little slower for it. XFS has them, and ext4 since Linux 6.16; what counts is where the\n\
             finished program is installed",
        ),
        Err(_) => Finding::warn(ABOUT, answer, "nothing is known about the file system here"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a good machine's probe prints.
    fn good() -> String {
        let reserved = "reserve ok\n".repeat(ranges(0).len() + ranges(1).len());
        format!("wrapped yes\npage 4096\n{reserved}randomization ok\ncpuid-faulting ok\nfaults 2\n")
    }

    #[test]
    fn a_good_machine_has_nothing_to_mend() {
        let findings = judge(&good(), "2");
        assert!(findings.iter().all(|finding| finding.level == Level::Ok && finding.remedy.is_none()), "{findings:?}");
    }

    /// The one finding that is not well when `from` becomes `to` in what a good machine's probe prints.
    fn judged(from: &str, to: &str) -> Finding {
        assert!(good().contains(from));
        let mut bad = judge(&good().replacen(from, to, 1), "2");
        bad.retain(|finding| finding.level != Level::Ok);
        assert_eq!(bad.len(), 1, "{bad:?}");
        bad.remove(0)
    }

    #[test]
    fn each_thing_that_can_be_wrong() {
        let cases = [
            ("wrapped yes", "wrapped no", Level::Fail, "GNU ld"),
            ("page 4096", "page 16384", Level::Fail, "4096"),
            ("reserve ok", "reserve Cannot allocate memory (os error 12)", Level::Fail, "ulimit -v"),
            ("randomization ok", "randomization Operation not permitted (os error 1)", Level::Warn, "seccomp"),
            ("cpuid-faulting ok", "cpuid-faulting No such device (os error 19)", Level::Warn, "oldest"),
            ("faults 2", "faults 64", Level::Warn, "XFS"),
            ("faults 2", "", Level::Warn, "file system"),
        ];
        for (from, to, level, remedy) in cases {
            let finding = judged(from, to);
            assert_eq!(finding.level, level, "{finding:?}");
            assert!(finding.remedy.as_deref().is_some_and(|text| text.contains(remedy)), "{finding:?}");
        }
        let taken = judged("reserve ok", "reserve taken");
        assert!(taken.found.contains("0x550000000000") && taken.found.contains("(image): taken"), "{taken:?}");
        assert!(judge("", "2").iter().any(|finding| finding.level == Level::Fail), "a probe that says nothing");
        assert!(judge(&good(), "0").iter().any(|finding| finding.level == Level::Warn));
    }

    #[test]
    fn versions_compare() {
        assert!(version("1.95.0") >= version("1.95") && version("1.100.0-nightly") > version("1.95"));
        assert!(version("4.16.18") < [4, 17] && version("6.1-amd64") > [4, 17] && version("") < [4, 17]);
    }

    #[test]
    fn what_linkers_say() {
        let stderr = "warning: linker stdout: LLD 22.1.2 (/checkout/src 1cb4e) (compatible with GNU linkers)\n";
        assert_eq!(linker_name(stderr), "LLD 22.1.2");
        assert_eq!(linker_name("warning: linker stdout: GNU ld (GNU Binutils) 2.40\n"), "GNU ld (GNU Binutils) 2.40");
        let failed = "error: linking with `cc` failed: exit status: 1\n  |\n  = note:  \"cc\" \"-m64\" \"-o\"\n  = note: mold: \
                      fatal: fastboot.ld: unknown file type\n          collect2: error: ld returned 1 exit status\n";
        assert_eq!(
            what_is_wrong(failed),
            "error: linking with `cc` failed: exit status: 1\nmold: fatal: fastboot.ld: unknown file type\ncollect2: \
             error: ld returned 1 exit status"
        );
    }
}
