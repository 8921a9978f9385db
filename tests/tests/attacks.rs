//! What a thaw would like to have, taken away: the home address, address space, system calls, `/proc`, the truth about
//! program headers. The program works, relocated or cold, and answers as always.

use anyhow::{Context, Result, ensure};
use fastboot_format::image::FLAG_RELOCATABLE;
use fastboot_tests::places::{Layout, Places, embed, forge, freeze, program_header_of};
use fastboot_tests::programs::{Link, Program};
use fastboot_tests::runs::{self, Run};
use fastboot_tests::tools;
use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How many roots the program has.
const ROOTS: usize = 7;

fn stage(link: Link) -> Result<(Places, String)> {
    let built = Program::new("sources").link(link).build()?;
    let cold = Run::of(&mut runs::program(&built.cold))?;
    cold.require_cold()?;
    Ok((Places::of(&built)?, cold.stdout))
}

/// The program, executed by the launcher without `what`.
fn without(what: &str, program: &Path) -> Result<Command> {
    let mut command = runs::program(&tools::attack()?.0);
    command.arg(what).arg(program).env("FASTBOOT_LOG", "1");
    Ok(command)
}

/// The program, with the library preloaded that does `what`.
fn preloaded(what: &str, program: &Path) -> Result<Command> {
    let mut command = runs::program(program);
    command.env("LD_PRELOAD", tools::attack()?.1).env("ATTACK", what).env("FASTBOOT_LOG", "1");
    Ok(command)
}

/// Requires that the image was used, at its home address or elsewhere.
fn require_thawed(run: &Run, source: &str, relocated: bool, expected: &str) -> Result<()> {
    run.require_thawed_from(source, ROOTS)?;
    ensure!(run.stderr.contains(" (relocated), ") == relocated, "relocated, or not?\n{}", run.stderr);
    runs::require_same(expected, &run.stdout)
}

#[test]
fn a_home_address_that_is_taken() -> Result<()> {
    for link in Link::ALL {
        let (places, expected) = stage(link)?;
        for (source, path) in places.programs() {
            // The kernel itself maps the section of a non-PIE, before anybody else can map anything.
            let relocated = (source, link) == ("section", Link::Pie) || source != "section";
            for what in ["", "fork", "race"] {
                let run = Run::of(runs::program(path).arg(what).env("FASTBOOT_LOG", "1").env("SOURCES_OCCUPY", "1"))?;
                let told = || format!("{link:?}, {source}, {what}");
                ensure!(run.stderr.contains("home address occupied") == relocated, "{}\n{}", told(), run.stderr);
                require_thawed(&run, source, relocated, &expected).with_context(told)?;
            }
            if (source, link) == ("section", Link::Pie) {
                let run = Run::of(without("old-mremap", path)?.env("SOURCES_OCCUPY", "1"))?;
                require_thawed(&run, source, true, &expected).context("with an old mremap")?;
            }
            if link != Link::Static {
                let run = Run::of(&mut preloaded("occupy", path)?)?;
                ensure!(run.stderr.contains("attack: home address"), "{}", run.stderr);
                require_thawed(&run, source, relocated, &expected).with_context(|| format!("{link:?}, {source}"))?;
            }
        }
    }
    Ok(())
}

#[test]
fn an_image_that_cannot_be_relocated() -> Result<()> {
    for link in Link::ALL {
        let (places, expected) = stage(link)?;
        for (source, path, file) in [
            ("section", &places.section, &places.section),
            ("footer", &places.footer, &places.footer),
            ("snapshot", &places.cold, &places.snapshot),
        ] {
            let mut bytes = fs::read(file)?;
            forge(&mut bytes, |header| header.flags &= !FLAG_RELOCATABLE)?;
            fs::write(file, bytes)?;
            let run = Run::of(runs::program(path).env("FASTBOOT_LOG", "1"))?;
            require_thawed(&run, source, false, &expected).with_context(|| format!("{link:?}, {source}"))?;
            if source == "section" && link != Link::Pie {
                continue;
            }
            let run = Run::of(runs::program(path).env("FASTBOOT_LOG", "1").env("SOURCES_OCCUPY", "1"))?;
            run.require_cold_because(
                "home address 0x550000000000 not available (something is mapped there), and the image cannot be relocated",
            )
            .with_context(|| format!("{link:?}, {source}"))?;
            runs::require_same(&expected, &run.stdout)?;
        }
    }
    Ok(())
}

