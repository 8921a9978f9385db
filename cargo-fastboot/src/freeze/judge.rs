//! Judge: what the runs and the proof found that is not as it should be, as a warning or as an error, each with the way from
//! its root and with what to do about it.

use super::causes::Causes;
use super::stages::{Freezing, Frozen};
use crate::carry::attribute::Static;
use crate::carry::carried::Statics;
use crate::carry::changes;
use crate::carry::known::KnownNames;
use crate::contents::objects::Objects;
use crate::contents::report::Report;
use crate::elf::binary::Elf;
use crate::elf::names::means;
use crate::options::{Deny, FreezeOptions};
use crate::prove::proof::{Proof, Suspect, Varying};
use crate::runs::capture::Capture;
use crate::runs::inputs::Inputs;
use crate::say::remedy::listed;
use crate::say::shell::megabytes;
use anyhow::{Result, bail};
use fastboot_format::protocol::Leftover;

/// From how many bytes on that are in no use an image is looked at more closely: in a small one, pages and alignment weigh more
/// than objects.
const LEAST_LOST: u64 = 1 << 20;
/// How much of an image should be objects in use.
const LEAST_DENSITY: f64 = 0.9;
/// How many findings of a kind are listed for those who asked with `-v`.
const LISTED: usize = 10;

impl Freezing<'_> {
    /// Refuses names in the user's lists that mean nothing in this program.
    pub(super) fn judge_names(&self, capture: &Capture) -> Result<()> {
        let FreezeOptions {
            choices,
            elsewhere,
            allow_foreign,
            allow_nondeterminism,
            allow_shared,
            allow_threads,
            allow_world,
            ..
        } = self.options;
        let lists = [
            ("allow-foreign", allow_foreign),
            ("allow-nondeterminism", allow_nondeterminism),
            ("allow-shared", allow_shared),
            ("allow-threads", allow_threads),
            ("allow-world", allow_world),
        ];
        if choices.carry.is_empty() && choices.skip.is_empty() && lists.iter().all(|(_, entries)| entries.is_empty()) {
            return Ok(());
        }
        let known = KnownNames::read(&Elf::parse(&self.binary.bytes)?, &self.binary.bytes, elsewhere)?;
        let mut roots: Vec<&str> = capture.roots.iter().map(|root| root.name.as_str()).collect();
        // What is warmed leaves threads, too.
        roots.extend(capture.left_behind.iter().map(|(root, ..)| root.as_str()));
        known.require_choices(choices, &roots)?;
        lists.iter().try_for_each(|(list, entries)| known.require_allowed(list, entries, &roots))
    }

    /// Refuses what a root left open and cannot be in an image: a value that refers to it would refer to nothing.
    pub(super) fn judge_left_behind(&self, capture: &Capture) -> Result<()> {
        for (root, kind, what) in &capture.left_behind {
            let remedy = match kind {
                Leftover::Descriptor => "close it, or open it where it is used",
                Leftover::Mapping => "read the file instead, or map it where it is used",
                Leftover::Child => "wait for it",
                // Judged when it is known what becomes of the roots.
                Leftover::Thread => continue,
                // Not left open, but changed: it counts if a flag says so, see `judge_changes`.
                _ => continue,
            };
            let thing = kind.name();
            bail!("root `{root}` left {thing} {what} open, which does not exist in the embedded program; {remedy}");
        }
        Ok(())
    }

    /// Refuses flags that say that something was done which the finished program does not have; without a flag, that is a
    /// warning.
    pub(super) fn judge_changes(&self, statics: &Statics, proof: &Proof, capture: &Capture) -> Result<()> {
        let flags: Vec<&Static> = statics.flags(capture, proof).collect();
        let changes = changes::changes(statics, capture, &flags);
        let Some(first) = changes.first() else { return Ok(()) };
        let flags: Vec<&str> = flags.iter().map(|flag| flag.name.as_str()).collect();
        let Some(flag) = flags.first() else {
            for change in &changes {
                self.shell.warn(format_args!(
                    "{change}, which the finished program does not have, because it never runs the expression; if it is \
                     needed, do it in `main` as well"
                ));
            }
            return Ok(());
        };
        let more = |count: usize| if count > 1 { format!(" (and {} more)", count - 1) } else { String::new() };
        let list: Vec<String> = flags.iter().map(|flag| format!("\"{flag}\"")).collect();
        let list = list.join(", ");
        bail!(
            "{first}{}, which the finished program does not have, because it never runs the expression. But the static \
             `{flag}`{} was changed as well, would be carried, and may say that it was done. Take the call out of the \
             expression; or have it done again, with `skip = [{list}]` in [package.metadata.fastboot]; or, if {} \
             something else, `carry = [{list}]`",
            more(changes.len()),
            more(flags.len()),
            if flags.len() > 1 { "they say" } else { "it says" },
        );
    }

    /// Warns of an image that is far larger than what it is for, or was not made as planned.
    pub(super) fn judge_density(&self, frozen: &Frozen, report: &Report) {
        let length = frozen.data.len() as u64;
        let lost = length.saturating_sub(report.live);
        let is_sparse = lost > LEAST_LOST && (report.live as f64) < LEAST_DENSITY * length as f64;
        // That an image is verbatim was said, and who lets threads run as they like knows.
        if frozen.planned.is_none() || self.options.keep_threads {
            return;
        }
        let sparse = || {
            let overflow = frozen.overflow().map_or(0, |range| range.end - range.start);
            let (lost, overflow) = (megabytes(lost), megabytes(overflow));
            format!("{lost} of the image are in no use, {overflow} of it were allocated otherwise than planned")
        };
        let found = match (frozen.capture.strayed.as_slice(), is_sparse) {
            ([], false) => return,
            ([], true) => sparse(),
            ([first, others @ ..], _) => {
                let threads = match others.len() {
                    0 => "a thread left its plan".to_owned(),
                    others => format!("{} threads left their plans, the first", others + 1),
                };
                let lost = if is_sparse { format!("; {}", sparse()) } else { String::new() };
                format!("{threads} in {first}{lost}")
            }
        };
        self.shell
            .warn(format_args!("{found}. Look for randomness, clocks and threads that take turns in the expressions"));
    }

    /// Warns of inputs that were not declared, or refuses them.
    pub(super) fn judge_inputs(&self, inputs: &Inputs) -> Result<()> {
        self.shell.verbose(format_args!("{} inputs", inputs.len()));
        let warnings = inputs.warnings(self.shell.is_verbose());
        if self.options.deny.contains(&Deny::Undeclared)
            && let Some(first) = warnings.first()
        {
            bail!("{first}");
        }
        for warning in warnings {
            self.shell.warn(warning);
        }
        Ok(())
    }

    /// Refuses values of C libraries, before anything else is looked into: what they allocated is in use, and not in the image.
    /// In a verbatim image it may be garbage.
    pub(super) fn judge_c_values(&self, frozen: &Frozen, proof: &Proof, objects: Option<&Objects<'_>>) -> Result<()> {
        let is_allowed = |offset: u64| is_of(&self.options.allow_foreign, frozen, objects, offset);
        // Handles of running threads come first, and say more than what C code has for these threads.
        let mut found = proof.suspects.iter().filter(|suspect| suspect.held && !is_allowed(suspect.offset));
        let is_of_c = |suspect: &&Suspect| suspect.what.contains("`malloc`") && frozen.planned.is_some();
        let Some(Suspect { offset, what, .. }) = found.next().filter(is_of_c) else { return Ok(()) };
        if frozen.has_thread_at(*offset) {
            bail!(
                "a handle of a thread (`std::thread::Thread`, as of `thread::current()`) cannot be frozen: the image holds one (in \
                 {}), and the embedded program does not have that thread; keep it out of the root or the static, and ask for it \
                 where it is used",
                frozen.way(objects, *offset)
            );
        }
        let names: Vec<String> = self.options.c_libraries.iter().map(|name| format!("`{name}`")).collect();
        let made_by = match names.as_slice() {
            [] => String::new(),
            [name] => format!(", made by {name},"),
            names => format!(", made by one of {},", names.join(", ")),
        };
        bail!(
            "a value of a C library{made_by} cannot be frozen: the image holds the address of {what} (in {}{}), and that \
             memory is not in the image; keep it out of the root, and make it where it is used first",
            frozen.way(objects, *offset),
            match found.count() {
                0 => String::new(),
                others => format!("; {} such words in all", others + 1),
            }
        );
    }

    /// Says what the proof found that is not as it should be, and refuses what cannot be right.
    pub(super) fn judge(
        &self,
        frozen: &Frozen,
        proof: &Proof,
        causes: &Causes,
        objects: Option<&Objects<'_>>,
    ) -> Result<()> {
        self.judge_disguised(frozen, proof, objects, |offset| {
            causes.explained.contains(&offset) || is_of(&self.options.allow_foreign, frozen, objects, offset)
        })?;
        if let Some(found) = self.foreign(frozen, proof, objects) {
            self.say(found)?;
        }
        if let Some(found) = self.nondeterministic(frozen, proof, causes, objects) {
            self.say(found)?;
        }
        Ok(())
    }

    /// What there is to say of addresses of memory that is not in the image.
    fn foreign(&self, frozen: &Frozen, proof: &Proof, objects: Option<&Objects<'_>>) -> Option<Said> {
        let way = |offset| frozen.way(objects, offset);
        let is_foreign = |suspect: &&Suspect| !is_of(&self.options.allow_foreign, frozen, objects, suspect.offset);
        let foreign: Vec<_> = proof.suspects.iter().filter(is_foreign).collect();
        if self.shell.is_verbose() {
            for Suspect { offset, what, .. } in foreign.iter().take(LISTED) {
                self.shell.verbose(format_args!("the address of {what} in {}", way(*offset)));
            }
        }
        // What a stack frame left behind lies in unused parts, but hardly at the very beginning of a root's value.
        let values = frozen.values();
        let is_value = |offset: u64| values.contains(&offset);
        let is_certain = |suspect: &&&Suspect| suspect.certain || is_value(suspect.offset);
        // Verbatim images and the overflow are full of garbage, which proves nothing.
        let counts =
            |suspect: &&&Suspect| frozen.is_planned(suspect.offset) || suspect.held && frozen.planned.is_some();
        let certain = foreign.iter().find(|suspect| is_certain(suspect) && counts(suspect));
        let worst = certain.or(foreign.first())?;
        let name = frozen.origin(objects, worst.offset).unwrap_or("NAME");
        let remedy = format!("if it is garbage that nothing reads, allow it: {}", listed("allow-foreign", name));
        let severity = if certain.is_some() || self.options.deny.contains(&Deny::Foreign) {
            Severity::Error(format!("keep it out of the root, or, {remedy}"))
        } else if frozen.planned.is_some() {
            Severity::Warning(remedy)
        } else {
            Severity::Note
        };
        let found = format!(
            "the image holds the address of {} (in {}{}), which the embedded program does not have there",
            worst.what,
            way(worst.offset),
            if foreign.len() == 1 { String::new() } else { format!("; {} such words in all", foreign.len()) },
        );
        Some(Said { found, severity })
    }

    /// What there is to say of words that are others in each run, and nobody knows why.
    fn nondeterministic(
        &self,
        frozen: &Frozen,
        proof: &Proof,
        causes: &Causes,
        objects: Option<&Objects<'_>>,
    ) -> Option<Said> {
        let deny = self.options.deny.contains(&Deny::Nondeterminism);
        // What depends on something that is known was said already. But two builds will not be equal all the same.
        let is_new = |difference: &&Varying| {
            (deny || !causes.explained.contains(&difference.offset))
                && !causes.of_executable.contains(&difference.offset)
                && !is_of(&self.options.allow_nondeterminism, frozen, objects, difference.offset)
        };
        let mut differences = proof.differences.iter().filter(is_new);
        let Varying { offset, values: [a, b] } = differences.next()?;
        let severity = if deny {
            Severity::Error("look for clocks, randomness and threads in the root's expression".to_owned())
        } else if frozen.is_planned(*offset) && !self.options.real_random {
            let name = frozen.origin(objects, *offset).unwrap_or("NAME");
            Severity::Warning(format!(
                "two builds will not be equal. Look for clocks, randomness and threads in the root's expression, or allow \
                 it: {}",
                listed("allow-nondeterminism", name)
            ))
        } else {
            // Who asked for real random bytes, or for images with garbage in them, knows.
            Severity::Note
        };
        let found = format!(
            "{} words of the image differ from run to run, the first in {}: {a:#x}, then {b:#x}",
            1 + differences.count(),
            frozen.way(objects, *offset)
        );
        Some(Said { found, severity })
    }

    fn say(&self, Said { found, severity }: Said) -> Result<()> {
        match severity {
            Severity::Error(remedy) => bail!("{found}; {remedy}"),
            Severity::Warning(remedy) => self.shell.warn(format_args!("{found}; {remedy}")),
            Severity::Note => self.shell.verbose(found),
        }
        Ok(())
    }

    /// Says which statics are carried, and of which it is doubtful whether they should be.
    pub(super) fn tell_statics(&self, statics: &Statics, capture: &Capture) {
        for name in statics.doubtful_dispatch_caches(capture) {
            self.shell.warn(format_args!(
                "the static `{name}` held the address of one function before the roots were evaluated and another \
                 afterwards, so it is taken for a dispatch cache and not carried; if it is none, carry it: {}",
                listed("carry", name)
            ));
        }
        for name in statics.doubtful_thread_locals(capture) {
            self.shell.warn(format_args!(
                "the thread-local `{name}` changed while the roots were evaluated, and every thread of the embedded program \
                 starts with its first value; if a root relies on it, keep what it needs in the root"
            ));
        }
        for (name, decision) in statics.report() {
            self.shell.verbose(format_args!("static {name}: {decision}"));
        }
    }
}

/// Something that is to be said of an image.
struct Said {
    found: String,
    severity: Severity,
}

/// How bad it is, and what to do about it.
enum Severity {
    /// There is no image.
    Error(String),
    Warning(String),
    /// For those who asked with `-v`.
    Note,
}

/// Whether what lies at an offset in the image data belongs to one of these roots and statics.
fn is_of(names: &[String], frozen: &Frozen, objects: Option<&Objects<'_>>, offset: u64) -> bool {
    let is_named = |origin| names.iter().any(|name| means(name, origin));
    !names.is_empty() && frozen.origin(objects, offset).is_some_and(is_named)
}
