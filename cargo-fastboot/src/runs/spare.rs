//! Spare: how much memory a freeze may take.

use fastboot_format::protocol::available_memory;

/// Nine tenths of the memory that is available, in bytes: of the machine's, or of the control group's if that is less.
pub(crate) fn spare_memory() -> u64 {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let available = available_memory(&read("/proc/meminfo"), &read("/sys/fs/cgroup/memory.max"));
    available.unwrap_or(4 << 30) / 10 * 9
}
