//! Sharing: what becomes of objects that the image and a static which does not travel both lead to.

use super::stages::Freezing;
use crate::carry::carried::Statics;
use crate::contents::objects::Origin;
use crate::options::Choices;
use crate::plan::mark::{Heap, Marked};
use crate::plan::shared::{self, Shared};
use crate::runs::capture::Capture;
use anyhow::{Result, bail};
use std::sync::PoisonError;

impl Freezing<'_> {
    /// What the user chose, and what was found to have to travel.
    pub(super) fn choices(&self) -> Choices {
        let mut choices = self.options.choices.clone();
        choices.carry.extend(self.along.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned());
        choices
    }

    /// Looks for shared objects. `true` if a static of a kind that may travel shares one: it is chosen from now on, and the
    /// statics have to be found once more. Any other is refused.
    pub(super) fn share(
        &self,
        (statics, run): (&Statics, &Capture),
        heap: &Heap<'_>,
        marked: &Marked,
        origins: &[Origin],
    ) -> Result<bool> {
        let (holders, words): (Vec<_>, Vec<_>) = statics.left_out(run).unzip();
        // What unused parts of objects lead to is no part of any value.
        let counts = |seed: u32| !matches!(origins.get(seed as usize), None | Some(Origin::Remains));
        let mut again = false;
        for Shared { holder, block, seed } in shared::find(heap, marked, counts, &words) {
            let (holder, origin) = (&holders[holder], &origins[seed as usize]);
            if holder.may_travel {
                self.shell.verbose(format_args!(
                    "the static `{}` shares an object with {origin}, so it is carried",
                    holder.name
                ));
                self.along.lock().unwrap_or_else(PoisonError::into_inner).insert(holder.name.to_owned());
                again = true;
                continue;
            }
            let names = [Some(holder.name), origin.name()];
            let is_named = |allowed: &String| {
                let last = |name: &str| name.rsplit("::").next() == Some(allowed.as_str());
                names.into_iter().flatten().any(|name| name == allowed || last(name))
            };
            if self.options.allow_shared.iter().any(is_named) {
                continue;
            }
            let size = run.blocks[block as usize].size;
            let (name, reason) = (holder.name, holder.reason);
            let carry = match holder.is_rusts {
                true => format!("carry the static: `carry = [\"{name}\"]` in [package.metadata.fastboot]; or, "),
                false => String::new(),
            };
            bail!(
                "{origin} and the static `{name}`, which is not carried ({reason}), lead to the same object of {size} bytes. \
                 In the finished program there would be two: that of the image, and the one that the static is given anew. \
                 Keep it out of the root; or, {carry}if nothing depends on the two being one, allow it: `--allow-shared \
                 {name}`, or `allow-shared = [\"{name}\"]`"
            );
        }
        Ok(again)
    }
}
