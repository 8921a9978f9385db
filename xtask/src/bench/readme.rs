//! The table in README.md, between two comments.

use crate::command::root;
use anyhow::{Context, Result};

const BEGIN: &str = "<!-- table: cargo xtask bench --readme -->\n";
const END: &str = "<!-- end of table -->\n";

/// Puts a new table in place of the old one.
pub(crate) fn update(table: &str) -> Result<()> {
    let path = root().join("README.md");
    let old = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let new = replace(&old, table).with_context(|| format!("{} has no place for the table", path.display()))?;
    // Whole or not at all, as the tool writes.
    let temporary = path.with_extension("md.new");
    std::fs::write(&temporary, new).with_context(|| format!("cannot write {}", temporary.display()))?;
    std::fs::rename(&temporary, &path).with_context(|| format!("cannot replace {}", path.display()))
}

fn replace(text: &str, table: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some([before, BEGIN, table, END, after].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_table_changes() {
        let text = format!("before\n{BEGIN}old\n{END}after\n");
        assert_eq!(replace(&text, "new\n"), Some(format!("before\n{BEGIN}new\n{END}after\n")));
        assert_eq!(replace("no table", "new\n"), None);
    }

    #[test]
    fn there_is_a_place_for_it() -> Result<()> {
        let text = std::fs::read_to_string(root().join("README.md"))?;
        assert!(replace(&text, "").is_some());
        Ok(())
    }
}
