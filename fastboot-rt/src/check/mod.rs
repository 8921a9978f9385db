//! Check mode: every root is thawed *and* evaluated anew in the same process, and the two are compared.
//!
//! A map that is compared looks its keys up, so a hash table whose seeds were left behind is found out. What was found
//! goes into a file for `cargo fastboot verify`, a line for each root; `main` never runs.

pub(crate) mod resident;

use crate::os::{environment, processes, threads};
use crate::roots;
use crate::roots::checked::{self, Checked};
use core::ffi::{CStr, c_void};
use fastboot_format::protocol::STACK_TOP;
use fastboot_format::protocol::verdict::Verdict;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::sync::OnceLock;

static REPORT: OnceLock<File> = OnceLock::new();

/// Runs check mode, reporting into the file at `path`. `thawed` is whether there is an image, or why not.
pub(crate) fn run(path: &CStr, thawed: Result<(), String>) -> ! {
    // SAFETY: before `main`, when there is one thread.
    unsafe { environment::remove_variable(c"FASTBOOT_CHECK") };
    processes::die_with_parent();
    processes::ignore_broken_pipes();
    let path = Path::new(OsStr::from_bytes(path.to_bytes()));
    match File::options().append(true).create(true).open(path) {
        Ok(file) => drop(REPORT.set(file)),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "fastboot: cannot check: {}: {error}", path.display());
            processes::exit(1);
        }
    }
    if let Err(reason) = thawed {
        say(Verdict::Cold(&reason));
        processes::exit(1);
    }
    if let Err(reason) = threads::on_large_stack(STACK_TOP[0] as usize, check_thread, || {}) {
        say(Verdict::Cold(&reason));
    }
    processes::exit(1)
}

fn say(verdict: Verdict<'_>) {
    if let Some(mut file) = REPORT.get() {
        let _ = file.write_all(format!("{verdict}\n").as_bytes());
    }
}

extern "C-unwind" fn check_thread(_: *mut c_void) -> *mut c_void {
    checked::on_stage(|stage| say(Verdict::Stage(stage)));
    for record in roots::all() {
        let root = record.name();
        say(Verdict::Begin(root));
        match panic::catch_unwind(AssertUnwindSafe(|| record.check())) {
            Ok(Checked::Equal) => say(Verdict::Equal(root)),
            Ok(Checked::Different) => say(Verdict::Different(root)),
            Ok(Checked::NotComparable) => say(Verdict::NotComparable(root)),
            Err(payload) => {
                let text = payload.downcast_ref::<&str>().copied();
                let text = text.or(payload.downcast_ref::<String>().map(String::as_str)).unwrap_or_default();
                say(Verdict::Panicked { root, message: &text.replace('\n', " ") });
            }
        }
    }
    say(Verdict::End);
    processes::exit(0)
}
