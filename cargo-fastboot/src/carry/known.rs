//! KnownNames: the names that an entry of `carry`, `skip` or an `allow-..` list can mean in a program. One that means nothing
//! would be passed over without a word, so it is an error.
//!
//! ```text
//! app              a crate
//! app::pool::*     a module
//! app::pool::SIZE  a static or a root by its path
//! SIZE             the same by its last name
//! ```

use super::policy::{Chosen, is_path_prefix};
use crate::elf::binary::Elf;
use crate::elf::names::{Name, crates_of_block, is_of_the_process, last_name, means};
use crate::options::Choices;
use anyhow::{Context, Result, bail};
use object::LittleEndian as LE;
use object::elf;
use object::read::elf::Sym as _;
use std::collections::BTreeSet;

/// From this similarity on (1 is equality), a name is worth being offered for another.
const SIMILAR: f64 = 0.4;

/// What has a name in a program.
#[derive(Debug)]
pub(crate) struct KnownNames<'a> {
    statics: Vec<Name>,
    /// Crates that are linked into it, whether they have statics or not.
    crates: BTreeSet<String>,
    /// Crates that may be linked into other programs of the package: one list is for all of them.
    elsewhere: &'a [String],
    /// Without symbols, nothing is known.
    stripped: bool,
}

impl<'a> KnownNames<'a> {
    /// Reads the symbols of a program. `elsewhere` are crates that an entry may name though the program does not have them.
    pub(crate) fn read(elf: &Elf<'_>, bytes: &[u8], elsewhere: &'a [String]) -> Result<Self> {
        let symbols = elf.sections.symbols(LE, bytes, elf::SHT_SYMTAB).context("its symbol table is damaged")?;
        let mut known = Self { statics: Vec::new(), crates: BTreeSet::new(), elsewhere, stripped: symbols.is_empty() };
        for symbol in symbols.iter().filter(|symbol| !symbol.is_undefined(LE)) {
            let Ok(Ok(text)) = symbol.name(LE, symbols.strings()).map(str::from_utf8) else { continue };
            let name = Name::of(text);
            known.crates.extend(name.crate_name.clone());
            let is_ours = !name.crate_name.as_deref().is_some_and(is_of_the_process);
            if symbol.st_type() == elf::STT_OBJECT && is_ours {
                known.statics.push(name);
            }
        }
        Ok(known)
    }

    /// Requires that every entry of `carry` and `skip` names something, and something else than `roots`, as far as they are
    /// known.
    pub(crate) fn require_choices(&self, choices: &Choices, roots: &[&str]) -> Result<()> {
        let chosen = Chosen::parse(choices)?;
        for (list, pattern) in chosen.patterns() {
            let fits = |name: &&Name| match &name.crate_name {
                Some(crate_name) => pattern.fit(&name.text, crate_name).is_some(),
                None => pattern.is(&name.text),
            };
            if self.crates.iter().any(|name| pattern.fit(name, name).is_some()) {
                continue;
            }
            let fitting: Vec<&Name> = self.statics.iter().filter(fits).collect();
            if fitting.is_empty() {
                self.refuse(list, pattern.text(), &[])?;
            } else if fitting.iter().all(|name| roots.iter().any(|root| is_path_prefix(root, &name.text))) {
                let entry = pattern.text();
                bail!("`{entry}` in the list `{list}` is a root, which is in the image in any case; remove `{entry}`");
            }
        }
        Ok(())
    }

    /// Requires that every entry of the list names one of `roots` or a static.
    pub(crate) fn require_allowed(&self, list: &str, entries: &[String], roots: &[&str]) -> Result<()> {
        for entry in entries {
            let mut paths = roots.iter().copied().chain(self.statics.iter().map(|name| name.text.as_str()));
            if !paths.any(|path| means(entry, path)) {
                self.refuse(list, entry, roots)?;
            }
        }
        Ok(())
    }

