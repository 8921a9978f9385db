//! Arguments: those of `cargo rustc`, and those that it passes on to rustc.
//!
//! The flags that make a binary cold go to the final crate only, as `cargo rustc ... -- FLAGS`. `RUSTFLAGS` is left
//! alone: setting it would rebuild every dependency and hide the user's own.

use super::select::{Selected, features_for};
use crate::cli::{BuildFlags, LinkFlags};
use std::ffi::{OsStr, OsString};
use std::path::Path;

/// The flags of `cargo rustc` that build `selected`.
pub(super) fn cargo_arguments(selected: Selected<'_>, selection: &[Selected<'_>], flags: &BuildFlags) -> Vec<OsString> {
    let mut arguments = ArgumentList::default();
    arguments.pair("--package", &selected.package.id.repr);
    arguments.pair(if selected.target.is_bin() { "--bin" } else { "--example" }, &selected.target.name);

    let features = features_for(selected.package, selection, flags);
    arguments.pairs("--features", (!features.is_empty()).then(|| features.join(",")));
    arguments.flag("--all-features", flags.features.all_features);
    arguments.flag("--no-default-features", flags.features.no_default_features);

    let compilation = &flags.compilation;
    arguments.flag("--release", compilation.release);
    arguments.pairs("--profile", compilation.profile.as_ref());
    arguments.pairs("--jobs", compilation.jobs.as_ref());
    arguments.flag("--keep-going", compilation.keep_going);
    arguments.pairs("--target", compilation.target.as_ref());
    arguments.pairs("--target-dir", compilation.target_dir.as_ref());
    arguments.flag("--timings", compilation.timings);

    let manifest = &flags.manifest;
    arguments.pairs("--manifest-path", manifest.manifest_path.as_ref());
    arguments.flag("--ignore-rust-version", manifest.ignore_rust_version);
    arguments.flag("--locked", manifest.locked);
    arguments.flag("--offline", manifest.offline);
    arguments.flag("--frozen", manifest.frozen);
    arguments.pairs("--config", &manifest.config);
    arguments.pairs("-Z", &manifest.unstable);

    arguments.flag("--quiet", flags.output.quiet);
    for _ in 0..flags.output.verbose {
        arguments.flag("--verbose", true);
    }
    arguments.pairs("--color", flags.output.color_name());
    arguments.0
}

/// A list of arguments in the making.
#[derive(Default)]
pub(super) struct ArgumentList(pub(super) Vec<OsString>);

impl ArgumentList {
    pub(super) fn flag(&mut self, name: &str, set: bool) {
        self.0.extend(set.then(|| name.into()));
    }

    fn pair(&mut self, name: &str, value: impl AsRef<OsStr>) {
        self.0.extend([name.into(), value.as_ref().to_owned()]);
    }

    pub(super) fn pairs(&mut self, name: &str, values: impl IntoIterator<Item = impl AsRef<OsStr>>) {
        for value in values {
            self.pair(name, value);
        }
    }
}

/// The flags of rustc that make a binary cold: addresses settled by the linker, and, with the script, the placeholder in a
/// segment of its own. `high`: what is called as the linker makes an executable for one address of a position-independent one.
pub(crate) fn rustc_arguments(link: LinkFlags, high: bool, script: Option<&Path>) -> Vec<OsString> {
    let mut arguments = ArgumentList::default();
    match (link.pie || high, link.static_libc) {
        (false, _) => arguments.pair("-C", "relocation-model=static"),
        // The default; but a target whose default is a static binary that is not position-independent exists.
        (true, true) => arguments.pair("-C", "relocation-model=pie"),
        (true, false) => {}
    }
    if link.static_libc {
        arguments.pair("-C", "target-feature=+crt-static");
    }
    if let Some(script) = script {
        arguments.pair("-C", script_argument(script));
    }
    let undefined = fastboot_linker::UNDEFINED.iter().filter(|_| script.is_none());
    for option in fastboot_linker::WRAP.iter().chain(undefined) {
        arguments.pair("-C", format!("link-arg=-Wl,{option}"));
    }
    arguments.0
}

/// What names the linker to rustc.
pub(crate) fn linker_arguments(linker: &Path) -> [OsString; 2] {
    let mut argument = OsString::from("linker=");
    argument.push(linker);
    ["-C".into(), argument]
}

/// The option of rustc that passes a script to the linker: one argument, however many spaces there are in the path.
pub(super) fn script_argument(script: &Path) -> OsString {
    let mut argument = OsString::from("link-arg=-T");
    argument.push(script);
    argument
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rustc(pie: bool, static_libc: bool, high: bool) -> String {
        let arguments = rustc_arguments(LinkFlags { pie, static_libc }, high, Some(Path::new("/a b/ü.ld")));
        arguments.join(OsStr::new("|")).into_string().expect("UTF-8")
    }

    #[test]
    fn how_each_kind_of_binary_is_linked() {
        let wraps: String = fastboot_linker::WRAP.iter().map(|wrap| format!("|-C|link-arg=-Wl,{wrap}")).collect();
        let script = format!("-C|link-arg=-T/a b/ü.ld{wraps}");
        let statically = format!("-C|relocation-model=static|-C|target-feature=+crt-static|{script}");
        assert_eq!(rustc(false, false, true), script);
        assert_eq!(rustc(false, false, false), format!("-C|relocation-model=static|{script}"));
        assert_eq!(rustc(false, true, false), statically);
        assert_eq!(rustc(true, false, false), script);
        assert_eq!(rustc(true, true, false), format!("-C|relocation-model=pie|-C|target-feature=+crt-static|{script}"));
    }

    #[test]
    fn without_a_script_the_linker_is_told_what_the_script_says() {
        let arguments = rustc_arguments(LinkFlags { pie: true, static_libc: false }, false, None);
        let arguments = arguments.join(OsStr::new("|")).into_string().expect("UTF-8");
        assert!(!arguments.contains("-T"), "{arguments}");
        let externs =
            fastboot_linker::SCRIPT.lines().filter_map(|line| line.strip_prefix("EXTERN(")?.strip_suffix(')'));
        let names: Vec<&str> = externs.flat_map(str::split_whitespace).collect();
        let undefined: Vec<String> = names.iter().map(|name| format!("--undefined={name}")).collect();
        assert_eq!(undefined, fastboot_linker::UNDEFINED);
        assert!(undefined.iter().all(|option| arguments.contains(&format!("link-arg=-Wl,{option}"))), "{arguments}");
    }
}
