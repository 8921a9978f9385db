//! Outcome: what came of looking for an image, source by source.

use super::reason::Reason;
use super::snapshot::Location;
use crate::roots::frozen::Source;
use core::fmt;
use fastboot_format::features::Mask;

/// What a thaw made available.
pub(crate) struct Thawed {
    pub(crate) source: Source,
    pub(crate) roots: u32,
    /// Where the image is, which is its home address unless it was relocated.
    pub(crate) address: usize,
    /// In bytes.
    pub(crate) length: usize,
    pub(crate) relocated: bool,
    /// The processor features that its values depend on.
    pub(crate) features: Mask,
}

/// What came of looking for an image.
#[derive(Default)]
pub(crate) struct Outcome {
    /// The image, if there is a good one.
    pub(crate) thawed: Option<Thawed>,
    /// The sources that were tried and not used, in their order.
    skipped: [Option<(Source, Reason)>; 4],
    /// Where a snapshot was looked for.
    pub(super) snapshot: Option<Location>,
}

impl Outcome {
    /// Nothing was found yet; a snapshot will be looked for at `location`.
    pub(crate) fn new(location: Option<Location>) -> Self {
        Self { snapshot: location, ..Self::default() }
    }

    /// Nothing is looked for.
    pub(crate) fn off(&mut self) {
        self.skip(Source::Section, Reason::Off);
    }

    pub(super) fn skip(&mut self, source: Source, reason: Reason) {
        if let Some(free) = self.skipped.iter_mut().find(|slot| slot.is_none()) {
            *free = Some((source, reason));
        }
    }

    /// Takes what trying a source came to; whether that was the end of it.
    pub(super) fn take(&mut self, source: Source, tried: Result<Thawed, Reason>) -> bool {
        match tried {
            Ok(thawed) => self.thawed = Some(thawed),
            Err(reason) => self.skip(source, reason),
        }
        self.thawed.is_some()
    }

    /// Why the cache was not used, if it was looked at.
    pub(crate) fn cache_reason(&self) -> Option<&Reason> {
        self.skipped.iter().flatten().find(|(source, _)| *source == Source::Cache).map(|(_, reason)| reason)
    }

    /// The sources that hold something that could not be used; all that were tried, if none holds anything.
    pub(crate) fn skipped(&self) -> Skipped<'_> {
        Skipped(self)
    }
}

/// Why sources were not used, in one line.
pub(crate) struct Skipped<'a>(&'a Outcome);

impl Skipped<'_> {
    fn present(&self) -> impl Iterator<Item = &(Source, Reason)> {
        self.0.skipped.iter().flatten().filter(|(_, reason)| !reason.is_absence())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.present().next().is_none()
    }
}

impl fmt::Display for Skipped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((first, reason)) = self.present().next() else {
            // Nothing anywhere: the section is where it would be.
            return self.0.skipped.iter().flatten().take(1).try_for_each(|(_, reason)| write!(f, "{reason}"));
        };
        // The section alone needs no name in a cold start: it is what everybody has.
        if *first == Source::Section && self.present().count() == 1 && self.0.thawed.is_none() {
            return write!(f, "{reason}");
        }
        for (index, (source, reason)) in self.present().enumerate() {
            write!(f, "{}{source}", if index == 0 { "" } else { "; " })?;
            if let (Source::Snapshot, Some(location)) = (source, &self.0.snapshot) {
                write!(f, " {}", location.shown())?;
            }
            write!(f, ": {reason}")?;
        }
        Ok(())
    }
}
