//! Where an image may come from: section, footer, snapshot, in this order; each is used, and each falls through to the next.

use anyhow::{Context, Result, ensure};
use fastboot_format::image::{FLAG_FOOTER, FLAGS_OFFSET, Header};
use fastboot_tests::places::{Layout, Places, embed, forge, freeze};
use fastboot_tests::programs::{Link, Program, TargetFolder, cold_path, fastboot, succeed};
use fastboot_tests::runs::{self, Run};
use fastboot_tests::tools;
use std::fs;
use std::path::Path;
use std::process::Command;

/// How many roots the program has.
const ROOTS: usize = 7;

fn program(path: &Path) -> Command {
    let mut command = runs::program(path);
    command.env("FASTBOOT_LOG", "1");
    command
}

/// The program, its images, and what it prints without one.
fn stage(link: Link) -> Result<(Places, String)> {
    let built = Program::new("sources").link(link).build()?;
    let cold = runs::require_same_result(&built)?;
    Ok((Places::of(&built)?, cold.stdout))
}

/// Changes a byte of an image's header, and of its copy.
fn flip_in_header(bytes: &mut [u8], layout: &Layout) {
    for at in layout.places_of(layout.image.start + 40) {
        bytes[at] ^= 1;
    }
}

/// Changes a byte of the header of the image in this file.
fn break_header(path: &Path) -> Result<()> {
    let mut bytes = fs::read(path)?;
    let layout = Layout::of(&bytes)?;
    flip_in_header(&mut bytes, &layout);
    Ok(fs::write(path, bytes)?)
}

#[test]
fn every_source_with_every_link() -> Result<()> {
    for link in Link::ALL {
        let (places, expected) = stage(link)?;
        for (source, path) in places.programs() {
            // Alone, after a fork, and in threads that race for the first use.
            for what in ["", "fork", "race"] {
                let run = Run::of(program(path).arg(what))?;
                run.require_thawed_from(source, ROOTS).with_context(|| format!("{link:?}, {source}, {what}"))?;
                runs::require_same(&expected, &run.stdout)?;
                ensure!(!run.stderr.contains("LAZY was initialised"), "{link:?}, {source}: LAZY was not carried");
            }
        }
    }
    Ok(())
}

#[test]
fn the_order_holds_and_each_falls_through_to_the_next() -> Result<()> {
    for link in Link::ALL {
        let (places, expected) = stage(link)?;
        // All three at once: the section's image, one behind that, and a snapshot beside the program.
        let folder = places.folder().join("all");
        fs::create_dir(&folder)?;
        let (all, snapshot) = (folder.join("sources"), folder.join("sources.snap"));
        fs::copy(&places.snapshot, &snapshot)?;
        embed(&places.section, &places.snapshot, &all, &["--footer"])?;

        let run = |source: &str, skipped: &[&str]| -> Result<()> {
            let run = Run::of(&mut program(&all))?;
            match source {
                "" => run.require_cold_because("")?,
                source => run.require_thawed_from(source, ROOTS)?,
            }
            runs::require_same(&expected, &run.stdout)?;
            let log = run.log().unwrap_or_default();
            let named =
                skipped.iter().all(|skipped| log.contains(&format!("{skipped}: image damaged: header has digest")));
            ensure!(named && log.matches("image damaged").count() == skipped.len(), "not {skipped:?}: {log}");
            Ok(())
        };
        run("section", &[]).with_context(|| format!("{link:?}, all there"))?;

        // The section's image is the first one in the file, the footer's the last.
        let mut bytes = fs::read(&all)?;
        let footer = Layout::of(&bytes)?.image.start;
        let section = Layout::of(&bytes[..footer])?;
        flip_in_header(&mut bytes, &section);
        fs::write(&all, &bytes)?;
        run("footer", &["section"]).with_context(|| format!("{link:?}, section broken"))?;
        bytes[footer + 40] ^= 1;
        fs::write(&all, &bytes)?;
        run("snapshot sources.snap", &["section", "footer"]).err().context("sources have no path in their name")?;
        run("snapshot", &["section", "footer"]).with_context(|| format!("{link:?}, both broken"))?;
        break_header(&snapshot)?;
        run("", &["section", "footer", "snapshot sources.snap"]).with_context(|| format!("{link:?}, all broken"))?;
        fs::remove_file(&snapshot)?;
        let run = Run::of(&mut program(&all))?;
        run.require_cold_because("snapshot sources.snap: cannot open it: no such file or folder")?;
    }
    Ok(())
}

