//! State that roots' expressions leave behind is right in the finished program, or refused by name: every kind of it, in every
//! way of linking.
//!
//! One program has all cases, and a variable says which one it tries, so that each costs a freeze and not a build.

use anyhow::{Context, Result, ensure};
use fastboot_tests::programs::{Link, Program, fastboot, line};
use fastboot_tests::runs::Run;
use std::path::Path;
use std::process::Command;

/// What becomes of a case.
#[derive(Clone, Copy)]
enum Then {
    /// The program answers as the cold one, and nobody is warned of anything.
    Right,
    /// The same, after a warning that says this.
    Warned(&'static [&'static str]),
    /// There is no image, and the error says this.
    Refused(&'static [&'static str]),
    /// There is an image because somebody insisted, and the program answers otherwise than the cold one.
    WrongOnPurpose,
}

use Then::{Refused, Right, Warned, WrongOnPurpose};

const SKIP_OWNER: &[&str] = &["--skip", "right_or_refused::shared::OWNER"];

const CONSTRUCTOR: &str = "by a constructor, and then while the roots were evaluated";

/// What a case does, the options it is frozen with, and what becomes of it. Cases of two words are a flag, and what is done
/// unless the flag says that it was; `bare` is none.
type Case = (&'static str, &'static [&'static str], Then);

/// Statics of Rust's that do not travel whole: constructors change them, too.
const CONSTRUCTORS: &[Case] = &[
    ("constructor-tree", &[], Refused(&["`right_or_refused::constructors::TREE`", CONSTRUCTOR, "skip = "])),
    ("constructor-list", &[], Refused(&["`right_or_refused::constructors::LIST`", CONSTRUCTOR])),
    ("constructor-counter", &[], Refused(&["`right_or_refused::constructors::COUNTER`", CONSTRUCTOR, "carry = "])),
    ("ctor-changed", &[], Refused(&["`right_or_refused::constructors::NAMES`", CONSTRUCTOR])),
    ("constructor-registry", &[], Right),
    ("ctor-registry", &[], Right),
    ("inventory", &[], Right),
    ("inventory-changed", &[], Right),
    ("linkme", &[], Right),
    ("expression-tree", &[], Right),
];

/// What cannot travel, each with two flags at least, and without one.
const CANNOT_TRAVEL: &[Case] = &[
    // Hooks. That for allocation errors is set by unstable compilers only.
    ("flag log", &[], Refused(&["the logger of `log`", "`right_or_refused::flags::DONE`"])),
    ("once log", &[], Refused(&["the logger of `log`", "`right_or_refused::flags::ONCE`"])),
    ("once log", &["--skip", "right_or_refused::flags::ONCE"], Warned(&["the logger of `log`"])),
    ("flag log", &["--carry", "right_or_refused::flags::DONE"], WrongOnPurpose),
    ("bare log", &[], Warned(&["the logger of `log`"])),
    ("flag level", &[], Refused(&["the level of `log`"])),
    ("lock tracing", &[], Refused(&["the subscriber of `tracing`", "`right_or_refused::flags::LOCK`"])),
    ("once tracing", &["--skip", "ONCE"], Warned(&["the subscriber of `tracing`"])),
    ("bare tracing", &[], Warned(&["the subscriber of `tracing`"])),
    ("answer metrics", &[], Refused(&["the recorder of `metrics`", "`right_or_refused::flags::ANSWER`"])),
    ("once metrics", &["--skip", "ONCE"], Warned(&["the recorder of `metrics`"])),
    ("bare metrics", &[], Warned(&["the recorder of `metrics`"])),
    ("once panic-hook", &[], Refused(&["the panic hook"])),
    ("lazy panic-hook", &[], Refused(&["the panic hook", "`right_or_refused::flags::LAZY`"])),
    ("bare panic-hook", &[], Warned(&["the panic hook"])),
    ("lazy-answer eyre", &[], Refused(&["the hook of `eyre`", "`right_or_refused::flags::LAZY_ANSWER`"])),
    ("bare eyre", &[], Warned(&["the hook of `eyre`"])),
    ("bare eyre-report", &[], Warned(&["the hook of `eyre`"])),
    ("parking miette", &[], Refused(&["the hook of `miette`", "`right_or_refused::flags::PARKING`"])),
    ("bare miette", &[], Warned(&["the hook of `miette`"])),
    ("hooks-used", &[], Right),
    // Statics of C objects in the executable.
    (
        "c-statics",
        &[],
        Refused(&["`squares`", "statics of C code", "`right_or_refused::c_library::SET_UP`", "skip = ", "carry = "]),
    ),
    ("c-statics", &["--skip", "right_or_refused::c_library::SET_UP"], Warned(&["`squares`"])),
    ("c-statics-without-flag", &[], Warned(&["`squares`", "of C code", "do it in `main`"])),
    ("lock c-scale", &[], Refused(&["`scale`", "statics of C code"])),
    ("state c-text", &[], Refused(&["`text`", "statics of C code"])),
    ("state c-text", &["--skip", "STATE"], Warned(&["`text`"])),
    // Blocks of C's heap that are in use.
    ("c-heap", &[], Refused(&["`cubes`", "of C code", "`right_or_refused::c_library::SET_UP_HEAP`"])),
    ("c-block-in-static", &[], Warned(&["bytes in C's heap", "`right_or_refused::c_library::HANDLE`"])),
    ("c-text-in-static", &[], Warned(&["bytes in C's heap", "`right_or_refused::c_library::TEXT`"])),
    ("c-large-block-in-static", &[], Warned(&["`right_or_refused::c_library::LARGE`"])),
    ("c-block-of-a-thread", &[], Warned(&["`right_or_refused::c_library::OF_A_THREAD`"])),
    ("c-block-behind-static", &[], Refused(&["allocated with `malloc`", "`right_or_refused::c_library::BOXED`"])),
    ("shared-ustr", &[], Refused(&["allocated with `malloc`", "root `right_or_refused::shared::VALUES`"])),
    ("c-blocks-freed", &[], Right),
    // Environment variables.
    ("once variable", &[], Refused(&["the environment variable RIGHT_OR_REFUSED", "ROOT"])),
    ("once variable-of-c", &[], Refused(&["the environment variable RIGHT_OR_REFUSED"])),
    ("flag variable-removed", &[], Refused(&["the environment variable CASE_TO_REMOVE"])),
    ("bare variable", &[], Warned(&["the environment variable RIGHT_OR_REFUSED"])),
    // The working directory.
    ("once folder", &[], Refused(&["the working directory /"])),
    ("bare folder-again", &[], Warned(&["the working directory /proc"])),
    // The umask, with each kind of flag. One of C's own does not travel, so that the program is right.
    ("once umask", &[], Refused(&["the umask 0077", "`right_or_refused::flags::ONCE`"])),
    ("cell umask", &[], Refused(&["the umask 0077", "`right_or_refused::flags::CELL`"])),
    ("spin umask", &[], Refused(&["the umask 0077", "`right_or_refused::flags::SPIN`"])),
    ("state umask", &[], Refused(&["the umask 0077", "`right_or_refused::flags::STATE`"])),
    ("guarded umask", &[], Refused(&["the umask 0077", "`right_or_refused::flags::GUARDED`"])),
    ("word umask", &[], Refused(&["the umask 0077", "`right_or_refused::flags::WORD`"])),
    ("c-flag umask", &[], Warned(&["the umask 0077"])),
    ("bare umask-wide", &[], Warned(&["the umask 0000"])),
    // The locale.
    ("once locale", &[], Refused(&["locale"])),
    ("flag locale-of-numbers", &[], Refused(&["locale"])),
    // Handlers of signals.
    ("once signal", &[], Refused(&["the handler of signal 10"])),
    ("once signal-hook", &[], Refused(&["the handler of signal 28"])),
    ("bare signal-ignored", &[], Warned(&["the handler of signal 12"])),
    ("once control-c", &[], Refused(&["the thread `ctrl-c` running"])),
    // Functions for the exit.
    ("once at-exit", &[], Refused(&["functions for the exit of the process"])),
    ("once on-exit", &[], Refused(&["functions for the exit of the process"])),
    ("bare at-exit", &[], Warned(&["functions for the exit of the process"])),
    // Functions for a fork, keys for data of threads, and timers.
    ("once at-fork", &[], Refused(&["registered functions for a fork of the process", "ONCE`"])),
    ("bare at-fork", &[], Warned(&["registered functions for a fork of the process"])),
    ("once key", &[], Refused(&["`right_or_refused::ROOT` created a pthread key (", "ONCE`"])),
    ("bare key", &[], Warned(&["created a pthread key ("])),
    ("once timer", &[], Refused(&["created a POSIX timer (", "ONCE`"])),
    ("bare timer", &[], Warned(&["created a POSIX timer ("])),
    ("once alarm", &[], Refused(&["changed the interval timer ITIMER_REAL (set)"])),
    // Attributes of the process and of its thread.
    ("once nice", &[], Refused(&["changed the nice value ", "`right_or_refused::flags::ONCE`"])),
    ("once nice", &["--skip", "ONCE"], Warned(&["changed the nice value "])),
    ("flag dumpable", &[], Refused(&["changed the dumpable flag 0", "`right_or_refused::flags::DONE`"])),
    ("once membarrier", &[], Refused(&["changed the membarrier registration "])),
    ("once no-new-privileges", &[], Refused(&["changed the no_new_privs flag 1"])),
    ("lock timer-slack", &[], Refused(&["changed the timer slack 77000"])),
    ("state subreaper", &[], Refused(&["changed the child subreaper flag 1"])),
    ("once lock-of-memory", &[], Refused(&["changed the lock of memory (`mlock`) on"])),
    ("once blocked-signal", &[], Refused(&["changed the mask of blocked signals 0000000000000800"])),
    ("bare name", &[], Warned(&["changed the name of the thread loader"])),
    ("bare thread", &[], Right),
    // Resource limits.
    ("once limit", &[], Refused(&["the resource limit Max core file size"])),
    ("bare limit-of-files", &[], Warned(&["the resource limit Max open files"])),
];

/// Objects that the image shares with a static. It is right if the static is carried.
const SHARED: &[Case] = &[
    ("shared-arc", &[], Right),
    (
        "shared-arc",
        SKIP_OWNER,
        Refused(&["root `right_or_refused::shared::VALUES`", "`right_or_refused::shared::OWNER`", "two"]),
    ),
    ("shared-arc", &["--skip", "right_or_refused::shared::OWNER", "--allow-shared", "OWNER"], WrongOnPurpose),
    (
        "shared-entry",
        &["--skip", "right_or_refused::shared::TABLE"],
        Refused(&["`right_or_refused::shared::TABLE`", "two"]),
    ),
    (
        "shared-leaked",
        &["--skip", "right_or_refused::shared::LEAKED"],
        Refused(&["`right_or_refused::shared::LEAKED`"]),
    ),
    ("shared-list", &[], Right),
    ("shared-list", &["--skip", "right_or_refused::shared::ALL"], Refused(&["`right_or_refused::shared::ALL`", "two"])),
    ("shared-weak", &[], Right),
    ("shared-cell", &[], Right),
    (
        "shared-cell",
        &["--skip", "right_or_refused::shared::CELL"],
        Refused(&["`right_or_refused::shared::CELL`", "two"]),
    ),
    ("shared-dashmap", &[], Right),
    ("shared-dashmap", &["--skip", "CACHE"], Refused(&["`right_or_refused::shared::CACHE`", "two"])),
    ("shared-map", &[], Right),
    ("shared-map", &["--skip", "MAP"], Refused(&["`right_or_refused::shared::MAP`", "two"])),
    ("shared-collector", &[], Right),
    ("shared-epoch", &[], Right),
    ("shared-slab", &[], Right),
    ("shared-key", &[], Right),
    // Their maps are seeded by an address.
    ("shared-interned", &[], Warned(&["words of the image differ from run to run"])),
    ("shared-interner", &[], Warned(&["words of the image differ from run to run"])),
];

/// Statics with an address in their own bytes that no other process has.
const OUTSIDE: &[Case] = &[
    (
        "outside-state",
        &[],
        Refused(&["`right_or_refused::outside::STATE` holds the address of", "skip = [", "allow-foreign = ["]),
    ),
    ("outside-state", &["--skip", "right_or_refused::outside::STATE"], WrongOnPurpose),
    ("outside-state", &["--allow-foreign", "right_or_refused::outside::STATE"], Right),
    (
        "once owner",
        &[],
        Refused(&["in the static `right_or_refused::outside::ALONE`", "`right_or_refused::flags::ONCE`"]),
    ),
    ("bare owner", &[], Warned(&["in the static `right_or_refused::outside::ALONE`"])),
    ("once owner", &["--skip", "ALONE"], Right),
    ("outside-lazy", &[], Right),
];

/// A program that is called as a published crate is, and the statics of a library that declares no roots.
const NAMESAKE: &[Case] = &[
    ("", &[], Right),
    ("hook", &[], Right),
    ("closure", &[], Right),
    (
        "registry",
        &[],
        Warned(&["the static `namesake::REGISTRY` holds the address of", "skip = [", "allow-foreign = ["]),
    ),
    ("registry", &["--skip", "namesake::REGISTRY"], Right),
];

/// Children that an expression forks.
const FORKS: &[Case] = &[
    ("fork", &[], Right),
    ("fork-exits", &[], Right),
    ("fork-panics", &[], Right),
    ("fork-aborts", &[], Right),
    ("fork-many", &[], Right),
    ("fork-beside-threads", &[], Right),
    ("fork-by-command", &[], Right),
    ("broken-pipe", &[], Right),
];

/// Values that belong to a process or a thread, or lead to themselves.
const VALUES: &[Case] = &[
    ("value-tree", &[], Right),
    ("value-channel", &[], Right),
    ("value-condvar", &[], Right),
    ("value-barrier", &[], Right),
    ("value-poisoned", &[], Right),
    ("value-hasher", &[], Right),
    ("value-function-of-c", &[], Right),
    ("value-looked-up", &[], Right),
    ("value-text", &[], Warned(&["the address of the text of the environment variable `CASE`"])),
    ("value-trait", &[], Right),
    ("value-error", &[], Right),
    ("value-panic", &[], Right),
    ("value-file", &[], Refused(&["/etc/passwd", "`right_or_refused::values::VALUE`"])),
    ("value-socket", &[], Refused(&["socket", "`right_or_refused::values::VALUE`"])),
    ("value-thread", &[], Refused(&["`right_or_refused::values::VALUE`"])),
    ("value-cipher", &[], Right),
    ("value-authenticator", &[], Right),
    ("value-reclaimed", &[], Warned(&["`seize::collector::Collector::new::CPUS` depends on the number of processors"])),
    ("value-empty", &[], Right),
    (
        "value-mapped",
        &[],
        Refused(&["65536 bytes of memory that `right_or_refused::values::VALUE` mapped with `mmap`"]),
    ),
    ("value-words-in-mapped", &[], Refused(&["65536 bytes of memory", "mapped with `mmap`"])),
    ("value-mapped-meanwhile", &[], Right),
    ("value-mapped-in-static", &[], Warned(&["65536 bytes of memory mapped", "`right_or_refused::values::PAGE`"])),
    ("value-thread-number", &[], Warned(&["the thread-local `right_or_refused::values::NUMBER`"])),
    ("value-thread-local", &[], Warned(&["the thread-local `right_or_refused::values::SCRATCH`"])),
];

/// Functions of the C library.
const FUNCTIONS: &[Case] = &[
    ("function-looked-up", &[], Right),
    ("function-looked-up", &["--verbatim"], Right),
    ("function-packed", &[], Right),
    ("function-in-static", &[], Right),
];

/// The program has no use for it but by its address, and a static executable has none.
const FUNCTION_OF_NOBODY: &[Case] = &[(
    "function-of-nobody",
    &[],
    Refused(&["the address of a function in", "libc.so.6 (in root `right_or_refused::functions::FUNCTIONS`"]),
)];

/// What follows from where the executable lies, which is another place in each process if it is position-independent.
const PLACE: &[Case] = &[(
    "function-hashed",
    &[],
    Warned(&["`right_or_refused::functions::HASHED` depends on where the program lies in memory", "without --pie"]),
)];
const FIXED_PLACE: &[Case] = &[("function-hashed", &[], Right)];

/// These allocate otherwise in each run, which is refused where addresses have to be found out by comparing runs.
const UNEVEN: &[Case] = &[
    ("c-block-in-static-uneven", &[], Warned(&["bytes in C's heap"])),
    ("c-block-behind-static-uneven", &[], Refused(&["allocated with `malloc`"])),
];

/// What crates do that take long to compile.
const FULL: &[Case] = &[
    ("once color-eyre", &[], Refused(&["the hook of `eyre`", "`right_or_refused::flags::ONCE`"])),
    ("bare color-eyre", &[], Warned(&["the hook of `eyre`", "the panic hook"])),
    ("database", &[], Warned(&["statics of C code"])),
];

/// Writable data of a shared library.
const LIBRARY: &[Case] = &[
    ("once zeros", &[], Refused(&["data of the shared library", "libengine-of-its-own.so", "`with_library::ONCE`"])),
    ("state data", &[], Refused(&["libengine-of-its-own.so", "`with_library::STATE`"])),
    ("once heap", &[], Refused(&["libengine-of-its-own.so"])),
    ("once zeros", &["--skip", "ONCE"], Warned(&["libengine-of-its-own.so"])),
    ("bare data", &[], Warned(&["libengine-of-its-own.so"])),
    ("once nothing", &[], Right),
];

#[test]
fn at_a_fixed_address() -> Result<()> {
    require_all(Link::NonPie)
}

#[test]
fn static_executables() -> Result<()> {
    require_all(Link::Static)
}

#[test]
fn position_independent_executables() -> Result<()> {
    require_all(Link::Pie)
}

#[test]
#[ignore = "takes minutes: `cargo xtask test --full` runs it"]
fn crates_that_take_long_to_compile() -> Result<()> {
    for link in [Link::NonPie, Link::Static, Link::Pie] {
        let program = Program { full: true, ..Program::new("right-or-refused").bin("right-or-refused").link(link) };
        let failed = failed(&program, &[FULL])?;
        ensure!(failed.is_empty(), "{} cases:\n{}", failed.len(), failed.join("\n\n"));
    }
    Ok(())
}

fn require_all(link: Link) -> Result<()> {
    let uneven = if link == Link::Pie { &[] } else { UNEVEN };
    let place = if link == Link::Pie { PLACE } else { FIXED_PLACE };
    let of_nobody = if link == Link::Static { &[] } else { FUNCTION_OF_NOBODY };
    let mut failed = failed(
        &Program::new("right-or-refused").bin("right-or-refused").link(link),
        &[CONSTRUCTORS, CANNOT_TRAVEL, SHARED, OUTSIDE, FORKS, VALUES, FUNCTIONS, of_nobody, place, uneven],
    )?;
    failed.extend(self::failed(&Program::new("namesake").bin("console").link(link), &[NAMESAKE])?);
    // A static executable has no shared libraries.
    if link != Link::Static {
        failed.extend(self::failed(&Program::new("right-or-refused").bin("with-library").link(link), &[LIBRARY])?);
    }
    ensure!(failed.is_empty(), "{} cases:\n{}", failed.len(), failed.join("\n\n"));
    Ok(())
}

/// Tries all these cases of a program, and says what became of those that are not as they should be.
fn failed(program: &Program, cases: &[&[Case]]) -> Result<Vec<String>> {
    let built = program.build()?;
    let tried = cases.iter().copied().flatten().filter_map(|(case, options, then)| {
        let told = || format!("{case} {options:?}, {program}");
        require(&built.cold, built.folder(), case, options, *then).with_context(told).err()
    });
    Ok(tried.map(|error| format!("{error:#}")).collect())
}

/// Freezes a case, and compares what its program says with what it says without an image.
fn require(cold: &Path, folder: &Path, case: &str, options: &[&str], then: Then) -> Result<()> {
    let snapshot = folder.join(format!("{case} {}.snap", options.join(" ")).replace(':', "-"));
    let mut command = fastboot()?;
    command.arg("freeze").arg("--binary").arg(cold).arg("--output").arg(&snapshot).args(options).env("CASE", case);
    command.env("CASE_TO_REMOVE", "there");
    let frozen = Run::of(&mut command)?;
    let told = |texts: &[&str]| {
        let missing = texts.iter().find(|text| !frozen.stderr.contains(*text));
        missing.map_or(Ok(()), |text| Err(anyhow::anyhow!("`{text}` is not said:\n{}", frozen.stderr)))
    };
    if let Refused(texts) = then {
        ensure!(!frozen.status.success() && !snapshot.exists(), "it was not refused:\n{}", frozen.stderr);
        return told(texts);
    }
    ensure!(frozen.status.success(), "{}:\n{}", line(&command), frozen.stderr);
    match then {
        Warned(texts) => told(texts)?,
        Right => ensure!(!frozen.stderr.contains("warning"), "{}", frozen.stderr),
        _ => {}
    }
    let expected = Run::of(Command::new(cold).env("FASTBOOT", "off").env("CASE", case))?;
    let thawed =
        Run::of(Command::new(cold).env("FASTBOOT_SNAPSHOT", &snapshot).env("FASTBOOT_LOG", "1").env("CASE", case))?;
    ensure!(thawed.stderr.contains("fastboot: thawed"), "{}", thawed.stderr);
    ensure!(expected.status.success() && thawed.status == expected.status, "{:?}, then {:?}", expected, thawed);
    if let WrongOnPurpose = then {
        ensure!(thawed.stdout != expected.stdout, "it is right: `{}`", thawed.stdout);
        return Ok(());
    }
    ensure!(thawed.stdout == expected.stdout, "`{}` instead of `{}`", thawed.stdout, expected.stdout);
    Ok(())
}
