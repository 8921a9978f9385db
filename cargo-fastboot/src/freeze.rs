//! Freeze: runs a binary in freeze mode and makes an image of what it captured.

use crate::binary::Binary;
use crate::capture::{Capture, Failure};
use crate::image::{self, Image, Parts};
use crate::prove::{self, Run};
use crate::shell::{Shell, megabytes};
use anyhow::{Context, Result, anyhow, bail};
use fastboot_rt::capture::{
    CAPTURE_FILE, FREEZE_VARIABLE, Phase, REQUEST_FILE, Request, STATUS_FILE, STATUS_LEN, Status,
};
use fastboot_rt::format::PAGE;
use std::ffi::OsString;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How a binary is frozen.
#[derive(Clone, Debug)]
pub(crate) struct FreezeOptions {
    /// The home address.
    pub(crate) home: u64,
    /// How long one run may take.
    pub(crate) timeout: Option<Duration>,
    /// How many bytes the roots may take while they are evaluated; by default what the machine has to spare.
    pub(crate) memory_limit: Option<u64>,
    /// Whether random bytes are to be random while roots are evaluated.
    pub(crate) real_random: bool,
    /// The program that runs the binary, with its arguments; empty to run it directly.
    pub(crate) runner: Vec<OsString>,
    /// Working directory of the run.
    pub(crate) directory: Option<PathBuf>,
    /// Environment variables set for the run.
    pub(crate) environment: Vec<(OsString, OsString)>,
}

impl Default for FreezeOptions {
    fn default() -> Self {
        Self {
            home: fastboot_rt::format::DEFAULT_HOME,
            timeout: None,
            memory_limit: None,
            real_random: false,
            runner: Vec::new(),
            directory: None,
            environment: Vec::new(),
        }
    }
}

/// How often the status of a run is looked at.
const POLL: Duration = Duration::from_millis(20);
/// How long a run must take before it is worth a progress line.
const PATIENCE: Duration = Duration::from_millis(500);

/// Freezes a binary, cold or embedded.
pub(crate) fn freeze(path: &Path, options: &FreezeOptions, shell: &Shell) -> Result<Image> {
    let path = std::path::absolute(path).with_context(|| format!("cannot find {}", path.display()))?;
    let binary = Binary::read(&path)?;
    let folder = working_folder(&path)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    shell.status("Freezing", name.strip_suffix(".cold").unwrap_or(&name));

    let first = run(&binary, options, false, &folder.path().join("first"), shell)?;
    if first.roots.is_empty() {
        bail!(
            "{} has no roots: declare a static with `fastboot_rt::frozen! {{ .. }}` in the program or in a library it uses",
            path.display()
        );
    }
    for root in &first.roots {
        shell.verbose(format_args!("root {} evaluated in {:?}", root.name, Duration::from_nanos(root.nanoseconds)));
    }
    let mut static_pointers = Vec::new();
    if binary.pie {
        let second = run(&binary, options, true, &folder.path().join("second"), shell)?;
        let proof = compare(&first, &second).with_context(|| format!("cannot freeze {}", path.display()))?;
        shell.verbose(format_args!(
            "{} static pointers, {} words that differ from run to run",
            proof.static_pointers.len(),
            proof.nondeterministic
        ));
        static_pointers = proof.static_pointers.iter().map(|offset| offset + PAGE as u64).collect();
    }
    Image::build(&binary, &first, Parts { static_pointers: &static_pointers })
        .with_context(|| format!("cannot make an image for {}", path.display()))
}

/// A folder for the files of the runs: beside the binary, because a capture is as big as the image and `/tmp` is often
/// memory; where that cannot be written to, there after all.
fn working_folder(binary: &Path) -> Result<tempfile::TempDir> {
    let mut builder = tempfile::Builder::new();
    let builder = builder.prefix(".fastboot-freeze-");
    binary
        .parent()
        .and_then(|folder| builder.tempdir_in(folder).ok())
        .map_or_else(|| builder.tempdir(), Ok)
        .context("cannot make a temporary folder for the freeze run")
}

/// One freeze run.
fn run(binary: &Binary, options: &FreezeOptions, randomize: bool, folder: &Path, shell: &Shell) -> Result<Capture> {
    let told = || format!("cannot write into {}", folder.display());
    std::fs::create_dir(folder).with_context(told)?;
    let limit = options.memory_limit.unwrap_or_else(spare_memory);
    // Another binary, another seed: two programs do not share their hash keys.
    let seed = binary.identity.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
    let seed = if options.real_random { None } else { seed };
    let request = Request { home: options.home, limit, randomize, seed };
    std::fs::write(folder.join(REQUEST_FILE), request.encode()).with_context(told)?;
    let status = folder.join(STATUS_FILE);
    std::fs::write(&status, [0; STATUS_LEN]).with_context(told)?;
    let status = File::open(&status).with_context(told)?;

    let mut words = options.runner.iter().cloned().chain([binary.path.clone().into_os_string()]);
    let program = words.next().unwrap_or_default();
    let mut command = Command::new(&program);
    command.args(words).env(FREEZE_VARIABLE, folder);
    command.envs(options.environment.iter().map(|(name, value)| (name, value)));
    if let Some(directory) = &options.directory {
        command.current_dir(directory);
    }
    // What the expressions print is for the user, not part of what this command prints.
    command.stdin(Stdio::null()).stdout(Stdio::from(std::io::stderr()));
    let began = Instant::now();
    let mut child = command.spawn().with_context(|| {
        format!("cannot run {} to freeze it: {}", binary.path.display(), Path::new(&program).display())
    })?;

    let progress = shell.progress();
    let exit = loop {
        if let Some(exit) = child.try_wait().context("cannot wait for the freeze run")? {
            break exit;
        }
        let elapsed = began.elapsed();
        if options.timeout.is_some_and(|timeout| elapsed > timeout) {
            progress.clear();
            // Errors are only possible if it has just ended by itself.
            let _ = child.kill();
            let _ = child.wait();
            let root = read_status(&status).map_or_else(String::new, |status| status.root);
            bail!(
                "freezing {} took longer than {} s: root `{root}` was still being evaluated; \
                 give it more time with --freeze-timeout",
                binary.path.display(),
                elapsed.as_secs()
            );
        }
        if elapsed > PATIENCE
            && let Some(now) = read_status(&status)
        {
            progress.update(&format!(
                "{} ({}/{}) {} s, {}",
                if now.phase == Phase::Writing { "writing the capture" } else { &now.root },
                (now.done + 1).min(now.total),
                now.total,
                elapsed.as_secs(),
                megabytes(now.bytes)
            ));
        }
        std::thread::sleep(POLL.min(elapsed / 8 + Duration::from_micros(200)));
    };
    progress.clear();

    let capture = Capture::read(&folder.join(CAPTURE_FILE))?;
    let status = read_status(&status);
    capture.map_err(|failure| {
        explain(&failure, exit, status).context(format!("cannot freeze {}", binary.path.display()))
    })
}

