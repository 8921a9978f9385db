//! Finish: the image of image data that was proved and judged, and what else comes of a freeze.

use super::causes::Causes;
use super::stages::{Freezing, Frozen};
use crate::carry::carried::Statics;
use crate::contents::objects::Objects;
use crate::contents::report::{Contents, Report, Tally};
use crate::image::{self, Image, Pages, Parts};
use crate::plan::placement::Plan;
use crate::prove::disguise::Disguised;
use crate::prove::proof::{Proof, Unclear, Varying};
use crate::prove::regions::Region;
use crate::runs::inputs::Inputs;
use crate::runs::wait::wait_for_all;
use anyhow::{Context, Result};
use fastboot_format::image::write::DATA_OFFSET;
use fastboot_format::image::{Bound, HOME_ALIGN};

/// What comes of a freeze.
pub(crate) struct FreezeOutput {
    pub(crate) image: Image,
    /// What the roots' expressions read, as it was after the first run.
    pub(crate) inputs: Inputs,
    /// Where the objects are, unless the image is verbatim.
    pub(crate) plan: Option<Plan>,
    /// The words of the image data that hold an address in the executable, or why it is not known exactly which do, and that
    /// nothing else follows from where the executable is.
    pub(crate) addresses: Result<Vec<u64>, String>,
    /// What was mapped while the roots were evaluated.
    pub(crate) mapped: Vec<String>,
}

/// Image data that is right, as far as anything is known about it.
pub(super) struct Judged {
    pub(super) frozen: Frozen,
    pub(super) statics: Statics,
    pub(super) proof: Proof,
    /// On what its words depend.
    pub(super) causes: Causes,
    pub(super) pages: Pages,
    /// If there was a plan.
    pub(super) contents: Option<Contents>,
}

impl Freezing<'_> {
    /// Makes the image.
    pub(super) fn finish(&self, judged: Judged) -> Result<FreezeOutput> {
        let Judged { frozen, statics, proof, causes, pages, contents } = judged;
        let carried = statics.carried();
        let report = Report::new(Tally {
            counts: frozen.capture.counts,
            pointers: pages.pointers,
            carried: carried.iter().map(|range| range.length).sum(),
            overflow: frozen.overflow().map_or(0, |range| range.end - range.start),
            planned: frozen.planned.as_ref().map(|planned| planned.plan.len() as u64).zip(contents),
        });
        self.judge_density(&frozen, &report);
        let relocatable = self.is_relocatable(&frozen, &proof, &causes, frozen.objects(&statics.places()).as_ref());
        let bound = proof.bound.iter().map(|(offset, place)| Bound { offset: offset + DATA_OFFSET, place: *place });
        let bound: Vec<Bound> = bound.collect();
        let addresses = self.addresses(&frozen, &statics, &proof).map_err(|why| format!("{why:#}"));
        let mapped = frozen.capture.maps.iter().map(|mapping| mapping.name.clone()).collect();
        let static_pointers = if self.binary.pie { image::relocations(&proof.static_pointers) } else { Vec::new() };
        let parts = Parts {
            features: causes.features,
            answers: &self.needed_answers(causes.needs_all),
            digests: pages.digests,
            verbatim: frozen.planned.is_none(),
            aligned: proof.aligned,
            static_pointers,
            image_pointers: relocatable.then(|| image::relocations(&proof.image_pointers)),
            bound: &bound,
            carried: &carried,
            decisions: &statics.report().collect::<Vec<_>>(),
            report: serde_json::to_vec(&report).context("cannot write the report")?,
        };
        let image = Image::build(self.binary, &frozen.capture, frozen.data, parts)
            .with_context(|| format!("cannot make an image for {}", self.binary.path.display()))?;
        wait_for_all();
        let plan = frozen.planned.map(|planned| planned.plan);
        Ok(FreezeOutput { image, inputs: frozen.inputs, plan, addresses, mapped })
    }

    /// Whether the image can be used at another address: if every pointer in it is known to be one, and no object needs an
    /// alignment that another address may not have.
    fn is_relocatable(&self, frozen: &Frozen, proof: &Proof, causes: &Causes, objects: Option<&Objects<'_>>) -> bool {
        let alignment = frozen.capture.counts.largest_alignment;
        let moves = |region| region != Region::Executable || self.binary.pie;
        let mut unexplained = proof.differences.iter().filter(|word| !causes.explained.contains(&word.offset));
        let why = match proof.unclear_in(Region::Image) {
            Some(Unclear { offset, .. }) => {
                format!("a word (in {}) may be a pointer or not", frozen.way(objects, *offset))
            }
            None if alignment > HOME_ALIGN => format!("something in it is aligned to {alignment} bytes"),
            None => match (proof.disguised.iter().find(|one| moves(one.region)), unexplained.next()) {
                (Some(Disguised { offset, disguise, .. }), _) => {
                    format!("a word (in {}) is an address in another form, {disguise}", frozen.way(objects, *offset))
                }
                (None, Some(Varying { offset, .. })) => format!(
                    "a word (in {}) differs from run to run, and may be an address in another form",
                    frozen.way(objects, *offset)
                ),
                (None, None) => return true,
            },
        };
        self.shell.verbose(format_args!("the image can only be used at its home address: {why}"));
        false
    }
}
