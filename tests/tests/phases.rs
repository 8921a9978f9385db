//! The stages run one by one, where the files may be, and what `inspect` says of them.

use anyhow::{Context, Result, ensure};
use fastboot_tests::programs::{Link, Program, TargetFolder, cold_path, fastboot, programs, succeed};
use fastboot_tests::runs::{self, Run};
use fastboot_tests::tools;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

fn freeze(binary: &Path, snapshot: &Path) -> Result<()> {
    // `build` freezes in the package's folder, `freeze` wherever it is run.
    let folder = programs().join("small");
    succeed(fastboot()?.current_dir(folder).arg("freeze").arg("--binary").arg(binary).arg("-o").arg(snapshot))?;
    Ok(())
}

fn embed(binary: &Path, snapshot: &Path, out: &Path) -> Result<()> {
    let mut command = fastboot()?;
    command.arg("embed").arg("--binary").arg(binary).arg("--snapshot").arg(snapshot).arg("-o").arg(out);
    succeed(&mut command)?;
    Ok(())
}

fn require_equal(expected: &Path, found: &Path) -> Result<()> {
    let (a, b) = (fs::read(expected)?, fs::read(found)?);
    let differing = a.iter().zip(&b).position(|(a, b)| a != b);
    ensure!(
        a == b,
        "{} has {} bytes and {} {}, they differ from byte {differing:?} on",
        expected.display(),
        a.len(),
        found.display(),
        b.len()
    );
    Ok(())
}

#[test]
fn freeze_and_embed_make_what_build_makes() -> Result<()> {
    for link in Link::ALL {
        let built = Program::new("small").link(link).build()?;
        let folder = tempfile::tempdir()?;
        let (snapshot, out) = (folder.path().join("small.snap"), folder.path().join("small"));
        freeze(&built.cold, &snapshot)?;
        embed(&built.cold, &snapshot, &out)?;
        require_equal(&built.embedded, &out).with_context(|| format!("{link:?}"))?;
    }
    Ok(())
}

#[test]
fn stages_on_machines_of_their_own() -> Result<()> {
    // One machine builds, another, without Rust, freezes and embeds.
    let built = Program::new("small").build()?;
    let folder = tempfile::tempdir()?;
    {
        let target = TargetFolder::lock()?;
        let mut build = target.fastboot_build()?;
        build.args(["--package", "small", "--release", "--cold", "--out-dir"]).arg(folder.path());
        succeed(&mut build)?;
    }
    let cold = folder.path().join("small");
    ensure!(cold.metadata()?.permissions().mode() & 0o111 == 0o111, "it cannot be executed");

    let no_rust = |verb: &str| {
        let mut command = fastboot()?;
        command.current_dir(programs().join("small")).arg(verb).env("PATH", "/nonexistent").env_remove("RUSTC");
        anyhow::Ok(command)
    };
    let (snapshot, out) = (folder.path().join("small.snap"), folder.path().join("embedded"));
    succeed(no_rust("freeze")?.arg("--binary").arg(&cold).arg("-o").arg(&snapshot))?;
    succeed(no_rust("embed")?.arg("--binary").arg(&cold).arg("--snapshot").arg(&snapshot).arg("-o").arg(&out))?;
    succeed(no_rust("verify")?.arg(&out))?;
    require_equal(&built.embedded, &out)
}

#[test]
fn runs_are_made_at_once_where_neither_is_in_the_way_of_the_other() -> Result<()> {
    const AT_ONCE: &str = "runs 2 and 3 are made at once";
    const NOT_WELL: &str = "that did not go well";
    let built = Program::new("apart").build()?;
    let several = std::thread::available_parallelism()?.get() > 1;
    for (how, tried, well) in [("", true, true), ("socket", true, false), ("file", false, true), ("child", false, true)]
    {
        let folder = tempfile::tempdir()?;
        let snapshot = folder.path().join("apart.snap");
        let mut command = fastboot()?;
        command.args(["freeze", "-v", "--binary"]).arg(&built.cold).arg("-o").arg(&snapshot);
        command.env("APART", how).env("APART_PATH", folder.path().join("busy"));
        let run = Run::of(&mut command)?;
        ensure!(run.status.success(), "{how}: {}", run.stderr);
        let told = [run.stderr.contains(AT_ONCE), run.stderr.contains(NOT_WELL)];
        ensure!(told == [tried && several, !well && several], "{how}: {}", run.stderr);
        let out = folder.path().join("apart");
        embed(&built.cold, &snapshot, &out)?;
        let thawed = Run::of(&mut std::process::Command::new(&out))?;
        ensure!(thawed.stdout.starts_with("2890"), "{how}: {}", thawed.stdout);
    }
    Ok(())
}

