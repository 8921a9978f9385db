//! Values that would be others in the user's own process are found, each with what it depends on.

use anyhow::{Context, Result, ensure};
use fastboot_tests::programs::{Link, Program, fastboot};
use fastboot_tests::runs::{self, Run};
use std::path::Path;
use std::process::Command;

/// `cargo fastboot freeze` in an environment in which nothing of interest is set but this.
fn freeze(cold: &Path, snapshot: &Path, options: &[&str]) -> Result<Command> {
    let mut command = fastboot()?;
    for name in ["NO_COLOR", "TMPDIR", "COLUMNS", "LC_ALL", "RUST_LOG"] {
        command.env_remove(name);
    }
    command.env("LANG", "en_US.UTF-8").env("HOME", "/home/builder").env("USER", "builder");
    command.arg("freeze").arg("--binary").arg(cold).arg("-o").arg(snapshot).args(options);
    Ok(command)
}

/// Requires that a line says that `what` depends on `cause`.
fn require(said: &str, what: &str, cause: &str) -> Result<()> {
    let expected = format!("{what} depends on {cause}");
    ensure!(said.lines().any(|line| line.contains(&expected)), "nothing says: {expected}\n{said}");
    Ok(())
}

#[test]
fn roots_are_named_with_what_they_depend_on() -> Result<()> {
    let few = std::thread::available_parallelism().map_or(1, usize::from) < 2;
    for link in Link::ALL {
        let told = || format!("{link:?}");
        let built = Program::new("world").bin("roots").link(link).cold().build()?;
        let snapshot = built.folder().join("roots.snap");
        let run = Run::of(&mut freeze(&built.cold, &snapshot, &[])?)?;
        run.require_success().with_context(told)?;
        let said = &run.stderr;
        for (root, cause) in [
            ("COLOR", "the environment variable NO_COLOR (1 here, 0 in the proof)"),
            ("HOME", "the environment variable HOME (`/home/bu` here, `/ubzr/oh` in the proof)"),
            ("NAME", "the environment variable USER (`builder` here, `ohvyqre` in the proof)"),
            ("COLUMNS", "what standard output is, a terminal or not (80 here, 117 in the proof)"),
            ("TERMINAL", "what standard output is, a terminal or not (0 here, 1 in the proof)"),
            ("FOLDER", "the environment variable TMPDIR (4 here, "),
            ("CORES", "the number of processors ("),
            ("PROGRAM", "the path of the executable (`"),
            ("COUNT", "the arguments (1 here, 3 in the proof)"),
            ("MASK", "the umask ("),
            ("PROCESS", "the process id"),
            ("TIME", "the time of the build"),
            ("STAMPED", "the time of the build"),
            ("STAMPED", "what standard output is, a terminal or not (0 here, 1 in the proof)"),
            ("DAY", "the clock ("),
            ("HOURS", "the clock ("),
        ] {
            if root == "CORES" && few {
                continue;
            }
            require(said, &format!("root `roots::{root}`"), cause).with_context(told)?;
        }
        for root in ["LANGUAGE", "WAITED", "NOTHING"] {
            ensure!(!said.contains(&format!("`roots::{root}` depends")), "{}: {said}", told());
        }
        let once = said.matches("root `roots::COLOR` depends").count();
        ensure!(once == 1, "{}: said {once} times: {said}", told());

        if link != Link::NonPie {
            continue;
        }
        let run = Run::of(&mut freeze(&built.cold, &snapshot, &["--deny", "world"])?)?;
        ensure!(!run.status.success(), "{}: {}", told(), run.stderr);
        require(&run.stderr, "root `roots::COLOR`", "the environment variable NO_COLOR").with_context(told)?;
        let run =
            Run::of(&mut freeze(&built.cold, &snapshot, &["--allow-world", "COLOR", "--allow-world", "roots::MASK"])?)?;
        for root in ["COLOR", "MASK"] {
            ensure!(!run.stderr.contains(&format!("`roots::{root}` depends")), "{}: {}", told(), run.stderr);
        }
    }
    Ok(())
}

