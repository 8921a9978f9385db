//! Now: `freeze_now`, which waits for the process that freezes.

use super::begin::note_start;
use super::cache_folder::{self, Failure};
use super::freezable::{Why, require_freezable};
use super::installed::{FOREGROUND, Installed, VARIABLE};
use crate::alloc;
use crate::config::{FreezeError, FreezeErrorKind};
use crate::os::environment;
use crate::start::cache::{File, Home};
use crate::start::path::Path;
use crate::start::section::Program;
use core::ffi::CStr;
use fastboot_format::protocol::{TUNABLES_VARIABLE, tunables};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

impl From<Why> for FreezeError {
    fn from(why: Why) -> Self {
        let kind = match why {
            Why::NoCache => FreezeErrorKind::NotInstalled,
            Why::PositionIndependent | Why::NotItself | Why::AdoptsOrphans => FreezeErrorKind::Unsupported,
            Why::NotBuiltForIt => FreezeErrorKind::NotBuiltForIt,
            Why::NoRoots => FreezeErrorKind::NoRoots,
            Why::Busy => FreezeErrorKind::Busy,
            Why::Cache(_) | Why::Start { .. } => FreezeErrorKind::System,
            Why::Failed(_) => FreezeErrorKind::Failed,
        };
        Self::new(kind, why.to_string())
    }
}

/// See [`crate::freeze_now`].
pub(crate) fn freeze_now() -> Result<PathBuf, FreezeError> {
    let refused = |text: &str| FreezeError::new(FreezeErrorKind::Refused, text);
    let none = || FreezeError::new(FreezeErrorKind::NotInstalled, "the program has no `install!` with a cache");
    let installed = Installed::get().ok_or_else(none)?;
    if environment::secure() {
        return Err(refused("the program has privileges that its user does not have"));
    }
    if alloc::is_freezing() {
        return Err(refused("this is a freeze run"));
    }
    if std::env::var_os("FASTBOOT").is_some_and(|value| value == "off") {
        return Err(refused("FASTBOOT=off"));
    }
    let program = Program::find(installed.placeholder)
        .map_err(|reason| FreezeError::new(FreezeErrorKind::NotBuiltForIt, reason.to_string()))?;
    let cache = program.identity().ok_or(Why::NotBuiltForIt)?;
    let cache = installed.cache(cache).ok_or(Why::NoCache)?;
    require_freezable(&program)?;

    let [cache_home, home] = ["XDG_CACHE_HOME", "HOME"].map(std::env::var_os);
    let home =
        Home { cache: cache_home.as_deref().map(OsStrExt::as_bytes), home: home.as_deref().map(OsStrExt::as_bytes) };
    let folder = cache_folder::open(&cache, &home).map_err(Why::Cache)?;
    let lock = cache_folder::lock(&folder, true).map_err(Why::Cache)?.ok_or(Why::Busy)?;
    let mut failure = cache.name(File::Failure);
    let failure = failure.as_c_str().map_err(Why::Cache)?;
    folder.remove(failure);
    note_start(&cache, &folder)?;

    let lock = lock.into_owned();
    let cannot = |error: std::io::Error| {
        FreezeError::new(FreezeErrorKind::System, format!("no process can be started: {error}"))
    };
    let mut command = Command::new("/proc/self/exe");
    command
        .env(os(VARIABLE), os(FOREGROUND))
        .env(TUNABLES_VARIABLE, tunables(std::env::var(TUNABLES_VARIABLE).ok().as_deref()));
    command.stdin(Stdio::from(lock.try_clone().map_err(cannot)?)).stdout(Stdio::null());
    if let Some(name) = std::env::args_os().next() {
        std::os::unix::process::CommandExt::arg0(&mut command, name);
    }
    // What became of it is in the folder. If the program ignores SIGCHLD there is no status.
    let _ = command.spawn().map_err(cannot)?.wait();
    if let Some(failure) = Failure::read(&folder, failure) {
        return Err(FreezeError::new(FreezeErrorKind::Failed, format!("it {}", failure.text())));
    }
    let mut path = Path::new();
    cache.path(&home, File::Snapshot, &mut path).map_err(Why::Cache)?;
    Ok(PathBuf::from(OsStr::from_bytes(path.as_bytes())))
}

fn os(text: &CStr) -> &OsStr {
    OsStr::from_bytes(text.to_bytes())
}
