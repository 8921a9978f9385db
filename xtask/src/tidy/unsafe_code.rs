//! Unsafe code: only in the files that docs/architecture.md lists.

use super::imports::{attribute, item_end};
use anyhow::{Context, Result};
use proc_macro2::{TokenStream, TokenTree};

/// What the list begins with.
const HEADING: &str = "## Where `unsafe` is";

/// Compares the list under [`HEADING`], in each line a folder and names of files in it, with files and their texts. Tests are
/// left out.
pub(super) fn check(document: &str, files: &[(&str, String)]) -> Result<Vec<String>> {
    let (_, section) = document.split_once(HEADING).with_context(|| format!("there is no heading `{HEADING}`"))?;
    let section = section.split("\n## ").next().unwrap_or_default();
    let listed: Vec<String> = section.lines().flat_map(listed_in).collect();
    let mut found = Vec::new();
    for (path, text) in files.iter().filter(|(path, _)| !path.contains("/tests/") && !path.ends_with("tests.rs")) {
        let tokens = text.parse().map_err(|error| anyhow::anyhow!("cannot parse {path}: {error}"))?;
        match (has_unsafe(tokens), listed.iter().any(|one| one == path)) {
            (true, false) => {
                found.push(format!("{path}: `unsafe`, though docs/architecture.md does not list the file"))
            }
            (false, true) => {
                found.push(format!("{path}: no `unsafe` any more, though docs/architecture.md lists the file"))
            }
            _ => {}
        }
    }
    let missing = listed.iter().filter(|path| !files.iter().any(|(there, _)| there == path));
    found.extend(missing.map(|path| format!("docs/architecture.md: lists {path}, which is not there")));
    Ok(found)
}

/// The files that a line lists: a folder in backticks, and names of files in it.
fn listed_in(line: &str) -> Vec<String> {
    let quoted: Vec<&str> = line.split('`').skip(1).step_by(2).collect();
    let folder = quoted.iter().find(|name| name.ends_with('/')).copied().unwrap_or_default();
    quoted.iter().filter(|name| name.ends_with(".rs")).map(|name| format!("{folder}{name}")).collect()
}

fn has_unsafe(tokens: TokenStream) -> bool {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut at = 0;
    let mut for_tests = false;
    while at < tokens.len() {
        if let Some(end) = attribute(&tokens, at, &mut for_tests) {
            // Such as `#[unsafe(no_mangle)]`.
            if !for_tests && tokens[at..end].iter().any(is_unsafe) {
                return true;
            }
            at = end;
        } else if std::mem::take(&mut for_tests) {
            at = item_end(&tokens, at);
        } else if is_unsafe(&tokens[at]) {
            return true;
        } else {
            at += 1;
        }
    }
    false
}

fn is_unsafe(token: &TokenTree) -> bool {
    match token {
        TokenTree::Ident(word) => *word == "unsafe",
        TokenTree::Group(group) => has_unsafe(group.stream()),
        TokenTree::Punct(_) | TokenTree::Literal(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Vec<String>> {
        check(
            &format!("{HEADING}\n\n| `a/src/` | `x.rs` | and nowhere else |\n\n## Next\n`a/src/y.rs`"),
            &[("a/src/x.rs", text.to_owned())],
        )
    }

    #[test]
    fn the_list_is_kept() -> Result<()> {
        assert!(of("fn f() { unsafe { g() } }")?.is_empty());
        assert!(of("#[unsafe(no_mangle)] fn f() {}")?.is_empty());
        assert_eq!(of("// unsafe\nfn f() { \"unsafe\"; }")?.len(), 1);
        assert_eq!(of("#[cfg(test)] mod tests { fn f() { unsafe { g() } } }")?.len(), 1);
        Ok(())
    }

    #[test]
    fn what_is_planted_elsewhere_is_found() -> Result<()> {
        let files = [("a/src/y.rs", "fn f() { m!(unsafe { g() }) }".to_owned())];
        let found = check(&format!("{HEADING}\n\nNowhere.\n"), &files)?;
        assert_eq!(found, ["a/src/y.rs: `unsafe`, though docs/architecture.md does not list the file"]);
        Ok(())
    }

    #[test]
    fn a_file_that_is_gone_is_found() -> Result<()> {
        let found = check(&format!("{HEADING}\n\n| `a/src/` | `z.rs` |\n"), &[])?;
        assert_eq!(found, ["docs/architecture.md: lists a/src/z.rs, which is not there"]);
        Ok(())
    }
}
