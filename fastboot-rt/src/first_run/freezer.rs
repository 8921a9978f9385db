//! Freezer: the process that freezes, verbatim, and makes the snapshot itself.
//!
//! There is no tool here to plan, to prove, and to ask people. So whatever is in doubt is refused, and what was made is
//! checked before it gets its name: another process thaws it, evaluates every root once more, and compares.

use super::cache_folder;
use super::freezable::require_freezable;
use super::installed::{FOREGROUND, Installed, VARIABLE};
use crate::freeze::evaluated::{Evaluated, Settings};
use crate::freeze::heap::arena;
use crate::freeze::observe::c_heap;
use crate::freeze::run;
use crate::freeze::tell::Listener;
use crate::os::files::Descriptor;
use crate::os::line::Line;
use crate::os::{cpuid_mask, environment, files, headers, processes};
use crate::roots;
use crate::roots::record::RootRecord;
use crate::start::cache::{self, Cache, Home};
use crate::start::constructors::{Call, run_later_constructors};
use crate::start::path::Path as StackPath;
use crate::start::reason::Reason;
use crate::start::relocate::Mapped;
use crate::start::section::Program;
use core::alloc::Layout;
use core::ffi::CStr;
use core::fmt::{self, Write as _};
use core::ops::Range;
use core::ptr;
use fastboot_format::image::write::{self, DATA_OFFSET, NamedRoot};
use fastboot_format::image::{self as format, Carried, DEFAULT_HOME, FLAG_VERBATIM, Header, Rule, TableKind};
use fastboot_format::protocol::verdict::Verdict;
use fastboot_format::protocol::{CHECK_VARIABLE, Leftover, Mode, Request, available_memory, memory_limit_files};
use fastboot_format::statics::{Dump, is_code, references, words};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// After how many seconds a freeze in the background is ended: one that waits for something would wait for ever.
const LONGEST: u32 = 3600;
/// How many bytes are looked at together when zeros are left out of the file.
const CHUNK: usize = 64 << 10;

static FREEZER: OnceLock<Freezer> = OnceLock::new();

/// A freeze for the cache.
struct Freezer {
    program: Program,
    cache: Cache,
    /// The tables of the cold binary.
    tables: Mapped<'static>,
    folder: PathBuf,
    /// Where it is written down why there is no snapshot.
    failure: Descriptor,
    /// Held until the process ends.
    _lock: Descriptor,
}

/// Makes this process one that freezes, as `how` says, and freezes.
pub(crate) fn run(installed: &Installed, how: &CStr, call: Call) -> ! {
    // SAFETY: before `main`, when there is one thread.
    unsafe { environment::remove_variable(VARIABLE) };
    match Freezer::new(installed, how == FOREGROUND) {
        Ok(freezer) => {
            let freezer = FREEZER.get_or_init(|| freezer);
            run_later_constructors(call);
            freezer.run()
        }
        Err(reason) => {
            let mut line = Line::new();
            // What does not fit is cut.
            let _ = write!(line, "fastboot: cannot freeze: {reason}");
            line.print();
            processes::exit(1)
        }
    }
}

impl Freezer {
    fn new(installed: &Installed, foreground: bool) -> Result<Self, String> {
        let in_words = |reason: Reason| reason.to_string();
        let program = Program::find(installed.placeholder).map_err(in_words)?;
        require_freezable(&program).map_err(|why| why.to_string())?;
        let tables = program.cold_tables().ok_or("it has no table of statics")?;
        let cache = program.identity().and_then(|identity| installed.cache(identity)).ok_or("it has no cache")?;
        // SAFETY: this process has no `main`, and one thread so far.
        let home = unsafe { Home::of_start() };
        // Whoever started this process locked the folder. Everybody else is mistaken.
        let lock = files::take_stdin().ok_or("standard input is closed")?;
        let at = |errno| io::Error::from_raw_os_error(errno).to_string();
        let status = cache_folder::open(&cache, &home).map_err(in_words)?.status_at(cache_folder::LOCK).map_err(at)?;
        let given = lock.status().map_err(at)?;
        if (given.st_dev, given.st_ino) != (status.st_dev, status.st_ino) || lock.lock(false) != Ok(true) {
            return Err(format!("{} is not to be set by hand", VARIABLE.to_string_lossy()));
        }
        if foreground {
            processes::die_with_parent();
        } else {
            processes::go_into_background(LONGEST, &lock);
        }
        let folder = cache_folder::open(&cache, &home).map_err(in_words)?;
        let failure = Descriptor::make(&folder, cache.name(cache::File::Failure).as_c_str().map_err(in_words)?);
        let failure = failure.map_err(at)?;
        let mut path = StackPath::new();
        cache.folder(&home, &mut path).map_err(in_words)?;
        let folder = Path::new(OsStr::from_bytes(path.as_bytes())).to_path_buf();
        Ok(Self { program, cache, tables, folder, failure, _lock: lock })
    }

