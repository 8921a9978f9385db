//! Statics that are not carried though the program may miss what the expressions left in them: because of an address that they hold
//! as well, or because of what their crate is called.

use super::stages::Freezing;
use crate::carry::carried::Statics;
use anyhow::{Result, bail};

impl Freezing<'_> {
    /// Refuses those of the user's crates, and warns of others.
    pub(super) fn judge_outside(&self, statics: &Statics) -> Result<()> {
        let found = statics.outside().iter().filter(|one| !one.is_all);
        for one in found {
            let (name, what) = (&one.name, &one.what);
            let found = format!(
                "the static `{name}` holds the address of {what}, which the embedded program does not have there, beside other \
                 things that the expressions left in it; so it is not carried, and the program would find it as it is \
                 before its first use"
            );
            let remedy = format!(
                "Keep that address out of it while roots are evaluated; or, if the program needs nothing of it, say so: \
                 `skip = [\"{name}\"]` in [package.metadata.fastboot]; or, if it has no use for that address, have it \
                 carried all the same: `allow-foreign = [\"{name}\"]`"
            );
            if one.own {
                bail!("{found}. {remedy}");
            }
            self.shell.warn(format_args!("{found}. {remedy}"));
        }
        Ok(())
    }

    /// Warns of statics of crates from a folder that are taken for those of a published crate.
    pub(super) fn tell_namesakes(&self, statics: &Statics) {
        for (crate_name, name, reason) in
            statics.by_crate_name().filter(|(one, ..)| self.options.local.iter().any(|it| it == one))
        {
            self.shell.warn(format_args!(
                "the static `{name}` is not carried, as is right for the published crate `{crate_name}` ({reason}), but this one \
                 is from a folder: if it is another crate, `carry = [\"{crate_name}\"]` in [package.metadata.fastboot]; if not, \
                 `skip = [\"{crate_name}\"]`"
            ));
        }
    }
}
