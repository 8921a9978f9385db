//! Judge: what follows from how the probe was built and from what it printed.

use super::diagnosis::Diagnosis;
use super::probe::{Probe, ranges, run_probe};
use fastboot_format::image::{DEFAULT_HOME, PAGE};
use std::ffi::OsString;

/// `as_footer` was built if `in_section` could not be.
pub(super) fn linker(in_section: &Probe, as_footer: Option<&Probe>) -> Diagnosis {
    const ABOUT: &str = "linker";
    const OTHERS: &str = "use rust-lld, which is Rust's default,\n\
                          or GNU ld, which `-C link-arg=-fuse-ld=bfd` asks for behind an option that asks for another";
    match (in_section, as_footer) {
        (Probe::Built { linker, .. }, _) => Diagnosis::ok(ABOUT, linker.clone()),
        (Probe::Failed(why), Some(Probe::Built { linker, .. })) => Diagnosis::warn(
            ABOUT,
            format!("{linker} does not take linker scripts\n{why}"),
            format!("build with `--footer`, which does without; or {OTHERS}"),
        ),
        (Probe::Failed(why), _) if why.contains("error[") => {
            Diagnosis::fail("compiler", why.clone(), "mend what the compiler complains of")
        }
        (Probe::Failed(why), _) => Diagnosis::fail(
            ABOUT,
            why.clone(),
            format!("install a C compiler (Debian: gcc and libc6-dev), and {OTHERS}"),
        ),
    }
}

/// Another way to link, that one can do without.
pub(super) fn variant(about: &'static str, probe: &Probe, runner: &[OsString], remedy: &str) -> Diagnosis {
    match probe {
        Probe::Built { path, .. } => match run_probe(path, runner) {
            Ok(_) => Diagnosis::ok(about, "can be linked, and runs"),
            Err(error) => Diagnosis::warn(about, format!("{error:#}"), remedy),
        },
        Probe::Failed(why) => Diagnosis::warn(about, why.clone(), remedy),
    }
}

pub(super) fn kernel() -> Diagnosis {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let release = release.trim();
    if version(release) >= [4, 17] {
        Diagnosis::ok("kernel", format!("Linux {release}"))
    } else {
        Diagnosis::warn("kernel", format!("Linux {release}"), "build without `--pie`, or on Linux 4.17 or later")
    }
}

/// `kernel.randomize_va_space`, or nothing where that cannot be read.
pub(super) fn randomize_va_space() -> String {
    std::fs::read_to_string("/proc/sys/kernel/randomize_va_space").unwrap_or_default().trim().to_owned()
}

/// What follows from what the probe printed in its two runs, and from `kernel.randomize_va_space`.
pub(super) fn judge(said: &str, randomize_va_space: &str) -> Vec<Diagnosis> {
    let answers = |key: &str| {
        said.lines()
            .filter_map(|line| line.split_once(' '))
            .filter(|(name, _)| *name == key)
            .map(|(_, value)| value.trim())
            .collect::<Vec<_>>()
    };
    let answer = |key: &str| answers(key).first().copied().unwrap_or("no answer");
    vec![
        wrapped(answer("wrapped")),
        home_window(&answers("reserve")),
        randomization(answer("randomization"), randomize_va_space),
        page_size(answer("page")),
        cpuid_faulting(answer("cpuid-faulting")),
        file_pages(answer("faults")),
    ]
}

fn wrapped(answer: &str) -> Diagnosis {
    match answer {
        "yes" => Diagnosis::ok("--wrap", "the linker leads calls to the runtime"),
        _ => Diagnosis::fail("--wrap", "the linker ignored it", "use rust-lld or GNU ld"),
    }
}

fn home_window(answers: &[&str]) -> Diagnosis {
    const ABOUT: &str = "home window";
    let taken: Vec<String> = [ranges(0), ranges(1)]
        .iter()
        .flatten()
        .zip(answers.iter().copied().chain(std::iter::repeat("no answer")))
        .filter(|(_, answer)| *answer != "ok")
        .map(|((name, address, length), answer)| format!("{address:#x}..{:#x} ({name}): {answer}", address + length))
        .collect();
    if taken.is_empty() {
        return Diagnosis::ok(ABOUT, format!("free, from {DEFAULT_HOME:#x} on"));
    }
    Diagnosis::fail(
        ABOUT,
        taken.join("\n"),
        "lift the limit on address space (`ulimit -v unlimited`), set vm.overcommit_memory to 0 or 1, and leave out\n\
         libraries in LD_PRELOAD that map memory there",
    )
}