    /// Freezes. Called before `main`, when there is one thread.
    fn run(&'static self) -> ! {
        cache_folder::remove_leftovers(&self.folder);
        let request = Request { mode: Mode::Verbatim, limit: spare_memory(), ..Request::default() };
        let Err(reason) = run::evaluate(&request, Path::new(""), &self.program, self, keep);
        self.fail(&reason)
    }

    fn path(&self, file: cache::File) -> PathBuf {
        self.folder.join(OsStr::from_bytes(self.cache.name(file).as_bytes()))
    }

    /// Writes down why there is no snapshot. Does not allocate.
    fn note(&self, text: fmt::Arguments<'_>) {
        let mut line = Line::new();
        // What does not fit is cut. If it cannot be written, the next start tries again.
        let _ = line.write_fmt(text);
        let _ = self.failure.replace_with(line.finish());
    }

    /// Ends this process, which failed.
    fn fail(&self, reason: &str) -> ! {
        self.note(format_args!("failed: {}", reason.replace('\n', " ")));
        let _ = fs::remove_file(self.path(cache::File::Temporary));
        processes::exit(run::FAILED)
    }

    /// Makes a snapshot of what was evaluated, and gives it its name if it is good.
    fn finish(&self, evaluated: &Evaluated<'_>) -> Result<(), String> {
        let statics = Changed::find(self.tables.table(TableKind::Statics), evaluated)?;
        let carried = statics.append()?;
        let data = image_data();
        require_no_c_blocks(data, evaluated.c_blocks)?;
        statics.require_no_references(data)?;

        let temporary = self.path(cache::File::Temporary);
        let file = File::options().write(true).create_new(true).mode(0o600).open(&temporary);
        file.and_then(|file| self.save(&file, data, &carried))
            .map_err(|error| format!("{} cannot be written: {error}", temporary.display()))?;
        self.note(format_args!("did not end: the snapshot was being checked"));
        check(&temporary)?;
        let snapshot = self.path(cache::File::Snapshot);
        fs::rename(&temporary, &snapshot)
            .map_err(|error| format!("{} cannot be written: {error}", snapshot.display()))?;
        let _ = fs::remove_file(self.path(cache::File::Failure));
        cache_folder::remove_stale(&self.folder, &snapshot);
        Ok(())
    }

    /// Writes the snapshot, and waits until it is on the disk: a file that got its name before its contents would be wrong
    /// after a power failure.
    fn save(&self, file: &File, data: &[u8], carried: &[Carried]) -> io::Result<()> {
        let [roots, strings] = write::root_tables(roots::all().map(|record| NamedRoot {
            value: record.value().addr() as u64,
            size: record.size() as u64,
            align: record.align() as u64,
            name: record.name(),
            type_name: record.type_name(),
        }));
        let header = Header {
            flags: FLAG_VERBATIM,
            home: DEFAULT_HOME,
            root_count: roots::all().count() as u32,
            identity: self.cache.identity,
            data_length: data.len() as u64,
            ..Header::default()
        }
        .with_features(cpuid_mask::visible_features());
        let layout = write::Layout::new(header, [roots, write::carried(carried), strings, write::page_digests(data)]);
        file.set_len(layout.header.length)?;
        for (index, chunk) in data.chunks(CHUNK).enumerate() {
            // What is not written is zero, and takes no space.
            if chunk.iter().any(|byte| *byte != 0) {
                file.write_all_at(chunk, DATA_OFFSET + (index * CHUNK) as u64)?;
            }
        }
        for (offset, piece) in layout.pieces() {
            file.write_all_at(piece, offset)?;
        }
        file.sync_all()
    }
}