#[test]
fn system_calls_that_are_refused() -> Result<()> {
    for link in Link::ALL {
        let (places, expected) = stage(link)?;
        for what in ["no-mremap", "no-noreplace", "old-mremap", "old-mremap-no-noreplace"] {
            for (source, path) in places.programs() {
                let run = Run::of(&mut without(what, path)?)?;
                let told = || format!("{link:?}, {source}, {what}");
                let refused = ["no-mremap", "old-mremap-no-noreplace"].contains(&what);
                if refused && (source, link) == ("section", Link::Pie) {
                    run.require_cold_because("0x550000000000 not available (system call refused)")
                        .with_context(told)?;
                    runs::require_same(&expected, &run.stdout)?;
                } else {
                    require_thawed(&run, source, false, &expected).with_context(told)?;
                }
            }
        }
    }
    Ok(())
}

#[test]
fn a_filter_that_kills() -> Result<()> {
    const SIGSYS: i32 = 31;
    for link in Link::ALL {
        let (places, expected) = stage(link)?;
        for (source, path) in places.programs() {
            let run = Run::of(&mut without("deadly-mremap", path)?)?;
            let told = || format!("{link:?}, {source}: {}\n{}", run.status, run.stderr);
            if (source, link) == ("section", Link::Pie) {
                ensure!(run.status.signal() == Some(SIGSYS), "{}", told());
                let off = Run::of(without("deadly-mremap", path)?.env("FASTBOOT", "off"))?;
                off.require_cold_because("FASTBOOT=off")?;
                runs::require_same(&expected, &off.stdout)?;
            } else {
                require_thawed(&run, source, false, &expected).with_context(told)?;
            }
        }
    }
    Ok(())
}

#[test]
fn memory_that_is_refused() -> Result<()> {
    for link in Link::ALL {
        let (places, expected) = stage(link)?;
        for (source, path) in places.programs() {
            let run = Run::of(&mut without("no-memory", path)?)?;
            let told = || format!("{link:?}, {source}");
            let reason = match (source, link) {
                ("section", Link::Pie) => "0x550000000000 not available (not enough memory or address space)",
                // The kernel's own mappings are not a matter of filters.
                ("section", _) => {
                    require_thawed(&run, source, false, &expected).with_context(told)?;
                    continue;
                }
                ("footer", _) => "footer: cannot map ",
                _ => "snapshot sources.snap: cannot map ",
            };
            run.require_cold_because(reason).with_context(told)?;
            ensure!(run.stderr.contains("not enough memory or address space"), "{}\n{}", told(), run.stderr);
            runs::require_same(&expected, &run.stdout)?;
        }
    }
    Ok(())
}

/// How much larger images are made than they are.
const BLOWN_UP: u64 = 1 << 30;
/// A limit that is smaller than that and larger than what the programs need otherwise.
const LIMIT: u64 = 512 << 20;

/// Makes the snapshot much larger, with a hole at its end.
fn blow_up(snapshot: &Path) -> Result<u64> {
    let mut bytes = fs::read(snapshot)?;
    let length = bytes.len() as u64 + BLOWN_UP;
    forge(&mut bytes, |header| header.length = length)?;
    fs::write(snapshot, bytes)?;
    File::options().write(true).open(snapshot)?.set_len(length)?;
    Ok(length)
}

