//! Running: the runs of one freeze, each in a folder of its own.

use super::stages::{Freezing, Frozen};
use crate::runs::capture::Capture;
use crate::runs::run::{FreezeRun, Purpose};
use crate::runs::world;
use crate::say::shell::Shell;
use anyhow::{Result, bail};
use fastboot_format::protocol::InputKind;
use std::ffi::OsStr;
use std::time::Duration;
use tempfile::TempDir;

/// The folder of run 3.
pub(super) const PROVE: &str = "prove";

impl Freezing<'_> {
    pub(super) fn run(&self, purpose: Purpose<'_>, other: Option<&Capture>, name: &str) -> Result<Capture> {
        self.run_in(purpose, other, &[], name, self.shell)
    }

    /// Run 2 once more, at other addresses and in a world that differs in this.
    pub(super) fn run_again(&self, frozen: &Frozen, world: &[world::Difference], name: &str) -> Result<Capture> {
        self.run_in(frozen.purpose(), Some(&frozen.capture), world, name, self.shell)
    }

    /// The same, at the addresses of run 2.
    pub(super) fn run_at_home(&self, frozen: &Frozen, world: &[world::Difference], name: &str) -> Result<Capture> {
        self.run_in(frozen.purpose(), None, world, name, self.shell)
    }

    /// In what the proving run differs.
    pub(super) fn world(&self) -> &[world::Difference] {
        self.elsewhere.get().map_or(&[], |(world, _)| world)
    }

    pub(super) fn run_in(
        &self,
        purpose: Purpose<'_>,
        other: Option<&Capture>,
        world: &[world::Difference],
        name: &str,
        shell: &Shell,
    ) -> Result<Capture> {
        let folder = self.folder.join(name);
        let world = &[self.always, world].concat();
        let twin = self.twin.filter(|_| world.contains(&world::Difference::Executable));
        let (binary, moved) = twin.map_or((self.binary, 0), |twin| (twin.binary, twin.distance));
        let (options, randomize) = (self.options, other.is_some());
        let presets = self.presets();
        let run =
            FreezeRun { binary, options, purpose, other, randomize, world, moved, presets, folder: &folder, shell };
        self.make(&run)
    }

    /// Run 2 once more, with everything at other addresses but what the system loads, and in a world that differs in this.
    pub(super) fn run_where_it_was(&self, frozen: &Frozen, world: &[world::Difference], name: &str) -> Result<Capture> {
        let folder = self.folder.join(name);
        self.make(&FreezeRun {
            binary: self.binary,
            options: self.options,
            purpose: frozen.purpose(),
            other: Some(&frozen.capture),
            randomize: false,
            world,
            moved: 0,
            presets: self.presets(),
            folder: &folder,
            shell: self.shell,
        })
    }

    /// What statics are to hold before anything is evaluated, as far as that is known.
    fn presets(&self) -> &[(u64, Vec<u8>)] {
        self.presets.get().map_or(&[], Vec::as_slice)
    }

    fn make(&self, run: &FreezeRun<'_>) -> Result<Capture> {
        let mut capture = run.capture();
        if let Ok(capture) = &capture {
            self.note_asked(run.binary, capture);
        }
        if let Ok(capture) = &mut capture {
            // As if it had been loaded elsewhere.
            capture.process.exe_base = capture.process.exe_base.wrapping_add(run.moved);
        }
        // The capture is open; its folder is not needed any more, and may be large.
        let _ = std::fs::remove_dir_all(run.folder);
        capture
    }

    /// The first run, the one that finds out what there is.
    pub(super) fn first(&self, purpose: Purpose<'_>, name: &str) -> Result<Capture> {
        let capture = std::thread::scope(|scope| {
            // It takes a while, and is needed at the end.
            scope.spawn(|| self.binary.identity());
            self.run(purpose, None, name)
        })?;
        if capture.roots.is_empty() && capture.process.warmed == 0 {
            bail!(
                "{} has no roots: declare a static with `fastboot_rt::frozen! {{ .. }}` in the program or in a \
                 library it uses, or warm what it has with `fastboot_rt::warm! {{ .. }}`",
                self.binary.path.display()
            );
        }
        self.judge_names(&capture)?;
        self.judge_left_behind(&capture)?;
        self.elsewhere.get_or_init(|| self.another_world(&capture));
        for root in &capture.roots {
            self.shell.verbose(format_args!(
                "root {} evaluated in {:?}",
                root.name,
                Duration::from_nanos(root.nanoseconds)
            ));
        }
        Ok(capture)
    }

    /// In what the proving run is to differ from the first one, most likely causes first, and folders of that world.
    fn another_world(&self, capture: &Capture) -> (Vec<world::Difference>, Vec<TempDir>) {
        let declared = capture.inputs.iter().filter(|input| input.declared && input.kind == InputKind::Variable);
        let declared: Vec<&OsStr> = declared.map(|input| input.name.as_os_str()).collect();
        let twin = self.twin.map(|twin| twin.binary);
        let (mut world, folders) = world::differences(self.binary, twin, self.options, &declared, self.folder);
        // What was seen to be read is most likely the cause of something, and what was not, of nothing.
        world.sort_by_key(|difference| match difference {
            world::Difference::Variable(name, _) => {
                2 * u8::from(!capture.inputs.iter().any(|input| input.name == **name))
            }
            // Behind the path of the executable, which differs, too.
            world::Difference::Executable => 3,
            _ => 1,
        });
        (world, folders)
    }
}
