//! Process state: what an expression can change in its process besides memory. The finished program, which never ran it, has
//! none of these changes.

use super::c_library::CLibrary;
use super::libraries::{self, Libraries};
use super::maps::{self, Area, areas};
use crate::os::{attributes, processes};
use core::ops::Range;
use fastboot_format::protocol::Leftover;
use std::collections::BTreeMap;
use std::fs;

/// Number of the highest signal.
const LAST_SIGNAL: i32 = 64;

/// What `/proc/thread-self/status` says that an expression can change: its words for it, and ours.
const STATUS: &[(&str, &str)] = &[
    ("Name", "name of the thread"),
    ("Uid", "user ids"),
    ("Gid", "group ids"),
    ("Groups", "supplementary groups"),
    ("SigBlk", "mask of blocked signals"),
    ("CapInh", "inheritable capabilities"),
    ("CapPrm", "permitted capabilities"),
    ("CapEff", "effective capabilities"),
    ("CapBnd", "capability bounding set"),
    ("CapAmb", "ambient capabilities"),
    ("NoNewPrivs", "no_new_privs flag"),
    ("Seccomp", "seccomp mode"),
    ("Cpus_allowed_list", "CPU affinity"),
    ("Mems_allowed_list", "memory nodes"),
];
/// Namespaces that a process can leave.
const NAMESPACES: &[&str] = &["cgroup", "ipc", "mnt", "net", "pid_for_children", "time_for_children", "user", "uts"];

/// All of it.
#[derive(Debug)]
pub(crate) struct ProcessState {
    /// What each thing is, by its kind and name.
    facts: BTreeMap<(Leftover, String), String>,
    c_library: CLibrary,
    libraries: Libraries,
    areas: Vec<Area>,
}

impl ProcessState {
    /// Looks at the process, which was looked at before, or was not. What cannot be read is taken for empty.
    pub(crate) fn now(before: Option<&Self>) -> Self {
        let areas = areas();
        let link = |path: &str| fs::read_link(path).map(|path| path.to_string_lossy().into_owned()).unwrap_or_default();
        let c_library = CLibrary::now(&areas, before.map(|before| &before.c_library));
        let mut facts = BTreeMap::new();
        let mut fact = |kind, name: &str, value: String| _ = facts.insert((kind, name.to_owned()), value);
        for (name, value) in std::env::vars_os() {
            fact(Leftover::Variable, &name.to_string_lossy(), value.to_string_lossy().into_owned());
        }
        for signal in 1..=LAST_SIGNAL {
            fact(Leftover::Handlers, &format!("signal {signal}"), processes::handler(signal).to_string());
        }
        for line in fs::read_to_string("/proc/self/limits").unwrap_or_default().lines().skip(1) {
            // The name has spaces, and at least two behind it.
            let (name, value) = line.split_once("  ").unwrap_or((line, ""));
            fact(Leftover::Limit, name, value.trim().to_owned());
        }
        fact(Leftover::Folder, "", link("/proc/self/cwd"));
        add_attributes(&mut fact, link);
        fact(Leftover::Locale, "", c_library.locale.clone().unwrap_or_default());
        fact(Leftover::AtExit, "", format!("{} in all", c_library.at_exit));
        fact(Leftover::AtFork, "", format!("{} in all", c_library.at_fork));
        let libraries = libraries::now(&areas, &link("/proc/self/exe"));
        Self { facts, c_library, libraries, areas }
    }

    /// Whether all of this memory can be read, as far as the system tells.
    pub(crate) fn can_read(&self, range: &Range<usize>) -> bool {
        self.areas.is_empty() || maps::is_readable(&self.areas, &(range.start as u64..range.end as u64))
    }

    /// Whether some of this memory can be executed, and some cannot. All of it can in a process that is to execute whatever it
    /// reads (`READ_IMPLIES_EXEC` in personality(2)).
    pub(crate) fn can_execute_part(&self, range: &Range<usize>) -> bool {
        maps::is_partly_executable(&self.areas, &(range.start as u64..range.end as u64))
    }

