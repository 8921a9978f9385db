//! An image requires what its values depend on of the processor, and no more.

use anyhow::{Context, Result, ensure};
use fastboot_tests::programs::{Built, Link, Program, fastboot, succeed, workspace};
use fastboot_tests::runs::{self, Run};
use fastboot_tests::tools;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Freezes it; what that said.
fn freeze(built: &Built) -> Result<(PathBuf, String)> {
    let snapshot = built.folder().join("portable.snap");
    let mut command = fastboot()?;
    command.arg("freeze").arg("-v").arg("--binary").arg(&built.cold).arg("-o").arg(&snapshot);
    Ok((snapshot, String::from_utf8(succeed(&mut command)?.stderr)?))
}

/// The features in the header of a snapshot.
fn features(snapshot: &Path) -> Result<Vec<String>> {
    let output = succeed(fastboot()?.arg("inspect").arg(snapshot).arg("--json"))?;
    let json: Value = serde_json::from_slice(&output.stdout)?;
    let features = json["image"]["cpu_features"].as_array().context("features")?;
    Ok(features.iter().filter_map(|feature| Some(feature.as_str()?.to_owned())).collect())
}

/// The program on another processor, if there is an emulator for it.
fn on(processor: &str, built: &Built, snapshot: &Path) -> Result<Option<Run>> {
    let Some(mut emulator) = tools::find("qemu-x86_64") else { return Ok(None) };
    emulator.args(["-cpu", processor]).arg(&built.cold);
    Ok(Some(Run::of(emulator.env("FASTBOOT_LOG", "1").env("FASTBOOT_SNAPSHOT", snapshot))?))
}

/// What the program prints, cold.
fn expected(built: &Built) -> Result<String> {
    Ok(Run::of(runs::program(&built.cold).env("FASTBOOT", "off"))?.stdout)
}

#[test]
fn strings_and_maps_are_for_every_processor() -> Result<()> {
    for link in Link::ALL {
        let built = Program::new("world").bin("plain").link(link).cold().build()?;
        let (snapshot, said) = freeze(&built)?;
        ensure!(features(&snapshot)?.is_empty(), "{link:?}: {:?}\n{said}", features(&snapshot)?);
        ensure!(!said.contains("Requires") && !said.contains("what values depend on"), "{link:?}: {said}");
        if link == Link::Pie
            && let Some(run) = on("Nehalem", &built, &snapshot)?
        {
            ensure!(run.stderr.contains("thawed"), "{}", run.stderr);
            runs::require_same(&expected(&built)?, &run.stdout)?;
        }
    }
    Ok(())
}

#[test]
fn searchers_are_for_the_lowest_level_that_they_are_the_same_on() -> Result<()> {
    if !std::is_x86_feature_detected!("avx2") {
        tools::skip("this processor has no AVX2");
        return Ok(());
    }
    for link in Link::ALL {
        let built = Program::new("world").bin("searchers").link(link).cold().build()?;
        let (snapshot, said) = freeze(&built)?;
        let told = || format!("{link:?}: {said}");
        ensure!(said.contains("Requires a processor of x86-64-v3: `searchers::"), "{}", told());
        let faults = fs::read_to_string("/proc/cpuinfo")?.contains("cpuid_fault");
        let note = if faults {
            "; `--cpu x86-64-v2` freezes"
        } else {
            "; on a processor with CPUID faulting, `--cpu x86-64-v2`"
        };
        ensure!(said.contains(note), "{}", told());
        let features = features(&snapshot)?;
        for (name, there) in [("avx2", true), ("aes", false), ("avx512f", false), ("sse2", false)] {
            ensure!(features.iter().any(|feature| feature == name) == there, "{name} in {features:?}, {}", told());
        }
        ensure!(said.matches("what values depend on, run").count() <= 1, "{}", told());
        if link != Link::Pie {
            continue;
        }
        if let Some(run) = on("Haswell", &built, &snapshot)? {
            ensure!(run.stderr.contains("thawed"), "{}", run.stderr);
            runs::require_same(&expected(&built)?, &run.stdout)?;
        }
        if let Some(run) = on("Nehalem", &built, &snapshot)? {
            ensure!(run.stderr.contains("the processor lacks"), "{}", run.stderr);
            runs::require_same(&expected(&built)?, &run.stdout)?;
        }
    }
    Ok(())
}

