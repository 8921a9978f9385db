//! Decide: whether a static that changed travels in the image, and why.

use super::policy::{self, Choice, Chosen};
use crate::elf::names::{Name, is_of_the_process, is_part};
use crate::elf::own::Owners;
use crate::elf::spans::{Owner, Span};
use anyhow::Result;
use fastboot_format::statics::{Dump, is_code};
use std::borrow::Cow;
use std::ops::Range;

/// Why something was decided, to be shown and stored.
pub(crate) type Reason = Cow<'static, str>;

/// Whether a static travels in the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Its changed bytes are restored at start, before user code.
    Carry(Reason),
    /// It starts as the linker made it.
    Skip(Reason),
}

/// Why a word that holds one code address after another is not carried.
pub(crate) const DISPATCH_CACHE: &str = "a dispatch cache: the CPU is asked anew";
/// Why what the processor can do is carried: a value may have been made for it, and look there at each use.
pub(crate) const CPU_CACHE: &str = "what the CPU can do, which values were made for";
/// And why it is not, after all.
pub(crate) const UNUSED_CPU_CACHE: &str = "a cache of CPU features that no value was made for: the CPU is asked anew";
/// Why what the runtime's own allocations change is not carried.
pub(crate) const ALLOCATORS: &str = "the allocator's: it changes whenever memory is allocated";
/// Why the static of a root is not carried.
pub(crate) const A_ROOT: &str = "a root";
/// What a decision is made from.
pub(super) struct Facts<'a> {
    pub(super) name: Option<&'a Name>,
    pub(super) span: &'a Span<'a>,
    pub(super) dumps: &'a [Dump<'a>],
    pub(super) code: &'a [Range<u64>],
    /// Whether what it held before is known to be no address.
    pub(super) is_number: &'a dyn Fn(&[u8]) -> bool,
    /// Which crates are the user's: what holds for published crates of the same name does not for them.
    pub(super) owners: &'a Owners<'a>,
}

impl Facts<'_> {
    /// Decides.
    pub(super) fn decide(&self, chosen: &Chosen, stripped: bool) -> Result<Decision> {
        let skip = |reason: &'static str| Ok(Decision::Skip(reason.into()));
        let by_name = || self.name.and_then(|name| chosen.carried_by_name(&name.text));
        if self.span.owner == Owner::Root {
            return match by_name() {
                Some(pattern) => Err(policy::cannot(pattern, "it is a root, and roots are in the image anyway")),
                None => skip(A_ROOT),
            };
        }
        let Some(name) = self.name else {
            return Ok(Decision::Skip(match self.span.owner {
                _ if stripped => "no symbols: the binary is stripped".into(),
                Owner::Section(section) => format!("no symbol (section {section})").into(),
                _ => "no symbol".into(),
            }));
        };
        let Some(crate_name) = &name.crate_name else {
            // It may be a `#[no_mangle]` static. C's own cannot be told from those, so only its full name will do.
            return match by_name() {
                Some(pattern) if name.text.starts_with('_') => {
                    Err(policy::cannot(pattern, "names with a leading `_` belong to the C library and the linker"))
                }
                Some(_) => Ok(Decision::Carry("named by `carry`".into())),
                None => skip("not a Rust symbol"),
            };
        };
        let own = self.owners.has(Some(crate_name));
        if is_of_the_process(crate_name) && !own {
            return match by_name() {
                Some(pattern) => Err(policy::cannot(pattern, "it belongs to the running process")),
                None => Ok(match policy::travels(&name.text) {
                    Some(reason) => Decision::Carry(reason.into()),
                    None => Decision::Skip(format!("`{crate_name}` belongs to the running process").into()),
                }),
            };
        }
        match chosen.of(&name.text, crate_name)? {
            Some(Choice::Carry(by)) => return Ok(Decision::Carry(format!("chosen by carry = `{}`", by.text()).into())),
            Some(Choice::Skip(by)) => return Ok(Decision::Skip(format!("chosen by skip = `{}`", by.text()).into())),
            None => {}
        }
        if self.is_dispatch_cache() {
            return skip(DISPATCH_CACHE);
        }
        let carried = self.is_cpu_feature_cache(&name.text).then_some(CPU_CACHE);
        if let Some(reason) = carried.or_else(|| policy::travels(&name.text)) {
            return Ok(Decision::Carry(reason.into()));
        }
        match policy::skipped(&name.text, crate_name, own) {
            Some(reason) => skip(reason),
            None => Ok(Decision::Carry(format!("state of `{crate_name}`").into())),
        }
    }

    /// Whether the user said what is to become of it.
    pub(super) fn is_chosen(&self, chosen: &Chosen) -> Result<bool> {
        Ok(match self.name {
            Some(Name { text, crate_name: Some(crate_name) }) => chosen.of(text, crate_name)?.is_some(),
            Some(Name { text, .. }) => chosen.carried_by_name(text).is_some(),
            None => false,
        })
    }

    fn bytes(&self) -> Option<(&[u8], &[u8])> {
        self.dumps.iter().find_map(|dump| dump.bytes(&self.span.range))
    }

    /// One word, the address of code before and after, such as memchr's `FN`. A word that LLVM split off a larger static
    /// does not count: what belongs with it would be left behind. Nor does one that has a function of another crate: somebody
    /// else put it there, and does not know that it has to be done again.
    fn is_dispatch_cache(&self) -> bool {
        let whole = matches!(self.span.owner, Owner::Symbol(symbol) if !is_part(symbol));
        let both = |(before, after): (&[u8], &[u8])| is_code(before, self.code) && is_code(after, self.code);
        let is_of_another = |word: &[u8]| {
            let crate_name = self.name.and_then(|name| name.crate_name.as_deref());
            crate_name.is_some_and(|name| self.owners.are_of_others(word, name))
        };
        whole && self.bytes().is_some_and(|bytes| both(bytes) && !(self.is_number)(bytes.0) && !is_of_another(bytes.1))
    }

    /// What the macro of the crate `cpufeatures` puts into the crates that use it: one byte, 255 for not yet asked. Who asked
    /// gets a token without bytes, and everything that is done with it reads this byte: 255 counts as "cannot".
    fn is_cpu_feature_cache(&self, name: &str) -> bool {
        name.ends_with("::STORAGE") && self.bytes().is_some_and(|(before, _)| before == [u8::MAX])
    }
}
