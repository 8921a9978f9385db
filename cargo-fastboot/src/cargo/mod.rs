//! Cargo: what its configuration says about the target, and one `cargo rustc` per binary.
//!
//! The flags that make a binary cold go to the final crate only, as `cargo rustc ... -- FLAGS`. `RUSTFLAGS` is left
//! alone: setting it would rebuild every dependency and hide the user's own.

pub(crate) mod lock;
mod overrides;
pub(crate) mod select;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, anyhow, ensure};
use cargo_metadata::{Message, Metadata, MetadataCommand, Package, PackageId};

use crate::cargo::overrides::Overrides;
use crate::cargo::select::{Choice, features_for, installs_runtime};
use crate::cli::{BuildFlags, LinkFlags, NewFlags};
use crate::say::shell::Shell;

/// Cargo said itself why it failed; only its exit code is left to pass on.
#[derive(Debug)]
pub(crate) struct CargoFailed(pub(crate) u8);

impl std::fmt::Display for CargoFailed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "cargo failed with exit code {}", self.0)
    }
}

impl std::error::Error for CargoFailed {}

/// The cargo that called us, else the one on the path.
pub(crate) fn program() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

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
}

/// What the final crate is linked with.
#[derive(Debug)]
pub(crate) struct Linking {
    /// The linker script.
    pub(crate) script: PathBuf,
    /// What to call in place of the linker.
    pub(crate) linker: Option<PathBuf>,
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
        let told = || format!("cannot find out the runner for {triple}");
        let runner = match overrides.runner(triple, &config).with_context(told)? {
            None => config.runner(target).with_context(told)?,
            some => some,
        };
        ensure!(
            runner.is_some() || host.starts_with("x86_64-") && host.contains("-linux-"),
            "cannot run programs for {triple} on {host}, and freezing runs the program; configure a runner with \
             `[target.{triple}] runner = \"...\"` in .cargo/config.toml (see docs/limits.md)"
        );
        let linker = config.linker(target).with_context(|| format!("cannot find out the linker for {triple}"))?;
        let flags = config.rustflags(target).with_context(|| format!("cannot find out the flags for {triple}"))?;
        let code_model = flags.and_then(|flags| code_model(&flags.flags));
        let files = config.env.iter().map(|(name, entry)| (name.as_str(), entry.value.as_os_str(), entry.force));
        let flags = overrides.variables().map(|(name, value, force)| (name, OsStr::new(value), force));
        // The last one counts.
        let variables: BTreeMap<&str, (&OsStr, bool)> =
            files.chain(flags).map(|(name, value, force)| (name, (value, force))).collect();
        let environment = variables.into_iter().filter(|(name, (_, force))| *force || std::env::var_os(name).is_none());
        let mut rustc = Command::from(config.rustc());
        let printed = rustc.args(["--print", "target-libdir", "--target", triple]).output().ok();
        let libraries = printed
            .filter(|output| output.status.success())
            .map(|output| PathBuf::from(String::from_utf8_lossy(output.stdout.trim_ascii_end()).into_owned()));
        Ok(Self {
            triple: triple.to_owned(),
            code_model,
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
}

/// The value of the last `-C code-model` in these flags.
fn code_model(flags: &[String]) -> Option<String> {
    let mut values =
        flags.iter().filter_map(|flag| flag.strip_prefix("-C").unwrap_or(flag).strip_prefix("code-model="));
    values.next_back().map(str::to_owned)
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

/// Packages and targets of the workspace, as cargo sees them from here.
pub(crate) fn metadata(flags: &BuildFlags) -> Result<Metadata> {
    let manifest = &flags.manifest;
    let mut options: Vec<String> = Vec::new();
    for (set, flag) in [(manifest.locked, "--locked"), (manifest.offline, "--offline"), (manifest.frozen, "--frozen")] {
        options.extend(set.then(|| flag.to_owned()));
    }
    options.extend(manifest.config.iter().flat_map(|value| ["--config".to_owned(), value.clone()]));
    options.extend(manifest.unstable.iter().flat_map(|flag| ["-Z".to_owned(), flag.clone()]));
    options.extend(flags.output.color_name().map(|when| format!("--color={when}")));
    let mut command = MetadataCommand::new();
    command.cargo_path(program()).other_options(options);
    if let Some(path) = &manifest.manifest_path {
        command.manifest_path(path);
    }
    let mut command = command.cargo_command();
    let output = command.stderr(Stdio::inherit()).output().with_context(|| cannot_start(command.get_program()))?;
    if !output.status.success() {
        return Err(CargoFailed(exit_code(output.status)).into());
    }
    let text = std::str::from_utf8(&output.stdout).context("`cargo metadata` printed something that is not UTF-8")?;
    MetadataCommand::parse(text).context("cannot read what `cargo metadata` printed")
}

/// `cargo new`, which says itself what it makes and what is wrong with a name.
pub(crate) fn new_package(flags: &NewFlags) -> Result<()> {
    let mut arguments = Arguments::default();
    arguments.flag("--bin", true);
    arguments.pairs("--name", flags.name.as_ref());
    arguments.pairs("--vcs", flags.vcs.as_ref());
    arguments.flag("--quiet", flags.output.quiet);
    arguments.pairs("--color", flags.output.color_name());
    let mut command = Command::new(program());
    command.arg("new").args(arguments.0).arg("--").arg(&flags.path);
    let status = command.status().with_context(|| cannot_start(command.get_program()))?;
    if status.success() { Ok(()) } else { Err(CargoFailed(exit_code(status)).into()) }
}

/// What came of one `cargo rustc`.
#[derive(Debug)]
pub(crate) struct ColdBuild {
    /// Where cargo put the binary.
    pub(crate) executable: PathBuf,
    /// What it is: read while cargo was there, because afterwards another cargo may put another one in its place.
    pub(crate) bytes: Vec<u8>,
    /// What the package's build script, if any, left for the program's run.
    pub(crate) environment: Vec<(OsString, OsString)>,
    /// Folders of shared libraries that build scripts left in the target folder.
    pub(crate) libraries: Vec<PathBuf>,
    /// The packages whose build scripts link a library, which is one of C.
    pub(crate) binding: Vec<PackageId>,
    /// Whether the profile strips, so that the finished binary has to be stripped.
    pub(crate) stripped: bool,
}

/// Cargo's messages on standard output, when the user asked for them.
#[derive(Debug)]
pub(crate) struct Messages {
    /// The value of `--message-format` for cargo.
    format: String,
    /// Whether the user reads them.
    forwarded: bool,
}

impl Messages {
    /// Cargo is always asked for JSON; what the user asked for decides how, and whether it is passed on.
    pub(crate) fn new(formats: &[String], shell: &Shell) -> Self {
        if formats.iter().any(|format| format.starts_with("json")) {
            return Self { format: formats.join(","), forwarded: true };
        }
        let mut format = "json-render-diagnostics".to_owned();
        if formats.iter().any(|format| format == "short") {
            format.push_str(",json-diagnostic-short");
        } else if shell.has_colors() {
            format.push_str(",json-diagnostic-rendered-ansi");
        }
        Self { format, forwarded: false }
    }

    /// Tells a reader that all is done: cargo says so after each binary, before it is frozen, so that is held back.
    pub(crate) fn finish(&self, success: bool) {
        if self.forwarded {
            print_line(serde_json::json!({ "reason": "build-finished", "success": success }).to_string().as_bytes());
        }
    }
}

/// Builds the cold binary of `choice`, one of `choices`.
pub(crate) fn build_cold(
    choice: Choice<'_>,
    choices: &[Choice<'_>],
    flags: &BuildFlags,
    linking: &Linking,
    messages: &Messages,
    shell: &Shell,
) -> Result<ColdBuild> {
    let built = link(choice, choices, flags, linking, messages, false, shell)?;
    if crate::elf::strip::has_symbols(&built.bytes).unwrap_or(true) {
        return Ok(built);
    }
    // The symbols name the statics that the image has to carry.
    let built = link(choice, choices, flags, linking, messages, true, shell)?;
    Ok(ColdBuild { stripped: true, ..built })
}

/// One call of cargo; `symbols`: even if the profile strips.
fn link(
    choice: Choice<'_>,
    choices: &[Choice<'_>],
    flags: &BuildFlags,
    linking: &Linking,
    messages: &Messages,
    symbols: bool,
    shell: &Shell,
) -> Result<ColdBuild> {
    let mut command = Command::new(program());
    command.arg("rustc").args(cargo_arguments(choice, choices, flags));
    command.arg("--message-format").arg(&messages.format);
    command.arg("--").args(rustc_arguments(flags.link, (!flags.place.footer).then_some(&linking.script)));
    if let Some(linker) = &linking.linker {
        let mut option = OsString::from("linker=");
        option.push(linker);
        command.arg("-C").arg(option);
    }
    if symbols {
        command.args(["-C", "strip=none"]);
    }
    shell.verbose(format_args!("running {command:?}"));
    let mut child = command.stdout(Stdio::piped()).spawn().with_context(|| cannot_start(command.get_program()))?;
    let stream = child.stdout.take().context("cargo has no standard output")?;
    let seen = read_messages(BufReader::new(stream), choice, messages);
    // Even when its messages cannot be read, cargo must not be left running.
    let status = child.wait().with_context(|| format!("cannot wait for {command:?}"))?;
    let seen = seen?;
    if !status.success() {
        if let Some(path) = has_allocator(choice.package) {
            shell.warn(format_args!(
                "if rustc says that there are two global allocators: `install!` sets it, and {} does; remove its \
                 `#[global_allocator]`, and keep the allocator with `fastboot_rt::install!(ITS_TYPE);` (docs/adding.md)",
                path.display()
            ));
        }
        // The package depends on the runtime, but a dependency that no source mentions is not linked.
        if !installs_runtime(choice.target) {
            shell.warn(format_args!(
                "if the linker misses `__wrap_...`: `{}` does not use fastboot-rt; put `fastboot_rt::install!();` into {}",
                choice.name(),
                choice.target.src_path
            ));
        }
        return Err(CargoFailed(exit_code(status)).into());
    }
    let (executable, bytes) = seen.executable.with_context(|| {
        format!(
            "cargo built `{}` without naming the executable; is it of another crate type than `bin`?",
            choice.name()
        )
    })?;
    Ok(ColdBuild {
        executable,
        bytes,
        environment: seen.environment,
        libraries: seen.libraries,
        binding: seen.binding,
        stripped: false,
    })
}

/// The first source file of a package that sets the global allocator by itself.
fn has_allocator(package: &Package) -> Option<PathBuf> {
    let mut folders = vec![package.manifest_path.parent()?.join("src").into_std_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs")
                && std::fs::read_to_string(&path).is_ok_and(|text| text.contains("#[global_allocator]"))
            {
                return Some(path);
            }
        }
    }
    None
}

/// The flags of `cargo rustc` that build `choice`.
fn cargo_arguments(choice: Choice<'_>, choices: &[Choice<'_>], flags: &BuildFlags) -> Vec<OsString> {
    let mut arguments = Arguments::default();
    arguments.pair("--package", &choice.package.id.repr);
    arguments.pair(if choice.target.is_bin() { "--bin" } else { "--example" }, &choice.target.name);

    let features = features_for(choice.package, choices, flags);
    arguments.pairs("--features", (!features.is_empty()).then(|| features.join(",")));
    arguments.flag("--all-features", flags.features.all_features);
    arguments.flag("--no-default-features", flags.features.no_default_features);

    let compilation = &flags.compilation;
    arguments.flag("--release", compilation.release);
    arguments.pairs("--profile", compilation.profile.as_ref());
    arguments.pairs("--jobs", compilation.jobs.as_ref());
    arguments.flag("--keep-going", compilation.keep_going);
    arguments.pairs("--target", compilation.target.as_ref());
    arguments.pairs("--target-dir", compilation.target_dir.as_ref());
    arguments.flag("--timings", compilation.timings);

    let manifest = &flags.manifest;
    arguments.pairs("--manifest-path", manifest.manifest_path.as_ref());
    arguments.flag("--ignore-rust-version", manifest.ignore_rust_version);
    arguments.flag("--locked", manifest.locked);
    arguments.flag("--offline", manifest.offline);
    arguments.flag("--frozen", manifest.frozen);
    arguments.pairs("--config", &manifest.config);
    arguments.pairs("-Z", &manifest.unstable);

    arguments.flag("--quiet", flags.output.quiet);
    for _ in 0..flags.output.verbose {
        arguments.flag("--verbose", true);
    }
    arguments.pairs("--color", flags.output.color_name());
    arguments.0
}

/// A list of arguments in the making.
#[derive(Default)]
struct Arguments(Vec<OsString>);

impl Arguments {
    fn flag(&mut self, name: &str, set: bool) {
        self.0.extend(set.then(|| name.into()));
    }

    fn pair(&mut self, name: &str, value: impl AsRef<OsStr>) {
        self.0.extend([name.into(), value.as_ref().to_owned()]);
    }

    fn pairs(&mut self, name: &str, values: impl IntoIterator<Item = impl AsRef<OsStr>>) {
        for value in values {
            self.pair(name, value);
        }
    }
}

/// The flags of rustc that make a binary cold: addresses settled by the linker, and, with the script, the placeholder in a
/// segment of its own.
pub(crate) fn rustc_arguments(link: LinkFlags, script: Option<&Path>) -> Vec<OsString> {
    let mut arguments = Arguments::default();
    match (link.pie, link.static_libc) {
        (false, _) => arguments.pair("-C", "relocation-model=static"),
        // The default; but a target whose default is a static binary that is not position-independent exists.
        (true, true) => arguments.pair("-C", "relocation-model=pie"),
        (true, false) => {}
    }
    if link.static_libc {
        arguments.pair("-C", "target-feature=+crt-static");
    }
    if let Some(script) = script {
        // One argument to the linker, however many spaces there are in the path.
        let mut script_argument = OsString::from("link-arg=-T");
        script_argument.push(script);
        arguments.pair("-C", script_argument);
    }
    let undefined = fastboot_linker::UNDEFINED.iter().filter(|_| script.is_none());
    for option in fastboot_linker::WRAP.iter().chain(undefined) {
        arguments.pair("-C", format!("link-arg=-Wl,{option}"));
    }
    arguments.0
}

/// What the messages of one build said.
#[derive(Default)]
struct Seen {
    /// Packages that link a library.
    binding: Vec<PackageId>,
    /// Path and contents.
    executable: Option<(PathBuf, Vec<u8>)>,
    environment: Vec<(OsString, OsString)>,
    libraries: Vec<PathBuf>,
}

/// Reads cargo's messages to the end, passing on those that the user asked for.
fn read_messages(mut stream: impl BufRead, choice: Choice<'_>, messages: &Messages) -> Result<Seen> {
    let mut seen = Seen::default();
    let mut line = Vec::new();
    loop {
        line.clear();
        if stream.read_until(b'\n', &mut line).context("cannot read cargo's messages")? == 0 {
            return Ok(seen);
        }
        let text = line.trim_ascii_end();
        let message = serde_json::from_slice::<Message>(text);
        match &message {
            Ok(Message::CompilerArtifact(artifact)) if is_choice(choice, &artifact.package_id, &artifact.target) => {
                if let Some(path) = &artifact.executable {
                    let bytes =
                        std::fs::read(path).with_context(|| format!("cannot read {path}, which cargo built"))?;
                    seen.executable = Some((path.clone().into(), bytes));
                }
            }
            Ok(Message::BuildScriptExecuted(script)) => {
                if !script.linked_libs.is_empty() {
                    seen.binding.push(script.package_id.clone());
                }
                // `KIND=PATH`, or a path alone.
                let folders = script.linked_paths.iter().map(|path| path.as_str());
                seen.libraries
                    .extend(folders.map(|path| PathBuf::from(path.split_once('=').map_or(path, |(_, path)| path))));
                if script.package_id == choice.package.id {
                    seen.environment.extend(script.env.iter().map(|(name, value)| (name.into(), value.into())));
                    seen.environment.push(("OUT_DIR".into(), script.out_dir.clone().into_os_string()));
                }
            }
            _ => {}
        }
        // Lines that are no messages come from compiler plugins and the like.
        let held_back = matches!(message, Ok(Message::BuildFinished(_)));
        if (messages.forwarded || message.is_err() && !text.starts_with(b"{\"reason\"")) && !held_back {
            print_line(text);
        }
    }
}

fn is_choice(choice: Choice<'_>, package: &PackageId, target: &cargo_metadata::Target) -> bool {
    choice.package.id == *package && choice.target.name == target.name && choice.target.kind == target.kind
}

/// Writes a line to standard output. That nobody reads it is no reason to stop.
fn print_line(text: &[u8]) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush());
}

fn cannot_start(program: &OsStr) -> String {
    format!("cannot start {}; is cargo installed, and does `CARGO`, if set, name it?", program.display())
}

/// The exit code to pass on; a cargo that was killed counts as one that failed.
fn exit_code(status: std::process::ExitStatus) -> u8 {
    status.code().and_then(|code| u8::try_from(code).ok()).filter(|code| *code != 0).unwrap_or(101)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rustc(pie: bool, static_libc: bool) -> String {
        let arguments = rustc_arguments(LinkFlags { pie, static_libc }, Some(Path::new("/a b/ü.ld")));
        arguments.join(OsStr::new("|")).into_string().expect("UTF-8")
    }

    #[test]
    fn how_each_kind_of_binary_is_linked() {
        let wraps: String = fastboot_linker::WRAP.iter().map(|wrap| format!("|-C|link-arg=-Wl,{wrap}")).collect();
        let script = format!("-C|link-arg=-T/a b/ü.ld{wraps}");
        assert_eq!(rustc(false, false), format!("-C|relocation-model=static|{script}"));
        assert_eq!(rustc(false, true), format!("-C|relocation-model=static|-C|target-feature=+crt-static|{script}"));
        assert_eq!(rustc(true, false), script);
        assert_eq!(rustc(true, true), format!("-C|relocation-model=pie|-C|target-feature=+crt-static|{script}"));
    }

    #[test]
    fn without_a_script_the_linker_is_told_what_the_script_says() {
        let arguments = rustc_arguments(LinkFlags { pie: true, static_libc: false }, None);
        let arguments = arguments.join(OsStr::new("|")).into_string().expect("UTF-8");
        assert!(!arguments.contains("-T"), "{arguments}");
        let externs =
            fastboot_linker::SCRIPT.lines().filter_map(|line| line.strip_prefix("EXTERN(")?.strip_suffix(')'));
        let names: Vec<&str> = externs.flat_map(str::split_whitespace).collect();
        let undefined: Vec<String> = names.iter().map(|name| format!("--undefined={name}")).collect();
        assert_eq!(undefined, fastboot_linker::UNDEFINED);
        assert!(undefined.iter().all(|option| arguments.contains(&format!("link-arg=-Wl,{option}"))), "{arguments}");
    }

    #[test]
    fn code_models() {
        let of = |flags: &str| code_model(&flags.split(' ').map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(of("-Ccode-model=large -O"), Some("large".to_owned()));
        assert_eq!(of("-C code-model=large -C code-model=small"), Some("small".to_owned()));
        assert_eq!(of("-C opt-level=3 --cfg code-model"), None);
        let platform = |model: &str| Platform { code_model: Some(model.to_owned()), ..Platform::default() };
        assert!(platform("small").require_flags().is_ok() && Platform::default().require_flags().is_ok());
        assert!(platform("medium").require_flags().is_err_and(|error| error.to_string().contains("code-model=medium")));
    }

    #[test]
    fn message_formats() {
        let shell = Shell::new(crate::say::shell::Verbosity::Normal, anstream::ColorChoice::Never);
        let of = |formats: &[&str]| {
            let formats: Vec<String> = formats.iter().map(ToString::to_string).collect();
            let messages = Messages::new(&formats, &shell);
            (messages.format, messages.forwarded)
        };
        assert_eq!(of(&[]), ("json-render-diagnostics".into(), false));
        assert_eq!(of(&["short"]), ("json-render-diagnostics,json-diagnostic-short".into(), false));
        assert_eq!(of(&["json", "json-diagnostic-short"]), ("json,json-diagnostic-short".into(), true));
    }
}
