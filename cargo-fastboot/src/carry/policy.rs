//! Policy: which changed statics travel in the image (DESIGN.md, section 3.5).
//!
//! A static is carried unless a rule says otherwise: a skipped static is a frozen map that answers nothing, without a
//! word. A rule is right where the state belongs to the process or the machine and not to the program's values, and
//! where the crate makes it anew by itself when it finds none.

use crate::elf::names::{is_of_the_process, last_name};
use crate::options::Choices;
use anyhow::{Result, bail};

/// What registers the process for memory barriers when it needs them first, and remembers that it did. If that is not carried,
/// the finished program is registered as well.
pub(super) const REGISTERS_ANEW: &str = "seize::raw::membarrier";

/// What is not carried unless the user asks for it: crates, or paths in crates, each with the reason.
const SKIPPED: &[(&str, &str)] = &[
    // Threads: the image has none, so a pool that says it runs would wait for ever.
    ("rayon_core", "its threads do not exist in the new process"),
    ("threadpool", "its threads do not exist in the new process"),
    ("tokio", "its threads, timers and descriptors do not exist in the new process"),
    ("async_std", "its threads do not exist in the new process"),
    ("async_global_executor", "its threads do not exist in the new process"),
    ("async_io", "its thread and its poll descriptor do not exist in the new process"),
    ("async_process", "its thread and its signal handler do not exist in the new process"),
    ("blocking", "its threads do not exist in the new process"),
    ("smol", "its threads do not exist in the new process"),
    ("futures_executor", "its threads do not exist in the new process"),
    ("futures_timer", "its thread does not exist in the new process"),
    ("actix_rt", "its threads do not exist in the new process"),
    ("bevy_tasks", "its threads do not exist in the new process"),
    ("indicatif", "its ticker thread does not exist in the new process"),
    ("coarsetime", "its thread does not exist in the new process, and its clock stood still"),
    ("crossbeam_epoch", "lists the threads of the freeze run"),
    ("crossbeam_utils", "locks and numbers of the threads of the freeze run"),
    ("parking_lot_core", "its table of parked threads lists those of the freeze run"),
    ("sharded_slab", "numbers the threads; they start anew"),
    ("thread_local", "numbers the threads; they start anew, and find the values frozen under those numbers"),
    // With the counter at its start, the first thread owns the pools of frozen regexes as the freezing thread did, and
    // takes their fast path.
    ("regex_automata::util::pool", "numbers the threads; they start anew, and own the pools of frozen regexes"),
    ("regex::pool", "numbers the threads; they start anew, and own the pools of frozen regexes"),
    // Hooks: the program sets them in `main`, and most can be set once only.
    ("log", "the logger is set by the program at each start, once"),
    ("env_logger", "the logger is set by the program at each start"),
    ("fern", "the logger is set by the program at each start"),
    ("tracing", "the subscriber is set by the program at each start"),
    ("tracing_core", "the subscriber is set by the program at each start, once"),
    ("tracing_log", "the subscriber is set by the program at each start"),
    ("tracing_subscriber", "the subscriber is set by the program at each start"),
    ("metrics", "the recorder is set by the program at each start, once"),
    ("opentelemetry", "the providers are set by the program at each start"),
    ("sentry_core", "the client is set by the program at each start"),
    ("eyre", "the hook is set by the program at each start, once"),
    ("color_eyre", "the hook is set by the program at each start, once"),
    ("miette", "the hook is set by the program at each start, once"),
    ("human_panic", "the panic hook is set by the program at each start"),
    // Signals, descriptors, mappings: the kernel knows nothing of them in the new process.
    ("ctrlc", "its signal handler and thread do not exist in the new process"),
    ("signal_hook", "its signal handlers do not exist in the new process"),
    ("signal_hook_registry", "its signal handlers do not exist in the new process"),
    ("mio", "its descriptors do not exist in the new process"),
    ("polling", "its descriptors do not exist in the new process"),
    ("socket2", "what the kernel supports is asked anew"),
    ("rustix", "addresses of the vDSO and the auxiliary vector, which move"),
    ("linux_raw_sys", "addresses of the vDSO and the auxiliary vector, which move"),
    ("backtrace", "mapped debug information"),
    ("libloading", "its libraries are not loaded in the new process"),
    ("rand", "its fork handler is not installed in the new process"),
    // C: that it was initialised would be remembered, its own state would not.
    ("ring", "its C code would not be initialised in the new process"),
    ("aws_lc_rs", "its C code would not be initialised in the new process"),
    ("openssl", "its C code would not be initialised in the new process"),
    ("openssl_sys", "its C code would not be initialised in the new process"),
    ("openssl_probe", "the environment is asked anew"),
    ("curl", "its C code would not be initialised in the new process"),
    ("git2", "its C code would not be initialised in the new process"),
    ("libgit2_sys", "its C code would not be initialised in the new process"),
    ("libssh2_sys", "its C code would not be initialised in the new process"),
    ("rusqlite", "its C code would not be initialised in the new process"),
    ("onig", "its C code would not be initialised in the new process"),
    ("pyo3", "the Python interpreter does not exist in the new process"),
    ("pyo3_ffi", "the Python interpreter does not exist in the new process"),
    ("glib", "its types are not registered in the new process"),
    ("gio", "its types are not registered in the new process"),
    ("sdl2", "its C code would not be initialised in the new process"),
    // Allocators: their heap is not in the image, only what was allocated from `FastbootAlloc` is.
    ("dlmalloc", "an allocator: its heap is not in the image"),
    ("talc", "an allocator: its heap is not in the image"),
    ("dhat", "an allocator: its heap is not in the image"),
    // The machine, the terminal, the clock: asked once for each process, and cheaply.
    ("dashmap::default_shard_amount", "the number of CPUs is asked anew"),
    ("num_cpus", "the number of CPUs is asked anew"),
    ("regex_automata::meta::regex::Config::get_pool_capacity", "the number of CPUs is asked anew"),
    ("raw_cpuid", "the features of the CPU are asked anew"),
    ("memmap2", "the page size is asked anew"),
    ("page_size", "the page size is asked anew"),
    ("region", "the page size is asked anew"),
    (REGISTERS_ANEW, "the kernel is asked anew for memory barriers, and the process registered"),
    ("colorchoice", "what the terminal can show is asked anew"),
    ("colored", "what the terminal can show is asked anew"),
    ("console", "what the terminal can show is asked anew"),
    ("crossterm", "what the terminal can show is asked anew, and its mode is the process's"),
    ("owo_colors", "what the terminal can show is asked anew"),
    ("supports_color", "what the terminal can show is asked anew"),
    ("termcolor", "what the terminal can show is asked anew"),
    ("yansi", "what the terminal can show is asked anew"),
    ("quanta", "its clock is calibrated for the machine that runs it"),
    ("minstant", "its clock is calibrated for the machine that runs it"),
    ("fastant", "its clock is calibrated for the machine that runs it"),
    ("jiff::tz", "the system's time zones are asked anew"),
    ("uuid", "numbers that no other process may use"),
    ("bson::oid", "numbers that no other process may use"),
];

