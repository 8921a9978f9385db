//! First run: a program that has no image freezes itself, for its next start.
//!
//! ```text
//! start ─ no image ─ folder locked ─ HASH.failed written ─┬─ cold, at once
//!                                                         └─ process in the background: the same executable, with the lock
//!                                                              roots evaluated ─ HASH.tmp ─ checked ─ HASH.snap
//! next start ─ thawed from the cache
//! ```
//!
//! This module is the side of the program that runs; [`freezer`] is the process that freezes.

#![expect(clippy::result_large_err, clippy::large_enum_variant, reason = "before `main` nothing is allocated")]

mod freezer;

use crate::config::{Config, FreezeError};
use crate::entry::{Call, Placeholder};
use crate::os::files::Descriptor;
use crate::os::{environment, headers, memory, processes};
use crate::start::cache::{Cache, Failure, File, Home};
use crate::start::path::Path;
use crate::start::relocate::Stored;
use crate::start::section::Program;
use crate::start::thaw::{Outcome, Reason};
use crate::start::{cache, thaw};
use crate::{alloc, roots};
use core::ffi::{CStr, c_char};
use core::fmt;
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};
use fastboot_format::protocol::{MALLOC_TUNABLES, TUNABLES_VARIABLE, tunables};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Name of the variable that makes a process one that freezes for the cache.
pub(crate) const VARIABLE: &CStr = c"FASTBOOT_FREEZE_CACHE";
/// How an environment says that, if nobody waits.
const IN_BACKGROUND: &CStr = c"FASTBOOT_FREEZE_CACHE=background";
/// The variable's value if somebody does.
const FOREGROUND: &CStr = c"foreground";
/// What stands in the file of failures until the new process has something to say.
const STARTED: &[u8] = b"did not end: its process was started\n";

/// What a program with a cache does before `main`. Behind pointers that only `install!` with a cache has: in all others
/// the linker leaves this module out, and with it what it imports, which the dynamic linker would look up at each start.
#[derive(Debug)]
pub(crate) struct FirstRun {
    /// Freezes, in the process that does, as the value of [`VARIABLE`] says.
    pub(crate) freeze: fn(&Installed, &CStr, Call) -> !,
    /// Looks into the cache of the program with this identity.
    pub(crate) look: fn(&Installed, [u8; 32]) -> Result<Stored, Reason>,
    /// See [`begin`].
    pub(crate) begin: fn(&Installed, &mut Outcome) -> Option<Begun>,
}

impl FirstRun {
    /// The functions of this module.
    pub(crate) const CODE: Self = Self { freeze: freezer::run, look, begin };
}

/// The snapshot in the cache.
fn look(installed: &Installed, identity: [u8; 32]) -> Result<Stored, Reason> {
    installed.cache(identity).ok_or(Reason::NotCached)?.image(&Home::of_start())
}

/// What [`start`](crate::entry::start) was given: [`freeze_now`] needs it later.
pub(crate) struct Installed {
    pub(crate) placeholder: &'static Placeholder,
    pub(crate) config: &'static Config,
}

/// Two statics rather than one of the struct, because nothing may be allocated when they are set.
static PLACEHOLDER: AtomicPtr<Placeholder> = AtomicPtr::new(ptr::null_mut());
static CONFIG: AtomicPtr<Config> = AtomicPtr::new(ptr::null_mut());

impl Installed {
    /// Keeps them. Before there is a second thread.
    pub(crate) fn keep(&self) {
        PLACEHOLDER.store(ptr::from_ref(self.placeholder).cast_mut(), Ordering::Relaxed);
        CONFIG.store(ptr::from_ref(self.config).cast_mut(), Ordering::Relaxed);
    }

    fn get() -> Option<Self> {
        // SAFETY: null, or the addresses of the statics that `keep` was given, which nobody has a mutable reference to.
        unsafe {
            let placeholder = PLACEHOLDER.load(Ordering::Relaxed).as_ref()?;
            Some(Self { placeholder, config: CONFIG.load(Ordering::Relaxed).as_ref()? })
        }
    }

    /// The program's cache, if it has one.
    pub(crate) fn cache(&self, identity: [u8; 32]) -> Option<Cache> {
        Some(Cache { dir: self.config.cache?, program: self.config.program, identity })
    }
}

