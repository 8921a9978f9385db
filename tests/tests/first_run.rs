//! Programs that freeze themselves where they run: the first start is cold and leaves a snapshot for the second, whatever
//! happens meanwhile.

use anyhow::{Context, Result, ensure};
use fastboot_tests::places::{Layout, embed, forge, freeze};
use fastboot_tests::programs::{Link, Program, TargetFolder, fastboot, succeed};
use fastboot_tests::runs::{self, Run};
use fastboot_tests::tools;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};
use tempfile::TempDir;

/// How many roots the program has.
const ROOTS: usize = 6;
/// What a start says that has another process freeze.
const FREEZING: &str = "; freezing in the background to ";
const NOT_FREEZING: &str = "; not freezing: ";

/// A program, and a cache that is its own.
struct Stage {
    folder: TempDir,
    program: PathBuf,
}

impl Stage {
    fn new(program: &Path) -> Result<Self> {
        Ok(Self { folder: tempfile::tempdir()?, program: program.to_owned() })
    }

    fn of(program: Program) -> Result<Self> {
        Self::new(&program.cold().build()?.embedded)
    }

    fn command(&self) -> Command {
        let mut command = runs::program(&self.program);
        command.env("FASTBOOT_LOG", "1").env("XDG_CACHE_HOME", self.folder.path());
        command
    }

    /// Where the files are.
    fn cache(&self) -> PathBuf {
        self.folder.path().join("first-run")
    }

    /// Waits until nobody freezes any more, and says which files there are.
    fn settled(&self) -> Result<Vec<String>> {
        if self.cache().join("lock").exists() {
            settle(&self.cache())?;
        }
        names(&self.cache())
    }

    /// The file whose name ends like this.
    fn file(&self, suffix: &str) -> Result<PathBuf> {
        let names = self.settled()?;
        let name = names.iter().find(|name| name.ends_with(suffix));
        Ok(self.cache().join(name.with_context(|| format!("no {suffix} in {names:?}"))?))
    }

    /// Makes the folder, and the lock in it.
    fn make_cache(&self) -> Result<()> {
        fs::create_dir(self.cache())?;
        Ok(fs::write(self.cache().join("lock"), "")?)
    }

    /// Requires that a start is cold, freezes in the background, and answers as a cold one does.
    fn require_first(&self, reason: &str) -> Result<Run> {
        let run = Run::of(&mut self.command())?;
        run.require_cold_because(reason)?;
        let log = run.log().unwrap_or_default();
        ensure!(log.contains(FREEZING), "it does not freeze: {log}");
        ensure!(log.contains(&self.cache().display().to_string()), "the path is another: {log}");
        Ok(run)
    }

    /// Requires that the next start has everything from the cache.
    fn require_cached(&self, expected: &str) -> Result<()> {
        self.settled()?;
        let run = Run::of(&mut self.command())?;
        run.require_thawed_from("cache", ROOTS).with_context(|| self.failure())?;
        ensure!(!run.stderr.contains("LAZY was initialised"), "LAZY was not carried");
        runs::require_same(expected, &run.stdout)
    }

    /// What the last freeze said that failed.
    fn failure(&self) -> String {
        let said = self.file(".failed").and_then(|path| Ok(fs::read_to_string(path)?));
        said.unwrap_or_else(|error| error.to_string())
    }
}

/// Waits until nobody has the cache locked.
fn settle(cache: &Path) -> Result<()> {
    let lock = File::open(cache.join("lock"))?;
    lock.lock()?;
    // Not by closing it: a child that another test starts just now has it open too.
    Ok(lock.unlock()?)
}