#[test]
fn a_program_without_an_image_says_so() -> Result<()> {
    let built = Program::new("small").build()?;
    let run = Run::of(&mut program(&built.cold))?;
    run.require_cold_because("no image embedded; build with `cargo fastboot build`")
}

#[test]
fn the_variable_names_a_snapshot() -> Result<()> {
    let (places, expected) = stage(Link::NonPie)?;
    let folder = places.folder().join("elsewhere");
    fs::create_dir(&folder)?;
    let (alone, other) = (folder.join("sources"), folder.join("other.snap"));
    fs::copy(&places.cold, &alone)?;
    fs::copy(&places.snapshot, &other)?;
    let with = |value: &Path| Run::of(program(&alone).current_dir(&folder).env("FASTBOOT_SNAPSHOT", value));

    for path in [other.as_path(), Path::new("other.snap"), Path::new("./../elsewhere//other.snap")] {
        let run = with(path)?;
        run.require_thawed_from("snapshot", ROOTS).with_context(|| path.display().to_string())?;
        runs::require_same(&expected, &run.stdout)?;
    }
    for (path, says) in [
        ("", "snapshot sources.snap: cannot open it: no such file"),
        ("missing.snap", "snapshot missing.snap: cannot open it: no such file"),
        ("missing/other.snap", "snapshot missing/other.snap: cannot open its folder: no such file"),
        ("other.snap/other.snap", "cannot open its folder: not a folder"),
        ("other.snap/", "cannot use its path: it is a folder"),
        ("..", "it is not a regular file"),
        ("sources", "snapshot sources: not a fastboot image (wrong magic)"),
        (&("x/".repeat(3000) + "x"), "cannot use its path: its path is too long"),
    ] {
        with(Path::new(path))?.require_cold_because(says).with_context(|| format!("{path:?}"))?;
    }
    // The program's own path is one thing, the user's another: a bad one is not replaced by a good one.
    let run = Run::of(program(&places.cold).env("FASTBOOT_SNAPSHOT", "missing.snap"))?;
    run.require_cold_because("snapshot missing.snap: ")
}

#[test]
fn the_programs_own_path_is_relative_to_the_program() -> Result<()> {
    let (places, _) = stage(Link::Static)?;
    let name = Path::new("sources");
    for (folder, path) in [("/", places.cold.as_path()), (".", places.cold.as_path())] {
        Run::of(program(path).current_dir(folder))?.require_thawed_from("snapshot", ROOTS)?;
    }
    let run = Run::of(program(&Path::new(".").join(name)).current_dir(places.cold.parent().context("a folder")?))?;
    run.require_thawed_from("snapshot", ROOTS)
}

#[test]
fn the_snapshot_of_another_build_is_refused_with_both_hashes() -> Result<()> {
    let (places, expected) = stage(Link::NonPie)?;
    let target = TargetFolder::lock()?;
    let mut build = target.fastboot_build()?;
    succeed(build.args(["--release", "--package", "sources", "--features", "other", "--no-verify"]))?;
    let folder = places.folder().join("other");
    fs::create_dir(&folder)?;
    let other = folder.join("sources");
    fs::copy(cold_path(&target.path().join("release"), "sources"), &other)?;
    drop(target);

    let identity = |path: &Path| -> Result<String> {
        let output = succeed(fastboot()?.arg("inspect").arg(path).arg("--json"))?;
        let json: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        Ok(json["identity"].as_str().context("an identity")?.to_owned())
    };
    let (ours, theirs) = (identity(&places.cold)?, identity(&other)?);
    ensure!(ours != theirs, "one function differs, the identity does not");
    let run = Run::of(program(&other).env("FASTBOOT_SNAPSHOT", &places.snapshot))?;
    let reason = format!("it is the image of another binary: it belongs to SHA-256 {ours}, this program is {theirs}");
    run.require_cold_because(&reason)?;
    ensure!(run.stderr.contains("another build"), "{}", run.stderr);
    runs::require_same(&expected, &run.stdout)?;

    // And as a footer, by hand, because the tool refuses.
    let mut bytes = fs::read(&places.footer)?;
    let image = bytes.split_off(Layout::of(&bytes)?.image.start);
    let mut bytes = fs::read(&other)?;
    let placeholder = Header::placeholder();
    let placeholder = bytes.windows(FLAGS_OFFSET).position(|bytes| bytes == &placeholder[..FLAGS_OFFSET]);
    bytes[placeholder.context("it has no placeholder")? + FLAGS_OFFSET] |= FLAG_FOOTER as u8;
    bytes.resize(bytes.len().next_multiple_of(2 << 20), 0);
    let footer = fastboot_format::image::Footer { offset: bytes.len() as u64, length: (image.len() - 32) as u64 };
    bytes.extend_from_slice(&image[..image.len() - 32]);
    bytes.extend_from_slice(&footer.encode());
    fs::write(&other, bytes)?;
    Run::of(&mut program(&other))?.require_cold_because(&reason)
}

