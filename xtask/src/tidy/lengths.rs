//! Lengths: no file and no function is too long to be read at once. Tests may be as long as they like.

use super::imports::{item_end, outside_of_tests};
use anyhow::Result;
use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// How many lines a file may have.
const FILE: usize = 500;
/// How many lines a function may have, from `fn` to the brace that closes it.
const FUNCTION: usize = 60;

/// What is longer all the same.
pub(super) struct Exception {
    path: &'static str,
    /// The function in it; nothing for the file itself.
    function: &'static str,
    why: &'static str,
}

/// All of these.
pub(super) const EXCEPTIONS: &[Exception] = &[];

/// Files and functions that are too long, and exceptions that are none.
pub(super) fn check(files: &[(&str, String)], exceptions: &[Exception]) -> Result<Vec<String>> {
    let (mut found, mut used) = (Vec::new(), Vec::new());
    for (path, text) in files.iter().filter(|(path, _)| !path.contains("/tests/") && !path.ends_with("tests.rs")) {
        let mut is_excepted = |name: &str| {
            let number = exceptions.iter().position(|one| one.path == *path && one.function == name);
            used.extend(number);
            number.is_some()
        };
        let lines = text.lines().count();
        if lines > FILE && !is_excepted("") {
            found.push(format!("{path}: {lines} lines; a file has {FILE} at most, so make two of it"));
        }
        let tokens = text.parse().map_err(|error| anyhow::anyhow!("cannot parse {path}: {error}"))?;
        for (name, lines) in functions(tokens) {
            if lines > FUNCTION && !is_excepted(&name) {
                found.push(format!("{path}: `{name}` has {lines} lines; a function has {FUNCTION} at most"));
            }
        }
    }
    for (number, Exception { path, function, why }) in exceptions.iter().enumerate() {
        if why.is_empty() || !used.contains(&number) {
            found.push(format!(
                "{path}: `{function}` is an exception of xtask/src/tidy/lengths.rs without need or reason"
            ));
        }
    }
    Ok(found)
}

/// Names of functions, and how many lines each has.
fn functions(tokens: TokenStream) -> Vec<(String, usize)> {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(here) = outside_of_tests(&tokens, at) {
        at = here;
        match (&tokens[at], tokens.get(at + 1)) {
            (TokenTree::Ident(word), Some(TokenTree::Ident(name))) if *word == "fn" => {
                // One that is only declared ends with a semicolon.
                if let Some(TokenTree::Group(body)) = tokens.get(item_end(&tokens, at) - 1)
                    && body.delimiter() == Delimiter::Brace
                {
                    let lines = body.span_close().end().line - word.span().start().line + 1;
                    found.push((name.to_string(), lines));
                }
            }
            (TokenTree::Group(group), _) => found.extend(functions(group.stream())),
            _ => {}
        }
        at += 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: String) -> Result<Vec<String>> {
        check(&[("a/src/x.rs", text)], &[])
    }

    #[test]
    fn what_is_planted_is_found() -> Result<()> {
        let body = |lines: usize| "    g();\n".repeat(lines);
        let long = format!("impl X {{\nfn f(\n) -> u32 {{\n{}}}\nfn g() {{}}\n}}\n", body(58));
        assert_eq!(of(long)?, ["a/src/x.rs: `f` has 61 lines; a function has 60 at most"]);
        assert_eq!(of(format!("trait X {{ fn f();\nfn g() {{\n{}}} }}", body(58)))?, [""; 0]);
        let file = "fn f() {}\n".repeat(501);
        assert_eq!(of(file)?, ["a/src/x.rs: 501 lines; a file has 500 at most, so make two of it"]);
        Ok(())
    }

    #[test]
    fn a_function_in_a_function_or_a_macro_counts_by_itself() -> Result<()> {
        let inner = format!("fn g() {{\n{}}}", "    h();\n".repeat(60));
        let found = of(format!("m! {{ {inner} }}\nfn f() {{ {inner} }}"))?;
        let [first, outer, second] = &found[..] else { panic!("{found:?}") };
        assert_eq!(first, second);
        assert!(outer.contains("`f` has 62 lines"), "{outer}");
        Ok(())
    }

    #[test]
    fn tests_may_be_long() -> Result<()> {
        let long = format!("#[test]\nfn f() {{\n{}}}", "    g();\n".repeat(100));
        assert_eq!(of(format!("{long}\n#[cfg(test)]\nmod tests {{ {long} }}"))?, [""; 0]);
        assert_eq!(check(&[("a/src/tests.rs", "\n".repeat(501)), ("a/tests/x.rs", "\n".repeat(501))], &[])?, [""; 0]);
        Ok(())
    }

    #[test]
    fn exceptions_need_a_reason_and_something_that_is_too_long() -> Result<()> {
        let files = [("a.rs", "\n".repeat(501)), ("b.rs", format!("fn f() {{\n{}}}", "g();\n".repeat(60)))];
        let exception = |path, function, why| Exception { path, function, why };
        let good = [exception("a.rs", "", "a table"), exception("b.rs", "f", "a table")];
        assert_eq!(check(&files, &good)?, [""; 0]);
        let bad = [exception("a.rs", "", ""), exception("b.rs", "f", "a table"), exception("b.rs", "", "a table")];
        let found = check(&files, &bad)?;
        let is_of = |text: &String, start: &str| text.starts_with(start) && text.contains("without need or reason");
        assert!(found.len() == 2 && is_of(&found[0], "a.rs: ``") && is_of(&found[1], "b.rs: ``"), "{found:?}");
        Ok(())
    }
}
