//! Random allocation traces, thousands of them: frozen with right plans, wrong plans and none, what they left must be what
//! follows from their seeds. See `tests/programs/trace`, which knows.

use anyhow::{Context, Result, ensure};
use fastboot_tests::programs::{Built, Link, Program, fastboot, programs, succeed};
use fastboot_tests::runs::{self, Run};
use std::process::Command;

/// What became of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// Every run allocated the same.
    Planned,
    /// What did not match the plan went elsewhere.
    Overflowed,
    /// There was a second plan.
    Replanned,
    /// There was none in the end.
    Verbatim,
}

impl Outcome {
    /// What `cargo fastboot freeze --verbose` says.
    fn of(said: &str) -> Self {
        let placed = said.lines().rfind(|line| line.contains("objects placed as planned"));
        let Some(placed) = placed.filter(|_| !said.contains("the image is made verbatim")) else {
            return Self::Verbatim;
        };
        if said.contains("refer to what was not planned to live on") {
            return Self::Replanned;
        }
        let right = placed.ends_with("; 0 threads left the plan, 0 allocations overflowed");
        if right { Self::Planned } else { Self::Overflowed }
    }
}

/// How runs differ: see `noise` of the program.
#[derive(Clone, Copy, Debug, Default)]
struct Noise {
    name: Option<&'static str>,
    settles: bool,
}

/// A freeze of many traces.
#[derive(Clone, Copy, Debug)]
struct Freeze {
    link: Link,
    noise: Noise,
    verbatim: bool,
    seed: u64,
    count: u64,
}

impl Freeze {
    fn new(seed: u64) -> Self {
        Self { link: Link::NonPie, noise: Noise::default(), verbatim: false, seed, count: 500 }
    }

    fn with(self, name: &'static str) -> Self {
        Self { noise: Noise { name: Some(name), settles: false }, ..self }
    }

    fn asked<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("TRACE_SEED", self.seed.to_string()).env("TRACE_COUNT", self.count.to_string())
    }

    /// Freezes and embeds, and requires right results, before and after.
    fn run(&self) -> Result<Outcome> {
        self.run_with(&*Program::new("trace").link(self.link).build()?).with_context(|| format!("{self:?}"))
    }

    fn run_with(&self, built: &Built) -> Result<Outcome> {
        let cold = Run::of(self.asked(&mut runs::program(&built.cold)))?;
        cold.require_cold()?;
        let all = format!("{} traces from {} on, ", self.count, self.seed);
        let right = cold.stdout.lines().last().is_some_and(|line| line.starts_with(&all) && line.ends_with(" 0 wrong"));
        ensure!(right, "these are not the traces that were asked for:\n{}", cold.stdout);

        let folder = tempfile::tempdir()?;
        let (snapshot, out) = (folder.path().join("trace.snap"), folder.path().join("trace"));
        let mut freeze = fastboot()?;
        self.asked(&mut freeze).current_dir(programs().join("trace")).env("TRACE_RUNS", folder.path().join("runs"));
        freeze.envs(self.noise.name.map(|name| ("TRACE_NOISE", name)));
        freeze.envs(self.noise.settles.then_some(("TRACE_SETTLES", "1")));
        // Its enums have room that is not always used, in which anything may be left.
        freeze.args(["freeze", "--verbose", "--allow-foreign", "TRACES"]).args(self.verbatim.then_some("--verbatim"));
        let said = succeed(freeze.arg("--binary").arg(&built.cold).arg("-o").arg(&snapshot))?.stderr;
        let mut embed = fastboot()?;
        embed.arg("embed").arg("--binary").arg(&built.cold).arg("--snapshot").arg(&snapshot).arg("-o").arg(&out);
        succeed(&mut embed)?;
        // Nobody tells the embedded program which traces it has.
        runs::require_thaws(&out, 1, &cold.stdout)?;
        Ok(Outcome::of(&String::from_utf8_lossy(&said)))
    }
}

/// Everything but other ways of linking, on traces of their own.
fn every_plan(seed: u64, count: u64) -> Result<()> {
    let freeze = |place: u64| Freeze { count, ..Freeze::new(seed + place * count) };
    assert_eq!(freeze(0).run()?, Outcome::Planned);
    assert_eq!(Freeze { verbatim: true, ..freeze(1) }.run()?, Outcome::Verbatim);
    assert_ne!(freeze(2).with("extra").run()?, Outcome::Planned);
    assert_eq!(freeze(3).with("swap").run()?, Outcome::Verbatim);
    assert_eq!(freeze(4).with("slack").run()?, Outcome::Verbatim);
    let settles = Noise { name: Some("slack"), settles: true };
    assert_eq!(Freeze { noise: settles, ..freeze(5) }.run()?, Outcome::Replanned);
    Ok(())
}

#[test]
fn right_and_wrong_plans_and_none() -> Result<()> {
    every_plan(1, 350)
}

#[test]
fn in_a_position_independent_binary() -> Result<()> {
    assert_eq!(Freeze { link: Link::Pie, ..Freeze::new(10_001) }.run()?, Outcome::Planned);
    Ok(())
}

#[test]
fn a_position_independent_binary_with_a_wrong_plan_is_refused() -> Result<()> {
    let built = Program::new("trace").link(Link::Pie).build()?;
    let freeze = Freeze { link: Link::Pie, ..Freeze::new(1) }.with("swap");
    let error = freeze.run_with(&built).err().context("it was frozen")?;
    let text = format!("{error:#}");
    ensure!(text.contains("came out differently") && text.contains("build without --pie"), "{text}");
    Ok(())
}

#[test]
#[ignore = "takes minutes: `cargo xtask test --full` runs it"]
fn many_more() -> Result<()> {
    for round in 1..=3 {
        every_plan(round * 100_000, 1000)?;
        for link in [Link::Static, Link::Pie] {
            let freeze = Freeze { link, count: 1000, ..Freeze::new(round * 100_000 + 50_000) };
            assert_eq!(freeze.run()?, Outcome::Planned);
        }
    }
    Ok(())
}
