//! The pipeline of `build` and `run`: cold binary → image → embedded binary, where cargo put the cold one.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use cargo_metadata::{Metadata, Package, PackageId};
use fastboot_format::image::FLAG_VERITY;

use super::kept::{create_folder, keep_cold};
use crate::cargo::environment::program_environment;
use crate::cargo::lock::BuildLock;
use crate::cargo::messages::Messages;
use crate::cargo::platform::{Platform, runner};
use crate::cargo::select::{Selected, Verb, select};
use crate::cargo::{self, ColdBuild, Linking};
use crate::carry::known::KnownNames;
use crate::carry::rules;
use crate::cli::{BuildFlags, FreezeFlags, FreezeHow, RunFlags, VerifyFlags};
use crate::command::compare_run::{compare_runs as runs_to_compare, stdin_files};
use crate::elf::binary::{Binary, Elf};
use crate::elf::strip;
use crate::embed;
use crate::freeze::compare_runs;
use crate::freeze::finish::FreezeOutput;
use crate::freeze::fresh::{Record, Store};
use crate::freeze::pipeline::{NO_TWIN, freeze};
use crate::freeze::train::freeze_trained;
use crate::freeze::verify::verify;
use crate::image::Image;
use crate::link::wrapper::{self, Tasks};
use crate::migrate::{self, Freeze, Present};
use crate::options::{Choices, FreezeOptions, Place};
use crate::say::output;
use crate::say::shell::{Shell, megabytes};

/// A finished binary, and what it needs to be run as cargo would.
#[derive(Debug)]
struct Finished {
    executable: PathBuf,
    environment: Vec<(OsString, OsString)>,
    runner: Vec<OsString>,
}

/// All that one command built. Until it is dropped, no other build puts its own in their place.
struct Programs {
    finished: Vec<Finished>,
    _lock: BuildLock,
}

/// What cargo built, where the cold binary is, and what is known of it from its link, if that was watched.
struct Cold {
    built: ColdBuild,
    path: PathBuf,
    present: Option<Present>,
}

/// `cargo fastboot build`.
pub(crate) fn build(flags: &BuildFlags, shell: &Shell) -> Result<()> {
    build_all(flags, Verb::Build, shell).map(drop)
}

/// `cargo fastboot run`: returns only if it cannot.
pub(crate) fn run(flags: &RunFlags, shell: &Shell) -> Result<Infallible> {
    let programs = build_all(&flags.build, Verb::Run, shell)?;
    let program = programs.finished.first().context("no binary was built; name one with `--bin NAME`")?;
    let mut words = program.runner.iter().map(OsString::as_os_str).chain([program.executable.as_os_str()]);
    let first = words.next().unwrap_or(program.executable.as_os_str());
    let mut command = Command::new(first);
    command.args(words).args(&flags.arguments).envs(program.environment.iter().map(|(name, value)| (name, value)));
    let arguments: String = flags.arguments.iter().map(|argument| format!(" {}", argument.display())).collect();
    shell.status("Running", format_args!("`{}{arguments}`", shown(&program.executable).display()));
    Err(command.exec()).with_context(|| format!("cannot run {}", first.display()))
}

/// `cargo fastboot freeze`.
pub(crate) fn freeze_alone(flags: &FreezeFlags, shell: &Shell) -> Result<()> {
    let options = freeze_options(&flags.how, runner(flags.target.as_deref())?);
    let mut image = freeze(&flags.binary, &options, shell)?.image;
    flags.image.apply(&mut image);
    if flags.fs_verity {
        image.change_flags(FLAG_VERITY, 0);
    }
    image.save(&flags.output_path)?;
    let path = flags.output_path.display();
    shell.status("Finished", format_args!("froze {}, in {path}", summary(image.root_count(), image.len())));
    Ok(())
}

/// `cargo fastboot verify`.
pub(crate) fn verify_alone(flags: &VerifyFlags, shell: &Shell) -> Result<()> {
    verify(&flags.path, &freeze_options(&flags.how, runner(flags.target.as_deref())?), shell)
}

