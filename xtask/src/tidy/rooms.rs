//! Rooms: the folders of a crate and who may use whom, as the tables of docs/architecture.md say.

use super::imports::Imports;
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;

/// A crate's table. A room is a folder of its source, or a file beside the folders.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rooms {
    /// In the order of the table: each with all that it may use.
    rooms: BTreeMap<String, Vec<String>>,
}

impl Rooms {
    /// The table under the heading `## NAME` of a document, if there is that heading. Its columns are: rooms, what they hold,
    /// which rooms they may use. These may use what those may use, and "all above" stands for all rows above.
    pub(super) fn parse(document: &str, name: &str) -> Result<Option<Self>> {
        let heading = format!("## {name}");
        let mut lines = document.lines().skip_while(|line| *line != heading).skip(1).peekable();
        if lines.peek().is_none() {
            return Ok(None);
        }
        let section = lines.take_while(|line| !line.starts_with("## "));
        let table = section.skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
        let mut rooms: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for row in table.skip(2) {
            let cells: Vec<&str> = row.trim_matches('|').split('|').collect();
            let [names, _, may_use] = cells[..] else {
                anyhow::bail!("the table of {name} has a row that has not three columns: {row}")
            };
            let mut all = quoted(may_use);
            for used in all.clone() {
                let known = rooms.get(&used).with_context(|| {
                    format!("the table of {name} lets {} use `{used}`, which no row above it holds", names.trim())
                })?;
                all.extend(known.iter().cloned());
            }
            if may_use.contains("all above") {
                all.extend(rooms.keys().cloned());
            }
            all.sort();
            all.dedup();
            for room in quoted(names) {
                rooms.insert(room, all.clone());
            }
        }
        ensure!(!rooms.is_empty(), "there is no table under the heading `{heading}`");
        Ok(Some(Self { rooms }))
    }

    /// What is against the table, a line each, beginning with the file.
    pub(super) fn check(&self, imports: &Imports) -> Vec<String> {
        let mut found = Vec::new();
        for file in imports.files.iter().filter(|file| **file != imports.first) {
            if !self.rooms.contains_key(room_of(file)) {
                found.push(format!("{file}: `{}` is in no row of the table", room_of(file)));
            }
        }
        for room in self.rooms.keys() {
            if !imports.files.iter().any(|file| room_of(file) == room) {
                found.push(format!(": the table has `{room}`, in which there is no file"));
            }
        }
        for ((from, to), path) in imports.uses.iter().filter(|((from, _), _)| *from != imports.first) {
            let (room, used) = (room_of(from), room_of(to));
            if *to == imports.first {
                found.push(format!("{from}: uses `{path}` of {to}, which nothing may use"));
            } else if room != used && !self.rooms.get(room).is_some_and(|all| all.iter().any(|one| one == used)) {
                found.push(format!("{from}: uses `{path}`, but the table does not let `{room}` use `{used}`"));
            }
        }
        found
    }
}

/// What stands in backticks, without the `/` behind it.
fn quoted(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(|name| name.trim_end_matches('/').to_owned()).collect()
}

/// The folder that a file is in, or the file itself.
fn room_of(file: &str) -> &str {
    file.split_once('/').map_or_else(|| file.trim_end_matches(".rs"), |(folder, _)| folder)
}

#[cfg(test)]
mod tests {
    use super::super::imports::of_crate;
    use super::*;

    const DOCUMENT: &str = "# A\n\n## app\n\nSome words.\n\n| folder | holds | may use |\n|---|---|---|\n| `say/`, `options` | | - |\n\
                            | `elf/` | binary | `say/` |\n| `runs/` | run | `elf/` |\n| `cli` | | all above |\n\n## other\n\n\
                            | folder | holds | may use |\n|---|---|---|\n| `x` | | - |\n";

    fn rooms() -> Rooms {
        Rooms::parse(DOCUMENT, "app").expect("the table is good").expect("there is a table")
    }

    fn check(files: &[(&str, &str)]) -> Vec<String> {
        let rest = [("say/mod.rs", ""), ("options.rs", ""), ("elf/mod.rs", ""), ("runs/mod.rs", ""), ("cli.rs", "")];
        let main = "mod say; mod options; mod elf; mod runs; mod cli;";
        let first = [("main.rs", main)];
        let read = |path: &str| {
            let mut all = files.iter().chain(&rest).chain(&first);
            all.find(|(name, _)| *name == path).map(|(_, text)| (*text).to_owned())
        };
        rooms().check(&of_crate("main.rs", read).expect("the crate can be read"))
    }

    #[test]
    fn what_rooms_use_they_hand_on() {
        let Rooms { rooms } = rooms();
        assert_eq!(rooms["elf"], ["say"]);
        assert_eq!(rooms["runs"], ["elf", "say"]);
        assert_eq!(rooms["cli"], ["elf", "options", "runs", "say"]);
        assert_eq!(Rooms::parse(DOCUMENT, "nobody").expect("no table is no error"), None);
    }

    #[test]
    fn what_keeps_to_the_table_is_fine() {
        let found =
            check(&[("runs/mod.rs", "use crate::elf; use crate::say::shell;"), ("cli.rs", "use crate::runs::X;")]);
        assert_eq!(found, [""; 0]);
    }

    #[test]
    fn what_is_planted_against_it_is_found() {
        let found = check(&[("elf/mod.rs", "use crate::runs::run::Purpose;")]);
        assert_eq!(
            found,
            ["elf/mod.rs: uses `crate::runs::run::Purpose`, but the table does not let `elf` use `runs`"]
        );
        let main = "mod say; mod options; mod elf; mod runs; mod cli; mod extra; struct X;";
        let found = check(&[("main.rs", main), ("extra.rs", ""), ("cli.rs", "use crate::X;")]);
        let expected = [
            "extra.rs: `extra` is in no row of the table",
            "cli.rs: uses `crate::X` of main.rs, which nothing may use",
        ];
        assert_eq!(found, expected);
        let found = check(&[("main.rs", "mod say; mod options; mod elf; mod runs;")]);
        assert_eq!(found, [": the table has `cli`, in which there is no file"]);
    }

    #[test]
    fn a_row_can_only_use_what_is_above_it() {
        let table = "## app\n| a | b | c |\n|---|---|---|\n| `x` | | `y` |\n| `y` | | - |\n";
        let error = Rooms::parse(table, "app").unwrap_err().to_string();
        assert_eq!(error, "the table of app lets `x` use `y`, which no row above it holds");
    }
}