#[test]
fn footers_replace_each_other() -> Result<()> {
    for link in Link::ALL {
        let (places, _) = stage(link)?;
        let again = places.folder().join("again");
        embed(&places.footer, &places.snapshot, &again, &["--footer"])?;
        ensure!(fs::read(&places.footer)? == fs::read(&again)?, "{link:?}: a footer on a footer");
        embed(&places.footer, &places.snapshot, &again, &[])?;
        ensure!(fs::read(&places.section)? == fs::read(&again)?, "{link:?}: a section instead of a footer");
    }
    Ok(())
}

#[test]
fn a_footer_that_was_cut_off_is_missed() -> Result<()> {
    for link in Link::ALL {
        let (places, expected) = stage(link)?;
        // As `strip` does, which keeps what the headers know of.
        succeed(Command::new("strip").arg(&places.footer))?;
        let run = Run::of(&mut program(&places.footer))?;
        run.require_cold_because("strip first, then embed").with_context(|| format!("{link:?}"))?;
        runs::require_same(&expected, &run.stdout)?;
    }
    Ok(())
}

#[test]
fn no_footer_is_put_behind_a_section_with_the_image_of_another_binary() -> Result<()> {
    let (places, _) = stage(Link::NonPie)?;
    let mut bytes = fs::read(&places.section)?;
    forge(&mut bytes, |header| header.identity = [7; 32])?;
    fs::write(&places.section, bytes)?;
    let again = places.folder().join("again");
    let error = embed(&places.section, &places.snapshot, &again, &["--footer"]).err().context("it was embedded")?;
    ensure!(format!("{error:#}").contains("holds the image of another binary"), "{error:#}");
    ensure!(!again.exists());
    // Into the section it can go: that replaces the other one.
    embed(&places.section, &places.snapshot, &again, &[])?;
    Run::of(&mut program(&again))?.require_thawed_from("section", ROOTS)
}

#[test]
fn inspect_shows_a_footer() -> Result<()> {
    let (places, _) = stage(Link::NonPie)?;
    let output = succeed(fastboot()?.arg("inspect").arg(&places.footer).arg("--json"))?;
    let json: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    ensure!(json["kind"] == "embedded" && json["place"] == "footer", "{json:#}");
    ensure!(json["footer"]["offset"].as_u64().is_some_and(|offset| offset % (2 << 20) == 0), "{json:#}");
    let human = String::from_utf8(succeed(fastboot()?.arg("inspect").arg(&places.footer))?.stdout)?;
    ensure!(human.contains("footer") && human.contains("sources::WORDS"), "{human}");
    Ok(())
}

/// Where a section of an executable lies in memory.
struct Section {
    name: String,
    begin: u64,
    end: u64,
}

/// The sections of an executable, as `readelf` lists them.
fn sections(path: &Path) -> Result<Vec<Section>> {
    let listed = succeed(Command::new("readelf").args(["--sections", "--wide"]).arg(path))?.stdout;
    let listed = String::from_utf8(listed)?;
    let sections = listed.lines().filter_map(|line| {
        let mut fields = line.split_once(']')?.1.split_whitespace();
        let (name, _kind, begin) = (fields.next()?, fields.next()?, fields.next()?);
        let begin = u64::from_str_radix(begin, 16).ok()?;
        let size = u64::from_str_radix(fields.nth(1)?, 16).ok()?;
        Some(Section { name: name.to_owned(), begin, end: begin + size })
    });
    Ok(sections.collect())
}

/// A page fault maps the pages around it up to multiples of this many bytes.
const WINDOW: u64 = 64 << 10;