/// The files in a folder, sorted; none if there is no folder.
fn names(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// Requires that a first start and the one after it are as they should be.
fn require_first_and_second(program: &Path) -> Result<()> {
    let stage = Stage::new(program)?;
    let first = stage.require_first("cache: no snapshot yet")?;
    ensure!(first.stdout.contains("SEEDED: 2000 found"), "{}", first.stdout);
    stage.require_cached(&first.stdout)?;

    let names = stage.settled()?;
    ensure!(matches!(&names[..], [snapshot, lock] if snapshot.ends_with(".snap") && lock == "lock"), "{names:?}");
    for (path, mode) in [(stage.cache(), 0o700), (stage.cache().join(&names[0]), 0o600)] {
        let found = fs::metadata(&path)?.permissions().mode() & 0o777;
        ensure!(found == mode, "{} has mode {found:o}", path.display());
    }

    let off = Run::of(stage.command().env("FASTBOOT", "off"))?;
    off.require_cold_because("FASTBOOT=off")
}

#[test]
fn the_second_start_has_what_the_first_one_froze() -> Result<()> {
    for link in [Link::NonPie, Link::Static] {
        let built = Program::new("first-run").link(link).cold().build()?;
        require_first_and_second(&built.embedded).with_context(|| format!("{link:?}"))?;
    }
    Ok(())
}

#[test]
fn stripping_does_not_hurt() -> Result<()> {
    let built = Program::new("first-run").cold().build()?;
    let Some(mut strip) = tools::find("strip") else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let stripped = folder.path().join("first-run");
    succeed(strip.arg("-o").arg(&stripped).arg(&built.embedded))?;
    ensure!(fs::metadata(&stripped)?.len() < fs::metadata(&built.embedded)?.len(), "nothing was stripped");
    require_first_and_second(&stripped)
}

/// Builds the program with a feature, cold, into this folder.
fn build_with(feature: &str, folder: &Path) -> Result<PathBuf> {
    let target = TargetFolder::lock()?;
    let mut build = target.fastboot_build()?;
    build.args(["--cold", "--release", "--package", "first-run", "--features", feature, "--out-dir"]);
    succeed(build.arg(folder))?;
    Ok(folder.join("first-run"))
}

#[test]
fn an_unchecked_snapshot_may_be_anybodys() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let program = build_with("unchecked", folder.path())?;
    let snapshot = folder.path().join("first-run.snap");
    freeze(&program, &snapshot, &[])?;
    let mut bytes = fs::read(&snapshot)?;
    forge(&mut bytes, |header| header.identity = [7; 32])?;
    fs::write(&snapshot, &bytes)?;
    let run = |program: &Path| Run::of(runs::program(program).env("FASTBOOT_LOG", "1"));
    run(&program)?.require_thawed_from("snapshot", ROOTS)?;
    // Whoever is not told to trust it does not.
    let other = Program::new("first-run").cold().build()?;
    let told = Run::of(runs::program(&other.cold).env("FASTBOOT_LOG", "1").env("FASTBOOT_SNAPSHOT", &snapshot))?;
    told.require_cold_because("it is the image of another binary")?;
    // All else is looked at.
    bytes[40] ^= 1;
    fs::write(&snapshot, &bytes)?;
    run(&program)?.require_cold_because("image damaged")
}

#[test]
fn a_folder_beside_the_program() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let program = build_with("beside", folder.path())?;
    let run = || Run::of(runs::program(&program).env("FASTBOOT_LOG", "1").current_dir("/"));
    let first = run()?;
    first.require_cold_because(FREEZING)?;
    ensure!(first.stderr.contains("snapshot none.snap: cannot open it: no such file"), "{}", first.stderr);
    let cache = folder.path().join("cache/of it");
    settle(&cache)?;
    let second = run()?;
    second.require_thawed_from("cache", ROOTS).with_context(|| format!("{:?}", names(&cache)))?;
    ensure!(second.stderr.contains("not used: snapshot none.snap"), "{}", second.stderr);
    runs::require_same(&first.stdout, &second.stdout)
}

#[test]
fn without_xdg_the_cache_is_in_the_home() -> Result<()> {
    let stage = Stage::of(Program::new("first-run"))?;
    // A relative path counts as none.
    let run = Run::of(stage.command().env("XDG_CACHE_HOME", "relative").env("HOME", stage.folder.path()))?;
    run.require_cold_because(FREEZING)?;
    let cache = stage.folder.path().join(".cache/first-run");
    settle(&cache)?;
    ensure!(names(&cache)?.iter().any(|name| name.ends_with(".snap")), "{:?}", names(&cache)?);

    let nowhere = Run::of(stage.command().env_remove("XDG_CACHE_HOME").env_remove("HOME"))?;
    nowhere.require_cold_because("neither XDG_CACHE_HOME nor HOME says where it is")?;
    let file = stage.folder.path().join("file");
    fs::write(&file, "")?;
    Run::of(stage.command().env("XDG_CACHE_HOME", &file))?.require_cold_because("not a folder")
}