#[test]
fn where_addresses_are_not_randomised_the_proof_has_them_randomised() -> Result<()> {
    let Some(mut setarch) = tools::find("setarch") else { return Ok(()) };
    // Without it, a PIE is refused.
    let built = Program::new("small").link(Link::Pie).build()?;
    let folder = tempfile::tempdir()?;
    let (snapshot, out) = (folder.path().join("small.snap"), folder.path().join("small"));
    let freeze = fastboot()?;
    setarch.arg("--addr-no-randomize").arg(freeze.get_program()).current_dir(programs().join("small"));
    succeed(setarch.arg("freeze").arg("--binary").arg(&built.cold).arg("-o").arg(&snapshot))?;
    embed(&built.cold, &snapshot, &out)?;
    require_equal(&built.embedded, &out)
}

#[test]
fn embedding_again_replaces_the_image() -> Result<()> {
    for link in Link::ALL {
        let built = Program::new("small").link(link).build()?;
        let folder = tempfile::tempdir()?;
        let (snapshot, out) = (folder.path().join("small.snap"), folder.path().join("small"));
        freeze(&built.cold, &snapshot)?;
        embed(&built.embedded, &snapshot, &out)?;
        require_equal(&built.embedded, &out).with_context(|| format!("{link:?}"))?;
        // In place.
        embed(&out, &snapshot, &out)?;
        require_equal(&built.embedded, &out).with_context(|| format!("{link:?}, in place"))?;
    }
    Ok(())
}

#[test]
fn paths_with_spaces_and_letters_of_all_kinds() -> Result<()> {
    let built = Program::new("small").build()?;
    let cold = runs::require_same_result(&built)?;
    let parent = tempfile::tempdir()?;
    let folder = parent.path().join("a folder, größer ✓ 'quoted'");
    fs::create_dir(&folder)?;
    let binary = folder.join("kalt und klein");
    let snapshot = folder.join("bild \"1\".snap");
    let out = folder.join("-fertig 完");
    fs::copy(&built.cold, &binary)?;
    freeze(&binary, &snapshot)?;
    embed(&binary, &snapshot, &out)?;
    runs::require_thaws(&out, cold.sources().len(), &cold.stdout)?;
    succeed(fastboot()?.arg("inspect").arg(&out))?;

    // A whole build, target folder and all.
    let target = folder.join("target folder");
    let mut build = fastboot()?;
    build.args(["build", "--release", "--locked", "--package", "small", "--target-dir"]).arg(&target);
    succeed(build.arg("--out-dir").arg(folder.join("aus gabe")))?;
    runs::require_thaws(&folder.join("aus gabe/small"), cold.sources().len(), &cold.stdout)?;
    require_equal(&target.join("release/small"), &folder.join("aus gabe/small"))
}

#[test]
fn every_binary_gets_its_own_image() -> Result<()> {
    let target = TargetFolder::lock()?;
    succeed(target.fastboot_build()?.args(["--release", "--package", "small", "--package", "allocator"]))?;
    for name in ["small", "allocator"] {
        let made = target.path().join("release");
        let cold = Run::of(&mut runs::program(&cold_path(&made, name)))?;
        cold.require_cold()?;
        runs::require_thaws(&made.join(name), cold.sources().len(), &cold.stdout)?;
    }
    Ok(())
}

