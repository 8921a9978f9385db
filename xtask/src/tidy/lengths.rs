//! Lengths: no file and no function is too long to be read at once. Tests may be as long as they like.

use super::imports::{attribute, item_end};
use anyhow::Result;
use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// How many lines a file may have.
const FILE: usize = 500;
/// How many lines a function may have, from `fn` to the brace that closes it.
const FUNCTION: usize = 60;

/// What is longer: a file, the function in it or nothing for the file itself, and why.
const EXCEPTIONS: [(&str, &str, &str); 2] = [
    ("cargo-fastboot/src/freeze/causes.rs", "", "is being split"),
    ("cargo-fastboot/src/freeze/causes.rs", "find_causes", "is being split"),
];

/// Files that are too long, and functions.
pub(super) fn check(files: &[(&str, String)]) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for (path, text) in files.iter().filter(|(path, _)| !path.contains("/tests/") && !path.ends_with("tests.rs")) {
        let is_excepted = |name: &str| EXCEPTIONS.iter().any(|(file, function, _)| file == path && *function == name);
        let lines = text.lines().count();
        if lines > FILE && !is_excepted("") {
            found.push(format!("{path}: {lines} lines; a file has {FILE} at most, so make two of it"));
        }
        let tokens = text.parse().map_err(|error| anyhow::anyhow!("cannot parse {path}: {error}"))?;
        for (name, lines) in functions(tokens).into_iter().filter(|(name, _)| !is_excepted(name)) {
            if lines > FUNCTION {
                found.push(format!("{path}: `{name}` has {lines} lines; a function has {FUNCTION} at most"));
            }
        }
    }
    Ok(found)
}

/// Names of functions, and how many lines each has.
fn functions(tokens: TokenStream) -> Vec<(String, usize)> {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut found = Vec::new();
    let mut at = 0;
    let mut for_tests = false;
    while at < tokens.len() {
        if let Some(end) = attribute(&tokens, at, &mut for_tests) {
            at = end;
            continue;
        }
        if std::mem::take(&mut for_tests) {
            at = item_end(&tokens, at);
            continue;
        }
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
        check(&[("a/src/x.rs", text)])
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
        assert_eq!(check(&[("a/src/tests.rs", "\n".repeat(501)), ("a/tests/x.rs", "\n".repeat(501))])?, [""; 0]);
        Ok(())
    }

    #[test]
    fn every_exception_has_a_reason() {
        assert!(EXCEPTIONS.iter().all(|(.., why)| !why.is_empty()));
    }
}