#[test]
fn thirty_two_at_once_leave_one_snapshot() -> Result<()> {
    let stage = Stage::of(Program::new("first-run"))?;
    let start = || stage.command().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let children = (0..32).map(|_| start()).collect::<std::io::Result<Vec<_>>>()?;
    let (mut answers, mut freezing) = (BTreeSet::new(), 0);
    for child in children {
        let output = child.wait_with_output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "{}: {said}", output.status);
        freezing += usize::from(said.contains(FREEZING));
        answers.insert(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    ensure!(freezing == 1, "{freezing} of them froze");
    ensure!(answers.len() == 1, "they disagree: {answers:#?}");
    let names = stage.settled()?;
    ensure!(names.len() == 2, "{names:?}");
    stage.require_cached(answers.first().context("nobody answered")?)
}

#[test]
fn killed_at_any_moment_leaves_no_bad_snapshot() -> Result<()> {
    // A copy, so that what is killed is nobody else's.
    let folder = tempfile::tempdir()?;
    let program = folder.path().join("first-run");
    fs::copy(&Program::new("first-run").cold().build()?.embedded, &program)?;
    let stage = Stage::new(&program)?;
    let began = Instant::now();
    let expected = stage.require_first("no snapshot yet")?.stdout;
    stage.settled()?;
    let whole = began.elapsed();
    stage.require_cached(&expected)?;
    fs::remove_file(stage.file(".snap")?)?;

    // How long a freeze takes is learned on the way, as the machine may be busy: two of three are killed in time.
    let (mut killed, mut finished, mut random, mut longest) = (0, 0, 1u64, whole);
    for attempt in 0..2000 {
        if killed == 200 {
            break;
        }
        // Cold, or thawed from what an earlier attempt left, but in no case wrong.
        let run = Run::of(&mut stage.command())?;
        run.require_success().with_context(|| format!("attempt {attempt}"))?;
        runs::require_same(&expected, &run.stdout).with_context(|| format!("attempt {attempt}"))?;
        let log = run.log().unwrap_or_default();
        let freezes = log.contains(FREEZING);
        ensure!(freezes || log.contains("from cache"), "attempt {attempt}: {log}");
        // Numerical Recipes' generator is random enough for moments.
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        std::thread::sleep(longest.mul_f64((random >> 8 & 0xffff) as f64 / 65536.0));
        let in_time = kill_all(&stage.program)?;
        killed += usize::from(in_time);
        if freezes {
            longest = longest.mul_f64(if in_time { 1.02 } else { 0.96 });
        }

        let names = stage.settled()?;
        finished += usize::from(names.iter().any(|name| name.ends_with(".snap")));
        // Otherwise an hour would have to pass; and every other time, what was finished is used.
        for name in names.iter().filter(|name| name.ends_with(".failed") || attempt % 2 == 0 && name.ends_with(".snap"))
        {
            fs::remove_file(stage.cache().join(name))?;
        }
    }
    eprintln!("{killed} were killed in time, {finished} times there was a snapshot");
    ensure!(killed == 200 && finished > 0, "only {killed} were killed in time, {finished} times there was a snapshot");
    let leftovers = |stage: &Stage| Ok::<_, anyhow::Error>(stage.settled()?.iter().any(|name| name.ends_with(".tmp")));
    Run::of(&mut stage.command())?.require_success()?;
    stage.require_cached(&expected)?;
    ensure!(!leftovers(&stage)?, "leftovers stay: {:?}", stage.settled()?);
    Ok(())
}

/// Kills all processes of this executable; whether there was one.
fn kill_all(program: &Path) -> Result<bool> {
    let mut killed = false;
    for entry in fs::read_dir("/proc")? {
        let process = entry?;
        if fs::read_link(process.path().join("exe")).is_ok_and(|executable| executable == program) {
            let kill = format!("kill -9 {}", process.file_name().display());
            killed |= Command::new("sh").args(["-c", &kill]).stderr(Stdio::null()).status()?.success();
        }
    }
    Ok(killed)
}

#[test]
fn embed_killed_at_any_moment_leaves_no_bad_binary() -> Result<()> {
    let built = Program::new("first-run").cold().build()?;
    let folder = tempfile::tempdir()?;
    let [snapshot, out] = ["first-run.snap", "first-run"].map(|name| folder.path().join(name));
    // What `build --cold` left is like any cold binary for the tool, and the image takes the place of its tables.
    freeze(&built.embedded, &snapshot, &[])?;
    let began = Instant::now();
    embed(&built.embedded, &snapshot, &out, &[])?;
    let whole = began.elapsed();
    let expected = Run::of(runs::program(&out).env("FASTBOOT_LOG", "1"))?;
    expected.require_thawed(ROOTS)?;

    let mut finished = 0;
    for attempt in 0..200u32 {
        let _ = fs::remove_file(&out);
        let mut command = fastboot()?;
        command.arg("embed").arg("--binary").arg(&built.embedded).arg("--snapshot").arg(&snapshot);
        let mut child = command.arg("-o").arg(&out).stderr(Stdio::null()).spawn()?;
        std::thread::sleep(whole * attempt / 200);
        child.kill()?;
        child.wait()?;
        if out.exists() {
            finished += 1;
            let run = Run::of(runs::program(&out).env("FASTBOOT_LOG", "1"))?;
            run.require_thawed(ROOTS).with_context(|| format!("attempt {attempt}"))?;
            runs::require_same(&expected.stdout, &run.stdout)?;
        }
    }
    eprintln!("{finished} of 200 were finished");
    ensure!(finished < 200, "none was killed in time");
    Ok(())
}

#[test]
fn what_a_snapshot_cannot_hold_stays_cold() -> Result<()> {
    let cases = [
        ("panic", "failed: root `first_run::TROUBLE` panicked at ", "this root is broken"),
        ("exit", "did not end: root `first_run::TROUBLE` was being evaluated", ""),
        ("abort", "did not end: root `first_run::TROUBLE` was being evaluated", ""),
        ("descriptor", "failed: root `first_run::TROUBLE` left the file descriptor ", "/etc/passwd"),
        ("thread", "failed: root `first_run::TROUBLE` left the thread ", ""),
        ("child", "failed: root `first_run::TROUBLE` left the child process ", ""),
        ("malloc", "failed: root `first_run::TROUBLE` holds memory of C code", ""),
        ("memory", "failed: root `first_run::TROUBLE` needs more memory than there is", ""),
        ("stdout", "failed: the image refers to the static at ", ""),
        ("unequal", "failed: root `first_run::TROUBLE`, thawed, is not equal to a fresh one", ""),
    ];
    for (trouble, begins, says) in cases {
        let stage = Stage::of(Program::new("first-run"))?;
        let run = || Run::of(stage.command().env("TROUBLE", trouble));
        let first = run()?;
        first.require_cold_because(FREEZING).context(trouble)?;
        let names = stage.settled()?;
        ensure!(names.len() == 2 && names[0].ends_with(".failed"), "{trouble}: {names:?}");
        let failure = stage.failure();
        ensure!(failure.starts_with(begins) && failure.contains(says), "{trouble}: {failure}");

        // It is not tried again at once,
        let second = run()?;
        let reason = format!("{NOT_FREEZING}the attempt 0 min ago {begins}");
        second.require_cold_because(&reason).context(trouble)?;
        runs::require_same(&first.stdout, &second.stdout)?;
        // but later: after an hour if it may have been an accident, else after a day.
        let age = |hours: u64| -> Result<()> {
            let then = SystemTime::now() - Duration::from_secs(hours * 3600 + 60);
            Ok(File::options().write(true).open(stage.file(".failed")?)?.set_modified(then)?)
        };
        if begins.starts_with("failed") {
            age(23)?;
            run()?.require_cold_because(NOT_FREEZING).context(trouble)?;
            age(24)?;
        } else {
            age(1)?;
        }
        // By then there is no trouble any more.
        stage.require_first("no snapshot yet").context(trouble)?;
        ensure!(stage.settled()?[0].ends_with(".snap"), "{trouble}: {}", stage.failure());
    }
    Ok(())
}

#[test]
fn a_snapshot_that_is_of_no_use_is_made_anew() -> Result<()> {
    let stage = Stage::of(Program::new("first-run"))?;
    let expected = stage.require_first("no snapshot yet")?.stdout;
    let path = stage.file(".snap")?;
    let good = fs::read(&path)?;
    let flipped = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        bytes
    };
    let table = Layout::of(&good)?.tables[0].1.start;
    let mut others = good.clone();
    forge(&mut others, |header| header.identity = [7; 32])?;
    let mut no_processor = good.clone();
    forge(&mut no_processor, |header| header.cpu_more = 1 << 31)?;
    let cases = [
        (Vec::new(), "not a fastboot image"),
        (good[..good.len() / 2].to_vec(), "image truncated"),
        (flipped(40), "image damaged: header"),
        (flipped(8), "image format version 5, this program reads version 4"),
        (flipped(table), "image damaged: root directory"),
        (others, "it is the image of another binary"),
        (no_processor, "the processor lacks"),
    ];
    for (bytes, reason) in cases {
        fs::write(&path, bytes)?;
        stage.require_first(&format!("cache: {reason}"))?;
        stage.require_cached(&expected).context(reason)?;
        ensure!(Layout::of(&fs::read(&path)?)?.tables.len() == Layout::of(&good)?.tables.len(), "{reason}");
    }

    // One that somebody else may have put there is neither used nor touched.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666))?;
    let run = Run::of(&mut stage.command())?;
    run.require_cold_because("cache: others may write to it")?;
    let log = run.log().unwrap_or_default();
    ensure!(!log.contains("freezing"), "{log}");
    Ok(())
}

