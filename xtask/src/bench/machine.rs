//! Where and when it was measured.

use anyhow::{Context, Result};
use serde::Serialize;

/// The machine, and what else it did.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    /// Year, month and day, in UTC.
    pub(crate) date: String,
    pub(crate) processor: String,
    pub(crate) cores: usize,
    /// Whether it is a virtual machine.
    pub(crate) is_virtual: bool,
    pub(crate) kernel: String,
    /// `enabled` of transparent huge pages.
    pub(crate) huge_pages: String,
    pub(crate) rustc: String,
    /// How many processes wanted to run, on average over a minute, before and after.
    pub(crate) load: (f64, f64),
}

impl Machine {
    /// Looks around, before anything is measured.
    pub(crate) fn look() -> Result<Self> {
        let processor = read("/proc/cpuinfo")?;
        let field = |name| Some(processor.lines().find(|line| line.starts_with(name))?.split_once(':')?.1.trim());
        let huge_pages = read("/sys/kernel/mm/transparent_hugepage/enabled").unwrap_or_default();
        let chosen = huge_pages.split(['[', ']']).nth(1).unwrap_or("unknown");
        let rustc = std::process::Command::new("rustc").arg("--version").output().context("cannot run rustc")?;
        Ok(Self {
            date: today()?,
            processor: field("model name").unwrap_or("unknown processor").to_owned(),
            cores: std::thread::available_parallelism()?.get(),
            is_virtual: field("flags").is_some_and(|flags| flags.split(' ').any(|flag| flag == "hypervisor")),
            kernel: read("/proc/sys/kernel/osrelease")?.trim().to_owned(),
            huge_pages: chosen.to_owned(),
            rustc: String::from_utf8_lossy(&rustc.stdout).trim().to_owned(),
            load: (load()?, 0.0),
        })
    }

    /// Looks around again, having measured.
    pub(crate) fn look_again(&mut self) -> Result<()> {
        self.load.1 = load()?;
        Ok(())
    }

    /// One line for people.
    pub(crate) fn line(&self) -> String {
        format!(
            "{}, {}, {} cores{}, Linux {}, {}",
            self.date,
            self.processor,
            self.cores,
            if self.is_virtual { " of a virtual machine" } else { "" },
            self.kernel,
            self.rustc
        )
    }

    /// What may have been in the way.
    pub(crate) fn warning(&self) -> Option<String> {
        let other = self.load.0;
        (other > 0.5).then(|| {
            format!("The machine was busy when it began (load {other:.1}): take these times for a test of the bench.")
        })
    }
}

fn read(path: &str) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {path}"))
}

fn load() -> Result<f64> {
    let text = read("/proc/loadavg")?;
    text.split(' ').next().and_then(|number| number.parse().ok()).context("/proc/loadavg begins with no number")
}

fn today() -> Result<String> {
    let output = std::process::Command::new("date").args(["--utc", "+%F"]).output().context("cannot run date")?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