#[test]
fn roots_are_evaluated_in_the_folder_of_the_package_with_the_environment_of_the_build() -> Result<()> {
    let target = TargetFolder::lock()?;
    let mut build = target.fastboot_build()?;
    succeed(build.args(["--release", "--package", "small"]).env("SMALL_BUILT_WITH", "a word"))?;
    let run =
        Run::of(runs::program(&target.path().join("release/small")).arg("built").env("SMALL_BUILT_WITH", "late"))?;
    runs::require_same("name = \"small\" Some(\"a word\")\n", &run.stdout)
}

#[test]
fn run_passes_arguments_and_ending_on() -> Result<()> {
    let target = TargetFolder::lock()?;
    let command = || -> Result<_> {
        let mut command = fastboot()?;
        command.arg("run").arg("--target-dir").arg(target.path()).args(["--release", "--package", "small", "--"]);
        Ok(command)
    };
    let run = Run::of(command()?.arg("built"))?;
    runs::require_same("name = \"small\" None\n", &run.stdout)?;
    ensure!(!Run::of(command()?.arg("abort"))?.status.success(), "a run that aborts counts as a success");
    Ok(())
}

#[test]
fn inspect_knows_the_roots() -> Result<()> {
    let built = Program::new("small").build()?;
    let folder = tempfile::tempdir()?;
    let snapshot = folder.path().join("small.snap");
    freeze(&built.cold, &snapshot)?;
    for (path, kind) in [(&built.cold, "cold"), (&built.embedded, "embedded"), (&snapshot, "snapshot")] {
        let human = succeed(fastboot()?.arg("inspect").arg(path))?;
        let human = String::from_utf8_lossy(&human.stdout).into_owned();
        ensure!(human.contains(kind), "{kind}:\n{human}");
        let json = succeed(fastboot()?.arg("inspect").arg(path).arg("--json"))?;
        let json: serde_json::Value = serde_json::from_slice(&json.stdout).context("inspect --json is not JSON")?;
        ensure!(json["kind"] == kind, "{kind}: {json:#}");
        let roots = &json["image"]["roots"];
        if kind == "cold" {
            ensure!(roots.is_null(), "a cold binary has no roots in an image: {json:#}");
            continue;
        }
        let names: Vec<_> = roots.as_array().into_iter().flatten().filter_map(|root| root["name"].as_str()).collect();
        for name in ["small::WORDS", "small::INDEX", "small::SHARED", "small::BUILT", "small::OWNER"] {
            ensure!(names.contains(&name) && human.contains(name), "{kind}: no {name}:\n{human}{json:#}");
        }
    }
    Ok(())
}

#[test]
fn inspect_knows_how_dense_an_image_is() -> Result<()> {
    let built = Program::new("small").build()?;
    let folder = tempfile::tempdir()?;
    let snapshot = folder.path().join("verbatim.snap");
    let mut freeze = fastboot()?;
    freeze.current_dir(programs().join("small")).args(["freeze", "--verbatim", "--binary"]).arg(&built.cold);
    succeed(freeze.arg("-o").arg(&snapshot))?;
    let image = |path: &Path| -> Result<serde_json::Value> {
        let json = succeed(fastboot()?.arg("inspect").arg(path).arg("--json"))?;
        Ok(serde_json::from_slice::<serde_json::Value>(&json.stdout)?["image"].take())
    };
    let planned = image(&built.embedded)?;
    // 10,000 words, their vector, the map, and what the other roots are made of.
    let objects = planned["objects"].as_u64().context("no objects")?;
    ensure!((10_006..10_020).contains(&objects), "{planned:#}");
    ensure!(planned["planned"] == objects && planned["placed"] == objects, "not all were placed: {planned:#}");
    ensure!(planned["overflowed"] == 0 && planned["strayed"] == 0, "{planned:#}");
    let density = planned["density"].as_f64().context("no density")?;
    ensure!((0.97..=1.0).contains(&density), "{density}");

    let verbatim = image(&snapshot)?;
    ensure!(verbatim["planned"].is_null() && verbatim["placed"].is_null(), "{verbatim:#}");
    ensure!(verbatim["objects"].as_u64() >= Some(objects), "{verbatim:#}");
    let sparse = verbatim["density"].as_f64().context("no density")?;
    ensure!((0.2..=1.0).contains(&sparse), "{sparse}");
    Ok(())
}