/// The same for the section, whose segment grows too. Tools read what comes behind it; the kernel does not.
fn blow_up_section(program: &Path) -> Result<()> {
    let mut bytes = fs::read(program)?;
    let image = Layout::of(&bytes)?.image;
    let length = image.len() as u64 + BLOWN_UP;
    // `p_filesz` and `p_memsz`.
    let sizes = program_header_of(&bytes, image.start as u64)? + 32;
    bytes[sizes..sizes + 16].copy_from_slice(&[length.to_le_bytes(); 2].concat());
    forge(&mut bytes, |header| header.length = length)?;
    fs::write(program, bytes)?;
    Ok(File::options().write(true).open(program)?.set_len(image.start as u64 + length)?)
}

#[test]
fn address_space_that_is_too_small() -> Result<()> {
    for link in Link::ALL {
        let (places, expected) = stage(link)?;
        let length = blow_up(&places.snapshot)?;
        let run = Run::of(runs::program(&places.cold).env("FASTBOOT_LOG", "1"))?;
        require_thawed(&run, "snapshot", false, &expected).context("without a limit")?;
        for what in ["address-space", "data"] {
            let run = Run::of(&mut without(&format!("{what}={LIMIT}"), &places.cold)?)?;
            let reason = format!("cannot map {length} bytes: not enough memory or address space");
            run.require_cold_because(&reason).with_context(|| format!("{link:?}, {what}"))?;
            runs::require_same(&expected, &run.stdout)?;
        }
    }
    Ok(())
}

#[test]
fn a_section_larger_than_a_limit_is_the_end() -> Result<()> {
    const SIGKILL: i32 = 9;
    const SIGSEGV: i32 = 11;
    for link in Link::ALL {
        let (places, expected) = stage(link)?;
        blow_up_section(&places.section)?;
        let run = Run::of(runs::program(&places.section).env("FASTBOOT_LOG", "1"))?;
        require_thawed(&run, "section", false, &expected).context("without a limit")?;
        for what in ["address-space", "data"] {
            let run = Run::of(&mut without(&format!("{what}={LIMIT}"), &places.section)?)?;
            // The kernel, before there is a program, or the loader: there is nothing that the program could do.
            let told = format!("{link:?}, {what}: {}\n{}", run.status, run.stderr);
            ensure!(matches!(run.status.signal(), Some(SIGKILL | SIGSEGV)), "{told}");
        }
    }
    Ok(())
}

#[test]
fn a_read_only_image_is_no_data_of_the_process() -> Result<()> {
    // The limit counts private memory that may be written to, and so does strict overcommit.
    for link in Link::ALL {
        let built = Program::new("small").link(link).build()?;
        let expected = Run::of(&mut runs::program(&built.cold))?.stdout;
        let places = Places::of(&built)?;
        let snapshot = places.folder().join("read-only.snap");
        freeze(&places.cold, &snapshot, &["--read-only"])?;
        embed(&places.cold, &snapshot, &places.section, &["--read-only"])?;
        blow_up(&snapshot)?;
        blow_up_section(&places.section)?;
        for (source, path) in [("section", &places.section), ("snapshot", &places.cold)] {
            let run = Run::of(without(&format!("data={LIMIT}"), path)?.env("FASTBOOT_SNAPSHOT", &snapshot))?;
            let told = || format!("{link:?}, {source}");
            run.require_thawed_from(source, 5).with_context(told)?;
            runs::require_same(&expected, &run.stdout).with_context(told)?;
        }
        let run =
            Run::of(without(&format!("address-space={LIMIT}"), &places.cold)?.env("FASTBOOT_SNAPSHOT", &snapshot))?;
        run.require_cold_because("not enough memory or address space").with_context(|| format!("{link:?}"))?;
    }
    Ok(())
}

/// What a program without /proc says that has a footer.
const NO_FOOTER: &str = "footer: cannot open /proc/self/exe: no such file or folder; \
                         snapshot sources.snap: cannot read the link /proc/self/exe: no such file or folder";