#[test]
fn what_nobody_uses_is_removed() -> Result<()> {
    const DAY: Duration = Duration::from_secs(24 * 3600);
    let stage = Stage::of(Program::new("first-run"))?;
    stage.make_cache()?;
    let put = |name: &str, days: u32| -> Result<()> {
        let file = File::create(stage.cache().join(name))?;
        let then = SystemTime::now() - DAY * days;
        Ok(file.set_times(fs::FileTimes::new().set_modified(then).set_accessed(then))?)
    };
    let hash = |digit: char| digit.to_string().repeat(32);
    // Four besides the new one stay, unless they are old.
    for (digit, days) in [('1', 1), ('2', 2), ('3', 31), ('4', 3), ('5', 4), ('6', 5), ('7', 6)] {
        put(&format!("{}.snap", hash(digit)), days)?;
    }
    put(&format!("{}.failed", hash('8')), 2)?;
    put(&format!("{}.failed", hash('9')), 31)?;
    put(&format!("{}.tmp", hash('a')), 0)?;
    put("notes.snap", 100)?;
    stage.require_first("no snapshot yet")?;
    stage.settled()?;
    let mut expected: Vec<String> = ['1', '2', '4', '5'].map(|digit| format!("{}.snap", hash(digit))).into();
    expected.extend([format!("{}.failed", hash('8')), "lock".into(), "notes.snap".into()]);
    let others: Vec<String> = stage.settled()?.into_iter().filter(|name| !expected.contains(name)).collect();
    ensure!(stage.settled()?.len() == expected.len() + 1, "{:?}", stage.settled()?);
    ensure!(matches!(&others[..], [own] if own.ends_with(".snap")), "{others:?}");
    Ok(())
}

