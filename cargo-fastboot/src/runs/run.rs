//! Run: one freeze run of a binary, from the request to the capture, or to the reason why there is none.

use crate::elf::binary::Binary;
use crate::options::FreezeOptions;
use crate::runs::capture::{Capture, Failure};
use crate::runs::incoming::Incoming;
use crate::runs::spare::spare_memory;
use crate::runs::world::{self, Difference};
use crate::say::shell::{Shell, megabytes};
use anyhow::{Context, Result, anyhow, bail};
use fastboot_format::protocol::{
    AGAIN, CAPTURE_FILE, FREEZE_VARIABLE, HOME_SHIFT, Mode, PLAN_FILE, Phase, REQUEST_FILE, Request, SCRATCH,
    STACK_TOP, STATUS_FILE, STATUS_LEN, Status, TUNABLES_VARIABLE, tunables,
};
use fastboot_kernel::with_randomization;
use std::fs::File;
use std::io::{self, BufReader};
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How many bytes of small records are read at once.
const BUFFER: usize = 64 << 10;
/// How often the status of a run is looked at.
const POLL: Duration = Duration::from_millis(20);
/// A piece of memory in a capture is large if it is more than one in so many bytes of the memory that there is.
const LARGE_PIECE: u64 = 8;
/// How long a run must take before it is worth a progress line.
const PATIENCE: Duration = Duration::from_millis(500);
/// How often a run may ask to be loaded elsewhere. One in six does.
const MOST_LOADS: u32 = 60;
/// Makes the environment of a proving run larger, which moves what lies on the main thread's stack.
const PADDING_VARIABLE: &str = "FASTBOOT_PADDING";

/// Variables that set how many threads a library uses: rayon, OpenMP, tokio, polars.
pub(crate) const THREAD_VARIABLES: [&str; 4] =
    ["RAYON_NUM_THREADS", "OMP_NUM_THREADS", "TOKIO_WORKER_THREADS", "POLARS_MAX_THREADS"];

/// Which of the runs this is.
#[derive(Clone, Copy)]
pub(crate) enum Purpose<'a> {
    /// Everything in one arena: the fallback that needs no plan.
    Verbatim,
    /// To learn which allocations live on.
    Plan {
        /// Whether what every block holds is of interest.
        hold_all: bool,
    },
    /// According to the plan in this file, which is on the same file system as the run's folder.
    Place(&'a Path),
}

impl Purpose<'_> {
    fn mode(self) -> Mode {
        match self {
            Self::Verbatim => Mode::Verbatim,
            Self::Plan { .. } => Mode::Plan,
            Self::Place(_) => Mode::Place,
        }
    }
}

/// Runs `binary` once, with its files in `folder`, which is made. `other`: a run in which everything shall have been at
/// other addresses. `world`: in what else this one shall differ.
pub(crate) fn run(
    binary: &Binary,
    options: &FreezeOptions,
    purpose: Purpose<'_>,
    other: Option<&Capture>,
    world: &[Difference],
    folder: &Path,
    shell: &Shell,
) -> Result<Capture> {
    let told = || format!("cannot write into {}", folder.display());
    std::fs::create_dir(folder).with_context(told)?;
    let limit = options.memory_limit.unwrap_or_else(spare_memory);
    // Another binary, another seed: two programs do not share their hash keys.
    let seed = (!options.real_random).then(|| binary.seed());
    let elsewhere = other.is_some();
    let place = usize::from(elsewhere);
    // Builders such as nix turn randomisation off for all that they run; the comparison needs it. A runner (valgrind, for
    // instance) may not be able to follow a program that executes itself again: its user decides.
    let request = Request {
        mode: purpose.mode(),
        scratch: SCRATCH[place],
        stack: STACK_TOP[place],
        home: options.home + if elsewhere { HOME_SHIFT } else { 0 },
        limit,
        randomize: if elsewhere && !options.runner.is_empty() { None } else { Some(elsewhere) },
        apart: other.filter(|_| binary.pie).map(|other| other.process.exe_base),
        trace: options.trace,
        hold_all: matches!(purpose, Purpose::Plan { hold_all: true }),
        seed,
        cpu: options.cpu,
        world: world::from_inside(world),
    };
    if let Purpose::Place(plan) = purpose {
        std::fs::hard_link(plan, folder.join(PLAN_FILE)).with_context(told)?;
    }
    std::fs::write(folder.join(REQUEST_FILE), request.encode()).with_context(told)?;
    let status = folder.join(STATUS_FILE);
    std::fs::write(&status, [0; STATUS_LEN]).with_context(told)?;
    let status = File::open(&status).with_context(told)?;

    let mut command = options.command(world::path(world, &binary.path));
    command.env(FREEZE_VARIABLE, folder);
    command.env(TUNABLES_VARIABLE, tunables(std::env::var(TUNABLES_VARIABLE).ok().as_deref()));
    if !options.keep_threads {
        // With one thread, allocations come in the same order every time.
        command.envs(THREAD_VARIABLES.map(|name| (name, "1")));
    }
    if elsewhere {
        command.env(PADDING_VARIABLE, "x".repeat(3000));
    }
    // What the expressions print is for the user, not part of what this command prints; and once is enough, so not when it is
    // done a second time because of what was learned.
    command.stdin(Stdio::null());
    let first = matches!(purpose, Purpose::Plan { .. }) || (matches!(purpose, Purpose::Verbatim) && !elsewhere);
    if first && options.preferred.is_empty() {
        command.stdout(Stdio::from(std::io::stderr()));
    } else {
        command.stdout(Stdio::null()).stderr(Stdio::null());
    }
    world::apply(world, &mut command);
    for _ in 0..MOST_LOADS {
        let (captured, exit) = wait(&mut command, binary, options, (&status, request.randomize), folder, shell)?;
        match (captured, exit) {
            (Ok(capture), _) => return Ok(capture),
            (Err(Failure::Unfinished), Some(exit)) if exit.code() == Some(AGAIN) && request.apart.is_some() => {}
            (Err(failure), exit) => {
                let told = format!("cannot freeze {}", binary.path.display());
                return Err(explain(&failure, exit.unwrap_or_default(), read_status(&status)).context(told));
            }
        }
    }
    bail!(
        "the system loads {} at addresses too close to each other, however often it is asked; build without --pie",
        binary.path.display()
    )
}