/// What is carried though the rest of its crate is not: how the path begins, and the reason.
const TRAVELS: &[(&str, &str)] = &[
    ("tokio::runtime::task::id", "numbers the tasks, and values may hold such numbers"),
    ("alloc::sync::STATIC_INNER_SLICE", "the count of empty `Arc`s, of which values may have some"),
];

/// What macros of a crate put into the crates that use them: how the path ends, and the reason.
const SKIPPED_ENDS: &[(&str, &str)] = &[
    // A carried call site says it is registered and keeps the answer of no subscriber at all: silent for ever.
    ("::__CALLSITE", "tracing's call sites register anew with the subscriber of the new process"),
    ("::_::ALLOCATOR", "the global allocator: its heap is not in the image"),
];

/// Statics that are hooks, or say that one is set: how their paths begin, and what it is that they hold.
const HOOKS: &[(&str, &str)] = &[
    ("log::LOGGER", "the logger of `log`"),
    ("log::STATE", "the logger of `log`"),
    ("log::MAX_LOG_LEVEL_FILTER", "the level of `log`"),
    ("tracing_core::dispatcher::GLOBAL_DISPATCH", "the subscriber of `tracing`"),
    ("tracing_core::dispatcher::GLOBAL_INIT", "the subscriber of `tracing`"),
    ("metrics::recorder", "the recorder of `metrics`"),
    ("opentelemetry::global", "the providers of `opentelemetry`"),
    ("sentry_core::hub", "the client of `sentry`"),
    ("eyre::HOOK", "the hook of `eyre`"),
    ("miette::HOOK", "the hook of `miette`"),
    ("miette::eyreish::HOOK", "the hook of `miette`"),
    ("owo_colors::overrides::OVERRIDE", "whether `owo_colors` colours"),
    ("yansi::global::ENABLED", "whether `yansi` colours"),
    ("std::panicking::HOOK", "the panic hook"),
    ("std::alloc::HOOK", "the hook for allocation errors"),
];