    /// What is otherwise than it was before: kind and description.
    pub(crate) fn since(&self, before: &Self) -> Vec<(Leftover, String)> {
        let known = before.facts.keys().chain(self.facts.keys().filter(|key| !before.facts.contains_key(key)));
        let changed = known.filter(|key| self.facts.get(key) != before.facts.get(key));
        let mut all: Vec<(Leftover, String)> = changed
            .map(|key| {
                let (kind, name) = key;
                let value = || self.facts.get(key).map_or("", String::as_str);
                let what = match kind {
                    Leftover::Attribute => format!("{name} {}", value()).trim_end().to_owned(),
                    _ if name.is_empty() => value().to_owned(),
                    _ => name.clone(),
                };
                (*kind, what)
            })
            .collect();
        // One that is gone is nothing that the finished program lacks.
        all.retain(|(kind, what)| *kind != Leftover::Timer || self.facts.contains_key(&(*kind, what.clone())));
        let keys = self.c_library.new_keys(&before.c_library);
        all.extend(keys.into_iter().map(|number| (Leftover::Key, format!("({number})"))));
        let libraries = libraries::since(&self.libraries, &before.libraries, &self.areas);
        all.extend(libraries.map(|name| (Leftover::Library, name.to_owned())));
        all
    }
}

/// Adds what the kernel says of the process and of this thread.
fn add_attributes(mut fact: impl FnMut(Leftover, &str, String), link: impl Fn(&str) -> String) {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let status = read("/proc/thread-self/status");
    let field = |name: &str| {
        let mut values = status.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        values.next().map(|value| value.split_whitespace().collect::<Vec<_>>().join(" ")).unwrap_or_default()
    };
    fact(Leftover::Umask, "", field("Umask"));
    for (name, ours) in STATUS {
        fact(Leftover::Attribute, ours, field(name));
    }
    // Not how much, for what is locked may grow with every object.
    let locked = !matches!(field("VmLck").as_str(), "" | "0 kB");
    fact(Leftover::Attribute, "lock of memory (`mlock`)", if locked { "on" } else { "" }.to_owned());
    for (name, value) in attributes::all() {
        fact(Leftover::Attribute, name, value.to_string());
    }
    for (name, is_set) in attributes::interval_timers() {
        fact(Leftover::Attribute, name, if is_set { "(set)" } else { "" }.to_owned());
    }
    fact(Leftover::Attribute, "root directory", link("/proc/self/root"));
    fact(Leftover::Attribute, "OOM score adjustment", read("/proc/self/oom_score_adj").trim().to_owned());
    for name in NAMESPACES {
        fact(Leftover::Attribute, &format!("namespace `{name}`"), link(&format!("/proc/thread-self/ns/{name}")));
    }
    for timer in read("/proc/self/timers").lines().filter_map(|line| line.strip_prefix("ID: ")) {
        fact(Leftover::Timer, &format!("({timer})"), String::new());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_changed_is_named_and_nothing_else() {
        let before = ProcessState::now(None);
        let mut now = ProcessState::now(Some(&before));
        now.facts.insert((Leftover::Variable, "NEW".to_owned()), "value".to_owned());
        now.facts.insert((Leftover::Umask, String::new()), "0077".to_owned());
        let changes: Vec<_> = now.since(&before);
        let named = |kind, what: &str| changes.iter().any(|change| *change == (kind, what.to_owned()));
        assert!(named(Leftover::Variable, "NEW") && named(Leftover::Umask, "0077"), "{changes:?}");
        assert!(before.facts.contains_key(&(Leftover::Limit, "Max open files".to_owned())), "{:?}", before.facts);
        assert!(before.facts[&(Leftover::Folder, String::new())].starts_with('/'));
    }

    #[test]
    fn what_the_system_does_not_tell_is_taken_for_readable() {
        let mut state = ProcessState::now(None);
        let own = [7u8; 64].as_ptr_range();
        assert!(state.can_read(&(own.start.addr()..own.end.addr())));
        assert!(!state.can_read(&(0..4096)), "nothing is mapped there");
        state.areas.clear();
        assert!(state.can_read(&(0..4096)));
    }

    #[test]
    fn attributes_are_named_with_what_they_are_now() {
        let before = ProcessState::now(None);
        let known =
            |name: &str| before.facts.get(&(Leftover::Attribute, name.to_owned())).is_some_and(|it| !it.is_empty());
        for name in ["nice value", "mask of blocked signals", "seccomp mode", "CPU affinity", "root directory"] {
            assert!(known(name), "{name}: {:?}", before.facts);
        }
        let mut now = ProcessState::now(Some(&before));
        let mut set = |kind, name: &str, value: &str| _ = now.facts.insert((kind, name.to_owned()), value.to_owned());
        set(Leftover::Attribute, "nice value", "77");
        set(Leftover::Timer, "(5)", "");
        let changes = now.since(&before);
        assert!(changes.contains(&(Leftover::Attribute, "nice value 77".to_owned())), "{changes:?}");
        assert!(changes.contains(&(Leftover::Timer, "(5)".to_owned())), "{changes:?}");
        assert!(!before.since(&now).iter().any(|(kind, _)| *kind == Leftover::Timer));
    }
}