/// And one that has none, which looks for none.
const NO_SNAPSHOT: &str = "snapshot sources.snap: cannot read the link /proc/self/exe: no such file or folder";

#[test]
fn no_proc() -> Result<()> {
    if !tools::is_root() {
        eprintln!("skipped: only root may change the root");
        return Ok(());
    }
    let (places, expected) = stage(Link::Static)?;
    let chroot = format!("chroot={}", places.folder().display());
    let inside = |path: &Path| -> Result<PathBuf> { Ok(Path::new("/").join(path.strip_prefix(places.folder())?)) };
    let run = Run::of(&mut without(&chroot, &inside(&places.section)?)?)?;
    require_thawed(&run, "section", false, &expected)?;

    for (path, reason) in [(&places.footer, NO_FOOTER), (&places.cold, NO_SNAPSHOT)] {
        let run = Run::of(&mut without(&chroot, &inside(path)?)?)?;
        run.require_cold_because(reason)?;
        runs::require_same(&expected, &run.stdout)?;
    }
    // A snapshot that has a path needs no /proc.
    let snapshot = inside(&places.snapshot)?;
    let run = Run::of(without(&chroot, &inside(&places.cold)?)?.env("FASTBOOT_SNAPSHOT", snapshot))?;
    require_thawed(&run, "snapshot", false, &expected)
}

#[test]
fn an_empty_folder_in_place_of_proc() -> Result<()> {
    if !tools::is_root() {
        eprintln!("skipped: only root may have a /proc of its own");
        return Ok(());
    }
    for link in Link::ALL {
        let (places, expected) = stage(link)?;
        let run = Run::of(&mut without("no-proc", &places.section)?)?;
        if run.stderr.contains("attack: cannot hide /proc") {
            // As in a container without that right.
            eprintln!("skipped: {}", run.stderr);
            return Ok(());
        }
        require_thawed(&run, "section", false, &expected).with_context(|| format!("{link:?}"))?;
        for (path, reason) in [(&places.footer, NO_FOOTER), (&places.cold, NO_SNAPSHOT)] {
            let run = Run::of(&mut without("no-proc", path)?)?;
            run.require_cold_because(reason).with_context(|| format!("{link:?}"))?;
            ensure!(path != &places.cold || !run.stderr.contains("footer"), "{}", run.stderr);
            runs::require_same(&expected, &run.stdout)?;
        }
        let run = Run::of(without("no-proc", &places.cold)?.env("FASTBOOT_SNAPSHOT", &places.snapshot))?;
        require_thawed(&run, "snapshot", false, &expected).with_context(|| format!("{link:?}"))?;
    }
    Ok(())
}

#[test]
fn an_auxiliary_vector_that_lies() -> Result<()> {
    for link in [Link::NonPie, Link::Pie] {
        let (places, expected) = stage(link)?;
        for (source, path) in places.programs() {
            let run = Run::of(&mut preloaded("auxv", path)?)?;
            ensure!(run.stderr.contains("attack: program headers at 0x100000000"), "{}", run.stderr);
            require_thawed(&run, source, false, &expected).with_context(|| format!("{link:?}, {source}"))?;
        }
    }
    Ok(())
}

#[test]
fn a_loader_that_is_called_by_name() -> Result<()> {
    let loader = Path::new("/lib64/ld-linux-x86-64.so.2");
    ensure!(loader.exists(), "no {}", loader.display());
    for link in [Link::NonPie, Link::Pie] {
        let (places, expected) = stage(link)?;
        let by_loader = |path: &Path| Run::of(runs::program(loader).arg(path).env("FASTBOOT_LOG", "1"));
        require_thawed(&by_loader(&places.section)?, "section", false, &expected)?;
        // `/proc/self/exe` is the loader.
        let run = by_loader(&places.footer)?;
        run.require_cold_because("snapshot sources.snap: cannot open it: no such file or folder")?;
        runs::require_same(&expected, &run.stdout)?;
    }
    Ok(())
}