/// The same of statics that also keep what was asked: that there is no terminal, in a freeze run. A byte of them becomes 1 only if
/// somebody sets it.
const OVERRIDES: &[(&str, &str)] = &[
    ("colored::control::SHOULD_COLORIZE", "whether `colored` colours"),
    ("console::utils", "whether `console` colours"),
];

/// Crates whose statics do not travel unless the image shares objects with them, and then do no harm: the default collector of
/// `crossbeam_epoch` lists threads that are gone, and works on with those that come.
const TRAVEL_IF_SHARED: &[&str] = &["crossbeam_epoch"];

/// Crates whose small statics say nothing of the process: seeds of hash functions, and numbers.
const HARMLESS_FLAGS: &[&str] =
    &["ahash", "const_random", "fastrand", "foldhash", "hashbrown", "memchr", "once_cell", "rapidhash", "rustc_hash"];

/// Names reserved for C and its library, and the best known others; they cannot be chosen.
const LIBC: &[&str] =
    &["environ", "errno", "main_arena", "mp_", "stderr", "stdin", "stdout", "program_invocation_name"];

/// The reason of the table for not carrying a static, if it has one. `own`: its crate is the user's, and none of those in the
/// table, whatever it is called.
pub(crate) fn skipped(name: &str, crate_name: &str, own: bool) -> Option<&'static str> {
    let names = |path: &str| path == crate_name || is_path_prefix(path, name);
    let by_path = SKIPPED.iter().find(|(path, _)| !own && names(path));
    by_path.or_else(|| SKIPPED_ENDS.iter().find(|(end, _)| name.ends_with(end))).map(|(_, reason)| *reason)
}

/// The reason for carrying a static that the rest of its crate is no reason for, if there is one.
pub(super) fn travels(name: &str) -> Option<&'static str> {
    TRAVELS.iter().find(|(path, _)| is_path_prefix(path, name)).map(|(_, reason)| *reason)
}

/// What a static holds, if it is a hook, or became one with these bytes before and after.
pub(super) fn hook(name: &str, before: &[u8], after: &[u8]) -> Option<&'static str> {
    let is_set = || before.iter().zip(after).any(|(before, after)| before != after && *after == 1);
    let overrides = OVERRIDES.iter().filter(|_| is_set());
    HOOKS.iter().chain(overrides).find(|(path, _)| is_path_prefix(path, name)).map(|(_, what)| *what)
}

/// Whether statics of a crate travel when the image shares objects with them.
pub(super) fn travels_if_shared(crate_name: &str) -> bool {
    TRAVEL_IF_SHARED.contains(&crate_name)
}

/// Whether the small statics of a crate say nothing of the process.
pub(super) fn has_harmless_flags(crate_name: &str) -> bool {
    HARMLESS_FLAGS.contains(&crate_name)
}