/// Builds everything that was selected, then freezes and embeds each: all compile errors come before the first freeze.
fn build_all(flags: &BuildFlags, verb: Verb, shell: &Shell) -> Result<Programs> {
    let platform = Platform::load(flags.compilation.target.as_deref(), &flags.manifest.config)?;
    platform.require_flags()?;
    let metadata = cargo::metadata(flags, &platform.triple)?;
    let selection = select(&metadata, flags, verb, shell)?;
    let target = target_folder(&metadata, flags)?;
    let folder = target.join("fastboot");
    create_folder(&folder)?;
    let script = write_script(&folder, "fastboot-", fastboot_linker::SCRIPT)?;
    let start_script = write_script(&folder, wrapper::START_SCRIPT, fastboot_linker::START_SCRIPT)?;
    let (linker, high) = linker(&target, flags, &platform, shell);
    let linking = Linking { script, start_script, linker, high };
    // From before cargo builds until the finished programs are where they belong.
    let profile = flags.compilation.profile_folder();
    let lock = BuildLock::acquire(&folder.join(format!("{}-{profile}.lock", platform.triple)), shell)?;
    let messages = Messages::new(&flags.message_format, shell);
    let finished = selection
        .iter()
        .map(|selected| {
            let mut built = cargo::build_cold(*selected, &selection, flags, &linking, &messages, shell)?;
            let bytes = std::mem::take(&mut built.bytes);
            let present = linking.linker.is_some().then(|| Present::find(&built.executable, &bytes));
            let path = keep_cold(*selected, &selection, &built.executable, bytes, flags);
            let path = path.with_context(|| format!("cannot freeze `{}`", selected.name()))?;
            Ok(Cold { built, path, present })
        })
        .collect::<Result<Vec<_>>>()
        .and_then(|built| {
            let each = selection.iter().zip(built);
            each.map(|(selected, cold)| finish(*selected, cold, flags, &platform, &metadata, shell)).collect()
        });
    messages.finish(finished.is_ok());
    Ok(Programs { finished: finished?, _lock: lock })
}

/// What to call in place of the linker, and whether for high addresses. It also links a twin, except where the system loads the
/// program elsewhere each time, or it is not frozen now.
fn linker(target: &Path, flags: &BuildFlags, platform: &Platform, shell: &Shell) -> (Option<PathBuf>, bool) {
    let tasks = Tasks {
        high: !flags.link.pie && !flags.link.static_libc && platform.can_link_high(),
        twin: !flags.cold && (!flags.link.pie || flags.migrate),
        graph: !flags.cold && flags.migrate,
    };
    if tasks == Tasks::default() {
        return (None, false);
    }
    let why = match wrapper::install(target, platform.linker.as_deref(), tasks) {
        Ok(Some(linker)) => return (Some(linker), tasks.high),
        Ok(None) => "the linker is not called as a compiler is".to_owned(),
        Err(error) => format!("{error:#}"),
    };
    shell.verbose(format_args!("the program is linked for low addresses, and not a second time for others: {why}"));
    (None, false)
}

/// Freezes the binary that cargo built and puts the embedded one in its place.
fn finish(
    selected: Selected<'_>,
    cold: Cold,
    flags: &BuildFlags,
    platform: &Platform,
    metadata: &Metadata,
    shell: &Shell,
) -> Result<Finished> {
    let Cold { built, path, .. } = &cold;
    let executable = &built.executable;
    let environment = program_environment(selected, built, platform);
    shell.verbose(format_args!("cold binary: {}", shown(path).display()));
    let mut options = FreezeOptions {
        directory: selected.package.manifest_path.parent().map(|folder| folder.as_std_path().to_owned()),
        environment: environment.clone(),
        train: flags.train.clone(),
        elsewhere: crate_names(metadata, |_| true),
        local: crate_names(metadata, |package| package.source.is_none()),
        c_libraries: built.binding.iter().map(|id| package_name(id).to_owned()).collect(),
        stdin: stdin_files(flags)?,
        compare: runs_to_compare(selected.package, flags)?,
        ..freeze_options(&flags.how, platform.runner.clone())
    };
    options.choices.carry.extend(metadata_names(selected.package, "carry")?);
    options.choices.skip.extend(metadata_names(selected.package, "skip")?);
    if flags.cold {
        leave_cold(path, executable, &options).with_context(|| format!("cannot finish `{}`", selected.name()))?;
        shell.status("Finished", format_args!("cold, in {}", shown(executable).display()));
        copy_out(flags, executable, shell)?;
        return Ok(Finished { executable: executable.clone(), environment, runner: platform.runner.clone() });
    }
    options.allow_foreign.extend(metadata_names(selected.package, "allow-foreign")?);
    options.allow_nondeterminism.extend(metadata_names(selected.package, "allow-nondeterminism")?);
    options.allow_shared.extend(metadata_names(selected.package, "allow-shared")?);
    options.allow_threads.extend(metadata_names(selected.package, "allow-threads")?);
    options.allow_world.extend(metadata_names(selected.package, "allow-world")?);
    let record = finish_in_place(&cold, flags, &options, shell).with_context(|| {
        let path = shown(executable);
        format!(
            "cannot finish `{}`; the binary at {} stays cold: it evaluates its roots on first use",
            selected.name(),
            path.display()
        )
    })?;
    let path = shown(executable);
    shell.status("Finished", format_args!("embedded {}, in {}", summary(record.roots, record.image), path.display()));
    copy_out(flags, executable, shell)?;
    Ok(Finished { executable: executable.clone(), environment, runner: platform.runner.clone() })
}

