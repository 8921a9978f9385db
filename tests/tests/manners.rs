//! What a user of cargo expects of a subcommand: that cargo's own settings count.

use anyhow::{Context, Result, ensure};
use fastboot_tests::programs::{TARGET, cargo, fastboot, programs, succeed, workspace};
use fastboot_tests::runs::{self, Run};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use tempfile::TempDir;

/// A package of its own, in a target folder of its own.
struct Package {
    folder: TempDir,
}

impl Package {
    /// With these lines in its manifest, and these files in `src`.
    fn new(lines: &str, sources: &[(&str, &str)]) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        fs::create_dir_all(folder.path().join("src/bin"))?;
        let runtime = workspace().join("fastboot-rt").canonicalize()?;
        let manifest = format!(
            "[package]\nname = \"app\"\nedition = \"2024\"\n{lines}\n[workspace]\n[dependencies]\nfastboot-rt = {{ path = {runtime:?} }}\n"
        );
        fs::write(folder.path().join("Cargo.toml"), manifest)?;
        for (name, text) in sources {
            fs::write(folder.path().join("src").join(name), text)?;
        }
        Ok(Self { folder })
    }

    /// Runs `cargo fastboot VERB` in it.
    fn run(&self, verb: &str, flags: &[&str], variables: &[(&str, &str)]) -> Result<Run> {
        let mut command = fastboot()?;
        command.current_dir(self.folder.path()).arg(verb).arg("--offline").args(flags);
        Run::of(command.envs(variables.iter().copied()))
    }

    fn program(&self, name: &str) -> PathBuf {
        self.folder.path().join("target/debug").join(name)
    }
}

/// Prints, frozen, what the environment was when it was frozen.
const ENVIRONMENT: &str = r#"
    fastboot_rt::install!();
    fastboot_rt::frozen! {
        static SEEN: Vec<Option<String>> = {
            let names = ["APP_ONE", "APP_TWO", "APP_RUNNER"];
            names.map(|name| fastboot_rt::input_env(name).map(|value| value.to_string_lossy().into_owned())).into()
        };
    }
    fn main() {
        println!("{:?}", *SEEN);
    }
"#;

#[test]
fn config_counts_for_variables_and_for_the_runner() -> Result<()> {
    let package = Package::new("", &[("main.rs", ENVIRONMENT)])?;
    fs::create_dir(package.folder.path().join(".cargo"))?;
    fs::write(package.folder.path().join(".cargo/config.toml"), "[env]\nAPP_ONE = \"file\"\nAPP_TWO = \"file\"\n")?;
    let runner = package.folder.path().join("runner");
    fs::write(&runner, "#!/bin/sh\nAPP_RUNNER=\"$1\"\nexport APP_RUNNER\nshift\nexec \"$@\"\n")?;
    fs::set_permissions(&runner, fs::Permissions::from_mode(0o755))?;

    let runner = format!("target.{TARGET}.runner=['./runner', 'a b']");
    let flags = ["--config", "env.APP_ONE='flag'", "--config", &runner];
    let built = package.run("build", &flags, &[("APP_TWO", "own")])?;
    ensure!(built.status.success(), "{}", built.stderr);
    let run = Run::of(&mut runs::program(&package.program("app")))?;
    runs::require_same("[Some(\"flag\"), Some(\"own\"), Some(\"a b\")]\n", &run.stdout)
}

/// A program that is frozen.
const FROZEN: &str = "fastboot_rt::install!();\nfastboot_rt::frozen! { static ONE: String = \"one\".to_owned(); }\n\
                      fn main() { println!(\"{}\", *ONE); }\n";

#[test]
fn all_binaries_are_those_that_install_the_runtime_and_one_is_the_default() -> Result<()> {
    let helper = "fn main() {}\n";
    let sources = [("bin/one.rs", FROZEN), ("bin/two.rs", FROZEN), ("bin/helper.rs", helper)];
    let package = Package::new("default-run = \"two\"", &sources)?;
    let built = package.run("build", &["--bins"], &[])?;
    ensure!(
        built.status.success() && built.stderr.contains("Skipping helper: no `fastboot_rt::install!`"),
        "{}",
        built.stderr
    );
    for name in ["one", "two"] {
        let run = Run::of(runs::program(&package.program(name)).env("FASTBOOT_LOG", "1"))?;
        ensure!(run.stderr.starts_with("fastboot: thawed 1 root"), "{name}: {run:?}");
    }
    let chosen = package.run("build", &[], &[])?;
    ensure!(chosen.status.success() && chosen.stderr.contains("Choosing two"), "{}", chosen.stderr);
    ensure!(package.run("run", &[], &[])?.stdout == "one\n", "`run` did not run the default");
    let named = package.run("build", &["--bin", "helper"], &[])?;
    ensure!(!named.status.success() && named.stderr.contains("fastboot_rt::install!();"), "{}", named.stderr);
    Ok(())
}