/// Whether `path` is `name` or one of the paths that lead to it.
pub(super) fn is_path_prefix(path: &str, name: &str) -> bool {
    name.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// The user's choices, checked.
#[derive(Debug)]
pub(crate) struct Chosen {
    carry: Vec<Pattern>,
    skip: Vec<Pattern>,
}

/// What the user chose for a static.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice<'a> {
    /// Carry it, because of this pattern.
    Carry(&'a Pattern),
    /// Skip it, because of this pattern.
    Skip(&'a Pattern),
}

/// The name of a crate, of a static, or of a module; or how such names begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    text: String,
    stem: String,
    open: bool,
}

impl Pattern {
    fn parse(text: &str) -> Result<Self> {
        let (stem, star) = match text.strip_suffix('*') {
            Some(stem) => (stem, true),
            None => (text, false),
        };
        // `module::*` is all that is in the module.
        let (stem, open) = match stem.strip_suffix("::") {
            Some(module) => (module, false),
            None => (stem, star),
        };
        if stem.contains('*') || (stem.is_empty() && !open) {
            bail!(
                "`{text}` in [package.metadata.fastboot] names nothing: \
                 write a crate, a path such as `krate::module::STATIC`, or the beginning of one and `*`"
            );
        }
        // The name of a package may have hyphens, that of its crate has none.
        let package = !stem.contains("::") && !stem.starts_with('<');
        let stem = if package { stem.replace('-', "_") } else { stem.to_owned() };
        Ok(Self { text: text.to_owned(), stem, open })
    }

    /// As the user wrote it.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Whether it is exactly this name.
    pub(crate) fn is(&self, name: &str) -> bool {
        !self.open && self.stem == name
    }

    /// How exactly it names a static: how much of the path it says. `None` if it does not mean it.
    pub(crate) fn fit(&self, name: &str, crate_name: &str) -> Option<usize> {
        let begins = if self.open {
            name.starts_with(&self.stem) || crate_name.starts_with(&self.stem)
        } else {
            self.stem == crate_name || is_path_prefix(&self.stem, name)
        };
        // The last name stands for the whole path.
        let is_last = !self.open && self.stem == last_name(name);
        is_last.then_some(name.len()).or(begins.then_some(self.stem.len()))
    }
}

impl Chosen {
    /// Reads the choices.
    ///
    /// # Errors
    /// If one is not a name, or wants something carried that never can be.
    pub(crate) fn parse(choices: &Choices) -> Result<Self> {
        let patterns =
            |texts: &[String]| texts.iter().map(|text| Pattern::parse(text.trim())).collect::<Result<Vec<_>>>();
        let chosen = Self { carry: patterns(&choices.carry)?, skip: patterns(&choices.skip)? };
        for pattern in &chosen.carry {
            let first = pattern.stem.split("::").next().unwrap_or_default();
            if is_of_the_process(first) {
                return Err(cannot(pattern, &format!("statics of `{first}` belong to the running process")));
            }
            if LIBC.contains(&first) {
                return Err(cannot(pattern, "statics of the C library belong to the running process"));
            }
        }
        Ok(chosen)
    }

    /// What was chosen for a static: the longest of the names that fit decides.
    ///
    /// # Errors
    /// If it is to be carried and skipped at once.
    pub(crate) fn of(&self, name: &str, crate_name: &str) -> Result<Option<Choice<'_>>> {
        let carry = longest(&self.carry, name, crate_name);
        let skip = longest(&self.skip, name, crate_name);
        Ok(match (carry, skip) {
            (Some((a, carry)), Some((b, skip))) if a == b => bail!(
                "`{name}` is named by carry (`{}`) and by skip (`{}`) in [package.metadata.fastboot]: remove one of them",
                carry.text,
                skip.text
            ),
            (Some((a, _)), Some((b, skip))) if a < b => Some(Choice::Skip(skip)),
            (Some((_, carry)), _) => Some(Choice::Carry(carry)),
            (None, Some((_, skip))) => Some(Choice::Skip(skip)),
            (None, None) => None,
        })
    }

    /// Every choice, with the list that it is in.
    pub(crate) fn patterns(&self) -> impl Iterator<Item = (&'static str, &Pattern)> {
        let carry = self.carry.iter().map(|pattern| ("carry", pattern));
        carry.chain(self.skip.iter().map(|pattern| ("skip", pattern)))
    }

    /// The `carry` that is exactly this name, if there is one.
    pub(crate) fn carried_by_name(&self, name: &str) -> Option<&Pattern> {
        self.carry.iter().find(|pattern| pattern.is(name))
    }
}

/// The pattern that fits most exactly, and how exactly.
fn longest<'a>(patterns: &'a [Pattern], name: &str, crate_name: &str) -> Option<(usize, &'a Pattern)> {
    let fitting = patterns.iter().filter_map(|pattern| Some((pattern.fit(name, crate_name)?, pattern)));
    fitting.max_by_key(|(fit, _)| *fit)
}

