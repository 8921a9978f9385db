//! Verify: does an embedded binary start with the values it would have evaluated?
//!
//! The file is read with a second parser and all digests are compared. Then the binary is run in check mode, where every
//! root is thawed and evaluated anew in one process, and the two are compared there, by the program itself.

use crate::carry::decide;
use crate::elf::binary::Binary;
use crate::image::Image;
use crate::options::FreezeOptions;
use crate::runs::why::ending;
use crate::say::output;
use crate::say::shell::Shell;
use anyhow::{Context, Result, bail};
use fastboot_format::protocol::CHECK_VARIABLE;
use fastboot_format::protocol::verdict::{Stage, Verdict};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Instant;

/// Parts of the reasons for not carrying statics that say that the program misses nothing.
const HARMLESS: &[&str] = &[
    "belongs to the running process",
    decide::DISPATCH_CACHE,
    decide::UNUSED_CPU_CACHE,
    decide::ALLOCATORS,
    "not a Rust symbol",
    "no symbol",
];

/// What check mode said of the roots.
#[derive(Debug, Default, PartialEq, Eq)]
struct Checked {
    equal: Vec<String>,
    not_comparable: Vec<String>,
    /// Why the check failed, sentence by sentence.
    failures: Vec<String>,
}

impl Checked {
    /// What a report says; `ending` is how the program ended that wrote it, and `left` the statics that it has not got.
    fn parse(text: &str, ending: &str, left: &[String]) -> Self {
        let mut checked = Self::default();
        let (mut current, mut stage) = (None, None);
        let mut complete = false;
        for verdict in text.lines().filter_map(Verdict::parse) {
            match verdict {
                Verdict::Begin(root) => {
                    (current, stage) = (Some(root), None);
                    continue;
                }
                Verdict::Stage(reached) => {
                    stage = Some(reached);
                    continue;
                }
                Verdict::Equal(root) => checked.equal.push(root.to_owned()),
                Verdict::NotComparable(root) => checked.not_comparable.push(root.to_owned()),
                Verdict::Different(root) => checked.failures.push(format!(
                    "root `{root}` is not equal to a fresh one. If it is not meant to be (a clock, a random number, a \
                     counter in a static), say how to compare it: `static NAME: T = .., check = |thawed, fresh| ..;`"
                )),
                Verdict::Panicked { root, message } => {
                    let remedy = match stage {
                        Some(Stage::Evaluating) => {
                            format!(". {}", only_once(left))
                        }
                        _ => String::new(),
                    };
                    checked.failures.push(format!("root `{root}`: a panic {}: {message}{remedy}", during(stage)));
                }
                Verdict::Cold(reason) => checked.failures.push(format!("it starts cold: {reason}")),
                Verdict::End => complete = true,
            }
            current = None;
        }
        if !complete && checked.failures.is_empty() {
            checked.failures.push(match current {
                Some(root) => {
                    let hint = match stage {
                        Some(Stage::Evaluating) => only_once(left),
                        _ => "What it holds may not be right in another process: look for values of C libraries, threads, or \
                              addresses in another form"
                            .to_owned(),
                    };
                    format!("root `{root}`: the program {ending} {}. {hint}", during(stage))
                }
                None if text.is_empty() => {
                    format!("the program {ending} without a report: is `fastboot_rt::install!();` in it?")
                }
                None => format!("the program {ending} after all of its roots were looked at"),
            });
        }
        checked
    }

    /// What was done, in a word, and to how many roots.
    fn summary(&self) -> (&'static str, String) {
        let roots = |count: usize| format!("{count} root{}", if count == 1 { "" } else { "s" });
        const REMEDY: &str = "no PartialEq: add check = ..";
        match (self.equal.len(), self.not_comparable.len()) {
            (0, 0) => ("Thawed", "no roots to compare".to_owned()),
            (equal, 0) => ("Verified", format!("{} equal", roots(equal))),
            (0, thawed) => ("Thawed", format!("{}, none compared ({REMEDY})", roots(thawed))),
            (equal, thawed) => ("Verified", format!("{} equal, {thawed} thawed only ({REMEDY})", roots(equal))),
        }
    }
}

/// Verifies the embedded binary at `path`, run as it was for freezing.
pub(crate) fn verify(path: &Path, options: &FreezeOptions, shell: &Shell) -> Result<()> {
    let not_verified = || format!("{} is not verified", path.display());
    let path = std::path::absolute(path).with_context(not_verified)?;
    let binary = Binary::read(&path)?;
    let Some((_, bytes)) = binary.image_bytes() else {
        bail!("{} is a cold binary: there is no image to verify; build it with `cargo fastboot build`", path.display());
    };
    goblin::elf::Elf::parse(&binary.bytes).context("goblin does not accept it").with_context(not_verified)?;
    let image = Image::from_bytes(bytes).with_context(not_verified)?;
    let copy = binary.header_copy().with_context(not_verified)?;
    if copy.is_some_and(|copy| copy.iter().any(|byte| *byte != 0) && !bytes.starts_with(copy)) {
        bail!("{}: the copy of the image's header differs from it; build it again", not_verified());
    }
    image.check_pages().with_context(not_verified)?;
    if image.header().identity != binary.identity() {
        bail!(
            "{} holds an image of another binary: it was changed after it was embedded; build it again",
            path.display()
        );
    }
    drop(binary);

    let folder = output::temporary_folder(".fastboot-verify-", None)?;
    let report = folder.path().join("report");
    let mut command = options.command(&path);
    command.env(CHECK_VARIABLE, &report).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let status = wait(&mut command, "Verifying", options, &path, shell).with_context(not_verified)?;
    let text = std::fs::read_to_string(&report).unwrap_or_default();
    let checked = Checked::parse(&text, &ending(status), &left_behind(&image)?);
    if !checked.failures.is_empty() {
        bail!("{}: {}", not_verified(), checked.failures.join("; "));
    }
    for root in &checked.not_comparable {
        shell.verbose(format_args!("root {root}: no PartialEq and no check, only thawed"));
    }
    let (verb, summary) = checked.summary();
    shell.status(verb, summary);
    Ok(())
}

