//! Which binaries are meant: the packages and targets that cargo's own flags select.

use std::collections::BTreeSet;

use anyhow::{Result, bail, ensure};
use cargo_metadata::{Metadata, Package, Target};
use fastboot_format::protocol::RUNTIME_VERSION;

use crate::cli::BuildFlags;
use crate::say::shell::Shell;

/// The package whose presence among the dependencies makes a binary worth freezing.
pub(crate) const RUNTIME: &str = "fastboot-rt";

/// One binary to build: `cargo rustc` takes them one at a time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Selected<'m> {
    /// The package it belongs to.
    pub(crate) package: &'m Package,
    /// The binary or example.
    pub(crate) target: &'m Target,
}

impl Selected<'_> {
    /// How messages call it.
    pub(crate) fn name(&self) -> &str {
        &self.target.name
    }

    /// Whether it is what `default-run` names.
    fn is_default(&self) -> bool {
        self.package.default_run.as_deref() == Some(self.name())
    }
}

/// What the command does with the binaries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    /// Any number of them.
    Build,
    /// Exactly one, and `default-run` decides when there are several.
    Run,
}

/// The binaries that `flags` select, in cargo's order; never empty.
pub(crate) fn select<'m>(
    metadata: &'m Metadata,
    flags: &BuildFlags,
    verb: Verb,
    shell: &Shell,
) -> Result<Vec<Selected<'m>>> {
    let packages = packages(metadata, flags)?;
    let selection = if flags.targets.any() {
        let selection = named_targets(&packages, flags)?;
        without_helpers(metadata, selection, flags, shell)
    } else {
        default_targets(metadata, &packages, flags, verb, shell)?
    };
    if let Some(selected) = selection.iter().find(|selected| !depends_on_runtime(metadata, selected.package)) {
        bail!(
            "`{0}` cannot be frozen, because its package `{1}` does not depend on {RUNTIME}; run \
             `cargo add {RUNTIME}@={RUNTIME_VERSION} -p {1}`, then put `fastboot_rt::install!();` into {2}",
            selected.target.name,
            selected.package.name,
            selected.target.src_path
        );
    }
    for (index, one) in selection.iter().enumerate() {
        let is_same = |other: &&Selected<'_>| other.name() == one.name() && other.target.kind == one.target.kind;
        if let Some(other) = selection[..index].iter().find(is_same) {
            bail!(
                "`{}` is a program of the packages {} and {}, and cargo puts both at the same place; build one at a time, with \
                 `-p`",
                one.name(),
                other.package.name,
                one.package.name
            );
        }
    }
    if verb == Verb::Run && selection.len() > 1 {
        bail!("`run` can run only one of {}; name it with `--bin NAME`", names(&selection));
    }
    Ok(selection)
}

/// The packages that `-p`, `--workspace` and `--exclude` mean, else those cargo takes by default.
fn packages<'m>(metadata: &'m Metadata, flags: &BuildFlags) -> Result<Vec<&'m Package>> {
    let workspace = &flags.workspace;
    let whole = workspace.workspace || workspace.all;
    ensure!(whole || workspace.exclude.is_empty(), "`--exclude` needs `--workspace`: without it nothing is excluded");
    let members = metadata.workspace_packages();
    for spec in workspace.package.iter().chain(&workspace.exclude) {
        if !members.iter().any(|package| matches_spec(package, spec)) {
            let known: Vec<&str> = members.iter().map(|package| package.name.as_str()).collect();
            bail!("no package `{spec}` in this workspace; its packages are: {}", known.join(", "));
        }
    }
    let named = |specs: &[String], package: &Package| specs.iter().any(|spec| matches_spec(package, spec));
    Ok(if whole {
        members.into_iter().filter(|package| !named(&workspace.exclude, package)).collect()
    } else if workspace.package.is_empty() {
        // Cargo works out the package of the current folder and `default-members` for us.
        metadata.workspace_default_packages()
    } else {
        members.into_iter().filter(|package| named(&workspace.package, package)).collect()
    })
}

