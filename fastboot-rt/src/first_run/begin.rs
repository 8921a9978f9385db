//! Begin: the program that has no image starts a process that makes one, and goes on.

use super::cache_folder::{self, Failure};
use super::freezable::{Begun, Why, require_freezable};
use super::installed::Installed;
use crate::os::files::Descriptor;
use crate::os::{environment, memory, processes};
use crate::roots::frozen::Source;
use crate::start::cache::{Cache, File, Home};
use crate::start::outcome::Outcome;
use crate::start::path::Path;
use crate::start::reason::Reason;
use crate::start::section::Program;
use crate::start::thaw::from_file;
use core::ffi::{CStr, c_char};
use core::ptr;
use fastboot_format::protocol::MALLOC_TUNABLES;

/// How an environment says that, if nobody waits.
const IN_BACKGROUND: &CStr = c"FASTBOOT_FREEZE_CACHE=background";
/// What stands in the file of failures until the new process has something to say.
const STARTED: &[u8] = b"did not end: its process was started\n";

/// Starts freezing if the cache has no snapshot, or one that is of no use, and nothing speaks against it. `None` if the
/// cache was not looked at, or holds something that freezing would not mend; or if it has a good snapshot by now, which
/// `outcome` then is. Allocates nothing.
pub(super) fn begin(installed: &Installed, outcome: &mut Outcome) -> Option<Begun> {
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
    // SAFETY: a start begins before `main`.
    let home = unsafe { Home::of_start() };
    let folder = cache_folder::open(cache, &home).map_err(Why::Cache)?;
    let lock = cache_folder::lock(&folder, false).map_err(Why::Cache)?.ok_or(Why::Busy)?;
    if try_cache_again(outcome, program, cache, &home) {
        return Ok(None);
    }
    note_start(cache, &folder)?;
    start(&lock).map_err(|errno| Why::Start { errno })?;
    let mut path = Path::new();
    cache.path(&home, File::Snapshot, &mut path).map_err(Why::Cache)?;
    Ok(Some(path))
}

/// Looks into the cache once more. Whether it has a good snapshot by now, which `outcome` then is.
fn try_cache_again(outcome: &mut Outcome, program: &Program, cache: &Cache, home: &Home<'_>) -> bool {
    let found = cache.image(home).and_then(|stored| from_file(Source::Cache, &stored, Some(cache.identity), program));
    outcome.thawed = found.ok();
    outcome.thawed.is_some()
}

/// Writes down that freezing was begun, unless it failed not long ago.
pub(super) fn note_start(cache: &Cache, folder: &Descriptor) -> Result<(), Why> {
    let mut name = cache.name(File::Failure);
    let name = name.as_c_str().map_err(Why::Cache)?;
    if let Some(failure) = Failure::read(folder, name) {
        return Err(Why::Failed(failure));
    }
    let cannot_write = |errno| Why::Cache(Reason::cannot("write to the folder of the cache")(errno));
    Descriptor::make(folder, name).and_then(|file| file.replace_with(STARTED)).map_err(cannot_write)
}

/// Starts the process in the background.
fn start(lock: &Descriptor) -> Result<(), i32> {
    // SAFETY: this is called before `main`, when there is one thread.
    let variables = || unsafe { environment::variables() };
    // Nothing may be allocated, so there is a mapping for what is as long as the environment.
    let tunables = variables().find_map(|variable| variable.to_bytes().strip_prefix(TUNABLES)).unwrap_or(b"");
    let separator: &[u8] = if tunables.is_empty() { b"" } else { b":" };
    let parts = [TUNABLES, tunables, separator, MALLOC_TUNABLES.as_bytes(), b"\0"];
    let pointers_length = (variables().count() + 3) * size_of::<*const c_char>();
    let length = pointers_length + parts.iter().map(|part| part.len()).sum::<usize>();
    let mapped = memory::map_anonymous(length)?;
    let text = mapped.wrapping_add(pointers_length);
    let others = variables().filter(|variable| !variable.to_bytes().starts_with(TUNABLES)).map(CStr::as_ptr);
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
    // SAFETY: mapped above, and only `start_detached` was told of it, which has returned.
    unsafe { memory::release(mapped.addr(), length) };
    started
}

/// How an environment says [`TUNABLES_VARIABLE`].
const TUNABLES: &[u8] = b"GLIBC_TUNABLES=";