/// The statics that changed and were left behind, and of which the program may miss what they held.
fn left_behind(image: &Image) -> Result<Vec<String>> {
    let is_missed = |decision: &str| {
        let reason = decision.strip_prefix("not carried: ");
        reason.is_some_and(|reason| !HARMLESS.iter().any(|harmless| reason.contains(harmless)))
    };
    let report = image.carry_report()?.into_iter();
    Ok(report.filter(|(_, decision)| is_missed(decision)).map(|(name, _)| name.to_owned()).collect())
}

/// What is to be said of an expression that came to grief when it was evaluated again, in a program without the statics `left`.
fn only_once(left: &[String]) -> String {
    let Some(first) = left.first() else {
        return "An expression that can only be evaluated once, because it sets a static that is carried, cannot be verified: \
                --no-verify"
            .to_owned();
    };
    let others = match left.len() {
        1 => String::new(),
        count => format!(" and {} more (-v lists them)", count - 1),
    };
    format!(
        "The static `{first}`{others} changed while the roots were evaluated and is not carried: the program, too, finds it \
         as it is before its first use. If something that is carried says that it was filled, such as a `Once`, name that in \
         `skip` of [package.metadata.fastboot]. Only if it has nothing to do with it, and the expression can only be evaluated \
         once: --no-verify"
    )
}

/// What the program was doing with a root.
fn during(stage: Option<Stage>) -> &'static str {
    stage.map_or("before it was compared", Stage::describe)
}

/// Runs the embedded binary at `path` to its end; `verb` says what for.
pub(crate) fn wait(
    command: &mut Command,
    verb: &'static str,
    options: &FreezeOptions,
    path: &Path,
    shell: &Shell,
) -> Result<ExitStatus> {
    let began = Instant::now();
    let mut child = command.spawn().with_context(|| format!("cannot run {}", path.display()))?;
    let progress = shell.progress(verb);
    let status = loop {
        if let Some(status) = child.try_wait().with_context(|| format!("cannot wait for {}", path.display()))? {
            break status;
        }
        let elapsed = began.elapsed();
        if options.timeout.is_some_and(|timeout| elapsed > timeout) {
            let _ = child.kill();
            let _ = child.wait();
            bail!("{} ran longer than {} s; give it more with --freeze-timeout", path.display(), elapsed.as_secs());
        }
        if elapsed.as_millis() > 500 {
            progress.update(&format!("{} s", elapsed.as_secs()));
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    };
    progress.clear();
    Ok(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complete_report_passes() {
        let text = "begin a::B\nstage itself\nequal a::B\nbegin a::C\nnot-comparable a::C\nend\n";
        let checked = Checked::parse(text, "ended", &[]);
        assert_eq!((checked.equal.len(), checked.not_comparable.len(), checked.failures.len()), (1, 1, 0));
    }

    #[test]
    fn nothing_compared_is_not_verified() {
        let summary = |equal: usize, thawed: usize| {
            let names = |count| vec![String::new(); count];
            let (verb, text) =
                Checked { equal: names(equal), not_comparable: names(thawed), failures: Vec::new() }.summary();
            format!("{verb} {text}")
        };
        assert_eq!(summary(2, 0), "Verified 2 roots equal");
        assert_eq!(summary(2, 1), "Verified 2 roots equal, 1 thawed only (no PartialEq: add check = ..)");
        assert_eq!(summary(0, 1), "Thawed 1 root, none compared (no PartialEq: add check = ..)");
        assert_eq!(summary(0, 0), "Thawed no roots to compare");
    }

    #[test]
    fn whatever_is_wrong_is_a_failure() {
        for (text, expected) in [
            ("begin X\ndifferent X\nend\n", "`X` is not equal"),
            (
                "begin X\nstage evaluating\npanicked X set twice\nend\n",
                "evaluated again: set twice. An expression that",
            ),
            ("begin X\nstage comparing\npanicked X no such key\nend\n", "compared with a fresh one: no such key"),
            ("begin X\n", "`X`: the program was ended by SIGSEGV before it was compared"),
            ("begin X\nstage itself\n", "was ended by SIGSEGV while the thawed value was compared with itself"),
            ("begin X\nstage itself\nequal X\n", "after all of its roots"),
            ("cold image truncated\n", "image truncated"),
            ("", "without a report"),
        ] {
            let checked = Checked::parse(text, "was ended by SIGSEGV", &[]);
            assert!(checked.failures.join(" ").contains(expected), "{text:?}: {checked:?}");
        }
    }

    #[test]
    fn statics_that_were_left_behind_come_before_other_advice() {
        for text in ["begin X\nstage evaluating\npanicked X none\nend\n", "begin X\nstage evaluating\n"] {
            let said = |left: &[String]| Checked::parse(text, "was ended by SIGSEGV", left).failures.join(" ");
            assert!(said(&[]).contains("cannot be verified: --no-verify"));
            let left = said(&["app::TABLE".to_owned(), "app::B".to_owned()]);
            assert!(left.contains("`app::TABLE` and 1 more") && left.contains("`skip`"), "{left}");
        }
    }
}