impl Listener for Freezer {
    fn began(&self, record: &RootRecord, _: usize) {
        self.note(format_args!("did not end: root `{}` was being evaluated", record.name()));
    }

    fn panicked(&self, root: &str, message: &str, location: &str) {
        self.note(format_args!("failed: root `{root}` panicked at {location}: {}", message.replace('\n', " ")));
    }

    fn out_of_memory(&self, root: &str, asked: u64, limit: u64) {
        self.note(format_args!(
            "failed: root `{root}` needs more memory than there is: {asked} more bytes were asked for when the limit of \
             {limit} was reached"
        ));
    }

    fn left_behind(&self, root: &str, kind: Leftover, what: &str) {
        self.fail(&format!("root `{root}` left {} {what} behind, which does not exist at the next start", kind.name()));
    }

    fn refused(&self, reason: &str) {
        self.fail(reason);
    }
}

/// Makes a snapshot of what was evaluated.
fn keep(_: &Settings, evaluated: &Evaluated<'_>) -> bool {
    // It is there: `run` put it there before anything was evaluated.
    let Some(freezer) = FREEZER.get() else { return false };
    match freezer.finish(evaluated) {
        Ok(()) => true,
        Err(reason) => freezer.fail(&reason),
    }
}

/// What lies behind the header page now: everything the roots allocated.
fn image_data() -> &'static [u8] {
    let start = (DEFAULT_HOME + DATA_OFFSET) as usize;
    // SAFETY: from the header page on to the arena's end everything is mapped and writable until the process ends. Nobody
    // writes to it: the freeze thread is this one and evaluates nothing any more, and if a root had left another thread
    // running, `left_behind` would have ended the process.
    unsafe { core::slice::from_raw_parts(ptr::with_exposed_provenance::<u8>(start), arena::end() - start) }
}

