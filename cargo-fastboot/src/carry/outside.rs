//! Outside: statics that hold addresses of memory that is not in the image, in their own bytes.
//!
//! ```text
//! static STATE   [ names: ptr len cap | thread: 0x7f.. ]      the word of the thread is right in the freeze run only
//! ```
//!
//! None of them is carried, because the word would point to nothing. What becomes of the rest depends on what that is:
//!
//! - A `LazyLock` whose value is such addresses and nothing else is evaluated again by whoever needs it.
//! - Where the addresses are all there is, the program finds none and may look for them again, unless a flag tells it not to.
//! - Where there is more, the program would miss that, and nothing else in it tells that it is not there.

use super::attribute::Static;

/// A static that is not carried because of an address that it holds.
#[derive(Debug)]
pub(crate) struct Outside {
    pub(crate) name: String,
    /// What has that address.
    pub(crate) what: String,
    pub(super) crate_name: Option<String>,
    /// Whether its crate is the user's.
    pub(crate) own: bool,
    /// Whether such addresses are all that the expressions left in it.
    pub(crate) is_all: bool,
    /// Whether it is evaluated when it is needed.
    pub(super) lazy: bool,
}

impl Outside {
    /// Whether the program may go wrong without what is in it, though it is nothing but addresses, which it may find again: if
    /// it is the user's, or a flag of its own crate is carried.
    pub(super) fn is_missed(&self, flags: &[&Static]) -> bool {
        let is_kin = |flag: &&Static| flag.crate_name == self.crate_name;
        self.is_all && !self.lazy && (self.own || flags.iter().any(is_kin))
    }
}
