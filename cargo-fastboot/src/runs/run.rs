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
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

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

/// A run that is to be made.
pub(crate) struct FreezeRun<'a> {
    pub(crate) binary: &'a Binary,
    pub(crate) options: &'a FreezeOptions,
    pub(crate) purpose: Purpose<'a>,
    /// A run in which everything shall have been at other addresses.
    pub(crate) other: Option<&'a Capture>,
    /// Whether the system is to load the executable, if it is position-independent, and the shared libraries elsewhere, too.
    pub(crate) randomize: bool,
    /// In what else this one shall differ.
    pub(crate) world: &'a [Difference],
    /// How far the executable is from the one whose addresses are in that.
    pub(crate) moved: u64,
    /// What statics are to hold before anything is evaluated: addresses in that executable, and bytes.
    pub(crate) presets: &'a [(u64, Vec<u8>)],
    /// For its files. It is made.
    pub(crate) folder: &'a Path,
    pub(crate) shell: &'a Shell,
}

impl FreezeRun<'_> {
    /// Makes it.
    pub(crate) fn capture(&self) -> Result<Capture> {
        let request = self.request();
        let status =
            self.write_files(&request).with_context(|| format!("cannot write into {}", self.folder.display()))?;
        let run = Awaited {
            binary: &self.binary.path,
            options: self.options,
            randomize: request.randomize,
            folder: self.folder,
            status: &status,
            shell: self.shell,
        };
        let mut command = self.command();
        for _ in 0..MOST_LOADS {
            match run.wait(&mut command)? {
                Ended::Captured(capture) => return Ok(*capture),
                Ended::Failed(Failure::Unfinished, Some(exit))
                    if exit.code() == Some(AGAIN) && request.apart.is_some() => {}
                Ended::Failed(failure, exit) => {
                    let cannot_freeze = format!("cannot freeze {}", self.binary.path.display());
                    return Err(
                        explain(&failure, exit.unwrap_or_default(), read_status(&status)).context(cannot_freeze)
                    );
                }
            }
        }
        bail!(
            "the system loads {} at addresses too close to each other, however often it is asked; build without --pie",
            self.binary.path.display()
        )
    }

    /// What the program is asked for.
    fn request(&self) -> Request {
        let options = self.options;
        let elsewhere = self.other.is_some();
        let set = usize::from(elsewhere);
        let (seen, sites) = world::features(self.world);
        Request {
            mode: self.purpose.mode(),
            scratch: SCRATCH[set],
            stack: STACK_TOP[set],
            home: options.home + if elsewhere { HOME_SHIFT } else { 0 },
            limit: options.memory_limit.unwrap_or_else(spare_memory),
            // Builders such as nix turn randomisation off for all that they run; the comparison needs it. A runner (valgrind,
            // for instance) may not be able to follow a program that executes itself again: its user decides.
            randomize: if elsewhere && !options.runner.is_empty() { None } else { Some(self.randomize) },
            apart: self.other.filter(|_| self.binary.pie && self.randomize).map(|other| other.process.exe_base),
            trace: options.trace,
            hold_all: matches!(self.purpose, Purpose::Plan { hold_all: true }),
            // Another binary, another seed: two programs do not share their hash keys.
            seed: (!options.real_random).then(|| options.seed.unwrap_or_else(|| self.binary.seed())),
            cpu: options.cpu & seen,
            cpuid: sites.into_iter().map(|site| site.wrapping_add(self.moved)).collect(),
            world: world::from_inside(self.world),
            presets: self.presets.iter().map(|(at, bytes)| (at.wrapping_add(self.moved), bytes.clone())).collect(),
        }
    }

    /// Makes the folder and what the program finds in it; the file that the program says in how far it is.
    fn write_files(&self, request: &Request) -> io::Result<File> {
        std::fs::create_dir(self.folder)?;
        if let Purpose::Place(plan) = self.purpose {
            std::fs::hard_link(plan, self.folder.join(PLAN_FILE))?;
        }
        std::fs::write(self.folder.join(REQUEST_FILE), request.encode())?;
        let status = self.folder.join(STATUS_FILE);
        std::fs::write(&status, [0; STATUS_LEN])?;
        File::open(&status)
    }

    /// The program, called as it has to be.
    fn command(&self) -> Command {
        let elsewhere = self.other.is_some();
        let mut command = self.options.command(world::path(self.world, &self.binary.path));
        command.env(FREEZE_VARIABLE, self.folder);
        command.env(TUNABLES_VARIABLE, tunables(std::env::var(TUNABLES_VARIABLE).ok().as_deref()));
        if !self.options.keep_threads {
            // With one thread, allocations come in the same order every time.
            command.envs(THREAD_VARIABLES.map(|name| (name, "1")));
        }
        if elsewhere {
            command.env(PADDING_VARIABLE, "x".repeat(3000));
        }
        // What the expressions print is for the user, not part of what this command prints; and once is enough, so not when it
        // is done a second time because of what was learned.
        command.stdin(Stdio::null());
        let first = match self.purpose {
            Purpose::Plan { .. } => self.presets.is_empty(),
            Purpose::Verbatim => !elsewhere && self.world.is_empty(),
            Purpose::Place(_) => false,
        };
        if first && self.options.preferred.is_empty() {
            command.stdout(Stdio::from(io::stderr()));
        } else {
            command.stdout(Stdio::null()).stderr(Stdio::null());
        }
        world::apply(self.world, &mut command);
        command
    }
}