/// Requires that no word of the image is the address of memory that C code keeps.
fn require_no_c_blocks(data: &[u8], blocks: &[(&'static str, c_heap::Block)]) -> Result<(), String> {
    let mut sorted: Vec<(u64, &str)> =
        blocks.iter().filter(|(root, _)| !root.is_empty()).map(|(root, (address, _))| (*address, *root)).collect();
    sorted.sort_unstable();
    let span = match (sorted.first(), sorted.last()) {
        (Some(first), Some(last)) => first.0..=last.0,
        _ => return Ok(()),
    };
    for (_, word) in words(data).filter(|(_, word)| span.contains(word)) {
        if let Ok(index) = sorted.binary_search_by_key(&word, |(address, _)| *address) {
            let root = sorted[index].1;
            return Err(format!("root `{root}` holds memory of C code, which does not exist at the next start"));
        }
    }
    Ok(())
}

/// The statics that changed.
struct Changed<'a> {
    /// What is carried: address, and the bytes.
    carried: Vec<(u64, &'a [u8])>,
    /// What is not, and no image may refer to.
    skipped: Vec<Range<u64>>,
}

impl<'a> Changed<'a> {
    /// Finds them by the table of the cold binary.
    fn find(table: &[u8], evaluated: &Evaluated<'a>) -> Result<Self, String> {
        let copies = evaluated.before.statics.iter().zip(&evaluated.after.statics);
        let dumps: Vec<Dump<'a>> = copies
            .map(|(before, after)| Dump { address: before.0 as u64, before: &before.1, after: &after.1 })
            .collect();
        let places = roots::all().map(RootRecord::place);
        let roots: Vec<Range<u64>> = places.map(|place| place.start as u64..place.end as u64).collect();
        let memory = Memory::now()?;
        let mut changed = Self { carried: Vec::new(), skipped: Vec::new() };
        for one in format::statics(table).flatten() {
            let range = one.range();
            let is_root = roots.iter().any(|root| root.start < range.end && range.start < root.end);
            let dump = dumps.iter().find_map(|dump| Some((dump, dump.bytes(&range)?)));
            let Some((dump, (before, after))) = dump.filter(|_| !is_root) else { continue };
            let ranges = dump.changed(range.clone());
            let bytes = || ranges.iter().filter_map(|range| Some((range.start, dump.bytes(range)?.1)));
            let is_constructed = || linked(&range).is_none_or(|linked| linked != before);
            let reaches_outside = || bytes().any(|(_, bytes)| words(bytes).any(|(_, word)| memory.is_outside(word)));
            let is_allocators = evaluated.own.iter().any(|own| own.start < range.end && range.start < own.end);
            match one.rule {
                _ if ranges.is_empty() => {}
                _ if is_allocators => changed.skipped.push(range),
                Rule::CarryUnlessCode if is_code(before, &memory.code) && is_code(after, &memory.code) => {}
                Rule::Carry | Rule::CarryUnlessCode if is_constructed() => {
                    return Err(format!(
                        "the static at {:#x} was changed by a constructor and by the roots' expressions as well",
                        range.start
                    ));
                }
                Rule::Carry | Rule::CarryUnlessCode if !reaches_outside() => changed.carried.extend(bytes()),
                _ => changed.skipped.push(range),
            }
        }
        Ok(changed)
    }

    /// Puts the bytes of what is carried behind all that was allocated, and says where they are.
    fn append(&self) -> Result<Vec<Carried>, String> {
        let entry = |(address, bytes): &(u64, &[u8])| {
            let layout = Layout::from_size_align(bytes.len().next_multiple_of(8), 8).ok()?;
            let place = arena::alloc(layout, true);
            if place.is_null() {
                return None;
            }
            // SAFETY: a new block, at least as long as the bytes, which are somewhere else.
            unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), place, bytes.len()) };
            let offset = place.addr() as u64 - DEFAULT_HOME;
            Some(Carried { address: *address, length: bytes.len() as u64, offset })
        };
        self.carried.iter().map(|one| entry(one).ok_or_else(|| "there is no memory left".to_owned())).collect()
    }

    fn require_no_references(&self, data: &[u8]) -> Result<(), String> {
        match references(&self.skipped, words(data)).into_iter().find(|found| !found.by_numbers) {
            None => Ok(()),
            Some(found) => Err(format!(
                "the image refers to the static at {:#x}, which changed while the roots were evaluated and cannot be carried",
                self.skipped[found.index].start
            )),
        }
    }
}

/// What the file has for some memory of the executable, before a constructor changed it; zeros where it has nothing. `None` if
/// that is not to be found out.
fn linked(range: &Range<u64>) -> Option<Vec<u8>> {
    let (segments, base) = headers::program_headers()?;
    let loaded = segments.iter().filter(|header| header.p_type == libc::PT_LOAD);
    let (header, start) = loaded.into_iter().find_map(|header| {
        let start = range.start.checked_sub(base as u64 + header.p_vaddr)?;
        (range.end - (base as u64 + header.p_vaddr) <= header.p_memsz).then_some((header, start))
    })?;
    let mut bytes = vec![0; (range.end - range.start) as usize];
    let stored = header.p_filesz.saturating_sub(start).min(bytes.len() as u64) as usize;
    let file = File::open("/proc/self/exe").ok()?;
    file.read_exact_at(&mut bytes[..stored], header.p_offset + start).ok()?;
    Some(bytes)
}

/// What the words of statics may be addresses of.
struct Memory {
    /// Code of the executable.
    code: Vec<Range<u64>>,
    /// What is mapped and neither the executable's nor in the image.
    outside: Vec<Range<u64>>,
}