fn read_status(file: &File) -> Option<Status> {
    let mut page = [0; STATUS_LEN];
    file.read_exact_at(&mut page, 0).ok()?;
    Some(Status::decode(&page))
}

/// Why a run left no complete capture, and what to do about it.
fn explain(failure: &Failure, exit: ExitStatus, status: Option<Status>) -> anyhow::Error {
    let phase = status.as_ref().map_or(Phase::Starting, |status| status.phase);
    let current = status.map(|status| status.root).unwrap_or_default();
    let ending = match (exit.signal(), exit.code()) {
        (Some(libc_signal), _) => format!("was ended by {}", signal_name(libc_signal)),
        (None, Some(code)) => format!("ended with exit status {code}"),
        (None, None) => "ended".to_owned(),
    };
    match failure {
        Failure::Refused { reason } => anyhow!("{reason}"),
        Failure::OutOfMemory { root, asked, limit } => anyhow!(
            "root `{root}` needs more memory than there is: {} more were asked for when the limit of {} was reached; \
             give it more with --freeze-memory",
            megabytes(*asked),
            megabytes(*limit)
        ),
        Failure::Panic { root, message, location } if exit.code() == Some(101) || exit.signal().is_some() => {
            anyhow!("root `{root}` panicked{}: {message}", at(location))
        }
        // A panic that was caught, and then something else.
        Failure::Panic { .. } | Failure::Unfinished => match phase {
            Phase::Starting if exit.success() => anyhow!(
                "the program ran, but not in freeze mode: is `fastboot_rt::install!();` in its main.rs, \
                 and does its runner (if any) pass the environment on?"
            ),
            Phase::Starting => anyhow!("the program {ending} before freeze mode began"),
            Phase::Evaluating if exit.signal() == Some(11) => anyhow!(
                "root `{current}`: the program {ending} while it was evaluated: memory it must not touch, \
                 or a recursion deeper than the 1 GiB stack"
            ),
            Phase::Evaluating if exit.signal().is_some() => {
                anyhow!("root `{current}`: the program {ending} while it was evaluated")
            }
            Phase::Evaluating => anyhow!(
                "root `{current}`: the program {ending} while it was evaluated; \
                 a root's expression must return its value, and not call `std::process::exit`"
            ),
            Phase::Writing | Phase::Done => {
                anyhow!("the capture could not be written: the program {ending}; is there space left on the disk?")
            }
        },
    }
}

fn at(location: &str) -> String {
    if location.is_empty() { String::new() } else { format!(" at {location}") }
}

fn signal_name(signal: i32) -> String {
    let name = match signal {
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL (was the machine out of memory?)",
        11 => "SIGSEGV",
        15 => "SIGTERM",
        24 => "SIGXCPU",
        31 => "SIGSYS",
        _ => return format!("signal {signal}"),
    };
    name.to_owned()
}

/// Nine tenths of the memory that is available, in bytes: of the machine's, or of the control group's if that is less.
fn spare_memory() -> u64 {
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let available = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:")?.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok())
        .map_or(4 << 30, |kilobytes| kilobytes.saturating_mul(1024));
    let group = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let group = group.and_then(|text| text.trim().parse::<u64>().ok()).unwrap_or(u64::MAX);
    available.min(group) / 10 * 9
}

/// Which words of the first run are static pointers.
fn compare(first: &Capture, second: &Capture) -> Result<prove::Proof> {
    let data = |capture: &Capture| -> Result<_> {
        let start = capture.process.home + PAGE as u64;
        let mut data = image::anonymous(capture.memory_len(start))?;
        capture.read_memory(start, &mut data)?;
        Ok(data)
    };
    let (a, b) = (data(first)?, data(second)?);
    let of = |capture: &Capture| (capture.process.exe_base, capture.process.exe_end);
    let ((first_base, first_end), (second_base, second_end)) = (of(first), of(second));
    prove::static_pointers(
        Run { data: &a, exe_base: first_base, exe_end: first_end },
        Run { data: &b, exe_base: second_base, exe_end: second_end },
    )
}
