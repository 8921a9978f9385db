//! Fastboot's own flags, as far as several commands have them.

use super::values::{parse_bytes, parse_cpu, parse_seconds};
use crate::image::Image;
use crate::options::{Deny, Place};
use clap::Args;
use fastboot_format::features::Mask;
use fastboot_format::image::FLAG_READ_ONLY;
use std::time::Duration;

/// The heading that they stand under in help texts.
pub(super) const OWN: &str = "Fastboot Options";

/// How the cold binary is linked.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct LinkFlags {
    /// Keep the binary position-independent (with `--static`: static-pie)
    #[arg(long = "pie", help_heading = OWN)]
    pub(crate) pie: bool,
    /// Link the C library statically: half the start-up cost of a process
    #[arg(long = "static", help_heading = OWN)]
    pub(crate) static_libc: bool,
}

/// Where in the file the image goes.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct PlaceFlags {
    /// Append the image to the executable's file instead of making it a segment: for linkers without scripts, such as
    /// mold, and for binaries that are linked already
    #[arg(long, help_heading = OWN)]
    pub(crate) footer: bool,
}

impl PlaceFlags {
    /// The same, as `embed` has it.
    pub(crate) fn place(self) -> Place {
        if self.footer { Place::Footer } else { Place::Section }
    }
}

/// How the image is used.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct ImageFlags {
    /// Map the image without permission to write: a value that is changed, or a reference count, ends the program
    #[arg(long, help_heading = OWN)]
    pub(crate) read_only: bool,
}

impl ImageFlags {
    /// Sets the flags in the header of an image.
    pub(crate) fn apply(self, image: &mut Image) {
        if self.read_only {
            image.change_flags(FLAG_READ_ONLY, 0);
        }
    }
}

/// How to freeze, and what it may take.
#[derive(Debug, Clone, Args)]
pub(crate) struct FreezeHow {
    /// Give up when the roots are not evaluated after this long
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds, help_heading = OWN)]
    pub(crate) freeze_timeout: Option<Duration>,
    /// Give up when the roots need more memory than this (such as 512M, 8G)
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes, help_heading = OWN)]
    pub(crate) freeze_memory: Option<u64>,
    /// Keep every object that the roots ever allocated, in one run: larger images, without a plan
    #[arg(long, help_heading = OWN)]
    pub(crate) verbatim: bool,
    /// Record which function made each object, for `inspect` and in findings: takes longer, changes nothing else
    #[arg(long, conflicts_with = "verbatim", help_heading = OWN)]
    pub(crate) trace: bool,
    /// Let libraries use many threads while freezing (RAYON_NUM_THREADS and its like are 1 otherwise)
    #[arg(long, help_heading = OWN)]
    pub(crate) keep_threads: bool,
    /// Freeze for processors of this level and above: x86-64-v2, x86-64-v3, x86-64-v4, native
    #[arg(long, value_name = "LEVEL", value_parser = parse_cpu, default_value = "native", hide_default_value = true, help_heading = OWN)]
    pub(crate) cpu: Mask,
    /// Carry this static, or the statics of this crate, whatever the table of rules says
    #[arg(long, value_name = "NAME", help_heading = OWN)]
    pub(crate) carry: Vec<String>,
    /// Do not carry this static, or the statics of this crate
    #[arg(long, value_name = "NAME", help_heading = OWN)]
    pub(crate) skip: Vec<String>,
    /// Let this root or carried static hold addresses of memory outside of the image, as garbage that nothing reads
    #[arg(long, value_name = "NAME", help_heading = OWN)]
    pub(crate) allow_foreign: Vec<String>,
    /// Let this root or carried static differ from run to run
    #[arg(long, value_name = "NAME", help_heading = OWN)]
    pub(crate) allow_nondeterminism: Vec<String>,
    /// Let this static, which is not carried, or this root share objects with the other
    #[arg(long, value_name = "NAME", help_heading = OWN)]
    pub(crate) allow_shared: Vec<String>,
    /// Let this root leave threads running, which the finished program does not have
    #[arg(long, value_name = "NAME", help_heading = OWN)]
    pub(crate) allow_threads: Vec<String>,
    /// Let this root or carried static depend on the process that froze, its environment or its machine
    #[arg(long, value_name = "NAME", help_heading = OWN)]
    pub(crate) allow_world: Vec<String>,
    /// Make a finding an error rather than a warning
    #[arg(long, value_name = "FINDING", value_enum, help_heading = OWN)]
    pub(crate) deny: Vec<Deny>,
    /// Let random bytes be random while freezing: no two builds are the same then
    #[arg(long, help_heading = OWN)]
    pub(crate) real_random: bool,
}