#[test]
fn the_program_hears_nothing_of_it() -> Result<()> {
    let stage = Stage::of(Program::new("first-run"))?;
    let run = Run::of(stage.command().arg("children"))?;
    run.require_cold_because(FREEZING)?;
    // ECHILD, for which std has no name.
    ensure!(run.stderr.contains("children: waitpid -1 Uncategorized, SIGCHLD 0"), "{}", run.stderr);
    stage.settled()?;

    // Where the program would become its parent, there is none.
    let stage = Stage::of(Program::new("first-run"))?;
    let run = Run::of(stage.command().arg("adopt").env("FASTBOOT", "off"))?;
    run.require_cold()?;
    ensure!(run.stderr.contains(&format!("{NOT_FREEZING}this process adopts orphans")), "{}", run.stderr);
    ensure!(!stage.cache().exists(), "it made a cache");
    Ok(())
}

#[test]
fn in_the_foreground_there_is_a_result() -> Result<()> {
    let stage = Stage::of(Program::new("first-run"))?;
    let freeze = |change: &dyn Fn(&mut Command) -> &mut Command| {
        let run = Run::of(change(stage.command().arg("freeze").env_remove("FASTBOOT_LOG")))?;
        run.require_success()?;
        Ok::<_, anyhow::Error>(run.stderr)
    };
    let said = freeze(&|command| command)?;
    let path = stage.file(".snap")?;
    ensure!(said.contains(&format!("froze {}", path.display())), "{said}");
    let first = fs::metadata(&path)?.modified()?;
    // Anew, though there is one, which this process has thawed; nothing else is told of a failure before.
    fs::write(path.with_extension("failed"), "failed: before")?;
    let said = freeze(&|command| command)?;
    ensure!(said.contains("froze ") && fs::metadata(&path)?.modified()? > first, "{said}");
    ensure!(stage.settled()?.len() == 2, "{:?}", stage.settled()?);

    let said = freeze(&|command| command.env("TROUBLE", "panic"))?;
    ensure!(said.contains("cannot freeze: it failed: root `first_run::TROUBLE` panicked at"), "{said}");
    let said = freeze(&|command| command.env("TROUBLE", "exit"))?;
    ensure!(said.contains("cannot freeze: it did not end: root `first_run::TROUBLE`"), "{said}");
    let said = freeze(&|command| command.env("FASTBOOT", "off"))?;
    ensure!(said.contains("cannot freeze: FASTBOOT=off"), "{said}");
    // The one from before is still good.
    stage.require_cached(&Run::of(stage.command().env("FASTBOOT", "off"))?.stdout)
}