/// Whether `spec` (`name`, `name@version`, a package id, or a pattern with `*` and `?`) means `package`.
fn matches_spec(package: &Package, spec: &str) -> bool {
    let id = package.id.repr.as_str();
    if spec == id || id.split_once('+').is_some_and(|(_, url)| url == spec) {
        return true;
    }
    match spec.split_once(['@', ':']) {
        Some((name, version)) => {
            let actual = package.version.to_string();
            let shortened = actual.strip_prefix(version).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
            name == package.name.as_str() && shortened
        }
        None => matches_pattern(package.name.as_str(), spec),
    }
}

/// Whether `pattern` describes all of `name`: `*` is any run of characters, `?` is any one.
fn matches_pattern(name: &str, pattern: &str) -> bool {
    let mut characters = pattern.chars();
    match characters.next() {
        None => name.is_empty(),
        Some('*') => {
            let rest = characters.as_str();
            let ends = name.char_indices().map(|(at, _)| at).chain([name.len()]);
            ends.map(|at| &name[at..]).any(|tail| matches_pattern(tail, rest))
        }
        Some(expected) => {
            let mut actual = name.chars();
            actual.next().is_some_and(|c| c == expected || expected == '?')
                && matches_pattern(actual.as_str(), characters.as_str())
        }
    }
}

impl crate::cli::TargetFlags {
    fn any(&self) -> bool {
        self.bins || self.examples || !self.bin.is_empty() || !self.example.is_empty()
    }
}

/// What `--bin`, `--bins`, `--example` and `--examples` mean in `packages`.
fn named_targets<'m>(packages: &[&'m Package], flags: &BuildFlags) -> Result<Vec<Selected<'m>>> {
    let wanted = &flags.targets;
    let mut selection = Vec::new();
    for package in packages {
        for target in &package.targets {
            let (all, some) = match () {
                () if target.is_bin() => (wanted.bins, &wanted.bin),
                () if is_program_example(target) => (wanted.examples, &wanted.example),
                () => continue,
            };
            // As in cargo: one named is always built (cargo then says which features it lacks), one of all only
            // when its features are on.
            let named = some.iter().any(|pattern| matches_pattern(&target.name, pattern));
            if named || all && has_required_features(package, target, flags) {
                selection.push(Selected { package, target });
            }
        }
    }
    for (kind, names) in [("bin", &wanted.bin), ("example", &wanted.example)] {
        for name in names {
            let is_kind = |target: &Target| if kind == "bin" { target.is_bin() } else { target.is_example() };
            let found = selection
                .iter()
                .any(|selected| is_kind(selected.target) && matches_pattern(&selected.target.name, name));
            ensure!(found, "{}", no_such_target(kind, name, packages, is_kind));
        }
    }
    if selection.is_empty() {
        bail!("{}", no_binaries(packages));
    }
    Ok(selection)
}

/// Of all binaries or examples, those that can be frozen; the others are told. What was named is meant, whatever it is.
fn without_helpers<'m>(
    metadata: &Metadata,
    selection: Vec<Selected<'m>>,
    flags: &BuildFlags,
    shell: &Shell,
) -> Vec<Selected<'m>> {
    let is_named = |selected: &Selected<'_>| {
        let names = if selected.target.is_bin() { &flags.targets.bin } else { &flags.targets.example };
        names.iter().any(|pattern| matches_pattern(selected.name(), pattern))
    };
    let why_not = |selected: &Selected<'_>| {
        if is_named(selected) {
            None
        } else if !depends_on_runtime(metadata, selected.package) {
            Some(format!("`{}` does not depend on {RUNTIME}", selected.package.name))
        } else {
            (!installs_runtime(selected.target))
                .then(|| format!("no `fastboot_rt::install!` in {}", selected.target.src_path))
        }
    };
    let judged: Vec<_> = selection.iter().map(|selected| (*selected, why_not(selected))).collect();
    if judged.iter().all(|(_, why)| why.is_some()) {
        // Then there is nothing to do, and the error for one of them says what to do about it.
        return selection;
    }
    for (selected, why) in &judged {
        if let Some(why) = why {
            shell.status("Skipping", format_args!("{}: {why}", selected.name()));
        }
    }
    judged.into_iter().filter(|(_, why)| why.is_none()).map(|(selected, _)| selected).collect()
}

