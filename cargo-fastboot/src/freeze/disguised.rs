//! Disguised: what becomes of addresses that are kept in another form.
//!
//! An object that only such words lead to is not in the first plan, and in run 2 it lies in the scratch heap, alive. The
//! proof sees that the word moved with the scratch heap. So the forms are learned, and everything is planned once more:
//!
//! ```text
//! plan ─▶ place ─▶ prove ─▶ words in other forms that mean live temporaries?
//!   ▲                          │ yes: forms and objects
//!   └──────────────────────────┘
//! ```

use super::stages::{Freezing, Frozen};
use crate::contents::objects::Objects;
use crate::options::Allocation;
use crate::plan::mark::Heap;
use crate::prove::disguise::{Disguise, Disguised};
use crate::prove::proof::{Proof, Varying};
use crate::prove::regions::Region;
use crate::runs::forms::Form;
use crate::say::remedy::listed;
use anyhow::{Result, bail};
use std::collections::{BTreeSet, HashSet};

/// How often an image is planned at most. What an object's unused parts hold is what was there before it, and where that is
/// the address of something that is alive, it has to be kept; but which address it is can differ between the two runs.
const MOST_PLANS: usize = 4;

/// What a freeze knows for the next plan.
#[derive(Default)]
pub(super) struct Learned {
    /// Objects that are to be in the image, whatever leads to them.
    pub(super) also: HashSet<Allocation>,
    /// The forms that addresses are kept in.
    pub(super) forms: BTreeSet<Form>,
    /// How often it was planned.
    pub(super) plans: usize,
    /// Whether the last plan fitted, and left out objects that only addresses in another form lead to.
    pub(super) is_chain: bool,
    /// Where the last plan did not fit, if it did not.
    pub(super) unplanned: Option<String>,
}

impl Learned {
    /// Whether it may be planned once more.
    pub(super) fn may_plan(&self) -> bool {
        self.plans < MOST_PLANS
    }
}

impl Freezing<'_> {
    /// Goes through the words that are addresses in another form. Whether some of them mean objects that are not in the
    /// image: then it has to be planned once more, with what was learned. Words that mean nothing are dead, like addresses
    /// that are kept as they are.
    pub(super) fn learn(&self, frozen: &Frozen, proof: &mut Proof, learned: &mut Learned) -> bool {
        let (blocks, address) = (&frozen.capture.blocks, frozen.capture.data_address());
        // No block of this run is held.
        let heap = Heap::new(blocks, &[]).filter(|_| frozen.planned.is_some());
        let meant = |disguised: &Disguised| {
            let addresses = disguised.addresses(address)?;
            addresses.into_iter().find_map(|address| heap.as_ref()?.block_at(address))
        };
        let threads = frozen.capture.thread_keys();
        let mut missing = 0;
        for disguised in std::mem::take(&mut proof.disguised) {
            match (disguised.region, disguised.disguise, meant(&disguised)) {
                (Region::Scratch, Disguise::Moved(_) | Disguise::Negative | Disguise::Distance, Some(block)) => {
                    missing += 1;
                    learned.also.extend(blocks[block as usize].allocation(&threads));
                    if let Disguise::Moved(form) = disguised.disguise {
                        learned.forms.insert(form);
                    }
                }
                (Region::Scratch, Disguise::Moved(_) | Disguise::Negative, None) => proof.dead += 1,
                (Region::Scratch, Disguise::Distance, None) => {
                    proof.differences.push(Varying { offset: disguised.offset, values: disguised.values });
                }
                _ => proof.disguised.push(disguised),
            }
        }
        learned.is_chain = missing > 0;
        if missing > 0 {
            let forms: Vec<String> = learned.forms.iter().map(Form::to_string).collect();
            self.shell.verbose(format_args!(
                "{missing} words are addresses in another form ({}), of objects that are not in the image: planning again",
                forms.join(", ")
            ));
        }
        missing > 0
    }

    /// Refuses addresses in another form that cannot be made right.
    pub(super) fn judge_disguised(
        &self,
        frozen: &Frozen,
        proof: &Proof,
        objects: Option<&Objects<'_>>,
        is_allowed: impl Fn(u64) -> bool,
    ) -> Result<()> {
        let way = |offset| frozen.way(objects, offset);
        let of_executable = |disguised: &&Disguised| disguised.region == Region::Executable && self.binary.pie;
        let of_executable = proof.disguised.iter().find(of_executable);
        if let Some(Disguised { offset, disguise, .. }) = of_executable {
            bail!(
                "the image holds an address of the executable in another form ({disguise}, in {}). Only addresses as they are \
                 can be made right in a position-independent binary; build without --pie",
                way(*offset)
            );
        }
        let of_missing = |disguised: &&Disguised| {
            // The overflow and verbatim images are full of garbage.
            let is_told = frozen.overflow().is_some_and(|overflow| !overflow.contains(&disguised.offset));
            disguised.region == Region::Scratch && is_told && !is_allowed(disguised.offset)
        };
        let mut missing = proof.disguised.iter().filter(of_missing);
        let Some(Disguised { offset, values: [first, second], disguise, .. }) = missing.next() else { return Ok(()) };
        let name = frozen.origin(objects, *offset).unwrap_or("NAME");
        let others = match missing.count() {
            0 => String::new(),
            count => format!("; {} such words in all", count + 1),
        };
        bail!(
            "the image holds the address of an object in another form ({disguise}, in {}: {first:#x}, then {second:#x}{others}), \
             so the object cannot be found, and would be missing in the embedded program. Keep the address as it is (the lowest three bits and the \
             highest sixteen may hold something else), or build with --verbatim{}; if it is garbage that nothing reads, allow \
             it: {}",
            way(*offset),
            if self.binary.pie { " and without --pie" } else { "" },
            listed("allow-foreign", name)
        )
    }
}