#[test]
fn binaries_that_cannot_freeze_themselves_say_so() -> Result<()> {
    let pie = Stage::of(Program::new("first-run").link(Link::Pie))?;
    let run = Run::of(&mut pie.command())?;
    run.require_cold_because("; not freezing: a position-independent executable cannot freeze itself")?;
    let said = Run::of(pie.command().arg("freeze"))?.stderr;
    ensure!(said.contains("cannot freeze: a position-independent executable"), "{said}");

    // The cold binary that `build` keeps has no tables, one from plain cargo not even a stamp.
    let stamped = Stage::new(&Program::new("first-run").cold().build()?.cold)?;
    Run::of(&mut stamped.command())?
        .require_cold_because("; not freezing: the program was not built with `cargo fast")?;
    let target = TargetFolder::lock()?;
    succeed(target.cargo("build").args(["--release", "--package", "first-run"]))?;
    let plain = Stage::new(&target.path().join("release/first-run"))?;
    let run = Run::of(plain.command().arg("freeze"))?;
    run.require_cold()?;
    ensure!(!run.stderr.contains("freezing"), "{}", run.stderr);
    ensure!(run.stderr.contains("cannot freeze: the program was not built with `cargo fastboot build --cold`"));
    for stage in [pie, stamped, plain] {
        ensure!(!stage.cache().exists(), "{} made a cache", stage.program.display());
    }

    // The variable is for the program itself.
    let stage = Stage::of(Program::new("first-run"))?;
    stage.make_cache()?;
    let run = Run::of(stage.command().env("FASTBOOT_FREEZE_CACHE", "background"))?;
    ensure!(!run.status.success() && run.stderr.contains("is not to be set by hand"), "{}", run.stderr);
    Ok(())
}