/// Whether the source of a binary says so. A source that cannot be read may.
pub(crate) fn installs_runtime(target: &Target) -> bool {
    std::fs::read_to_string(&target.src_path).map_or(true, |source| source.contains("install!"))
}

fn no_such_target(kind: &str, name: &str, packages: &[&Package], is_kind: impl Fn(&Target) -> bool) -> String {
    let targets = packages.iter().flat_map(|package| &package.targets);
    let known: Vec<&str> = targets.filter(|target| is_kind(target)).map(|target| target.name.as_str()).collect();
    let known = if known.is_empty() { "there is none".to_owned() } else { format!("there are: {}", known.join(", ")) };
    format!("no {kind} target named `{name}` in {}; {known} (another package's: `-p PACKAGE`)", package_names(packages))
}

/// What is meant when no target is named: the one binary of each package.
fn default_targets<'m>(
    metadata: &Metadata,
    packages: &[&'m Package],
    flags: &BuildFlags,
    verb: Verb,
    shell: &Shell,
) -> Result<Vec<Selected<'m>>> {
    let mut selection = Vec::new();
    for package in packages {
        let available = package.targets.iter().filter(|target| target.is_bin());
        selection.extend(
            available
                .filter(|target| has_required_features(package, target, flags))
                .map(|target| Selected { package, target }),
        );
    }
    if selection.is_empty() {
        bail!("{}", no_binaries(packages));
    }
    // Of many packages that nobody named, helpers without frozen values are not meant.
    if packages.len() > 1 && flags.workspace.package.is_empty() {
        let (freezable, others): (Vec<_>, Vec<_>) =
            selection.iter().copied().partition(|selected| depends_on_runtime(metadata, selected.package));
        if !freezable.is_empty() {
            for Selected { package, target } in others {
                let name = &package.name;
                shell.status("Skipping", format_args!("{}: `{name}` does not depend on {RUNTIME}", target.name));
            }
            selection = freezable;
        }
    }
    if verb == Verb::Run {
        let mut defaults = selection.iter().filter(|selected| selected.is_default());
        if let (Some(only), None) = (defaults.next(), defaults.next()) {
            return Ok(vec![*only]);
        }
    }
    for package in packages {
        choose_default(package, &mut selection, verb, shell)?;
    }
    Ok(selection)
}

/// Of several binaries of one package, leaves the one that is its default.
fn choose_default(package: &Package, selection: &mut Vec<Selected<'_>>, verb: Verb, shell: &Shell) -> Result<()> {
    let of_package: Vec<_> = selection.iter().filter(|selected| selected.package.id == package.id).copied().collect();
    if of_package.len() < 2 {
        return Ok(());
    }
    if let Some(default) = of_package.iter().find(|selected| selected.is_default()) {
        shell.status("Choosing", format_args!("{}, the `default-run`; all with `--bins`", default.name()));
        selection.retain(|selected| selected.package.id != package.id || selected.is_default());
        return Ok(());
    }
    let all = if verb == Verb::Build { ", all with `--bins`, or set `default-run`" } else { ", or set `default-run`" };
    bail!("package `{}` has several binaries: {}; name one with `--bin NAME`{all}", package.name, names(&of_package))
}

