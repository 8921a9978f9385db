//! What runs before `main`: freeze mode if the tool asked for it, else the thaw.

use crate::check::resident;
use crate::config::Config;
use crate::first_run::{self, Begun, FirstRun, Installed};
use crate::freeze::run;
use crate::os::line::Line;
use crate::os::{cpu, cpuid_mask, environment, time};
use crate::start::constructors::{Call, run_later_constructors};
use crate::start::outcome::{Outcome, Thawed};
use crate::start::section::Placeholder;
use crate::start::snapshot::Location;
use crate::start::{path, thaw};
use crate::{alloc, check, roots};
use core::ffi::CStr;
use core::fmt::{self, Write};

/// Entry from `.init_array`. Called by the code of [`install!`](crate::install) only.
///
/// # Safety
/// Called once, before `main`, when there is one thread, with what the C library passed to an entry of `.init_array` that
/// the call names. `placeholder` is the program's `fastboot` section, and `state` that of its global allocator.
#[doc(hidden)]
#[unsafe(link_section = ".text.fastboot")]
pub unsafe fn start(
    placeholder: &'static Placeholder,
    state: &'static alloc::State,
    config: &'static Config,
    first_run: Option<&'static FirstRun>,
    call: Call,
) {
    alloc::install(state);
    let installed = Installed { placeholder, config };
    // Keeps the registry's anchor in the program.
    core::hint::black_box(roots::anchor());

    // ld.so(8): for set-user-ID programs and their like the environment is an attacker's.
    let secure = environment::secure();
    // SAFETY: before `main`, when there is one thread, as the caller promises.
    let silent = secure || !unsafe { environment::has_variables(b"FASTBOOT") };
    // SAFETY: the same; what becomes of the strings ends with this function, or with the process.
    let variable = |name| if silent { None } else { unsafe { environment::variable(name) } };

    if let Some(folder) = variable(c"FASTBOOT_FREEZE") {
        run_freeze_mode(folder, placeholder, call);
    }
    if let Some(first_run) = first_run {
        installed.keep();
        if let Some(how) = variable(first_run::VARIABLE) {
            (first_run.freeze)(&installed, how, call);
        }
    }
    let check = variable(c"FASTBOOT_CHECK");
    let log = variable(c"FASTBOOT_LOG").is_some_and(|value| !matches!(value.to_bytes(), b"" | b"0" | b"off"));
    let off = variable(c"FASTBOOT").is_some_and(|value| value.to_bytes() == b"off");
    let named = variable(c"FASTBOOT_SNAPSHOT").filter(|path| !path.is_empty()).map(Location::Variable);
    let began = if log { time::now() } else { 0 };
    // Nor is a file that lies where somebody else could have put it any part of a program with privileges.
    let own = config.snapshot.map(if config.unchecked { Location::Unchecked } else { Location::Program });
    let mut outcome = Outcome::new(named.or(own));
    if off {
        outcome.off();
    } else {
        let look =
            first_run.filter(|_| check.is_none()).map(|first_run| |identity| (first_run.look)(&installed, identity));
        thaw::thaw(&mut outcome, placeholder, !secure, look.as_ref().map(|look| look as thaw::Look<'_>));
    }
    let took = log.then(|| Microseconds(time::now().wrapping_sub(began)));
    if outcome.thawed.is_none() {
        begin_cold(&installed, first_run, &mut outcome, took);
    } else if let Some(took) = took {
        report(&outcome, None, took);
    }
    if let Some(thawed) = &outcome.thawed {
        if let Some(report) = variable(c"FASTBOOT_TRAIN") {
            resident::begin(report, thawed.address, thawed.length);
        }
    }
    if let Some(path) = check {
        run_check_mode(path, &outcome, call);
    }
}

// What a start touches for the first time, code or stack, costs a page fault, which takes longer than all that a thaw
// computes. So whatever a thaw from the section runs is `#[inline]`, in all modules, and `start` and the functions that
// calls of the C library were redirected to have a section of their own, which start.ld puts next to the entry point.
// And all that an embedded program seldom does is out of line, because its frames are large.

#[cold]
#[inline(never)]
fn run_freeze_mode(folder: &'static CStr, placeholder: &'static Placeholder, call: Call) -> ! {
    run_later_constructors(call);
    run::run(folder, placeholder)
}

/// Has the program freeze itself, if it is one that does; `took` says what looking for an image took.
#[cold]
#[inline(never)]
fn begin_cold(
    installed: &Installed,
    first_run: Option<&'static FirstRun>,
    outcome: &mut Outcome,
    took: Option<Microseconds>,
) {
    let begun = first_run.and_then(|first_run| (first_run.begin)(installed, outcome));
    if let Some(took) = took {
        report(outcome, begun.as_ref(), took);
    }
}

#[cold]
#[inline(never)]
fn run_check_mode(report: &CStr, outcome: &Outcome, call: Call) -> ! {
    let features = outcome.thawed.as_ref().map(|thawed| thawed.features);
    if let Some(features) = features.filter(|features| *features != cpu::features()) {
        // So that the same code is chosen as in the freeze. Where that cannot be, it is chosen for this processor.
        let _ = cpuid_mask::show_only(features, &[]);
    }
    run_later_constructors(call);
    check::run(report, features.map(drop).ok_or_else(|| outcome.skipped().to_string()))
}

#[cold]
#[inline(never)]
fn report(outcome: &Outcome, begun: Option<&Begun>, took: Microseconds) {
    let mut line = Line::new();
    // A line that does not fit is cut.
    let _ = match &outcome.thawed {
        Some(thawed) => write_thawed(&mut line, thawed, outcome, took),
        None => write_cold(&mut line, outcome, begun, took),
    };
    line.print();
}

fn write_cold(line: &mut Line, outcome: &Outcome, begun: Option<&Begun>, took: Microseconds) -> fmt::Result {
    write!(line, "fastboot: cold start: {}, {took}", outcome.skipped())?;
    match begun {
        None => Ok(()),
        Some(Begun::Freezing(path)) => {
            write!(line, "; freezing in the background to {}", path::shown(path.as_bytes()))
        }
        Some(Begun::Not(why)) => write!(line, "; not freezing: {why}"),
    }
}

fn write_thawed(line: &mut Line, thawed: &Thawed, outcome: &Outcome, took: Microseconds) -> fmt::Result {
    let skipped = outcome.skipped();
    write!(
        line,
        "fastboot: thawed {} root{} from {}, {} at {:#x}{}, {took}",
        thawed.roots,
        if thawed.roots == 1 { "" } else { "s" },
        thawed.source,
        Megabytes(thawed.length as u64),
        thawed.address,
        if thawed.relocated { " (relocated)" } else { "" },
    )?;
    if skipped.is_empty() { Ok(()) } else { write!(line, "; not used: {skipped}") }
}

/// A number of nanoseconds as microseconds with one decimal.
struct Microseconds(u64);

impl fmt::Display for Microseconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{} µs", self.0 / 1000, self.0 % 1000 / 100)
    }
}

/// A number of bytes as megabytes with one decimal, or as kilobytes below one.
struct Megabytes(u64);

impl fmt::Display for Megabytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Rounded, as the tool does.
        let (tenths, unit) = match self.0 {
            kilo if kilo < 999_950 => ((kilo + 50) / 100, "kB"),
            mega => ((mega + 50_000) / 100_000, "MB"),
        };
        write!(f, "{}.{} {unit}", tenths / 10, tenths % 10)
    }
}