impl Memory {
    fn now() -> Result<Self, String> {
        let (segments, base) = headers::program_headers().ok_or("nobody says where the program headers are")?;
        let loaded = segments.iter().filter(|header| header.p_type == libc::PT_LOAD);
        let range = |header: &libc::Elf64_Phdr| {
            let start = base as u64 + header.p_vaddr;
            start..start + header.p_memsz
        };
        let executable: Vec<Range<u64>> = loaded.clone().map(range).collect();
        let code = loaded.filter(|header| header.p_flags & libc::PF_X != 0).map(range).collect();
        let maps = fs::read_to_string("/proc/self/maps").map_err(|error| format!("/proc/self/maps: {error}"))?;
        let mapped = maps.lines().filter_map(|line| {
            let (start, end) = line.split_once(' ')?.0.split_once('-')?;
            let number = |digits| u64::from_str_radix(digits, 16).ok();
            Some(number(start)?..number(end)?)
        });
        let inside = |range: &Range<u64>| {
            let image = DEFAULT_HOME..arena::end() as u64;
            let own = |own: &Range<u64>| own.start < range.end && range.start < own.end;
            own(&image) || executable.iter().any(own)
        };
        Ok(Self { code, outside: mapped.filter(|range| !inside(range)).collect() })
    }

    fn is_outside(&self, address: u64) -> bool {
        self.outside.iter().any(|range| range.contains(&address))
    }
}

/// Has another process thaw the snapshot, evaluate the roots once more, and compare.
fn check(snapshot: &Path) -> Result<(), String> {
    let report = snapshot.with_extension("check.tmp");
    let mut command = Command::new("/proc/self/exe");
    command.env(CHECK_VARIABLE, &report).env("FASTBOOT_SNAPSHOT", snapshot);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let child = command.spawn().map_err(|error| format!("the check could not be started: {error}"));
    // What became of it is in the report. If the program ignores SIGCHLD there is no status.
    let _ = child?.wait();
    let text = fs::read_to_string(&report).unwrap_or_default();
    let _ = fs::remove_file(&report);
    judge(&text)
}

/// What a report of check mode says.
fn judge(report: &str) -> Result<(), String> {
    let mut current = "";
    for line in report.lines() {
        let Some(verdict) = Verdict::parse(line) else {
            return Err(format!("the report of the check is not understood: `{line}`"));
        };
        match verdict {
            Verdict::Begin(root) => current = root,
            Verdict::Stage(_) | Verdict::Equal(_) | Verdict::NotComparable(_) => {}
            Verdict::Different(root) => return Err(format!("root `{root}`, thawed, is not equal to a fresh one")),
            Verdict::Panicked { root, message } => {
                return Err(format!("the check of root `{root}` panicked: {message}"));
            }
            Verdict::Cold(reason) => return Err(format!("the snapshot cannot be used: {reason}")),
            Verdict::End => return Ok(()),
        }
    }
    Err(format!("the check did not end: root `{current}` was being compared"))
}

/// How many bytes the roots may take: half of what is available to the machine, to the control group, or as address space.
fn spare_memory() -> u64 {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let available = available_memory(
        &read("/proc/meminfo"),
        memory_limit_files(&read("/proc/self/cgroup")).iter().map(|path| read(path)),
    );
    available.unwrap_or(1 << 30).min(processes::address_space()) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_report_without_a_difference_is_good() {
        assert_eq!(judge("begin a::A\nequal a::A\nbegin a::B\nnot-comparable a::B\nend\n"), Ok(()));
        for (report, says) in [
            ("", "did not end"),
            ("begin a::A\nequal a::A\nbegin a::B\n", "root `a::B` was being compared"),
            ("begin a::A\ndifferent a::A\nend\n", "root `a::A`, thawed, is not equal"),
            ("begin a::A\npanicked a::A oh\nend\n", "panicked"),
            ("cold no such file\n", "cannot be used: no such file"),
            ("begin a::A\ndiffer a::A\nend\n", "not understood: `differ a::A`"),
        ] {
            let said = judge(report).unwrap_err();
            assert!(said.contains(says), "{report:?}: {said}");
        }
    }
}