/// Why a program does not freeze itself.
pub(crate) enum Why {
    /// `install!` names no cache.
    NoCache,
    /// The values in it need a proof that takes several runs.
    PositionIndependent,
    /// Nobody wrote down which statics have to be carried.
    NotBuiltForIt,
    /// There is nothing to freeze.
    NoRoots,
    /// A loader or an emulator runs it, and would be executed in its place.
    NotItself,
    /// The process would become the parent of the one in the background.
    AdoptsOrphans,
    /// Somebody else has the lock.
    Busy,
    /// It was tried not long ago.
    Failed(Failure),
    /// The folder or a file in it cannot be used.
    Cache(Reason),
    /// No process can be started.
    Start { errno: i32 },
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCache => f.write_str("`install!` names no cache"),
            Self::PositionIndependent => f.write_str("a position-independent executable cannot freeze itself"),
            Self::NotBuiltForIt => f.write_str("the program was not built with `cargo fastboot build --cold`"),
            Self::NoRoots => f.write_str("it has no roots"),
            Self::NotItself => f.write_str("/proc/self/exe is not this program"),
            Self::AdoptsOrphans => f.write_str("this process adopts orphans (it is the first of its container)"),
            Self::Busy => f.write_str("another process is freezing"),
            Self::Failed(failure) => write!(f, "{failure}"),
            Self::Cache(reason) => write!(f, "{reason}"),
            Self::Start { errno } => write!(f, "no process can be started: {}", thaw::Errno(*errno)),
        }
    }
}

/// What a start that has no image does about it.
pub(crate) enum Begun {
    /// A process in the background freezes: the path of the snapshot to be.
    Freezing(Path),
    /// Nothing.
    Not(Why),
}

/// Whether this program could freeze itself.
fn require_freezable(program: &Program) -> Result<(), Why> {
    if program.exe_base != 0 {
        return Err(Why::PositionIndependent);
    }
    if program.cold_tables().is_none() {
        return Err(Why::NotBuiltForIt);
    }
    if roots::all().chain(roots::warm_ups()).next().is_none() {
        return Err(Why::NoRoots);
    }
    if !headers::is_executed_itself() {
        return Err(Why::NotItself);
    }
    Ok(())
}

/// Starts freezing if the cache has no snapshot, or one that is of no use, and nothing speaks against it. `None` if the
/// cache was not looked at, or holds something that freezing would not mend; or if it has a good snapshot by now, which
/// `outcome` then is. Allocates nothing.
fn begin(installed: &Installed, outcome: &mut Outcome) -> Option<Begun> {
    if !outcome.cache_reason()?.is_mended_by_freezing() {
        return None;
    }
    let program = Program::find(installed.placeholder).ok()?;
    let cache = installed.cache(program.identity()?)?;
    match try_begin(&program, &cache, outcome) {
        Ok(path) => path.map(Begun::Freezing),
        Err(why) => Some(Begun::Not(why)),
    }
}

fn try_begin(program: &Program, cache: &Cache, outcome: &mut Outcome) -> Result<Option<Path>, Why> {
    require_freezable(program)?;
    if processes::adopts_orphans() {
        return Err(Why::AdoptsOrphans);
    }
    let home = Home::of_start();
    let folder = cache.open(&home).map_err(Why::Cache)?;
    let lock = cache::lock(&folder, false).map_err(Why::Cache)?.ok_or(Why::Busy)?;
    if thaw::try_cache_again(outcome, program, cache, &home) {
        return Ok(None);
    }
    note_start(cache, &folder)?;
    start(&lock).map_err(|errno| Why::Start { errno })?;
    let mut path = Path::new();
    cache.path(&home, File::Snapshot, &mut path).map_err(Why::Cache)?;
    Ok(Some(path))
}

/// Writes down that freezing was begun, unless it failed not long ago.
fn note_start(cache: &Cache, folder: &Descriptor) -> Result<(), Why> {
    let mut name = cache.name(File::Failure);
    let name = name.as_c_str().map_err(Why::Cache)?;
    if let Some(failure) = Failure::read(folder, name) {
        return Err(Why::Failed(failure));
    }
    let told = |errno| Why::Cache(Reason::File { call: "write to the folder of the cache", errno });
    Descriptor::make(folder, name).and_then(|file| file.replace_with(STARTED)).map_err(told)
}

