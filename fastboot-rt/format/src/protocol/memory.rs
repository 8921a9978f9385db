//! Memory: how much of it a freeze may take.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// The files with the memory limits that hold for a process: those of its control groups and of all groups above them, as far
/// as they can be seen from here. `groups` is what `/proc/self/cgroup` says of it. A group's limit holds for all groups in it:
/// with 1 GiB for `/user` and `max` for `/user/build`, a process in the latter may have 1 GiB.
pub fn memory_limit_files(groups: &str) -> Vec<String> {
    let mut files = Vec::new();
    for line in groups.lines() {
        // cgroups(7): number of the hierarchy, its controllers, the group.
        let mut fields = line.splitn(3, ':');
        let (Some(number), Some(controllers), Some(group)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        let (root, file) = match (number, controllers) {
            ("0", "") => ("/sys/fs/cgroup", "memory.max"),
            _ if controllers.split(',').any(|one| one == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let mut folder = root.to_owned();
        files.push(format!("{folder}/{file}"));
        // With `..` for a group that lies outside of the namespace: of that no more than the root can be seen.
        for name in group.split('/').filter(|name| !name.is_empty()).take_while(|name| *name != "..") {
            folder = format!("{folder}/{name}");
            files.push(format!("{folder}/{file}"));
        }
    }
    files
}

/// How many bytes of memory are available, by what `/proc/meminfo` says and the files of [`memory_limit_files`] hold; `None`
/// when none of them says anything. A file that is not there may stand for itself as an empty text.
pub fn available_memory(meminfo: &str, limits: impl IntoIterator<Item = String>) -> Option<u64> {
    let kilobytes = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:")?.trim().strip_suffix(" kB"));
    let machine = kilobytes.and_then(|digits| digits.trim().parse::<u64>().ok());
    let limits = limits.into_iter().filter_map(|limit| limit.trim().parse().ok());
    limits.chain(machine.map(|kilobytes| kilobytes.saturating_mul(1024))).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_looked_for_in_all_groups_above() {
        let second = "0::/user/build\n";
        let expected =
            ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/user/memory.max", "/sys/fs/cgroup/user/build/memory.max"];
        assert_eq!(memory_limit_files(second), expected);
        let first = "9:name=systemd:/a\n4:cpu,memory:/ci/job:7\n1:memoryless:/b\n";
        let expected =
            ["", "/ci", "/ci/job:7"].map(|group| format!("/sys/fs/cgroup/memory{group}/memory.limit_in_bytes"));
        assert_eq!(memory_limit_files(first), expected);
        assert_eq!(memory_limit_files("0::/\n0::/../other\n\n0:"), ["/sys/fs/cgroup/memory.max"; 2]);
    }

    #[test]
    fn the_least_memory_that_anyone_has_is_what_there_is() {
        let meminfo = "MemTotal:       16 kB\nMemAvailable:    8 kB\nBuffers:         1 kB\n";
        assert_eq!(available_memory(meminfo, ["max\n".to_owned()]), Some(8192));
        assert_eq!(available_memory(meminfo, ["max\n", "4096\n", "8000\n", ""].map(str::to_owned)), Some(4096));
        assert_eq!(available_memory("", ["4096\n".to_owned()]), Some(4096));
        assert_eq!(available_memory("", [String::new()]), None);
    }
}