#[test]
fn what_a_crate_remembers_of_the_processor_is_required_only_with_values_made_for_it() -> Result<()> {
    for link in Link::ALL {
        let built = Program::new("world").bin("digests").link(link).cold().build()?;
        let (snapshot, said) = freeze(&built)?;
        ensure!(features(&snapshot)?.is_empty(), "{link:?}: {:?}\n{said}", features(&snapshot)?);
        ensure!(said.contains("STORAGE: not carried: a cache of CPU features"), "{link:?}: {said}");
    }
    Ok(())
}

#[test]
fn what_depends_on_more_than_the_processor_requires_the_processor() -> Result<()> {
    if !std::is_x86_feature_detected!("avx2") || !std::is_x86_feature_detected!("aes") {
        tools::skip("this processor has no AVX2 and AES");
        return Ok(());
    }
    for (name, required) in [("mixed", "avx2"), ("sized", "aes")] {
        for link in Link::ALL {
            let built = Program::new("world").bin(name).link(link).cold().build()?;
            let (snapshot, said) = freeze(&built)?;
            let features = features(&snapshot)?;
            ensure!(features.iter().any(|feature| feature == required), "{name}, {link:?}: {features:?}\n{said}");
        }
    }
    Ok(())
}

#[test]
fn the_level_is_read_off_the_code_that_was_chosen() -> Result<()> {
    for (name, there, requires, features_there) in [
        ("oldest", std::is_x86_feature_detected!("sse4.2"), "a processor of x86-64-v2: ", ["sse4.2", "popcnt"]),
        ("ciphers", std::is_x86_feature_detected!("aes"), "a processor of x86-64-v2 with aes: ", ["aes", "sse4.2"]),
        ("widest", std::is_x86_feature_detected!("avx512vl"), "a processor of x86-64-v4: ", ["avx512f", "avx2"]),
    ] {
        if !there {
            eprintln!("skipped: this processor has not what `{name}` chooses by");
            continue;
        }
        for link in Link::ALL {
            let built = Program::new("world").bin(name).link(link).cold().build()?;
            let (snapshot, said) = freeze(&built)?;
            let told = || format!("{name}, {link:?}: {said}");
            ensure!(said.contains(&format!("Requires {requires}`{name}::CHOSEN`")), "{}", told());
            let features = features(&snapshot)?;
            let known = features_there.iter().all(|name| features.iter().any(|feature| feature == name));
            ensure!(known && !features.iter().any(|feature| feature == "sha"), "{features:?}, {}", told());
            ensure!(said.matches("what values depend on, run").count() <= 1, "{}", told());
            let emulated = if link == Link::Pie && name == "oldest" { on("Nehalem", &built, &snapshot)? } else { None };
            if let Some(run) = emulated {
                ensure!(run.stderr.contains("thawed"), "{}", run.stderr);
                runs::require_same(&expected(&built)?, &run.stdout)?;
            }
        }
    }
    Ok(())
}

#[test]
fn what_no_level_has_is_required_feature_by_feature() -> Result<()> {
    if !std::is_x86_feature_detected!("aes") || !std::is_x86_feature_detected!("rdrand") {
        tools::skip("this processor has no AES");
        return Ok(());
    }
    for link in [Link::NonPie, Link::Pie] {
        let built = Program::new("world").bin("newest").link(link).cold().build()?;
        let (snapshot, said) = freeze(&built)?;
        let features = features(&snapshot)?;
        for name in ["aes", "rdrand"] {
            ensure!(features.iter().any(|feature| feature == name), "{link:?}: {name} in {features:?}\n{said}");
        }
        ensure!(said.contains("Requires a processor") && said.contains(" with "), "{link:?}: {said}");
    }
    Ok(())
}