fn randomization(answer: &str, randomize_va_space: &str) -> Diagnosis {
    const ABOUT: &str = "randomization";
    match (answer, randomize_va_space) {
        (_, "0") => Diagnosis::warn(
            ABOUT,
            "addresses are not randomised here",
            "`--pie` is refused, and addresses of shared libraries in roots are not noticed: set\n\
             kernel.randomize_va_space to 2",
        ),
        ("ok", _) => Diagnosis::ok(ABOUT, "can be turned off and on"),
        (error, _) => Diagnosis::warn(
            ABOUT,
            format!("cannot be turned off and on: {error}"),
            "two builds may differ in words that hold stale addresses; in a container, a seccomp profile that allows\n\
             `personality` makes them equal",
        ),
    }
}

fn page_size(answer: &str) -> Diagnosis {
    if answer == PAGE.to_string() {
        Diagnosis::ok("page size", format!("{answer} bytes"))
    } else {
        Diagnosis::fail("page size", format!("{answer} bytes"), format!("images are made for pages of {PAGE} bytes"))
    }
}

fn cpuid_faulting(answer: &str) -> Diagnosis {
    match answer {
        "ok" => Diagnosis::ok("CPU masking", "available (CPUID faulting)"),
        error => Diagnosis::warn(
            "CPU masking",
            format!("not available: {error}"),
            "`--cpu` is refused; which features an image requires is found out without it, but not what shared libraries ask for",
        ),
    }
}

/// Without large folios, the kernel maps 16 pages around a fault.
fn file_pages(answer: &str) -> Diagnosis {
    const ABOUT: &str = "large folios";
    match answer.parse::<u32>() {
        Ok(faults) if faults <= 16 => {
            Diagnosis::ok(ABOUT, format!("the file system has them: {faults} page faults for 4 MiB of a file"))
        }
        Ok(faults) => Diagnosis::warn(
            ABOUT,
            format!("the file system here has none: {faults} page faults for 4 MiB of a file"),
            "a start is a little slower for it. XFS has them, and ext4 since Linux 6.16; what counts is where the\n\
             finished program is installed",
        ),
        Err(_) => Diagnosis::warn(ABOUT, answer, "nothing is known about the file system here"),
    }
}

/// The first two numbers in a version; zeros for what is none.
pub(super) fn version(text: &str) -> [u32; 2] {
    let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().unwrap_or(0));
    [(); 2].map(|()| numbers.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::doctor::diagnosis::Level;

    /// What a good machine's probe prints.
    fn good() -> String {
        let reserved = "reserve ok\n".repeat(ranges(0).len() + ranges(1).len());
        format!("wrapped yes\npage 4096\n{reserved}randomization ok\ncpuid-faulting ok\nfaults 2\n")
    }

    #[test]
    fn a_good_machine_has_nothing_to_mend() {
        let findings = judge(&good(), "2");
        assert!(findings.iter().all(|finding| finding.level == Level::Ok && finding.remedy.is_none()), "{findings:?}");
    }

    /// The one finding that is not well when `from` becomes `to` in what a good machine's probe prints.
    fn judged(from: &str, to: &str) -> Diagnosis {
        assert!(good().contains(from));
        let mut bad = judge(&good().replacen(from, to, 1), "2");
        bad.retain(|finding| finding.level != Level::Ok);
        assert_eq!(bad.len(), 1, "{bad:?}");
        bad.remove(0)
    }

    #[test]
    fn each_thing_that_can_be_wrong() {
        let cases = [
            ("wrapped yes", "wrapped no", Level::Fail, "GNU ld"),
            ("page 4096", "page 16384", Level::Fail, "4096"),
            ("reserve ok", "reserve Cannot allocate memory (os error 12)", Level::Fail, "ulimit -v"),
            ("randomization ok", "randomization Operation not permitted (os error 1)", Level::Warn, "seccomp"),
            ("cpuid-faulting ok", "cpuid-faulting No such device (os error 19)", Level::Warn, "--cpu"),
            ("faults 2", "faults 64", Level::Warn, "XFS"),
            ("faults 2", "", Level::Warn, "file system"),
        ];
        for (from, to, level, remedy) in cases {
            let finding = judged(from, to);
            assert_eq!(finding.level, level, "{finding:?}");
            assert!(finding.remedy.as_deref().is_some_and(|text| text.contains(remedy)), "{finding:?}");
        }
        let taken = judged("reserve ok", "reserve taken");
        assert!(taken.found.contains("0x550000000000") && taken.found.contains("(image): taken"), "{taken:?}");
        assert!(judge("", "2").iter().any(|finding| finding.level == Level::Fail), "a probe that says nothing");
        assert!(judge(&good(), "0").iter().any(|finding| finding.level == Level::Warn));
    }

    #[test]
    fn versions_compare() {
        assert!(version("1.95.0") >= version("1.95") && version("1.100.0-nightly") > version("1.95"));
        assert!(version("4.16.18") < [4, 17] && version("6.1-amd64") > [4, 17] && version("") < [4, 17]);
    }
}
