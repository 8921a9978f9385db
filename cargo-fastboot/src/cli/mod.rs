//! The command line: cargo's own flags under cargo's own names, and a few of fastboot's.

mod cargo_flags;
mod own_flags;
mod values;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use cargo_flags::{CompilationFlags, ManifestFlags, OutputFlags, TargetFlags};
use own_flags::OWN;
pub(crate) use own_flags::{FreezeHow, ImageFlags, LinkFlags, PlaceFlags};

use crate::options::Arguments;

/// What cargo takes for `--message-format`.
const MESSAGE_FORMATS: [&str; 6] =
    ["human", "short", "json", "json-diagnostic-short", "json-diagnostic-rendered-ansi", "json-render-diagnostics"];

const ABOUT: &str = "Freeze a program's prepared values at build time and embed them in its binary";

const EXAMPLES: &str = "\
Examples:
  cargo fastboot build --release             build, freeze and embed this package's binary
  cargo fastboot run --release -- QUERY      the same, then run it
  cargo fastboot inspect target/release/app  show what is embedded in a binary

To begin with:
  cargo fastboot doctor                      whether this machine has what building needs
  cargo fastboot new demo                    a small program whose data is frozen

The stages of `build`, one by one:
  cargo fastboot freeze --binary target/release/fastboot/app.cold -o app.snap
  cargo fastboot embed --binary target/release/fastboot/app.cold --snapshot app.snap -o app";

/// What `cargo fastboot` was asked to do.
#[derive(Debug, Parser)]
#[command(
    name = "cargo-fastboot",
    bin_name = "cargo fastboot",
    version,
    about = ABOUT,
    after_help = EXAMPLES,
    styles = clap_cargo::style::CLAP_STYLING,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub(crate) struct Cli {
    /// The stage to run.
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Cli {
    /// Parses `cargo-fastboot fastboot build ...`, as cargo starts it, and `cargo-fastboot build ...`.
    pub(crate) fn parse_as_subcommand() -> Self {
        Self::parse_from(without_own_name(std::env::args_os()))
    }

    /// How much to say, and whether in colour.
    pub(crate) fn output(&self) -> &OutputFlags {
        match &self.command {
            Command::Build(build) => &build.output,
            Command::Run(run) => &run.build.output,
            Command::Freeze(freeze) => &freeze.output,
            Command::Embed(embed) => &embed.output,
            Command::Inspect(inspect) => &inspect.output,
            Command::Verify(verify) => &verify.output,
            Command::New(new) => &new.output,
            Command::Doctor(doctor) => &doctor.output,
            Command::Completions(completions) => &completions.output,
            Command::Man(man) => &man.output,
        }
    }
}

/// Cargo passes the subcommand's name as the first argument: leaves it out.
fn without_own_name(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = arguments.collect();
    if arguments.get(1).is_some_and(|first| first == "fastboot") {
        arguments.remove(1);
    }
    arguments
}

/// The stages.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Build a binary, freeze its roots, and embed the image in it
    #[command(visible_alias = "b")]
    Build(BuildFlags),
    /// Build as `build` does, then run the finished binary
    #[command(visible_alias = "r")]
    Run(RunFlags),
    /// Run a cold binary in freeze mode and save its image as a snapshot
    Freeze(FreezeFlags),
    /// Write a snapshot into the binary it was frozen from
    Embed(EmbedFlags),
    /// Show the image of a binary or of a snapshot, or the blocks of a deferred file
    Inspect(InspectFlags),
    /// Check that an embedded binary starts with the values it would have evaluated
    Verify(VerifyFlags),
    /// Make a new program whose data is frozen
    New(NewFlags),
    /// Say whether this machine has what building needs, and what to do where it has not
    Doctor(DoctorFlags),
    /// Print completions of the command line for a shell
    Completions(CompletionsFlags),
    /// Write the manual pages, for those who package this tool
    #[command(hide = true)]
    Man(ManFlags),
}

/// Flags of `verify`.
#[derive(Debug, Args)]
#[command(after_help = "\
The binary is run: its roots are thawed, evaluated anew, and compared, with PartialEq or with the root's own `check`.

Example:
  cargo fastboot verify target/release/server")]
pub(crate) struct VerifyFlags {
    #[command(flatten)]
    pub(crate) output: OutputFlags,
    /// The embedded binary
    #[arg(value_name = "PATH")]
    pub(crate) path: PathBuf,
    /// Target triple of the binary, which decides about the runner
    #[arg(long, value_name = "TRIPLE")]
    pub(crate) target: Option<String>,
    #[command(flatten)]
    pub(crate) how: FreezeHow,
}

/// Flags of `build`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cargo fastboot build --release
  cargo fastboot build --release --static --bin server
  cargo fastboot build --workspace --profile dist --out-dir dist
  cargo fastboot build --release --train 'search parser' --train '--version'

