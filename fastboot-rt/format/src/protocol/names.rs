//! Names: variables and files, exit statuses, and what the tool and a run both know of the system.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;

/// Name of the ELF section with the records of the roots. The number is that of their layout.
pub const REGISTRY: &str = "fastboot_roots2";
/// Length in bytes of a record.
pub const RECORD_LEN: u64 = 64;
/// Offset in a record of the address of the function that checks the root, which no freeze calls.
pub const RECORD_CHECK: u64 = 16;
/// Offset in a record of the address of the root's name, with its length behind it.
pub const RECORD_NAME: u64 = 24;
/// Name of the environment variable that holds the path of the folder and puts the runtime into freeze mode.
pub const FREEZE_VARIABLE: &str = "FASTBOOT_FREEZE";
/// Name of the environment variable that holds the path of a report and puts the runtime into check mode.
pub const CHECK_VARIABLE: &str = "FASTBOOT_CHECK";
/// Name of the environment variable that holds the path of a report: which pages of the image are mapped when the program
/// begins, and when it exits.
pub const TRAIN_VARIABLE: &str = "FASTBOOT_TRAIN";
/// Name of the variable with which glibc is tuned.
pub const TUNABLES_VARIABLE: &str = "GLIBC_TUNABLES";
/// Makes glibc keep all blocks of its heap in one place, none of them in a cache, so that the runtime can tell which are
/// in use.
pub const MALLOC_TUNABLES: &str = "glibc.malloc.tcache_count=0:glibc.malloc.mxfast=0:glibc.malloc.arena_max=1:\
                                   glibc.malloc.mmap_threshold=33554432";
/// Name of the request file in the folder.
pub const REQUEST_FILE: &str = "request";
/// Name of the plan in the folder.
pub const PLAN_FILE: &str = "plan";
/// Name of the status file in the folder.
pub const STATUS_FILE: &str = "status";
/// Name of the capture file in the folder.
pub const CAPTURE_FILE: &str = "capture";

/// The version of this crate. The tool and the runtime of a program must have the same.
pub const RUNTIME_VERSION: &str = env!("CARGO_PKG_VERSION");

/// Exit status of a freeze run whose executable the kernel loaded where the request does not want it: the next one will be
/// loaded elsewhere.
pub const AGAIN: i32 = 75;

/// What [`TUNABLES_VARIABLE`] must be in a freeze run: the user's tunables, if any, and ours behind them.
pub fn tunables(users: Option<&str>) -> String {
    users.map_or_else(|| MALLOC_TUNABLES.to_owned(), |users| format!("{users}:{MALLOC_TUNABLES}"))
}
