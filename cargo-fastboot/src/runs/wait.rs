//! Wait: for a run that was started, reading what it captures meanwhile and showing how far it is.

use crate::options::FreezeOptions;
use crate::runs::capture::{Capture, Failure};
use crate::runs::incoming::Incoming;
use crate::runs::spare::spare_memory;
use crate::say::shell::{Progress, Shell, megabytes};
use anyhow::{Context, Result, anyhow};
use fastboot_format::protocol::{CAPTURE_FILE, Phase, STATUS_LEN, Status};
use fastboot_kernel::with_randomization;
use std::fs::File;
use std::io::{self, BufReader};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
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

/// What is known of a run that is to be waited for.
pub(super) struct Awaited<'a> {
    /// The binary that is frozen.
    pub(super) binary: &'a Path,
    pub(super) options: &'a FreezeOptions,
    /// Whether addresses are to be random; `None` if that is the runner's affair.
    pub(super) randomize: Option<bool>,
    /// Where its files are.
    pub(super) folder: &'a Path,
    /// Its status file.
    pub(super) status: &'a File,
    pub(super) shell: &'a Shell,
}

/// How a run came out.
pub(super) enum Ended {
    Captured(Box<Capture>),
    /// Without a complete capture; how the process ended, if that is known.
    Failed(Failure, Option<ExitStatus>),
}

/// What happened first to a run: its capture was read, as far as there is one, or the process came to an end.
#[expect(clippy::large_enum_variant, reason = "there is one for each run")]
enum Happened {
    Read(Result<Result<Capture, Failure>>),
    Exited(ExitStatus),
    /// It is to be ended: it took too long, or nobody knows how it does.
    Lost(anyhow::Error),
}

impl Awaited<'_> {
    /// Starts the run, reads its capture, and waits for the end of one of them: with a complete capture nothing is of interest
    /// that the run does afterwards.
    pub(super) fn wait(&self, command: &mut Command) -> Result<Ended> {
        let most = spare_memory() / LARGE_PIECE;
        let incoming = Incoming::open(&self.folder.join(CAPTURE_FILE), !self.options.runner.is_empty())?;
        let began = Instant::now();
        let mut child = with_randomization(self.randomize, || command.spawn()).with_context(|| {
            let program = Path::new(command.get_program()).display();
            format!("cannot run {} to freeze it: {program}", self.binary.display())
        })?;
        std::thread::scope(|scope| {
            let (sender, receiver) = mpsc::channel();
            let mut stream = BufReader::with_capacity(BUFFER, incoming.stream());
            scope.spawn(move || {
                let cannot_read = || format!("cannot read the capture in {}", self.folder.display());
                // Nobody is left to hear it if there was an error meanwhile.
                let _ = sender.send(Capture::read(&mut stream, most, self.folder).with_context(cannot_read));
            });
            let exit = match self.what_comes_first(&mut child, &receiver, began) {
                Happened::Read(captured) => {
                    return match captured {
                        Ok(Ok(capture)) => Ok(self.leave_to_end(child, capture, most)),
                        captured => {
                            // Errors are only possible if it has just ended by itself.
                            let _ = child.kill();
                            let exit = child.wait().ok();
                            captured.map(|captured| ended(captured, exit))
                        }
                    };
                }
                Happened::Exited(exit) => Ok(exit),
                Happened::Lost(error) => Err(error),
            };
            let _ = child.kill();
            let _ = child.wait();
            incoming.end();
            let read = receiver.recv().context("the capture could not be read")?;
            Ok(ended(read?, Some(exit?)))
        })
    }

    fn what_comes_first(
        &self,
        child: &mut Child,
        receiver: &Receiver<Result<Result<Capture, Failure>>>,
        began: Instant,
    ) -> Happened {
        let progress = self.shell.progress("Freezing");
        loop {
            let elapsed = began.elapsed();
            match receiver.recv_timeout(POLL.min(elapsed / 8 + Duration::from_micros(200))) {
                Ok(captured) => return Happened::Read(captured),
                Err(RecvTimeoutError::Disconnected) => {
                    return Happened::Read(Err(anyhow!("the capture could not be read")));
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            match child.try_wait().context("cannot wait for the freeze run") {
                Ok(None) => {}
                Ok(Some(exit)) => return Happened::Exited(exit),
                Err(error) => return Happened::Lost(error),
            }
            if self.options.timeout.is_some_and(|timeout| elapsed > timeout) {
                let root = read_status(self.status).map_or_else(String::new, |status| status.root);
                return Happened::Lost(anyhow!(
                    "freezing {} took longer than {} s: root `{root}` was still being evaluated; \
                     give it more time with --freeze-timeout",
                    self.binary.display(),
                    elapsed.as_secs()
                ));
            }
            if elapsed > PATIENCE {
                self.show(&progress, elapsed);
            }
        }
    }

    /// Shows how far the run is.
    fn show(&self, progress: &Progress, elapsed: Duration) {
        let Some(now) = read_status(self.status) else { return };
        progress.update(&format!(
            "{} ({}/{}) {} s, {}",
            if now.phase == Phase::Writing { "writing the capture" } else { &now.root },
            (now.done + 1).min(now.total),
            now.total,
            elapsed.as_secs(),
            megabytes(now.bytes)
        ));
    }

    /// To take a process apart that had much memory takes time. But what a runner still does is its own business, and where
    /// memory is short, the next run needs it.
    fn leave_to_end(&self, mut child: Child, capture: Capture, most: u64) -> Ended {
        if self.options.runner.is_empty() && capture.process.peak <= most {
            let waiting = std::thread::spawn(move || child.wait());
            ENDING.lock().unwrap_or_else(PoisonError::into_inner).push(waiting);
        } else {
            let _ = child.wait();
        }
        Ended::Captured(Box::new(capture))
    }
}

fn ended(captured: Result<Capture, Failure>, exit: Option<ExitStatus>) -> Ended {
    match captured {
        Ok(capture) => Ended::Captured(Box::new(capture)),
        Err(failure) => Ended::Failed(failure, exit),
    }
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

/// What a run says of itself at the moment.
pub(super) fn read_status(file: &File) -> Option<Status> {
    let mut page = [0; STATUS_LEN];
    file.read_exact_at(&mut page, 0).ok()?;
    Some(Status::decode(&page))
}