#[test]
fn values_as_wide_as_a_word_are_named_where_all_is_allocated_otherwise() -> Result<()> {
    for link in Link::ALL {
        let told = || format!("{link:?}");
        let built = Program::new("world").bin("wide").link(link).cold().build()?;
        let snapshot = built.folder().join("wide.snap");
        let run = Run::of(&mut freeze(&built.cold, &snapshot, &["-v"])?)?;
        run.require_success().with_context(told)?;
        ensure!(run.stderr.contains("run 3 is another one in another world"), "{}: {}", told(), run.stderr);
        // Of both the lower half is zero.
        let width = [80.0_f64, 132.0].map(|number| number.to_bits() >> 32);
        let width = format!("the environment variable COLUMNS ({} here, {} in the proof)", width[0], width[1]);
        for (root, cause) in [
            ("THEME", "the environment variable NO_COLOR"),
            ("WIDTH", &width),
            ("CHOICES", "the environment variable NO_COLOR (1 here, 0 in the proof)"),
            ("DRAW", "the environment variable NO_COLOR"),
            ("PALETTE", "the environment variable NO_COLOR"),
            ("LEVEL", "the environment variable RUST_LOG"),
        ] {
            require(&run.stderr, &format!("root `wide::{root}`"), cause).with_context(told)?;
            let once = run.stderr.matches(&format!("root `wide::{root}` depends")).count();
            ensure!(once == 1, "{}: said {once} times: {}", told(), run.stderr);
        }
        ensure!(!run.stderr.contains("root `wide::ASKED`"), "{}: {}", told(), run.stderr);

        if link != Link::NonPie {
            continue;
        }
        let run = Run::of(&mut freeze(&built.cold, &snapshot, &["--deny", "world"])?)?;
        ensure!(!run.status.success(), "{}: {}", told(), run.stderr);
        require(&run.stderr, "root `wide::THEME`", "the environment variable NO_COLOR").with_context(told)?;
    }
    Ok(())
}

#[test]
fn where_the_program_was_started_and_by_whom_is_named() -> Result<()> {
    for link in Link::ALL {
        let told = || format!("{link:?}");
        let built = Program::new("world").bin("place").link(link).cold().build()?;
        let snapshot = built.folder().join("place.snap");
        let run = Run::of(&mut freeze(&built.cold, &snapshot, &[])?)?;
        run.require_success().with_context(told)?;
        for (root, cause) in [
            ("FOLDER", "the working directory"),
            ("SETTINGS", "the working directory"),
            ("INTERACTIVE", "what standard input is, a terminal or not (0 here, 1 in the proof)"),
            ("USER", "the user and group"),
        ] {
            require(&run.stderr, &format!("root `place::{root}`"), cause).with_context(told)?;
        }
        for root in ["BY_NAME", "BY_PATH", "WITHIN", "LINES", "AGAIN"] {
            ensure!(!run.stderr.contains(&format!("root `place::{root}` depends")), "{}: {}", told(), run.stderr);
        }
        ensure!(!run.stderr.contains("cannot be evaluated"), "{}: {}", told(), run.stderr);
        // Neither the image nor the program that asks has anything of the other name.
        let off = Run::of(runs::program(&built.cold).env("FASTBOOT", "off"))?;
        let own = format!("{} ", std::env::current_dir()?.display());
        ensure!(off.stdout.starts_with(&own), "{}: {}", told(), off.stdout);
        let thawed = Run::of(runs::program(&built.cold).env("FASTBOOT_SNAPSHOT", &snapshot).env("FASTBOOT_LOG", "1"))?;
        let log = thawed.log().unwrap_or_default();
        ensure!(log.contains("thawed 9 roots from snapshot"), "{}: {log}", told());
        ensure!(!thawed.stdout.contains("/proc/"), "{}: {}", told(), thawed.stdout);

        if link != Link::NonPie {
            continue;
        }
        let all = ["FOLDER", "SETTINGS", "INTERACTIVE", "USER"];
        let allow: Vec<&str> = all.into_iter().flat_map(|name| ["--allow-world", name]).collect();
        let run = Run::of(&mut freeze(&built.cold, &snapshot, &[&["--deny", "world"], &allow[..]].concat())?)?;
        run.require_success().with_context(told)?;
        let run = Run::of(&mut freeze(&built.cold, &snapshot, &["--deny", "world"])?)?;
        ensure!(!run.status.success(), "{}: {}", told(), run.stderr);
    }
    Ok(())
}

