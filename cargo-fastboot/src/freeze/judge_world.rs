//! Judge, of what differs between processes: a warning, or an error where it can be right in no other process.

use super::cause::{Cause, Finding};
use super::causes::{Causes, is_named};
use super::stages::Freezing;
use crate::options::Deny;
use crate::runs::world::{Difference, can_hide_features};
use crate::say::remedy::{argument, listed};
use anyhow::{Result, bail};
use fastboot_format::features::{LEVEL_NAMES, Mask, level, level_of, names, without_implied};

impl Freezing<'_> {
    /// Says what values depend on, and refuses what cannot be right in any other process.
    pub(super) fn judge_world(&self, causes: &Causes) -> Result<()> {
        let options = self.options;
        let mut errors: Vec<String> = Vec::new();
        let mut said: Vec<(&str, &Cause)> = Vec::new();
        for Finding { name, is_static, cause, evidence } in &causes.findings {
            let by_chance = cause.is_chance();
            let allowed =
                is_named(name, &options.allow_world) || by_chance && is_named(name, &options.allow_nondeterminism);
            if allowed || said.contains(&(name.as_str(), cause)) {
                continue;
            }
            said.push((name, cause));
            let what = match (name.as_str(), is_static) {
                ("", _) => {
                    self.shell.warn(format_args!(
                        "the roots' expressions cannot be evaluated where something else is different, that is, {cause}: \
                         {evidence}. The program has what they made of it here, wherever it runs"
                    ));
                    continue;
                }
                (_, true) => format!("the carried static `{name}` depends on {cause}"),
                (_, false) => format!("root `{name}` depends on {cause}"),
            };
            let what = if evidence.is_empty() { what } else { format!("{what} ({evidence})") };
            let allow = format!("allow it: {}", listed("allow-world", name));
            if *is_static && cause.is_the_process() {
                errors.push(format!(
                    "{what}, so it cannot be right in any other process. Have the program find it anew, with {}; or keep \
                     it out of the expressions; if it is meant, {allow}",
                    listed("skip", name)
                ));
                continue;
            }
            let declare = cause.declaration();
            let anew = match *is_static {
                true => format!("`--skip {}` has the program find it anew. ", argument(name)),
                false => String::new(),
            };
            let said = match cause {
                Cause::Place => format!(
                    "{what}, which is another place in every process, so that a map whose keys are addresses of functions or \
                     statics finds nothing in it. Build without --pie, where it is the same place. {anew}If that is meant, {allow}"
                ),
                _ => format!(
                    "{what}; the program has what it was here, wherever it runs. {anew}If that is meant, {declare}{allow}"
                ),
            };
            if options.deny.contains(&Deny::World) {
                errors.push(said);
            } else {
                self.shell.warn(said);
            }
        }
        if !errors.is_empty() {
            bail!("{}", errors.join("\n"));
        }
        Ok(())
    }

    /// Says which processors the image is for, if not for all.
    pub(super) fn tell_features(&self, causes: &Causes) {
        let Causes { features, of_processor, .. } = causes;
        if *features == 0 {
            return;
        }
        let native = self.options.cpu == Mask::MAX;
        let Some(root) = of_processor.first() else {
            if native && !self.world().iter().any(|difference| matches!(difference, Difference::Features(..))) {
                self.shell.status(
                    "Requires",
                    "every feature of this processor: what depends on them cannot be found out, because they cannot be \
                     hidden here",
                );
            }
            return;
        };
        let others = match of_processor.len() {
            1 => String::new(),
            count => format!(" and {} more", count - 1),
        };
        let older = match (native && level_of(*features) != Some("x86-64-v2"), can_hide_features()) {
            (false, _) => "",
            (true, true) => "; `--cpu x86-64-v2` freezes for older ones",
            (true, false) => "; on a processor with CPUID faulting, `--cpu x86-64-v2` freezes for older ones",
        };
        let processor = processor_with(*features);
        self.shell
            .status("Requires", format_args!("{processor}: `{root}`{others} came out otherwise without it{older}"));
    }
}

/// A processor that has these features, said for people: by its level, and what it has besides.
fn processor_with(features: Mask) -> String {
    if let Some(level) = level_of(features) {
        return format!("a processor of {level}");
    }
    let every = level("x86-64-v1").unwrap_or(0);
    let has = |name: &&str| without_implied(level(name).unwrap_or(Mask::MAX) & !every) & !features == 0;
    let (base, of) = match LEVEL_NAMES.into_iter().skip(1).rev().find(has) {
        Some(name) => (level(name).unwrap_or(0), format!(" of {name}")),
        None => (0, String::new()),
    };
    format!("a processor{of} with {}", names(features & !base).collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_are_named_by_level_and_what_they_have_besides() {
        let bit = |name: &str| names(Mask::MAX).position(|one| one == name).map_or(0, |bit| 1 << bit);
        let of = |name| level(name).unwrap() & !level("x86-64-v1").unwrap();
        assert_eq!(processor_with(of("x86-64-v3")), "a processor of x86-64-v3");
        assert_eq!(processor_with(bit("avx2")), "a processor of x86-64-v3");
        assert_eq!(processor_with(of("x86-64-v2") | bit("aes")), "a processor of x86-64-v2 with aes");
        assert_eq!(processor_with(bit("aes") | bit("sha")), "a processor with aes, sha");
        assert_eq!(
            processor_with(without_implied(of("x86-64-v4") | bit("gfni"))),
            "a processor of x86-64-v4 with gfni"
        );
    }
}
