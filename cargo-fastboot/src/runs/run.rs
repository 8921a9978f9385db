//! Run: one freeze run of a binary, from the request to the capture, or to the reason why there is none.

use crate::elf::binary::Binary;
use crate::options::FreezeOptions;
use crate::runs::capture::{Capture, Failure};
use crate::runs::spare::spare_memory;
use crate::runs::wait::{Awaited, Ended, read_status};
use crate::runs::why::explain;
use crate::runs::world::{self, Difference};
use crate::say::shell::Shell;
use anyhow::{Context, Result, bail};
use fastboot_format::protocol::{
    AGAIN, FREEZE_VARIABLE, HOME_SHIFT, Mode, PLAN_FILE, REQUEST_FILE, Request, SCRATCH, STACK_TOP, STATUS_FILE,
    STATUS_LEN, TUNABLES_VARIABLE, tunables,
};
use std::fs::File;
use std::path::Path;
use std::process::Stdio;

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
    let cannot_write = || format!("cannot write into {}", folder.display());
    std::fs::create_dir(folder).with_context(cannot_write)?;
    let limit = options.memory_limit.unwrap_or_else(spare_memory);
    // Another binary, another seed: two programs do not share their hash keys.
    let seed = (!options.real_random).then(|| options.seed.unwrap_or_else(|| binary.seed()));
    let elsewhere = other.is_some();
    let place = usize::from(elsewhere);
    // Builders such as nix turn randomisation off for all that they run; the comparison needs it. A runner (valgrind, for
    // instance) may not be able to follow a program that executes itself again: its user decides.
    let (seen, sites) = world::features(world);
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
        cpu: options.cpu & seen,
        cpuid: sites,
        world: world::from_inside(world),
    };
    if let Purpose::Place(plan) = purpose {
        std::fs::hard_link(plan, folder.join(PLAN_FILE)).with_context(cannot_write)?;
    }
    std::fs::write(folder.join(REQUEST_FILE), request.encode()).with_context(cannot_write)?;
    let status = folder.join(STATUS_FILE);
    std::fs::write(&status, [0; STATUS_LEN]).with_context(cannot_write)?;
    let status = File::open(&status).with_context(cannot_write)?;
    let (binary_path, randomize) = (binary.path.as_path(), request.randomize);
    let run = Awaited { binary: binary_path, options, randomize, folder, status: &status, shell };

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
        match run.wait(&mut command)? {
            Ended::Captured(capture) => return Ok(*capture),
            Ended::Failed(Failure::Unfinished, Some(exit)) if exit.code() == Some(AGAIN) && request.apart.is_some() => {
            }
            Ended::Failed(failure, exit) => {
                let cannot_freeze = format!("cannot freeze {}", binary.path.display());
                return Err(explain(&failure, exit.unwrap_or_default(), read_status(&status)).context(cannot_freeze));
            }
        }
    }
    bail!(
        "the system loads {} at addresses too close to each other, however often it is asked; build without --pie",
        binary.path.display()
    )
}