/// Starts the run, reads its capture, and waits for the end of one of them, showing how far it is: with a complete capture
/// nothing is of interest that the run does afterwards.
fn wait(
    command: &mut Command,
    binary: &Binary,
    options: &FreezeOptions,
    (status, randomize): (&File, Option<bool>),
    folder: &Path,
    shell: &Shell,
) -> Result<(Result<Capture, Failure>, Option<ExitStatus>)> {
    let most = spare_memory() / LARGE_PIECE;
    let incoming = Incoming::open(&folder.join(CAPTURE_FILE), !options.runner.is_empty())?;
    let began = Instant::now();
    let mut child = with_randomization(randomize, || command.spawn()).with_context(|| {
        format!("cannot run {} to freeze it: {}", binary.path.display(), Path::new(command.get_program()).display())
    })?;
    std::thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        let mut stream = BufReader::with_capacity(BUFFER, incoming.stream());
        scope.spawn(move || {
            let told = || format!("cannot read the capture in {}", folder.display());
            // Nobody is left to hear it if there was an error meanwhile.
            let _ = sender.send(Capture::read(&mut stream, most, folder).with_context(told));
        });
        let progress = shell.progress("Freezing");
        let ended = loop {
            let elapsed = began.elapsed();
            match receiver.recv_timeout(POLL.min(elapsed / 8 + Duration::from_micros(200))) {
                Ok(captured) => break Ok(captured),
                Err(RecvTimeoutError::Disconnected) => break Ok(Err(anyhow!("the capture could not be read"))),
                Err(RecvTimeoutError::Timeout) => {}
            }
            if let Some(exit) = child.try_wait().context("cannot wait for the freeze run").transpose() {
                break Err(exit);
            }
            if options.timeout.is_some_and(|timeout| elapsed > timeout) {
                let root = read_status(status).map_or_else(String::new, |status| status.root);
                break Err(Err(anyhow!(
                    "freezing {} took longer than {} s: root `{root}` was still being evaluated; \
                     give it more time with --freeze-timeout",
                    binary.path.display(),
                    elapsed.as_secs()
                )));
            }
            if elapsed > PATIENCE
                && let Some(now) = read_status(status)
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
        };
        progress.clear();
        match ended {
            Ok(Ok(Ok(capture))) => {
                // To take a process apart that had much memory takes time. But what a runner still does is its own business,
                // and where memory is short, the next run needs it.
                if options.runner.is_empty() && capture.process.peak <= most {
                    let waiting = std::thread::spawn(move || child.wait());
                    ENDING.lock().unwrap_or_else(PoisonError::into_inner).push(waiting);
                } else {
                    let _ = child.wait();
                }
                Ok((Ok(capture), None))
            }
            Ok(captured) => {
                // Errors are only possible if it has just ended by itself.
                let _ = child.kill();
                let exit = child.wait().ok();
                Ok((captured?, exit))
            }
            Err(exit) => {
                let _ = child.kill();
                let _ = child.wait();
                incoming.end();
                let captured = receiver.recv().context("the capture could not be read")?;
                Ok((captured?, Some(exit?)))
            }
        }
    })
}

/// What waits for runs to end of which nothing more is of interest.
static ENDING: Mutex<Vec<JoinHandle<io::Result<ExitStatus>>>> = Mutex::new(Vec::new());

/// Waits for the end of all runs.
pub(crate) fn wait_for_all() {
    for waiting in std::mem::take(&mut *ENDING.lock().unwrap_or_else(PoisonError::into_inner)) {
        // Whatever came of it: it has ended.
        let _ = waiting.join();
    }
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
    let ending = ending(exit);
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

/// How a program ended, as a sentence about it goes on.
pub(crate) fn ending(exit: ExitStatus) -> String {
    match (exit.signal(), exit.code()) {
        (Some(signal), _) => format!("was ended by {}", signal_name(signal)),
        (None, Some(code)) => format!("ended with exit status {code}"),
        (None, None) => "ended".to_owned(),
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