/// The error for a `carry` that cannot be.
pub(crate) fn cannot(pattern: &Pattern, why: &str) -> anyhow::Error {
    let text = pattern.text();
    anyhow::anyhow!(
        "`{text}` in [package.metadata.fastboot] carry cannot be carried: {why}; remove `{text}` from the list"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(carry: &[&str], skip: &[&str]) -> Result<Chosen> {
        let own = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Chosen::parse(&Choices { carry: own(carry), skip: own(skip) })
    }

    #[test]
    fn entries_are_crates_or_paths_named_once_and_with_a_reason() {
        for (index, (path, reason)) in SKIPPED.iter().enumerate() {
            assert!(!is_of_the_process(path) && !reason.is_empty() && !path.contains('-'), "{path}");
            assert!(SKIPPED[..index].iter().all(|(other, _)| !is_path_prefix(other, path)), "{path} is there twice");
        }
    }

    #[test]
    fn paths_match_at_their_joints() {
        assert!(skipped("log::LOGGER", "log", false).is_some());
        assert!(skipped("logos::LEXER", "logos", false).is_none());
        assert!(skipped("<env_logger::Logger as log::Log>::log::X", "env_logger", false).is_some());
        assert!(skipped("regex_automata::util::pool::inner::COUNTER", "regex_automata", false).is_some());
        assert!(skipped("regex_automata::util::pools::X", "regex_automata", false).is_none());
        assert!(skipped("user::main::__CALLSITE", "user", false).is_some());
        assert!(skipped("log::LOGGER", "log", true).is_none(), "a program that is called log");
        assert!(skipped("log::main::__CALLSITE", "log", true).is_some());
        assert!(travels("tokio::runtime::task::id::Id::next::NEXT_ID").is_some());
        assert!(travels("tokio::runtime::task::identity::X").is_none());
    }

    #[test]
    fn what_was_set_is_told_from_what_was_asked() {
        let [asked, set] = [[0, 0, 0, 0, 0], [0, 0, 0, 0, 1]];
        let of = |name: &str, after: &[u8]| hook(name, &[3, 0, 0, 0, 0], after).is_some();
        assert!(
            of("console::utils::stdout_colors::ENABLED", &set) && !of("console::utils::stdout_colors::ENABLED", &asked)
        );
        assert!(of("yansi::global::ENABLED", &asked) && !of("yansi::globals::X", &set));
    }

    #[test]
    fn the_longest_choice_decides() {
        let chosen = chosen(&["a", "b::c::*", "log"], &["a::b", "b*"]).unwrap();
        let of = |name: &str, krate: &str| chosen.of(name, krate).unwrap();
        assert!(matches!(of("a::X", "a"), Some(Choice::Carry(_))));
        assert!(matches!(of("a::b::X", "a"), Some(Choice::Skip(_))));
        assert!(matches!(of("a::bb::X", "a"), Some(Choice::Carry(_))));
        assert!(matches!(of("b::c::X", "b"), Some(Choice::Carry(_))));
        assert!(matches!(of("b::cc::X", "b"), Some(Choice::Skip(_))));
        assert!(matches!(of("<log::A as b::B>::X", "log"), Some(Choice::Carry(_))));
        assert_eq!(of("z::X", "z"), None);
    }

    #[test]
    fn a_last_name_is_as_good_as_the_path() {
        let chosen = chosen(&["a"], &["X"]).unwrap();
        assert!(matches!(chosen.of("a::b::X", "a").unwrap(), Some(Choice::Skip(_))));
        assert!(matches!(chosen.of("a::b::XX", "a").unwrap(), Some(Choice::Carry(_))));
        let twice = super::tests::chosen(&["a::b::X"], &["X"]).unwrap();
        assert!(twice.of("a::b::X", "a").is_err());
    }

    #[test]
    fn packages_with_hyphens_are_their_crates() {
        let chosen = chosen(&[], &["signal-hook"]).unwrap();
        assert!(chosen.of("signal_hook::X", "signal_hook").unwrap().is_some());
        assert!(chosen.of("signal_hook_registry::X", "signal_hook_registry").unwrap().is_none());
    }

    #[test]
    fn what_can_never_be_carried_is_an_error_that_says_so() {
        for name in ["std", "std::io::*", "core", "libc", "getrandom", "fastboot-rt", "main_arena", "std*"] {
            let error = chosen(&[name], &[]).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains("cannot be carried"), "{error}");
        }
        assert!(chosen(&["standard"], &["std"]).is_ok(), "skipping what is skipped anyway does no harm");
    }

    #[test]
    fn what_names_nothing_or_contradicts_itself_is_an_error() {
        for name in ["", "::", "a*b"] {
            assert!(chosen(&[], &[name]).is_err(), "{name}");
        }
        let error = chosen(&["a"], &["a"]).unwrap().of("a::X", "a").unwrap_err();
        assert!(error.to_string().contains("remove one"), "{error}");
    }
}
