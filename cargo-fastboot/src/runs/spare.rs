//! Spare: how much memory a freeze may take.

use fastboot_format::protocol::{available_memory, memory_limit_files};
use std::fs::read_to_string;

/// Where nothing says how much there is, in bytes.
const UNKNOWN: u64 = 4 << 30;

/// Nine tenths of the memory that is available, in bytes: of the machine's, or of what the control groups around this process
/// leave to it, if that is less.
pub(crate) fn spare_memory() -> u64 {
    let read = |path: &str| read_to_string(path).unwrap_or_default();
    let limits = memory_limit_files(&read("/proc/self/cgroup"));
    let available = available_memory(&read("/proc/meminfo"), limits.iter().map(|path| read(path)));
    available.unwrap_or(UNKNOWN) / 10 * 9
}