The finished binary stands where cargo puts it; the cold one is kept in `fastboot/` beside it.")]
pub(crate) struct BuildFlags {
    // First, so that they stand under no heading: a heading holds for all that follows it.
    /// Format of cargo's messages, as in `cargo build`
    #[arg(long, value_name = "FMT", value_delimiter = ',', value_parser = MESSAGE_FORMATS)]
    pub(crate) message_format: Vec<String>,
    #[command(flatten)]
    pub(crate) output: OutputFlags,
    #[command(flatten)]
    pub(crate) link: LinkFlags,
    #[command(flatten)]
    pub(crate) place: PlaceFlags,
    #[command(flatten)]
    pub(crate) image: ImageFlags,
    /// Also put the finished binaries in this folder
    #[arg(long, value_name = "DIR", help_heading = OWN)]
    pub(crate) out_dir: Option<PathBuf>,
    /// Stop before freezing: leave the cold binary, with its symbols, for `freeze` and `embed`
    #[arg(long, conflicts_with_all = ["verify", "no_verify"], help_heading = OWN)]
    pub(crate) cold: bool,
    /// Run the embedded binary with these arguments, taken apart as by a shell, and freeze again with the objects that it
    /// used together, so that such runs have fewer page faults; can be given several times
    #[arg(
        long,
        value_name = "ARGS",
        allow_hyphen_values = true,
        conflicts_with_all = ["cold", "verbatim"],
        help_heading = OWN
    )]
    pub(crate) train: Vec<Arguments>,
    /// Run the finished program with these arguments, with its image and without, and deliver it only if it prints the same and
    /// ends with the same status; may be given several times
    #[arg(long, value_name = "ARGS", allow_hyphen_values = true, conflicts_with = "cold", help_heading = OWN)]
    pub(crate) compare_run: Vec<Arguments>,
    /// With --compare-run: standard error has to be the same, too
    #[arg(long, conflicts_with = "cold", help_heading = OWN)]
    pub(crate) compare_stderr: bool,
    /// What the runs of --train and --compare-run read as their standard input; given several times, each of them is made with
    /// each of these files
    #[arg(long, value_name = "FILE", conflicts_with = "cold", help_heading = OWN)]
    pub(crate) stdin: Vec<PathBuf>,
    /// Verify the finished binary (done anyway with --release)
    #[arg(long, conflicts_with = "no_verify", help_heading = OWN)]
    pub(crate) verify: bool,
    /// Do not verify the finished binary
    #[arg(long, help_heading = OWN)]
    pub(crate) no_verify: bool,
    /// Freeze anew even if neither the program nor its inputs changed
    #[arg(long, help_heading = OWN)]
    pub(crate) refreeze: bool,
    /// Where the program changed, but nothing that its roots use, take the image over without freezing. Links three
    /// times, with cargo-fastboot as the linker, which calls the real one, and a freeze evaluates all roots five times
    #[arg(long, conflicts_with_all = ["cold", "refreeze", "train", "real_random"], help_heading = OWN)]
    pub(crate) migrate: bool,
    #[command(flatten)]
    pub(crate) how: FreezeHow,
    #[command(flatten, next_help_heading = "Package Selection")]
    pub(crate) workspace: clap_cargo::Workspace,
    #[command(flatten, next_help_heading = "Target Selection")]
    pub(crate) targets: TargetFlags,
    #[command(flatten, next_help_heading = "Feature Selection")]
    pub(crate) features: clap_cargo::Features,
    #[command(flatten, next_help_heading = "Compilation Options")]
    pub(crate) compilation: CompilationFlags,
    #[command(flatten, next_help_heading = "Manifest Options")]
    pub(crate) manifest: ManifestFlags,
}

/// Flags of `run`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cargo fastboot run --release -- QUERY
  FASTBOOT_LOG=1 cargo fastboot run --release --bin app")]
pub(crate) struct RunFlags {
    #[command(flatten)]
    pub(crate) build: BuildFlags,
    /// Arguments for the program
    #[arg(trailing_var_arg = true, value_name = "ARGS")]
    pub(crate) arguments: Vec<OsString>,
}

/// Flags of `freeze`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  cargo fastboot freeze --binary target/release/fastboot/app.cold -o app.snap

The binary runs in the current folder; `build` runs it in its package's folder.")]
pub(crate) struct FreezeFlags {
    /// The cold binary, as `build` keeps it
    #[arg(long, value_name = "PATH")]
    pub(crate) binary: PathBuf,
    /// Where to save the snapshot
    #[arg(short = 'o', long = "output", value_name = "PATH.snap")]
    pub(crate) output_path: PathBuf,
    /// Target triple whose runner, if cargo has one configured, runs the binary
    #[arg(long, value_name = "TRIPLE")]
    pub(crate) target: Option<String>,
    /// Protect the snapshot with fs-verity: it cannot be changed any more, and is used only while that holds
    #[arg(long, help_heading = OWN)]
    pub(crate) fs_verity: bool,
    #[command(flatten)]
    pub(crate) image: ImageFlags,
    #[command(flatten)]
    pub(crate) how: FreezeHow,
    #[command(flatten)]
    pub(crate) output: OutputFlags,
}

