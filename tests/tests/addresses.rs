//! Where executables that are not position-independent are: at high addresses, near their images, unless they cannot be or
//! somebody wants them to be elsewhere.

use anyhow::{Context, Result, ensure};
use fastboot_tests::package::Package;
use fastboot_tests::programs::{Linker, Program, fastboot, succeed};
use fastboot_tests::runs::{self, Run};
use fastboot_tests::tools;
use std::fs;
use std::path::Path;
use std::process::Stdio;

/// Where executables begin.
const HIGH: u64 = 0x54ff_0000_0000;
/// Where images do.
const HOME: u64 = 0x5500_0000_0000;

/// What `readelf` says with these options.
fn readelf(options: &[&str], path: &Path) -> Result<Option<String>> {
    let Some(mut readelf) = tools::find("readelf") else { return Ok(None) };
    Ok(Some(String::from_utf8(succeed(readelf.args(options).arg("--wide").arg(path))?.stdout)?))
}

/// The first address of each segment that is loaded; `None` without `readelf`.
fn segments(path: &Path) -> Result<Option<Vec<u64>>> {
    let Some(text) = readelf(&["--segments"], path)? else { return Ok(None) };
    let loads = text.lines().filter_map(|line| line.trim().strip_prefix("LOAD"));
    let address = |line: &str| {
        let field = line.split_whitespace().nth(1).context("no address")?;
        Ok(u64::from_str_radix(field.trim_start_matches("0x"), 16)?)
    };
    loads.map(address).collect::<Result<_>>().map(Some)
}

/// Requires an executable for one address that begins at `first`, and needs nothing done when it is loaded elsewhere.
fn require_at(first: u64, path: &Path) -> Result<()> {
    let (Some(header), Some(relocations)) = (readelf(&["--file-header"], path)?, readelf(&["--relocs"], path)?) else {
        return Ok(());
    };
    ensure!(header.contains("EXEC (Executable file)"), "{header}");
    ensure!(!relocations.contains("R_X86_64_RELATIV"), "{relocations}");
    let found = segments(path)?.unwrap_or_default();
    ensure!(found.first() == Some(&first), "not at {first:#x}: {found:x?}");
    Ok(())
}

#[test]
fn executables_are_near_their_images() -> Result<()> {
    for linker in [Linker::Lld, Linker::Gnu] {
        let built = Program { linker, ..Program::new("small") }.build()?;
        runs::require_same_result(&built)?;
        for path in [&built.cold, &built.embedded] {
            require_at(HIGH, path).with_context(|| format!("{linker:?}"))?;
        }
        if let Some(segments) = segments(&built.embedded)? {
            ensure!(segments.last() == Some(&HOME), "{linker:?}: {segments:x?}");
        }
    }
    Ok(())
}

#[test]
fn an_emulator_needs_little_memory() -> Result<()> {
    let built = Program::new("small").build()?;
    let cold = runs::require_same_result(&built)?;
    let Some(mut emulator) = tools::find("qemu-x86_64") else { return Ok(()) };
    emulator.arg(&built.embedded).env("FASTBOOT_LOG", "1").stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = emulator.spawn()?;
    let status = format!("/proc/{}/status", child.id());
    let mut most = 0;
    while child.try_wait()?.is_none() {
        let said = fs::read_to_string(&status).unwrap_or_default();
        let peak = said.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
        most = most.max(peak.unwrap_or(0_u64));
        if most > 2 << 20 {
            // As a container would.
            child.kill()?;
        }
    }
    let output = child.wait_with_output()?;
    let run = Run {
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        status: output.status,
    };
    ensure!((1..2 << 20).contains(&most), "{most} kB of memory: {run:?}");
    run.require_thawed(cold.sources().len())?;
    runs::require_same(&cold.stdout, &run.stdout)
}

#[test]
fn the_standard_library_finds_its_way_there() -> Result<()> {
    let package = Package::new("")?;
    package.write(
        "src/main.rs",
        "fastboot_rt::install!();\n\
         fastboot_rt::frozen! { static WORDS: Vec<String> = vec![\"one\".to_owned()]; }\n\
         fn main() {\n    assert!(std::panic::catch_unwind(|| assert!(WORDS.len() > 1, \"too few\")).is_err());\n    \
         println!(\"{}\", std::thread::spawn(|| WORDS[0].len()).join().unwrap());\n}\n",
    )?;
    build(&package, &[])?.require_success()?;
    let run = Run::of(runs::program(&package.executable()).env("FASTBOOT_LOG", "1").env("RUST_BACKTRACE", "1"))?;
    ensure!(run.status.success() && run.stdout == "3\n", "{run:?}");
    for expected in ["fastboot: thawed 1 root from section", "too few", "app::main", "src/main.rs:4"] {
        ensure!(run.stderr.contains(expected), "no `{expected}`:\n{}", run.stderr);
    }
    Ok(())
}

const FUNCTIONS: &str = r#"
use std::ffi::{c_char, c_int, CStr};
fastboot_rt::install!();

