//! Process state: what an expression can change in its process besides memory. The finished program, which never ran it, has
//! none of these changes.

use super::c_library::CLibrary;
use super::libraries::{self, Libraries};
use super::maps::{Area, areas};
use crate::os::processes;
use fastboot_format::protocol::Leftover;
use std::collections::BTreeMap;
use std::fs;

/// Number of the highest signal.
const LAST_SIGNAL: i32 = 64;

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
        let link = |path| fs::read_link(path).map(|path| path.to_string_lossy().into_owned()).unwrap_or_default();
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
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let umask = status.lines().find_map(|line| line.strip_prefix("Umask:")).unwrap_or_default();
        fact(Leftover::Umask, "", umask.trim().to_owned());
        fact(Leftover::Folder, "", link("/proc/self/cwd"));
        fact(Leftover::Locale, "", c_library.locale.clone().unwrap_or_default());
        fact(Leftover::AtExit, "", format!("{} in all", c_library.at_exit));
        let libraries = libraries::now(&areas, &link("/proc/self/exe"));
        Self { facts, c_library, libraries, areas }
    }

    /// What is otherwise than it was before: kind and description.
    pub(crate) fn since(&self, before: &Self) -> Vec<(Leftover, String)> {
        let known = before.facts.keys().chain(self.facts.keys().filter(|key| !before.facts.contains_key(key)));
        let changed = known.filter(|key| self.facts.get(key) != before.facts.get(key));
        let mut all: Vec<(Leftover, String)> = changed
            .map(|key| {
                let (kind, name) = key;
                let what =
                    if name.is_empty() { self.facts.get(key).cloned().unwrap_or_default() } else { name.clone() };
                (*kind, what)
            })
            .collect();
        let libraries = libraries::since(&self.libraries, &before.libraries, &self.areas);
        all.extend(libraries.map(|name| (Leftover::Library, name.to_owned())));
        all
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
}