    /// The error for an entry that means nothing here, unless it is for another program of the package.
    fn refuse(&self, list: &str, entry: &str, roots: &[&str]) -> Result<()> {
        let is_elsewhere = |name: &str| !self.crates.contains(name) && self.elsewhere.iter().any(|other| other == name);
        let first = entry.split("::").next().unwrap_or_default().replace('-', "_");
        // The header of an `impl` block has paths of its own, one of which is of the crate that has the block.
        let in_block = || entry.starts_with('<') && crates_of_block(entry).any(is_elsewhere);
        if self.stripped || is_elsewhere(&first) || in_block() {
            return Ok(());
        }
        let paths = roots.iter().copied().chain(self.statics.iter().map(|name| name.text.as_str()));
        let similarity = |name: &str| strsim::normalized_damerau_levenshtein(entry, name);
        let scored = paths.map(|path| (similarity(path).max(similarity(last_name(path))), path));
        let crates = self.crates.iter().map(|name| (similarity(name), name.as_str()));
        let nearest = scored.chain(crates).max_by(|(a, _), (b, _)| a.total_cmp(b));
        let remedy = match nearest.filter(|(similarity, _)| *similarity >= SIMILAR) {
            Some((_, nearest)) => format!("the nearest name is `{nearest}`"),
            None => "-v lists the roots, and the statics that changed".to_owned(),
        };
        // One list is for all programs of a package, and a path says which of them it is about.
        let is_bare = !entry.contains("::") && !self.elsewhere.is_empty();
        let path = if is_bare { ". If it is in another program of the package, write its path" } else { "" };
        bail!("`{entry}` in the list `{list}` names nothing in this program; {remedy}{path}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(elsewhere: &[String]) -> KnownNames<'_> {
        let name = |text: &str, of: &str| Name { text: text.to_owned(), crate_name: Some(of.to_owned()) };
        let foreign = Name { text: "c_table".to_owned(), crate_name: None };
        let statics = vec![
            name("app::WORDS", "app"),
            name("app::WORDS::RECORD", "app"),
            name("app::pool::OWNER", "app"),
            name("<log::A as app::B>::SEEN", "log"),
            foreign,
        ];
        let crates = ["app", "log", "code_only"].map(str::to_owned).into();
        KnownNames { statics, crates, elsewhere, stripped: false }
    }

    fn refused(skip: &str) -> Option<String> {
        let choices = Choices { carry: Vec::new(), skip: vec![skip.to_owned()] };
        known(&["other".to_owned()]).require_choices(&choices, &["app::WORDS"]).err().map(|error| error.to_string())
    }

    #[test]
    fn names_of_what_there_is() {
        for name in [
            "app",
            "app::pool",
            "app::pool::*",
            "app::pool::OWNER",
            "OWNER",
            "SEEN",
            "log",
            "c_table",
            "code-only",
            "l*",
        ] {
            assert_eq!(refused(name), None, "{name}");
        }
        // It may be in another program of the same package.
        assert_eq!(refused("other::STATE"), None);
        for block in ["<other::Foo<T> as other::Go>", "<&[T] as other::Go>", "<other::Foo as log::Log>"] {
            assert_eq!(refused(&format!("{block}::go::{{{{closure}}}}::ONCE")), None, "{block}");
        }
    }

    #[test]
    fn names_of_nothing_are_answered_with_the_nearest() {
        for (name, nearest) in [
            ("OWNR", "app::pool::OWNER"),
            ("app::OWNER", "app::pool::OWNER"),
            ("app::pool::owner", "app::pool::OWNER"),
            ("<log::A as app::B>::SEN", "<log::A as app::B>::SEEN"),
            ("lgo", "log"),
            ("code_onyl", "code_only"),
            ("EVERYTHING_ELSE", "-v lists"),
            ("WORDS", "is a root"),
        ] {
            let said = refused(name).unwrap_or_else(|| panic!("{name} is accepted"));
            assert!(said.contains(&format!("`{name}`")) && said.contains(nearest), "{said}");
        }
    }

    #[test]
    fn roots_are_allowed_by_their_last_names_too() {
        let known = known(&[]);
        let require = |entry: &str| known.require_allowed("allow-foreign", &[entry.to_owned()], &["app::INDEX"]);
        for entry in ["app::INDEX", "INDEX", "OWNER", "app::pool::OWNER"] {
            require(entry).unwrap();
        }
        let said = require("INDX").unwrap_err().to_string();
        assert!(said.contains("allow-foreign") && said.contains("`app::INDEX`"), "{said}");
    }

    #[test]
    fn without_symbols_nothing_is_known() {
        let stripped = KnownNames { statics: Vec::new(), crates: BTreeSet::new(), elsewhere: &[], stripped: true };
        stripped.require_allowed("allow-foreign", &["X".to_owned()], &[]).unwrap();
    }
}