/// Puts the cold binary to where cargo put the executable, with what it needs to freeze itself where it runs. One that is
/// position-independent, or was linked without the script, cannot do that.
fn leave_cold(cold: &Path, executable: &Path, options: &FreezeOptions) -> Result<()> {
    let binary = Binary::read(cold)?;
    if binary.pie || binary.section.segment.is_none() {
        // As in `freeze_and_embed`: a new file in place of cargo's hard link.
        return output::replace(executable, Some(cold), |file| Ok(std::io::Write::write_all(file, &binary.bytes)?));
    }
    let FreezeOptions { choices, elsewhere, .. } = options;
    let elf = Elf::parse(&binary.bytes)?;
    let cannot_tell = || format!("cannot tell what statics {} has", cold.display());
    let statics = rules::rules(&elf, &binary.bytes, choices).with_context(cannot_tell)?;
    KnownNames::read(&elf, &binary.bytes, elsewhere)?.require_choices(choices, &[])?;
    let tables = Image::cold(&binary, &statics)?;
    embed::embed_into(binary, &tables, Place::Section, executable)
}

/// Does what `--out-dir` says, if it was given.
fn copy_out(flags: &BuildFlags, executable: &Path, shell: &Shell) -> Result<()> {
    if let Some(folder) = &flags.out_dir {
        let copy = copy_to(folder, executable).with_context(|| {
            format!("cannot copy {}, which is finished, to `--out-dir`", shown(executable).display())
        })?;
        shell.status("Copied", format_args!("to {}", copy.display()));
    }
    Ok(())
}

/// Puts the finished binary to where cargo put the executable: that of an earlier build if it would come out the same,
/// else one that is made now.
fn finish_in_place(cold: &Cold, flags: &BuildFlags, options: &FreezeOptions, shell: &Shell) -> Result<Record> {
    let Cold { built, path, present } = cold;
    let mut options = options.clone();
    if let Some(present) = present
        && let Err(why) = present.use_twin(path, &mut options)
        && !flags.link.pie
    {
        shell.verbose(format_args!("{NO_TWIN}: {why}"));
    }
    if let Some(present) = present.as_ref().filter(|_| flags.migrate) {
        shell.verbose(present.describe());
        present.prepare(&mut options);
    }
    let options = &options;
    let store = Store::new(path, built.stripped, flags.place.place(), flags.image.read_only, options)?;
    let found = if flags.refreeze { Err(None) } else { store.find(options) };
    let mut record = match found {
        Ok(record) => {
            shell.status("Fresh", path.file_stem().unwrap_or_default().display());
            record
        }
        Err(reason) => {
            if let Some(reason) = reason {
                shell.verbose(format_args!("to be frozen: {reason}"));
            }
            match migrate_and_embed(cold, &store, flags, options, shell)? {
                Some(record) => record,
                None => freeze_and_embed(cold, &store, flags, options, shell)?,
            }
        }
    };
    if !record.verified && (flags.verify || (flags.compilation.is_optimized() && !flags.no_verify)) {
        verify(&store.finished, options, shell).inspect_err(|_| {
            // What is not good is not left lying about. If it cannot be removed, the error says what is wrong with it.
            let _ = std::fs::remove_file(&store.finished);
        })?;
        record.verified = true;
        store.keep(&record)?;
    }
    let compared = compare_runs::key(options)?;
    if compared.is_some() && record.compared != compared {
        compare_runs::compare_runs(&store.finished, options, shell).inspect_err(|_| {
            let _ = std::fs::remove_file(&store.finished);
        })?;
        record.compared = compared;
        store.keep(&record)?;
    }
    // Cargo's file is a hard link to one in `deps`, which must stay cold for the next build: another file replaces it.
    // It only gets there when it is known to be good.
    output::link(&store.finished, &built.executable)?;
    Ok(record)
}