#[test]
fn what_every_start_runs_is_mapped_by_one_page_fault() -> Result<()> {
    let (places, _) = stage(Link::NonPie)?;
    let sections = sections(&places.section)?;
    let at = |name: &str| {
        let found = sections.iter().find(|section| section.name == name);
        found.with_context(|| format!("there is no section {name}"))
    };
    let (start, calls) = (at(".text.fastboot")?, at(".plt")?);
    ensure!(start.begin.is_multiple_of(WINDOW), "it begins at {:#x}", start.begin);
    ensure!(calls.end <= start.begin + WINDOW, "{:#x} bytes of code are run at every start", calls.end - start.begin);
    // What freezes is not between the program's own code and the standard library's.
    ensure!(at(".text.freeze")?.begin >= at(".text")?.end, "the code that freezes is in between");
    Ok(())
}

/// Builds `sources` with a footer, with a linker that knows no scripts, or with the usual one.
fn build_with_footer(linker: Option<&str>, options: &[&str]) -> Result<()> {
    let target = TargetFolder::lock()?;
    let mut build = target.fastboot_build()?;
    if let Some(linker) = linker {
        let flags = format!("-Clinker-features=-lld -Clink-arg=-fuse-ld={linker}");
        build.env("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS", flags);
    }
    // Verified, too.
    succeed(build.args(["--release", "--package", "sources", "--footer"]).args(options))?;
    let made = target.path().join("release");
    let comment = fs::read(made.join("sources"))?;
    let by_mold = comment.windows(5).any(|window| window == b"mold ");
    ensure!(by_mold == (linker == Some("mold")), "linked by another linker");
    // What starts run is put together as far as the linker takes the script for that; where there is no twin, nobody would notice.
    let together = sections(&made.join("sources"))?.iter().any(|section| section.name == ".text.fastboot");
    ensure!(together == (linker.is_none() && !options.contains(&"--pie")), "{linker:?}, {options:?}");
    let cold = Run::of(&mut runs::program(&cold_path(&made, "sources")))?;
    cold.require_cold()?;
    let run = Run::of(&mut program(&made.join("sources")))?;
    run.require_thawed_from("footer", ROOTS).with_context(|| format!("{linker:?}, {options:?}"))?;
    runs::require_same(&cold.stdout, &run.stdout)?;
    // Without a segment of its own there is only this way.
    let snapshot = target.path().join("sources.snap");
    freeze(&cold_path(&made, "sources"), &snapshot, &[])?;
    let refused = embed(&cold_path(&made, "sources"), &snapshot, &target.path().join("sources.out"), &[]);
    let said = refused.err().map(|error| format!("{error:#}")).unwrap_or_default();
    ensure!(said.contains("no segment of its own") && said.contains("--footer"), "{said}");
    Ok(())
}

#[test]
fn a_binary_linked_without_the_script_has_a_footer() -> Result<()> {
    [[].as_slice(), &["--static"], &["--pie"]].into_iter().try_for_each(|options| build_with_footer(None, options))
}

#[test]
fn a_binary_linked_by_mold_has_a_footer() -> Result<()> {
    if tools::find("mold").is_none() {
        return Ok(());
    }
    // Not `--static` alone: mold 1.10 makes programs of it that crash before `main`, fastboot or not.
    let links = [[].as_slice(), &["--static", "--pie"], &["--pie"]];
    links.into_iter().try_for_each(|options| build_with_footer(Some("mold"), options))
}

#[test]
fn a_binary_of_plain_cargo_can_be_given_a_footer() -> Result<()> {
    let target = TargetFolder::lock()?;
    succeed(target.cargo("build").args(["--release", "--package", "constructor"]))?;
    let plain = target.path().join("release/constructor");
    let run = Run::of(&mut program(&plain))?;
    ensure!(run.log().is_some_and(|log| log.contains("cargo fastboot build")), "{}", run.stderr);
    let folder = tempfile::tempdir()?;
    let (snapshot, out) = (folder.path().join("it.snap"), folder.path().join("constructor"));
    freeze(&plain, &snapshot, &[])?;
    embed(&plain, &snapshot, &out, &["--footer"])?;
    let thawed = Run::of(&mut program(&out))?;
    ensure!(thawed.log().is_some_and(|log| log.contains("thawed 1 root from footer")), "{}", thawed.stderr);
    runs::require_same(&run.stdout, &thawed.stdout)?;
    // Before it was stamped, it did not know itself, and looked for no file.
    let run = Run::of(program(&plain).env("FASTBOOT_SNAPSHOT", &snapshot))?;
    ensure!(run.log().is_some_and(|log| log.contains("cold start: ") && !log.contains("snapshot")), "{}", run.stderr);
    Ok(())
}
