//! What the saving and the loading side of a type call its fields and variants. Asked for only when a value did not
//! come back, to say why: serde's two traits know nothing of each other.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};

type Names = Vec<&'static str>;

/// What was seen on one or both sides, by the type's name.
#[derive(Default)]
pub(crate) struct Shapes {
    written: Mutex<Side>,
    read: Mutex<Side>,
}

#[derive(Default)]
struct Side {
    /// By type and variant; a struct's variant is empty.
    fields: BTreeMap<(&'static str, &'static str), BTreeSet<Names>>,
    /// Written: index and name. Read: all names, those that are skipped left out.
    variants: BTreeMap<&'static str, BTreeSet<(u32, &'static str)>>,
}

/// Names are only added: what a thread left behind that panicked is good.
fn lock(side: &Mutex<Side>) -> MutexGuard<'_, Side> {
    side.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shapes {
    /// A struct, or a variant with named fields, is saved.
    pub(crate) fn fields(&self, of: &'static str, variant: &'static str, names: Names) {
        lock(&self.written).fields.entry((of, variant)).or_default().insert(names);
    }

    /// A variant is saved.
    pub(crate) fn variant(&self, of: &'static str, index: u32, name: &'static str) {
        lock(&self.written).variants.entry(of).or_default().insert((index, name));
    }

    /// A struct is loaded.
    pub(crate) fn wanted(&self, of: &'static str, names: &[&'static str]) {
        lock(&self.read).fields.entry((of, "")).or_default().insert(names.to_vec());
    }

    /// An enum is loaded.
    pub(crate) fn wanted_variants(&self, of: &'static str, names: &[&'static str]) {
        let mut read = lock(&self.read);
        read.variants.entry(of).or_default().extend((0..).zip(names.iter().copied()));
    }

    /// The first type whose sides disagree, and what to do about it.
    pub(crate) fn disagreement(&self) -> Option<String> {
        let (written, read) = (lock(&self.written), lock(&self.read));
        for (of, saved) in &written.variants {
            let Some(known) = read.variants.get(of) else { continue };
            if let Some(&(index, name)) = saved.iter().find(|&variant| !known.contains(variant)) {
                let mut text = format!("`{of}::{name}` is saved as variant number {index}, ");
                // Writing to a String does not fail.
                let _ = match known.iter().find(|variant| variant.0 == index) {
                    Some((_, other)) => write!(text, "which loading takes for `{of}::{other}`"),
                    None => write!(text, "which loading does not know"),
                };
                return Some(text + "; move variants that serde skips to the end of the enum, or skip none");
            }
        }
        for (of, saved) in written.fields.iter().filter(|(of, _)| of.1.is_empty()) {
            let Some(wanted) = read.fields.get(of) else { continue };
            if let Some(names) = saved.iter().find(|&names| !wanted.contains(names)) {
                let wanted = wanted.iter().next().map_or(&[][..], Vec::as_slice);
                return Some(format!(
                    "`{}` is saved with the fields {names:?} and loaded with {wanted:?}; let serde skip (`skip`) and \
                     name (`rename`) fields alike on both sides",
                    of.0
                ));
            }
        }
        None
    }
}