#[test]
fn bits_that_no_table_knows_count_if_they_were_asked_for() -> Result<()> {
    if !fs::read_to_string("/proc/cpuinfo")?.contains(" fsgsbase ") {
        tools::skip("this processor cannot read the base of FS");
        return Ok(());
    }
    for link in Link::ALL {
        let built = Program::new("world").bin("nameless").link(link).cold().build()?;
        let (snapshot, said) = freeze(&built)?;
        let features = features(&snapshot)?;
        let asked: Vec<_> = features.iter().filter(|feature| feature.starts_with("cpuid 0x7.0 ebx 0x")).collect();
        ensure!(asked.len() == 1 && features.iter().any(|name| name == "sse4.2"), "{link:?}: {features:?}\n{said}");
        let bits =
            asked[0].split(' ').nth(3).and_then(|bits| u32::from_str_radix(bits.trim_start_matches("0x"), 16).ok());
        ensure!(bits.is_some_and(|bits| bits & 1 != 0), "{link:?}: {features:?}");
        let run = Run::of(runs::program(&built.cold).env("FASTBOOT_LOG", "1").env("FASTBOOT_SNAPSHOT", &snapshot))?;
        ensure!(run.stderr.contains("thawed 1 root from snapshot"), "{link:?}: {}", run.stderr);
        ensure!(run.stdout == "there\n", "{link:?}: {}", run.stdout);

        // What the standard library asks for is in the table.
        let built = Program::new("world").bin("newest").link(link).cold().build()?;
        let (snapshot, said) = freeze(&built)?;
        let features = self::features(&snapshot)?;
        ensure!(features.iter().all(|feature| !feature.starts_with("cpuid")), "{link:?}: {features:?}\n{said}");
    }
    Ok(())
}

/// The names in the documentation of the macro, if the toolchain has that.
fn names_of_the_standard_library() -> Result<Option<Vec<String>>> {
    let output = succeed(Command::new("rustc").arg("--print").arg("sysroot").current_dir(workspace()))?;
    let root = PathBuf::from(String::from_utf8(output.stdout)?.trim());
    let source = root.join("lib/rustlib/src/rust/library/std_detect/src/detect/arch/x86.rs");
    let page = root.join("share/doc/rust/html/std/arch/macro.is_x86_feature_detected.html");
    let text = match fs::read_to_string(source).or_else(|_| fs::read_to_string(page)) {
        Ok(text) => text.replace("&quot;", "\""),
        Err(_) => return Ok(None),
    };
    let names = text.split('"').skip(1).step_by(2).filter(|name| {
        !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte))
    });
    Ok(Some(names.map(str::to_owned).collect()))
}

#[test]
fn the_table_has_every_feature_that_the_standard_library_knows() -> Result<()> {
    use fastboot_format::features::{FEATURES, NOT_IN_THE_TABLE};
    let Some(names) = names_of_the_standard_library()? else {
        eprintln!("skipped: neither the source nor the documentation of the standard library is installed");
        return Ok(());
    };
    let known = |name: &str| FEATURES.iter().any(|feature| feature.name() == name) || NOT_IN_THE_TABLE.contains(&name);
    // Levels of AVX10 and APX, of which no processor that can be bought has any, are found in leaves of their own.
    let later = |name: &str| name.starts_with("avx10.") || name == "apxf";
    ensure!(names.iter().any(|name| name == "avx512fp16"), "no list of features: {names:?}");
    let missing: Vec<_> = names.iter().filter(|name| name.contains(|c: char| c.is_ascii_lowercase())).collect();
    // The page has other words in quotes, such as those of its own attributes.
    let probe = |name: &str| -> Result<bool> {
        let folder = tempfile::tempdir()?;
        let source = folder.path().join("probe.rs");
        fs::write(&source, format!("pub fn f() -> bool {{ std::is_x86_feature_detected!({name:?}) }}"))?;
        let output = Command::new("rustc")
            .args(["--crate-type=lib", "--emit=metadata", "--edition=2024", "-o"])
            .arg(folder.path().join("probe"))
            .arg(&source)
            .current_dir(workspace())
            .output()?;
        Ok(!String::from_utf8_lossy(&output.stderr).contains("unknown x86 target feature"))
    };
    for name in missing.into_iter().filter(|name| !known(name) && !later(name)) {
        ensure!(!probe(name)?, "the standard library knows `{name}`, and the table does not");
    }
    Ok(())
}