unsafe extern "C" {
    fn atoi(text: *const c_char) -> c_int;
    fn labs(number: i64) -> i64;
    fn strlen(text: *const c_char) -> usize;
}
type Parse = unsafe extern "C" fn(*const c_char) -> c_int;

/// In data.
static PARSERS: [(&str, Parse); 1] = [("decimal", atoi)];

fastboot_rt::frozen! {
    static BY_NAME: Vec<(String, Parse)> = PARSERS.iter().map(|(name, parse)| ((*name).to_owned(), *parse)).collect();
    /// By code.
    static ABSOLUTE: Box<unsafe extern "C" fn(i64) -> i64> = Box::new(labs);
    /// One that glibc chooses by processor.
    static LENGTH: Box<unsafe extern "C" fn(*const c_char) -> usize> = Box::new(strlen);
}

fn main() {
    let text: &CStr = c"1234";
    // SAFETY: these read a string that ends with a zero, and a number.
    let numbers = unsafe { (BY_NAME[0].1(text.as_ptr()), ABSOLUTE(-7), LENGTH(text.as_ptr())) };
    println!("{} {numbers:?}", BY_NAME[0].0);
}
"#;

#[test]
fn functions_of_shared_libraries_have_an_address_in_the_executable() -> Result<()> {
    let package = Package::new("")?;
    package.write("src/main.rs", FUNCTIONS)?;
    for flags in [[].as_slice(), &["--config", "profile.dev.lto=\"fat\"", "--config", "profile.dev.opt-level=2"]] {
        build(&package, flags)?.require_success()?;
        let path = package.executable();
        require_at(HIGH, &path)?;
        let run = Run::of(runs::program(&path).env("FASTBOOT_LOG", "1"))?;
        ensure!(run.stderr.starts_with("fastboot: thawed 3 roots"), "{run:?}");
        ensure!(run.stdout == "decimal (1234, 7, 4)\n", "{run:?}");
    }
    Ok(())
}

#[test]
fn what_the_linker_is_told_otherwise_counts() -> Result<()> {
    let package = Package::new("")?;
    package.write(
        "src/main.rs",
        "fastboot_rt::install!();\n\
         fastboot_rt::frozen! { static WORDS: Vec<String> = vec![\"one\".to_owned()]; }\n\
         fn main() {\n    println!(\"{:?}\", *WORDS);\n}\n",
    )?;
    let script = "fn main() {\n    println!(\"cargo:rerun-if-env-changed=ARGUMENT\");\n    \
                  println!(\"cargo:rustc-link-arg-bins={}\", std::env::var(\"ARGUMENT\").unwrap());\n}\n";
    package.write("build.rs", script)?;
    for (argument, flags, tool, first) in [
        ("-Wl,--image-base=0x7000000", [].as_slice(), None, 0x700_0000),
        ("-no-pie", &[], None, 0x20_0000),
        ("-fuse-ld=mold", &["--footer"], Some("mold"), HIGH),
        ("-fuse-ld=gold", &["--footer"], Some("ld.gold"), HIGH),
    ] {
        if tool.is_some_and(|tool| tools::find(tool).is_none()) {
            continue;
        }
        let mut command = fastboot()?;
        command.current_dir(package.folder()).args(["build", "--offline", "--verify"]).args(flags);
        Run::of(command.env("ARGUMENT", argument))?.require_success().with_context(|| argument.to_owned())?;
        require_at(first, &package.executable()).with_context(|| argument.to_owned())?;
        let run = Run::of(runs::program(&package.executable()).env("FASTBOOT_LOG", "1"))?;
        ensure!(
            run.stderr.starts_with("fastboot: thawed 1 root") && run.stdout == "[\"one\"]\n",
            "{argument}: {run:?}"
        );
    }
    Ok(())
}

#[test]
fn what_can_only_be_at_low_addresses_is_there() -> Result<()> {
    let package = Package::new("")?;
    package.write(
        "src/main.rs",
        "fastboot_rt::install!();\n\
         fastboot_rt::frozen! { static WORDS: Vec<String> = vec![\"one\".to_owned()]; }\n\
         std::arch::global_asm!(\".globl own_address\", \"own_address: mov eax, offset own_address\", \"ret\");\n\
         unsafe extern \"C\" {\n    fn own_address() -> usize;\n}\n\
         fn main() {\n    // SAFETY: it returns a number.\n    let own = unsafe { own_address() };\n    \
         println!(\"{:?} {}\", *WORDS, own == own_address as *const () as usize);\n}\n",
    )?;
    build(&package, &[])?.require_success()?;
    require_at(0x20_0000, &package.executable())?;
    let run = Run::of(runs::program(&package.executable()).env("FASTBOOT_LOG", "1"))?;
    ensure!(run.stderr.starts_with("fastboot: thawed 1 root") && run.stdout == "[\"one\"] true\n", "{run:?}");
    Ok(())
}

/// Builds a package of the test's own, and verifies its image.
fn build(package: &Package, flags: &[&str]) -> Result<Run> {
    let mut command = fastboot()?;
    Run::of(command.current_dir(package.folder()).args(["build", "--offline", "--verify"]).args(flags))
}