/// Makes the finished binary in `store` of the image that is there, if that can be taken over.
fn migrate_and_embed(
    cold: &Cold,
    store: &Store,
    flags: &BuildFlags,
    options: &FreezeOptions,
    shell: &Shell,
) -> Result<Option<Record>> {
    let Some(present) = cold.present.as_ref().filter(|_| flags.migrate) else { return Ok(None) };
    let (image, before) = match present.migrate(&cold.path, store, options) {
        Ok(migrated) => migrated,
        Err(why) => {
            shell.verbose(format_args!("the image is not taken over: {why:#}"));
            return Ok(None);
        }
    };
    let name = cold.path.file_stem().unwrap_or_default().display();
    shell.status("Migrating", format_args!("{name} (nothing that its roots use has changed)"));
    store.forget()?;
    embed_finished(cold, &image, store, flags, shell)?;
    let record = store.describe(&image, before.into_inputs())?;
    migrate::finished_anew(&cold.path, &record)?;
    store.keep(&record)?;
    Ok(Some(record))
}

/// Freezes the binary at `cold` and makes the finished one in `store`.
fn freeze_and_embed(
    cold: &Cold,
    store: &Store,
    flags: &BuildFlags,
    options: &FreezeOptions,
    shell: &Shell,
) -> Result<Record> {
    store.forget()?;
    let mut output = freeze_trained(&cold.path, flags.place.place(), options, shell)?;
    let freeze = Freeze::of(&mut output);
    let FreezeOutput { mut image, inputs, .. } = output;
    flags.image.apply(&mut image);
    let cannot_later = |why: &str| shell.verbose(format_args!("the image cannot be taken over later: {why}"));
    migrate::forget(&cold.path);
    let known = cold.present.as_ref().filter(|_| flags.migrate).and_then(|present| {
        let known = present.examine(&cold.path, freeze, &mut image, options, shell);
        known.inspect_err(|why| cannot_later(why)).ok()
    });
    embed_finished(cold, &image, store, flags, shell)?;
    let record = store.describe(&image, inputs)?;
    if let Some(Err(why)) = known.map(|known| known.remember(&cold.path, &record)) {
        cannot_later(&format!("{why:#}"));
    }
    store.keep(&record)?;
    Ok(record)
}

/// Puts an image into the binary at `cold`, stripped if it is to be, which makes the finished one in `store`.
fn embed_finished(cold: &Cold, image: &Image, store: &Store, flags: &BuildFlags, shell: &Shell) -> Result<()> {
    shell.status("Embedding", megabytes(image.len()));
    let path = &cold.path;
    let mut binary = Binary::read(path)?;
    if cold.built.stripped {
        let stripped = strip::strip(&binary.bytes).with_context(|| format!("cannot strip {}", path.display()))?;
        binary = Binary::parse(path, stripped).with_context(|| format!("cannot use {}, stripped", path.display()))?;
    }
    embed::embed_into(binary, image, flags.place.place(), &store.finished)
}

/// The crates of the packages that cargo knows of, and of their targets, in order.
fn crate_names(metadata: &Metadata, counts: impl Fn(&Package) -> bool) -> Vec<String> {
    let packages = metadata.packages.iter().filter(|package| counts(package));
    let targets = packages.flat_map(|package| &package.targets);
    let names: BTreeSet<String> = targets.map(|target| target.name.replace('-', "_")).collect();
    names.into_iter().collect()
}