#[test]
fn statics_that_are_wrong_in_every_other_process_are_refused() -> Result<()> {
    let few = std::thread::available_parallelism().map_or(1, usize::from) < 2;
    for link in Link::ALL {
        let told = || format!("{link:?}");
        let built = Program::new("world").bin("statics").link(link).cold().build()?;
        let snapshot = built.folder().join("statics.snap");
        let run = Run::of(&mut freeze(&built.cold, &snapshot, &[])?)?;
        ensure!(!run.status.success() && !snapshot.exists(), "{}: {}", told(), run.stderr);
        for (name, cause) in [
            ("PROCESS", "the process id"),
            ("BEGAN", "the time of the build"),
            ("TODAY", "the clock ("),
            ("PROGRAM", "the path of the executable (`"),
            ("ARGUMENTS", "the arguments (1 here, 3 in the proof)"),
            ("CORES", "the number of processors ("),
        ] {
            if name == "CORES" && few {
                continue;
            }
            require(&run.stderr, &format!("the carried static `statics::{name}`"), cause).with_context(told)?;
            let error = run.stderr.lines().any(|line| line.contains(name) && line.contains("cannot be right"));
            ensure!(error == (name != "CORES"), "{}: {}", told(), run.stderr);
        }
        ensure!(!run.stderr.contains("statics::WORDS"), "{}: {}", told(), run.stderr);

        let names =
            ["PROCESS", "BEGAN", "TODAY", "PROGRAM", "ARGUMENTS", "CORES"].map(|name| format!("statics::{name}"));
        let skip: Vec<&str> = names.iter().flat_map(|name| ["--skip", name.as_str()]).collect();
        let run = Run::of(&mut freeze(&built.cold, &snapshot, &skip)?)?;
        run.require_success().with_context(told)?;
        ensure!(!run.stderr.contains("depend"), "{}: {}", told(), run.stderr);
        let mut program = runs::program(&built.cold);
        let run = Run::of(program.arg("x").env("FASTBOOT_SNAPSHOT", &snapshot).env("FASTBOOT_LOG", "1"))?;
        let log = run.log().unwrap_or_default();
        ensure!(log.contains("thawed 1 root from snapshot"), "{}: {log}", told());
        ensure!(run.stdout.starts_with("9 true true [\"x\", \"end\"] true\n"), "{}: {}", told(), run.stdout);
        ensure!(run.stdout.contains("[\"word\"]"), "{}: {}", told(), run.stdout);

        let allow: Vec<&str> = names.iter().flat_map(|name| ["--allow-world", name.as_str()]).collect();
        Run::of(&mut freeze(&built.cold, &snapshot, &allow)?)?.require_success().with_context(told)?;
    }
    Ok(())
}

#[test]
fn what_is_the_same_everywhere_costs_no_further_run() -> Result<()> {
    for link in Link::ALL {
        let built = Program::new("world").bin("plain").link(link).cold().build()?;
        let snapshot = built.folder().join("plain.snap");
        let run = Run::of(&mut freeze(&built.cold, &snapshot, &["-v"])?)?;
        run.require_success()?;
        for word in ["depend", "once more", "warning"] {
            ensure!(!run.stderr.contains(word), "{link:?}: {}", run.stderr);
        }
    }
    Ok(())
}