/// Flags of `embed`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  cargo fastboot embed --binary target/release/fastboot/app.cold --snapshot app.snap -o app")]
pub(crate) struct EmbedFlags {
    /// The binary the snapshot was frozen from
    #[arg(long, value_name = "PATH")]
    pub(crate) binary: PathBuf,
    /// The snapshot
    #[arg(long, value_name = "PATH.snap")]
    pub(crate) snapshot: PathBuf,
    /// Where to put the embedded binary
    #[arg(short = 'o', long = "output", value_name = "PATH")]
    pub(crate) output_path: PathBuf,
    #[command(flatten)]
    pub(crate) place: PlaceFlags,
    #[command(flatten)]
    pub(crate) image: ImageFlags,
    #[command(flatten)]
    pub(crate) output: OutputFlags,
}

/// Flags of `inspect`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cargo fastboot inspect target/release/app
  cargo fastboot inspect app.snap --json
  cargo fastboot inspect target/release/app --html app.html
  cargo fastboot inspect pages.defer --verify")]
pub(crate) struct InspectFlags {
    /// A cold binary, an embedded binary, a snapshot, or a deferred file
    pub(crate) path: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Write a page with a map of the image into this file, for a browser
    #[arg(long, value_name = "FILE", conflicts_with_all = ["json", "verify"])]
    pub(crate) html: Option<PathBuf>,
    /// Read all of a deferred file and report every damage
    #[arg(long)]
    pub(crate) verify: bool,
    #[command(flatten)]
    pub(crate) output: OutputFlags,
}

/// Flags of `new`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cargo fastboot new demo
  cd demo && cargo fastboot run --release -- France")]
pub(crate) struct NewFlags {
    /// The folder of the new package
    #[arg(value_name = "PATH")]
    pub(crate) path: PathBuf,
    /// The package's name, if it is not that of the folder
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Version control, as in `cargo new`
    #[arg(long, value_name = "VCS")]
    pub(crate) vcs: Option<String>,
    /// Use the crate fastboot-rt in this folder instead of the published one
    #[arg(long, value_name = "DIR", help_heading = OWN)]
    pub(crate) fastboot_rt_path: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: OutputFlags,
}

/// Flags of `doctor`.
#[derive(Debug, Args)]
#[command(after_help = "\
It builds and runs a small program of its own, three times, linked as `build` links. In the folder of a package it also
looks at that package, and at the file system that its binaries are on.

The exit status is 0 if building works, whatever is worth a warning.")]
pub(crate) struct DoctorFlags {
    #[command(flatten)]
    pub(crate) output: OutputFlags,
}

/// Flags of `completions`.
#[derive(Debug, Args)]
#[command(after_help = "\
They complete `cargo fastboot ..` and `cargo-fastboot ..`:
  bash  cargo fastboot completions bash > ~/.local/share/bash-completion/completions/cargo-fastboot
        and, for `cargo fastboot`, in ~/.bashrc: source <(cargo fastboot completions bash)
  zsh   cargo fastboot completions zsh > DIR/_cargo-fastboot, with DIR in $fpath
  fish  cargo fastboot completions fish > ~/.config/fish/conf.d/cargo-fastboot.fish")]
pub(crate) struct CompletionsFlags {
    /// The shell
    #[arg(value_name = "SHELL", value_enum)]
    pub(crate) shell: CompletionShell,
    #[command(flatten)]
    pub(crate) output: OutputFlags,
}

/// Flags of `man`.
#[derive(Debug, Args)]
pub(crate) struct ManFlags {
    /// The folder to write cargo-fastboot.1, cargo-fastboot-build.1 and so on into
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
    #[command(flatten)]
    pub(crate) output: OutputFlags,
}

/// The shells whose `cargo fastboot` can be completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum CompletionShell {
    Bash,
    Fish,
    Zsh,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::say::shell::Verbosity;
    use clap::CommandFactory;

    fn parse(line: &str) -> Cli {
        Cli::try_parse_from(without_own_name(line.split(' ').map(OsString::from))).expect(line)
    }

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn both_ways_of_being_called_parse() {
        for line in ["cargo-fastboot fastboot build -r", "cargo-fastboot build --release"] {
            let Command::Build(build) = parse(line).command else { panic!("{line}") };
            assert!(build.compilation.release, "{line}");
        }
    }

    #[test]
    fn arguments_of_the_program_are_left_alone() {
        let Command::Run(run) = parse("cargo-fastboot run --bin a -- --release -v").command else { panic!() };
        assert_eq!(run.arguments, ["--release", "-v"]);
        assert!(!run.build.compilation.release);
    }

    #[test]
    fn short_flags_of_the_stages() {
        let Command::Freeze(freeze) = parse("cargo-fastboot freeze --binary b -o s.snap -v").command else { panic!() };
        assert_eq!(freeze.output_path, PathBuf::from("s.snap"));
        assert_eq!(freeze.output.verbosity(), Verbosity::Verbose);
    }
}