#[test]
fn a_folder_for_temporary_files_that_is_not_there() -> Result<()> {
    let package = Package::new("", &[("main.rs", FROZEN)])?;
    // The compiler and the linker need one.
    ensure!(package.run("build", &["--no-verify"], &[])?.status.success(), "it does not build");
    let mut verify = fastboot()?;
    verify.arg("verify").arg(package.program("app")).env("TMPDIR", "/no/such/folder");
    let verified = Run::of(&mut verify)?;
    ensure!(verified.status.success() && verified.stderr.contains("Verified 1 root"), "{}", verified.stderr);
    Ok(())
}

#[test]
fn two_global_allocators() -> Result<()> {
    let source = "#[global_allocator]\nstatic OWN: std::alloc::System = std::alloc::System;\n";
    let package = Package::new("", &[("main.rs", &[source, FROZEN].concat())])?;
    let built = package.run("build", &[], &[])?;
    ensure!(!built.status.success() && built.stderr.contains("fastboot_rt::install!(ITS_TYPE);"), "{}", built.stderr);
    // What it says to do.
    let source = FROZEN.replacen("install!()", "install!(std::alloc::System)", 1);
    fs::write(package.folder.path().join("src/main.rs"), source)?;
    let built = package.run("build", &[], &[])?;
    ensure!(built.status.success(), "{}", built.stderr);
    Ok(())
}

#[test]
fn a_large_code_model_is_refused_by_name() -> Result<()> {
    let package = Package::new("", &[("main.rs", FROZEN)])?;
    let built = package.run("build", &[], &[("RUSTFLAGS", "-C code-model=large")])?;
    ensure!(!built.status.success() && built.stderr.contains("`-C code-model=large`"), "{}", built.stderr);
    ensure!(!built.stderr.contains("Compiling"), "it was built for nothing");
    Ok(())
}

#[test]
fn a_large_position_independent_program_with_its_c_library() -> Result<()> {
    // Files of more than 2 MiB are loaded at multiples of 2 MiB by some file systems.
    let source = "static LARGE: &[u8; 4 << 20] = &[1; 4 << 20];\n\
                  fastboot_rt::install!();\n\
                  fastboot_rt::frozen! { static VALUES: Vec<(String, &'static str)> = \
                  (0..100).map(|n| (n.to_string(), \"static\")).collect(); }\n\
                  fn main() { println!(\"{:?} {}\", VALUES[7], std::hint::black_box(LARGE)[7]); }\n";
    let package = Package::new("", &[("main.rs", source)])?;
    let built = package.run("build", &["--static", "--pie", "--verify"], &[])?;
    ensure!(built.status.success(), "{}", built.stderr);
    for _ in 0..5 {
        let run = Run::of(runs::program(&package.program("app")).env("FASTBOOT_LOG", "1"))?;
        ensure!(run.stderr.starts_with("fastboot: thawed 1 root"), "{run:?}");
        runs::require_same("(\"7\", \"static\") 1\n", &run.stdout)?;
    }
    Ok(())
}

/// A home of cargo with what the machine's one has, but for the packages whose names begin like this.
fn cargo_home_without(names: &[&str]) -> Result<TempDir> {
    let own = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let own = own.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo"))).context("no home")?;
    let home = tempfile::tempdir()?;
    let (from, to) = (own.join("registry"), home.path().join("registry"));
    fs::create_dir(&to)?;
    symlink(from.join("index"), to.join("index"))?;
    for registry in fs::read_dir(from.join("cache"))? {
        let registry = registry?;
        let copy = to.join("cache").join(registry.file_name());
        fs::create_dir_all(&copy)?;
        for package in fs::read_dir(registry.path())? {
            let package = package?;
            let file = package.file_name();
            if !names.iter().any(|name| file.to_string_lossy().starts_with(name)) {
                symlink(package.path(), copy.join(file))?;
            }
        }
    }
    Ok(home)
}

#[test]
fn packages_of_other_platforms_need_not_have_been_downloaded() -> Result<()> {
    let lock = fs::read_to_string(programs().join("Cargo.lock"))?;
    ensure!(lock.contains("\"winapi-util\""), "nothing that is needed on other platforms");
    succeed(cargo().current_dir(programs()).args(["fetch", "--locked", "--target", TARGET]))?;
    let home = cargo_home_without(&["winapi", "windows"])?;
    let target = tempfile::tempdir()?;
    let mut command = fastboot()?;
    command.current_dir(programs()).env("CARGO_HOME", home.path());
    command.args(["build", "--offline", "--locked", "--cold", "--package", "small", "--target-dir"]);
    let run = Run::of(command.arg(target.path()))?;
    ensure!(run.status.success(), "{}", run.stderr);
    Ok(())
}