/// Whether the runtime is among the dependencies of a package, however indirect.
pub(crate) fn depends_on_runtime(metadata: &Metadata, package: &Package) -> bool {
    let Some(graph) = &metadata.resolve else { return true };
    let runtimes: Vec<_> = metadata.packages.iter().filter(|p| p.name.as_str() == RUNTIME).map(|p| &p.id).collect();
    let (mut waiting, mut seen) = (vec![&package.id], BTreeSet::new());
    while let Some(id) = waiting.pop() {
        if runtimes.contains(&id) {
            return true;
        }
        if seen.insert(id) {
            let node = graph.nodes.iter().find(|node| node.id == *id);
            waiting.extend(node.into_iter().flat_map(|node| &node.dependencies));
        }
    }
    false
}

/// Whether the features that `target` requires are on.
fn has_required_features(package: &Package, target: &Target, flags: &BuildFlags) -> bool {
    if flags.features.all_features || target.required_features.is_empty() {
        return true;
    }
    let mut waiting = requested_features(flags);
    if !flags.features.no_default_features {
        waiting.push("default".to_owned());
    }
    let mut enabled = BTreeSet::new();
    while let Some(feature) = waiting.pop() {
        // `package/feature` on the command line, for a member of the workspace.
        let own = feature.strip_prefix(package.name.as_str()).and_then(|rest| rest.strip_prefix('/'));
        let feature = own.map(str::to_owned).unwrap_or(feature);
        if enabled.insert(feature.clone()) {
            waiting.extend(package.features.get(&feature).into_iter().flatten().cloned());
        }
    }
    target.required_features.iter().all(|feature| enabled.contains(feature))
}

/// The features of `--features`, one by one.
fn requested_features(flags: &BuildFlags) -> Vec<String> {
    let lists = flags.features.features.iter();
    lists.flat_map(|list| list.split([',', ' '])).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// The features to pass when `package` is built by itself, as one of several chosen packages or alone.
///
/// Cargo accepts a feature if any of the chosen packages has it; built one by one, each must get only its own.
pub(crate) fn features_for(package: &Package, selection: &[Selected<'_>], flags: &BuildFlags) -> Vec<String> {
    let has = |package: &Package, feature: &str| match feature.split_once('/') {
        Some((of, _)) => {
            let of = of.trim_end_matches('?');
            of == package.name.as_str() || package.dependencies.iter().any(|dependency| dependency.name == of)
        }
        None => package.features.contains_key(feature),
    };
    let keep = |feature: &String| {
        // One that nobody has stays, for cargo to complain about.
        has(package, feature) || !selection.iter().any(|selected| has(selected.package, feature))
    };
    requested_features(flags).into_iter().filter(keep).collect()
}

fn no_binaries(packages: &[&Package]) -> String {
    format!(
        "{} no binary to freeze; add a `src/main.rs`, switch on the features it requires, or name an example with \
         `--example NAME`",
        match packages {
            [one] => format!("package `{}` has", one.name),
            several => format!("{} have", package_names(several)),
        }
    )
}

fn package_names(packages: &[&Package]) -> String {
    let names: Vec<String> = packages.iter().map(|package| format!("`{}`", package.name)).collect();
    format!("{} {}", if names.len() == 1 { "package" } else { "packages" }, names.join(", "))
}

fn names(selection: &[Selected<'_>]) -> String {
    selection.iter().map(Selected::name).collect::<Vec<_>>().join(", ")
}

/// Whether it is an example that can be run, not an example library.
fn is_program_example(target: &Target) -> bool {
    target.is_example() && target.crate_types.contains(&cargo_metadata::CrateType::Bin)
}

#[cfg(test)]
mod tests {
    use super::matches_pattern;

    #[test]
    fn patterns() {
        for (name, pattern) in [("app", "app"), ("app", "a*"), ("app", "*"), ("app", "?p?"), ("größe", "gr*?e")] {
            assert!(matches_pattern(name, pattern), "{name} {pattern}");
        }
        for (name, pattern) in [("app", "ap"), ("app", "apps"), ("app", "b*"), ("", "?")] {
            assert!(!matches_pattern(name, pattern), "{name} {pattern}");
        }
    }
}