/// Starts the process in the background.
fn start(lock: &Descriptor) -> Result<(), i32> {
    // Nothing may be allocated, so there is a mapping for what is as long as the environment.
    let tunables =
        environment::variables().find_map(|variable| variable.to_bytes().strip_prefix(TUNABLES)).unwrap_or(b"");
    let separator: &[u8] = if tunables.is_empty() { b"" } else { b":" };
    let parts = [TUNABLES, tunables, separator, MALLOC_TUNABLES.as_bytes(), b"\0"];
    let pointers_length = (environment::variables().count() + 3) * size_of::<*const c_char>();
    let length = pointers_length + parts.iter().map(|part| part.len()).sum::<usize>();
    let mapped = memory::map_anonymous(length)?;
    let text = mapped.wrapping_add(pointers_length);
    let others =
        environment::variables().filter(|variable| !variable.to_bytes().starts_with(TUNABLES)).map(CStr::as_ptr);
    let pointers = [IN_BACKGROUND.as_ptr(), text.cast_const().cast()].into_iter().chain(others);
    // SAFETY: the mapping is zero, aligned to a page, and has room for two pointers more than there are variables, for a
    // null pointer, and behind them for the text. Nobody else knows of it.
    unsafe {
        let mut at = text;
        for part in parts {
            ptr::copy_nonoverlapping(part.as_ptr(), at, part.len());
            at = at.add(part.len());
        }
        for (index, pointer) in pointers.enumerate() {
            mapped.cast::<*const c_char>().add(index).write(pointer);
        }
    }
    let arguments = [environment::executed_path().as_ptr(), ptr::null()];
    // SAFETY: both arrays end with a null pointer, the second one because its memory was zero.
    let started = unsafe { processes::start_detached(arguments.as_ptr(), mapped.cast(), lock) };
    memory::release(mapped.addr(), length);
    started
}

/// How an environment says [`TUNABLES_VARIABLE`].
const TUNABLES: &[u8] = b"GLIBC_TUNABLES=";

impl From<Why> for FreezeError {
    fn from(why: Why) -> Self {
        Self(why.to_string())
    }
}

/// See [`crate::freeze_now`].
pub(crate) fn freeze_now() -> Result<PathBuf, FreezeError> {
    let told = |text: &str| FreezeError(text.to_owned());
    let installed = Installed::get().ok_or_else(|| told("the program has no `install!`"))?;
    if environment::secure() {
        return Err(told("the program has privileges that its user does not have"));
    }
    if alloc::is_freezing() {
        return Err(told("this is a freeze run"));
    }
    if std::env::var_os("FASTBOOT").is_some_and(|value| value == "off") {
        return Err(told("FASTBOOT=off"));
    }
    let program = Program::find(installed.placeholder).map_err(|reason| FreezeError(reason.to_string()))?;
    let cache = program.identity().ok_or(Why::NotBuiltForIt)?;
    let cache = installed.cache(cache).ok_or(Why::NoCache)?;
    require_freezable(&program)?;

    let [cache_home, home] = ["XDG_CACHE_HOME", "HOME"].map(std::env::var_os);
    let home =
        Home { cache: cache_home.as_deref().map(OsStrExt::as_bytes), home: home.as_deref().map(OsStrExt::as_bytes) };
    let folder = cache.open(&home).map_err(Why::Cache)?;
    let lock = cache::lock(&folder, true).map_err(Why::Cache)?.ok_or(Why::Busy)?;
    let mut failure = cache.name(File::Failure);
    let failure = failure.as_c_str().map_err(Why::Cache)?;
    folder.remove(failure);
    note_start(&cache, &folder)?;

    let lock = lock.into_owned();
    let cannot = |error: std::io::Error| FreezeError(format!("no process can be started: {error}"));
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
        return Err(FreezeError(format!("it {}", failure.text())));
    }
    let mut path = Path::new();
    cache.path(&home, File::Snapshot, &mut path).map_err(Why::Cache)?;
    Ok(PathBuf::from(OsStr::from_bytes(path.as_bytes())))
}

fn os(text: &CStr) -> &OsStr {
    OsStr::from_bytes(text.to_bytes())
}