/// The name in a package's identity, which ends with `#NAME@VERSION`, or, where the folder has that name, with
/// `/NAME#VERSION`. The metadata do not have those of features that are off by default.
fn package_name(id: &PackageId) -> &str {
    let (source, end) = id.repr.rsplit_once('#').unwrap_or((&id.repr, ""));
    match end.rsplit_once('@') {
        Some((name, _)) => name,
        None => source.rsplit('/').next().unwrap_or(source),
    }
}

/// A list of names in `[package.metadata.fastboot]`.
fn metadata_names(package: &Package, key: &str) -> Result<Vec<String>> {
    let value = &package.metadata["fastboot"][key];
    if value.is_null() {
        return Ok(Vec::new());
    }
    serde_json::from_value(value.clone()).with_context(|| {
        format!("{}: `{key}` in [package.metadata.fastboot] must be a list of strings", package.manifest_path)
    })
}

fn freeze_options(how: &FreezeHow, runner: Vec<OsString>) -> FreezeOptions {
    FreezeOptions {
        timeout: how.freeze_timeout,
        memory_limit: how.freeze_memory,
        verbatim: how.verbatim,
        trace: how.trace,
        keep_threads: how.keep_threads,
        cpu: how.cpu,
        real_random: how.real_random,
        deny: how.deny.clone(),
        allow_foreign: how.allow_foreign.clone(),
        allow_nondeterminism: how.allow_nondeterminism.clone(),
        allow_shared: how.allow_shared.clone(),
        allow_threads: how.allow_threads.clone(),
        allow_world: how.allow_world.clone(),
        choices: Choices { carry: how.carry.clone(), skip: how.skip.clone() },
        runner,
        ..FreezeOptions::default()
    }
}

/// Cargo's target folder, absolute: the flag, else what cargo says about its variables and configuration.
fn target_folder(metadata: &Metadata, flags: &BuildFlags) -> Result<PathBuf> {
    match &flags.compilation.target_dir {
        Some(folder) => std::path::absolute(folder)
            .with_context(|| format!("cannot make {} absolute; give `--target-dir` a folder", folder.display())),
        None => Ok(metadata.target_directory.as_std_path().to_owned()),
    }
}

/// Puts a linker script into the target folder and returns its path.
///
/// The text is part of the name: cargo relinks when the arguments change, not when the file behind them does.
fn write_script(folder: &Path, name: &str, script: &str) -> Result<PathBuf> {
    let script = script.as_bytes();
    let path = folder.join(format!("{name}{}.ld", &blake3::hash(script).to_hex()[..8]));
    if std::fs::read(&path).is_ok_and(|found| found == script) {
        return Ok(path);
    }
    output::replace(&path, None, |file| Ok(std::io::Write::write_all(file, script)?))?;
    Ok(path)
}

/// Copies a finished binary into the folder of `--out-dir`.
fn copy_to(folder: &Path, executable: &Path) -> Result<PathBuf> {
    create_folder(folder)?;
    let copy = folder.join(executable.file_name().unwrap_or_default());
    let same = |path: &Path| path.canonicalize().ok();
    if same(&copy).is_some_and(|copy| same(executable) == Some(copy)) {
        return Ok(copy);
    }
    output::copy(executable, &copy)?;
    Ok(copy)
}

/// `3 roots, 91.2 MB`.
fn summary(roots: u32, length: u64) -> String {
    format!("{roots} {}, {}", if roots == 1 { "root" } else { "roots" }, megabytes(length))
}

/// `path` as the user would write it: from the current folder if it is inside.
fn shown(path: &Path) -> &Path {
    std::env::current_dir().ok().and_then(|folder| path.strip_prefix(folder).ok()).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_named_by_their_identities() {
        for (id, name) in [
            ("registry+https://github.com/rust-lang/crates.io-index#onig_sys@69.9.3", "onig_sys"),
            ("path+file:///home/a/my-engine#0.1.0", "my-engine"),
            ("path+file:///home/a/folder#my-engine@0.1.0", "my-engine"),
        ] {
            assert_eq!(package_name(&PackageId { repr: id.to_owned() }), name);
        }
    }
}
