//! Numbers that equal addresses of the program's own functions, constants and statics are numbers, and references are references,
//! however the program is linked.

use anyhow::{Context, Result, ensure};
use fastboot_tests::package::Package;
use fastboot_tests::programs::fastboot;
use fastboot_tests::runs::{self, Run};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

const MAIN: &str = r#"
#[cfg(any(feature = "by-address", feature = "refers-in-a-map"))]
use std::collections::HashMap;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};

fastboot_rt::install!();

/// The first one is the address of `SKIPPED`.
fn numbers() -> Vec<u64> {
    let text = std::fs::read_to_string(fastboot_rt::input("numbers.txt")).unwrap();
    text.lines().map(|line| line.parse().unwrap()).collect()
}

fastboot_rt::frozen! {
    static NUMBERS: Vec<u64> = numbers();
    static HALVES: Vec<u32> = numbers().into_iter().map(|number| number as u32).collect();
    static TREE: BTreeMap<u64, usize> = numbers().into_iter().zip(0..).collect();
    static CALLS: [fn() -> usize; 3] = [one, two, three];
    static TEXTS: Vec<&'static str> = TEXT.split(' ').collect();
    static STATICS: [&'static AtomicUsize; 2] = [&CARRIED, &UNTOUCHED];
}
#[cfg(feature = "by-address")]
fastboot_rt::frozen! {
    static BY_ADDRESS: HashMap<usize, &'static str> =
        addresses().into_iter().zip(TEXT.split(' ').cycle()).collect();
}
#[cfg(feature = "refers")]
fastboot_rt::frozen! {
    static REFERS: [&'static AtomicUsize; 3] = [&TABLE[0], &TABLE[1], &TABLE[2]];
}
#[cfg(feature = "refers-by-address")]
fastboot_rt::frozen! {
    /// One of two, by where the program lies.
    static CHOSEN: &'static AtomicUsize = [&TABLE[0], &TABLE[1]][(main as fn() as usize >> 16) & 1];
}
#[cfg(feature = "refers-by-a-short-address")]
fastboot_rt::frozen! {
    static SHORT: [u32; 2] = [&raw const TABLE[2] as usize as u32, u32::MAX];
}
#[cfg(feature = "refers-by-a-shifted-address")]
fastboot_rt::frozen! {
    static SHIFTED: usize = (&raw const TABLE[2] as usize) << 12 | 5;
}
#[cfg(feature = "refers-in-a-map")]
fastboot_rt::frozen! {
    /// In another order where the program lies elsewhere.
    static IN_A_MAP: HashMap<usize, &'static AtomicUsize> =
        addresses().into_iter().map(|address| (address, if address % 3 == 0 { &UNTOUCHED } else { &TABLE[3] })).collect();
}
fastboot_rt::warm! {
    for (counter, number) in [&CARRIED, &SKIPPED, &TABLE[1]].into_iter().zip(numbers()) {
        counter.store(number as usize, Relaxed);
    }
    CARRIED_HALF.store(numbers()[1] as u32, Relaxed)
}

static TEXT: &str = "some words of a constant";
static CARRIED: AtomicUsize = AtomicUsize::new(7);
static CARRIED_HALF: AtomicU32 = AtomicU32::new(7);
static UNTOUCHED: AtomicUsize = AtomicUsize::new(7);
static SKIPPED: AtomicUsize = AtomicUsize::new(7);
static TABLE: [AtomicUsize; 4] = [const { AtomicUsize::new(7) }; 4];

fn one() -> usize { 1 }
fn two() -> usize { NUMBERS.len() }
fn three() -> usize { CARRIED.load(Relaxed) }

/// Of functions, constants and statics that a root may refer to.
fn addresses() -> Vec<usize> {
    let functions = [one as fn() -> usize as usize, two as fn() -> usize as usize, three as fn() -> usize as usize, main as fn() as usize];
    let statics = [&CARRIED, &UNTOUCHED].map(|one| std::ptr::from_ref(one) as usize);
    functions.into_iter().chain(statics).chain([TEXT.as_ptr() as usize, (&raw const TEXT) as usize]).collect()
}

fn main() {
    let skipped = (&raw const SKIPPED) as usize;
    if std::env::args().count() > 1 {
        let mut own = addresses();
        own.extend(TABLE.iter().map(|one| std::ptr::from_ref(one) as usize));
        let (first, last) = (*own.iter().min().unwrap(), *own.iter().max().unwrap());
        let step = ((last - first) / 12_000 / 8 * 8).max(8);
        let all = own.into_iter().chain((first..last).step_by(step));
        for number in std::iter::once(skipped).chain(all.filter(|number| number.abs_diff(skipped) > 8)) {
            println!("{number}");
        }
        return;
    }
    let sums = [NUMBERS.iter().sum::<u64>(), HALVES.iter().map(|half| u64::from(*half)).sum(), TREE.keys().sum()];
    let found = NUMBERS.iter().all(|number| TREE.contains_key(number));
    let counters = [CARRIED.load(Relaxed), SKIPPED.load(Relaxed), STATICS[1].load(Relaxed), CARRIED_HALF.load(Relaxed) as usize];
    let [one, two, three] = CALLS.map(|call| call());
    println!("{} {sums:?} {found} {counters:?} {one} {two} {three} {}", NUMBERS.len(), TEXTS.join("-"));
    println!("{}", std::ptr::eq(STATICS[0], &CARRIED));
    #[cfg(feature = "by-address")]
    println!("{}", addresses().iter().filter(|address| BY_ADDRESS.contains_key(address)).count());
}
"#;

struct Program {
    package: Package,
    flags: Vec<&'static str>,
}

impl Program {
    fn new(flags: &[&'static str]) -> Result<Self> {
        let package = Package::new(
            "[features]\nby-address = []\nrefers = []\nrefers-by-address = []\nrefers-by-a-short-address = []\n\
             refers-by-a-shifted-address = []\nrefers-in-a-map = []\n\
             [package.metadata.fastboot]\nskip = [\"app::SKIPPED\", \"app::TABLE\"]\n",
        )?;
        package.write("src/main.rs", MAIN)?;
        package.write("numbers.txt", "1\n2\n3\n")?;
        Ok(Self { package, flags: flags.to_vec() })
    }

    fn build(&self, more: &[&str]) -> Result<Run> {
        let mut command = fastboot()?;
        command.current_dir(self.package.folder()).args(["build", "--offline", "--verify"]);
        Run::of(command.args(&self.flags).args(more))
    }

    /// Has the numbers be addresses of the program as it is, where it is loaded without randomisation.
    fn plant(&self) -> Result<usize> {
        let run = Run::of(
            Command::new("setarch").arg("-R").arg(self.package.executable()).arg("addresses").env("FASTBOOT", "off"),
        )?;
        run.require_success()?;
        self.package.write("numbers.txt", &run.stdout)?;
        Ok(run.stdout.lines().count())
    }
}

/// Freezes the program with numbers that are addresses, and without a word about them.
fn planted(flags: &[&'static str], linker: Option<&str>) -> Result<()> {
    let program = Program::new(flags)?;
    if let Some(linker) = linker {
        let text = format!("[target.x86_64-unknown-linux-gnu]\nrustflags = [\"-Clink-arg=-fuse-ld={linker}\"]\n");
        program.package.write(".cargo/config.toml", &text)?;
    }
    let pie = flags.contains(&"--pie");
    let features: &[&str] = if pie { &[] } else { &["--features", "by-address"] };
    program.build(features)?.require_success()?;
    let count = program.plant()?;
    ensure!(count > 10_000, "only {count} numbers");
    // Where the program lies is the same in every build.
    let run = program.build(&[features, &["--deny", "nondeterminism"]].concat())?;
    run.require_success()?;
    ensure!(!run.stderr.contains("warning: "), "a word about numbers:\n{}", run.stderr);
    ensure!(run.stderr.contains("Freezing app"), "not frozen again:\n{}", run.stderr);

    let printed = |off: &str| {
        let mut command = runs::program(&program.package.executable());
        Run::of(command.current_dir(program.package.folder()).env("FASTBOOT_LOG", "1").env("FASTBOOT", off))
    };
    let (frozen, cold) = (printed("")?, printed("off")?);
    ensure!(frozen.stderr.starts_with("fastboot: thawed "), "{frozen:?}");
    // The counters have what `warm!` made of them with an image only.
    let without = |run: &Run| {
        let (head, tail) = run.stdout.split_once("true [").context("a number is missing")?;
        let (counters, tail) = tail.split_once("] ").context("no counters")?;
        anyhow::Ok((
            head.to_owned(),
            counters.to_owned(),
            tail.replacen(counters.split(',').next().unwrap_or(""), "", 1),
        ))
    };
    let (frozen, cold) = (without(&frozen)?, without(&cold)?);
    ensure!(frozen.0 == cold.0, "{frozen:?}, and evaluated {cold:?}");
    let text = fs::read_to_string(program.package.folder().join("numbers.txt"))?;
    let numbers: Vec<u64> = text.lines().map(|line| line.parse()).collect::<Result<_, _>>()?;
    let counters = format!("{}, 7, 7, {}", numbers[0], numbers[1] as u32);
    ensure!(frozen.1 == counters, "{} is not {counters}", frozen.1);

    let not_in_pie =
        ["refers-by-address", "refers-by-a-short-address", "refers-by-a-shifted-address", "refers-in-a-map"];
    for feature in ["refers"].iter().chain(not_in_pie.iter().filter(|_| !pie)) {
        let refused = program.build(&["--features", feature])?;
        ensure!(!refused.status.success(), "{feature}: references to a static that stays behind are not noticed");
        ensure!(
            refused.stderr.contains("the image refers to the static `app::TABLE`"),
            "{feature}: {}",
            refused.stderr
        );
    }
    Ok(())
}

#[test]
fn numbers_are_no_addresses() -> Result<()> {
    planted(&[], None)
}

#[test]
fn numbers_are_no_addresses_in_a_static_program() -> Result<()> {
    planted(&["--static"], None)
}

#[test]
fn numbers_are_no_addresses_in_a_pie() -> Result<()> {
    planted(&["--pie"], None)
}

#[test]
fn numbers_are_no_addresses_with_gnu_ld() -> Result<()> {
    planted(&[], Some("bfd"))?;
    planted(&["--static"], Some("bfd"))
}

#[test]
fn a_twin_that_is_not_there_or_of_another_link_is_not_used() -> Result<()> {
    let program = Program::new(&["--verbose"])?;
    let none = "because it has no twin";
    let built = |more: &[&str], status: &str, has_twin: bool| -> Result<()> {
        let run = program.build(more)?;
        run.require_success()?;
        ensure!(run.stderr.contains(&format!("{status} app")), "not {status}:\n{}", run.stderr);
        ensure!(run.stderr.contains(none) != has_twin, "{has_twin}:\n{}", run.stderr);
        let printed = Run::of(runs::program(&program.package.executable()).env("FASTBOOT_LOG", "1"))?;
        ensure!(printed.stderr.starts_with("fastboot: thawed "), "{printed:?}");
        Ok(())
    };
    let twins = || -> Result<Vec<PathBuf>> {
        let found = fs::read_dir(program.package.folder().join("target/debug/fastboot"))?.flatten().map(|it| it.path());
        let found: Vec<PathBuf> = found.filter(|path| path.extension().is_some_and(|it| it == "twin")).collect();
        ensure!(!found.is_empty(), "no twin");
        Ok(found)
    };
    built(&[], "Freezing", true)?;
    // Another program, and something that is none.
    for bytes in [fs::read(program.package.executable())?, b"nothing".to_vec()] {
        for twin in twins()? {
            fs::remove_file(&twin)?;
            fs::write(&twin, &bytes)?;
        }
        built(&["--refreeze"], "Freezing", false)?;
    }
    for twin in twins()? {
        fs::remove_file(&twin)?;
    }
    // What was frozen is as good as it was.
    built(&[], "Fresh", false)?;
    built(&["--refreeze"], "Freezing", false)?;
    program.package.write("src/main.rs", &MAIN.replace("some words", "other words"))?;
    built(&[], "Freezing", true)?;
    Ok(())
}
