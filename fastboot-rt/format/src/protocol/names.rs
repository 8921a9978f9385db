//! Names: variables and files, exit statuses, and what the tool and a run both know of the system.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;

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

/// How many bytes of memory are available, by what `/proc/meminfo` and the control group's `memory.max` say; `None` when
/// neither says anything.
pub fn available_memory(meminfo: &str, group: &str) -> Option<u64> {
    let kilobytes = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:")?.trim().strip_suffix(" kB"));
    let machine = kilobytes.and_then(|digits| digits.trim().parse::<u64>().ok());
    [machine.map(|kilobytes| kilobytes.saturating_mul(1024)), group.trim().parse().ok()].into_iter().flatten().min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_memory_that_anyone_has_is_what_there_is() {
        let meminfo = "MemTotal:       16 kB\nMemAvailable:    8 kB\nBuffers:         1 kB\n";
        assert_eq!(available_memory(meminfo, "max\n"), Some(8192));
        assert_eq!(available_memory(meminfo, "4096\n"), Some(4096));
        assert_eq!(available_memory("", "4096\n"), Some(4096));
        assert_eq!(available_memory("", ""), None);
    }
}
