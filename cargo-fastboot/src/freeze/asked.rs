//! Asked: what code asked the processor for that has no name.

use super::stages::Freezing;
use crate::elf::binary::Binary;
use crate::elf::cpuid;
use crate::runs::capture::Capture;
use fastboot_format::features::Mask;
use fastboot_format::image::Answer;
use std::sync::PoisonError;

impl Freezing<'_> {
    /// Notes what code of a run asked the processor for. The standard library asks for whole leaves; what it tells of them has
    /// names.
    pub(super) fn note_asked(&self, binary: &Binary, capture: &Capture) {
        let base = capture.process.exe_base;
        let is_named = |site: u64| cpuid::looks_at_named_features_only(&binary.bytes, site.wrapping_sub(base));
        let asked = capture.asked.iter().filter(|(site, _)| !is_named(*site)).map(|(_, answer)| *answer);
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).extend(asked);
    }

    /// What the processor has to answer besides the features that an image needs: if it needs all that are known, and code asked
    /// for more, that may be what it depends on.
    pub(super) fn needed_answers(&self, needs_all: bool) -> Vec<Answer> {
        let counts = needs_all && self.options.cpu == Mask::MAX;
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.iter().filter(|_| counts).copied().collect()
    }
}
