//! Imports: which file of a crate uses which other one.
//!
//! Paths are looked for among the tokens, in macros' arguments too, from `crate`, `super`, `self` or a module declared in
//! the same file on. Code for tests is left out, and so is `$crate`, which stands for what users' crates see.

use anyhow::{Context, Result};
use proc_macro2::{Delimiter, TokenStream, TokenTree};
use std::collections::{BTreeMap, BTreeSet};

/// The files of a crate, and what they import from one another.
#[derive(Debug, Default)]
pub(super) struct Imports {
    /// All files but those for tests, from the folder of the source.
    pub(super) files: BTreeSet<String>,
    /// The file that the others are declared in.
    pub(super) first: String,
    /// From which file to which, and one path that does so.
    pub(super) uses: BTreeMap<(String, String), String>,
}

type Module = Vec<String>;

/// What is found in one file.
#[derive(Default)]
struct Found {
    /// Modules declared here: with the file they are in, unless that is this one.
    modules: Vec<(Module, Option<[String; 2]>)>,
    /// Paths, with the module they are used in.
    paths: Vec<(Module, Vec<String>)>,
}

/// The imports of the crate whose first file is `first`. `read` gives the text of a file, if there is one.
pub(super) fn of_crate(first: &str, read: impl Fn(&str) -> Option<String>) -> Result<Imports> {
    let mut homes = BTreeMap::from([(Module::new(), first.to_owned())]);
    let mut found = Vec::new();
    let mut open = vec![(Module::new(), first.to_owned())];
    while let Some((module, file)) = open.pop() {
        let text = read(&file).with_context(|| format!("there is no {file}"))?;
        let tokens: TokenStream = text.parse().map_err(|error| anyhow::anyhow!("cannot parse {file}: {error}"))?;
        let mut one = Found::default();
        look(tokens, &module, &folder_for_children(&file), &mut one);
        for (module, candidates) in &one.modules {
            let home = match candidates {
                None => file.clone(),
                Some(candidates) => {
                    let there = candidates.iter().find(|path| read(path).is_some());
                    let there =
                        there.with_context(|| format!("{file} declares {}, which is nowhere", candidates[0]))?;
                    open.push((module.clone(), there.clone()));
                    there.clone()
                }
            };
            homes.insert(module.clone(), home);
        }
        found.push((file, one));
    }
    let mut imports = Imports { first: first.to_owned(), ..Imports::default() };
    for (file, one) in found {
        for (module, path) in one.paths {
            if let Some(home) = home_of(&module, &path, &homes)
                && *home != file
            {
                imports.uses.entry((file.clone(), home.clone())).or_insert_with(|| path.join("::"));
            }
        }
        imports.files.insert(file);
    }
    Ok(imports)
}

/// Where the files of modules declared in this one are.
fn folder_for_children(file: &str) -> String {
    let (folder, name) = file.rsplit_once('/').map_or(("", file), |(folder, name)| (folder, name));
    let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
    match name {
        "mod.rs" | "lib.rs" | "main.rs" => prefix,
        _ => format!("{prefix}{}/", name.trim_end_matches(".rs")),
    }
}

/// The file with the innermost module that a path leads through.
fn home_of<'a>(module: &Module, path: &[String], homes: &'a BTreeMap<Module, String>) -> Option<&'a String> {
    let mut rest = path;
    let mut at = match rest.first()?.as_str() {
        "crate" => Module::new(),
        "super" | "self" => module.clone(),
        child => {
            let inner = [module.as_slice(), &[child.to_owned()]].concat();
            if !homes.contains_key(&inner) {
                return None;
            }
            module.clone()
        }
    };
    while let Some((first, others)) = rest.split_first()
        && ["crate", "super", "self"].contains(&first.as_str())
    {
        if first == "super" {
            at.pop()?;
        }
        rest = others;
    }
    // What ends at a module, without a name in it, is that module.
    for name in rest {
        at.push(name.clone());
        if !homes.contains_key(&at) {
            at.pop();
            break;
        }
    }
    homes.get(&at)
}

fn look(tokens: TokenStream, module: &Module, folder: &str, found: &mut Found) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut at = 0;
    while let Some(here) = outside_of_tests(&tokens, at) {
        at = here;
        match &tokens[at] {
            TokenTree::Group(group) => look(group.stream(), module, folder, found),
            TokenTree::Ident(word) if *word == "mod" => {
                if let Some(TokenTree::Ident(name)) = tokens.get(at + 1) {
                    let name = name.to_string();
                    let inner = [module.as_slice(), std::slice::from_ref(&name)].concat();
                    if let Some(TokenTree::Group(body)) = tokens.get(at + 2) {
                        found.modules.push((inner.clone(), None));
                        look(body.stream(), &inner, &format!("{folder}{name}/"), found);
                    } else {
                        let candidates = [format!("{folder}{name}.rs"), format!("{folder}{name}/mod.rs")];
                        found.modules.push((inner, Some(candidates)));
                    }
                    at += 2;
                }
            }
            TokenTree::Ident(word) if *word == "use" && !is_part_of_path(&tokens, at) => {
                let end = tokens[at..].iter().position(|token| is(token, ';')).map_or(tokens.len(), |end| at + end);
                let mut paths = Vec::new();
                if !tokens[at + 1..end].iter().any(|token| is(token, '$')) {
                    use_tree(&tokens[at + 1..end], &[], &mut paths);
                }
                found.paths.extend(paths.into_iter().map(|path| (module.clone(), path)));
                at = end;
            }
            TokenTree::Ident(_) if !is_part_of_path(&tokens, at) => {
                let (path, end) = path(&tokens, at);
                if path.len() > 1 {
                    found.paths.push((module.clone(), path));
                }
                at = end - 1;
            }
            _ => {}
        }
        at += 1;
    }
}

/// Where, from here on, the first token is that is neither of an attribute nor of an item that is only there for tests.
pub(super) fn outside_of_tests(tokens: &[TokenTree], mut at: usize) -> Option<usize> {
    let mut for_tests = false;
    while at < tokens.len() {
        if let Some(end) = attribute(tokens, at, &mut for_tests) {
            at = end;
        } else if std::mem::take(&mut for_tests) {
            at = item_end(tokens, at);
        } else {
            return Some(at);
        }
    }
    None
}

/// Where the attribute that begins here ends; sets `for_tests` if what follows is only there for tests.
pub(super) fn attribute(tokens: &[TokenTree], at: usize, for_tests: &mut bool) -> Option<usize> {
    let inner = usize::from(tokens.get(at + 1).is_some_and(|token| is(token, '!')));
    match (&tokens[at], tokens.get(at + 1 + inner)) {
        (hash, Some(TokenTree::Group(group))) if is(hash, '#') && group.delimiter() == Delimiter::Bracket => {
            let text: String = group.stream().to_string().split_whitespace().collect();
            *for_tests |= text == "test" || text == "cfg(test)" || text.starts_with("cfg(all(test,");
            Some(at + 2 + inner)
        }
        _ => None,
    }
}

/// Where the item that begins here ends: behind its braces, or its semicolon.
pub(super) fn item_end(tokens: &[TokenTree], at: usize) -> usize {
    let is_end = |token: &TokenTree| {
        is(token, ';') || matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace)
    };
    tokens[at..].iter().position(is_end).map_or(tokens.len(), |end| at + end + 1)
}

fn is(token: &TokenTree, character: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == character)
}

/// Whether what is here goes on with a path, a field or a method, or belongs to a macro's `$crate`.
fn is_part_of_path(tokens: &[TokenTree], at: usize) -> bool {
    at > 0 && [':', '.', '$'].iter().any(|before| is(&tokens[at - 1], *before)) && {
        // One colon stands before a type.
        !is(&tokens[at - 1], ':') || at > 1 && is(&tokens[at - 2], ':')
    }
}

fn is_double_colon(tokens: &[TokenTree], at: usize) -> bool {
    tokens.get(at).is_some_and(|token| is(token, ':')) && tokens.get(at + 1).is_some_and(|token| is(token, ':'))
}

/// The names of the path that begins here, and where it ends.
fn path(tokens: &[TokenTree], at: usize) -> (Vec<String>, usize) {
    let (mut names, mut end) = (Vec::new(), at);
    while let Some(TokenTree::Ident(name)) = tokens.get(end) {
        names.push(name.to_string());
        end += 1;
        if !is_double_colon(tokens, end) || !matches!(tokens.get(end + 2), Some(TokenTree::Ident(_))) {
            break;
        }
        end += 2;
    }
    (names, end)
}

/// Takes a `use` apart: what stands between the word and the semicolon.
fn use_tree(tokens: &[TokenTree], prefix: &[String], into: &mut Vec<Vec<String>>) {
    for branch in tokens.split(|token| is(token, ',')) {
        let mut names = prefix.to_vec();
        let mut at = 0;
        while let Some(token) = branch.get(at) {
            match token {
                TokenTree::Ident(word) if *word == "as" => break,
                TokenTree::Ident(name) => names.push(name.to_string()),
                TokenTree::Group(group) => {
                    use_tree(&group.stream().into_iter().collect::<Vec<_>>(), &names, into);
                    names.clear();
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
            at += 1;
        }
        if names.len() > prefix.len() || !prefix.is_empty() && names == prefix {
            into.push(names);
        }
    }
}

impl Imports {
    /// The circles: one for each set of files that all import one another, directly or not.
    pub(super) fn circles(&self) -> Vec<String> {
        let mut circles = Vec::new();
        let mut known = BTreeSet::new();
        for start in &self.files {
            if known.contains(start) {
                continue;
            }
            if let Some(way) = self.way_back(start) {
                known.extend(way.iter().cloned());
                circles.push(format!("{}: imports in a circle: {} → {start}", way[0], way.join(" → ")));
            }
        }
        circles
    }

    /// The shortest way from a file over others to itself.
    fn way_back(&self, start: &String) -> Option<Vec<String>> {
        let mut before: BTreeMap<&String, &String> = BTreeMap::new();
        let mut open = std::collections::VecDeque::from([start]);
        while let Some(file) = open.pop_front() {
            for (_, next) in self.uses.keys().filter(|(from, _)| from == file) {
                if next == start {
                    let mut way = vec![file.clone()];
                    while way.last() != Some(start)
                        && let Some(previous) = way.last().and_then(|last| before.get(last))
                    {
                        way.push((*previous).clone());
                    }
                    way.reverse();
                    return Some(way);
                }
                if !before.contains_key(next) {
                    before.insert(next, file);
                    open.push_back(next);
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The imports of a crate of these files.
    pub(in crate::tidy) fn crate_of(files: &[(&str, &str)]) -> Imports {
        let read = |path: &str| files.iter().find(|(name, _)| *name == path).map(|(_, text)| (*text).to_owned());
        of_crate("main.rs", read).expect("the crate can be read")
    }

    fn uses(files: &[(&str, &str)]) -> Vec<(String, String)> {
        crate_of(files).uses.into_keys().collect()
    }

    fn pair(from: &str, to: &str) -> (String, String) {
        (from.to_owned(), to.to_owned())
    }

    #[test]
    fn paths_are_found_wherever_they_stand() {
        let main = ("main.rs", "mod a; mod b; mod c; mod d; fn main() { a::f() }");
        let b = ("b/mod.rs", "pub mod inner; fn f() -> crate::c::T { todo!(\"{}\", super::d::X) }");
        let inner = ("b/inner.rs", "use super::super::{a::{self, Y as Z}, c};");
        let files = [main, ("a.rs", ""), b, inner, ("c.rs", "use std::fmt::{self, Display};"), ("d.rs", "")];
        let expected = [
            pair("b/inner.rs", "a.rs"),
            pair("b/inner.rs", "c.rs"),
            pair("b/mod.rs", "c.rs"),
            pair("b/mod.rs", "d.rs"),
            pair("main.rs", "a.rs"),
        ];
        assert_eq!(uses(&files), expected);
        assert!(crate_of(&files).circles().is_empty());
    }

    #[test]
    fn tests_and_what_users_see_are_left_out() {
        let a = "#[cfg(test)]\n#[rustfmt::skip]\nmod tests { use crate::b::X; }\n#[test]\nfn t() { crate::b::f(); }\n\
                 #[cfg(test)]\nmod other;\nmacro_rules! m { () => { use $crate::b::{X, Y}; $crate::b::f() } }";
        assert_eq!(uses(&[("main.rs", "mod a; mod b;"), ("a.rs", a), ("b.rs", "// crate::a::x\n")]), []);
    }

    #[test]
    fn a_module_in_a_file_belongs_to_that_file() {
        let a = "mod small { use super::super::b::X; pub fn f() { super::g() } } fn g() { small::f() }";
        assert_eq!(uses(&[("main.rs", "mod a; mod b;"), ("a.rs", a), ("b.rs", "")]), [pair("a.rs", "b.rs")]);
    }

    #[test]
    fn what_takes_something_from_the_first_file_uses_it() {
        assert_eq!(uses(&[("main.rs", "mod a; struct X;"), ("a.rs", "use crate::X;")]), [pair("a.rs", "main.rs")]);
    }

    #[test]
    fn a_circle_is_found_and_shown() {
        let files = [
            ("main.rs", "mod a; mod b; mod c; mod d;"),
            ("a.rs", "use crate::b::X;"),
            ("b.rs", "fn f() { crate::c::g() }"),
            ("c.rs", "use super::a;"),
            ("d.rs", "use crate::a::X;"),
        ];
        assert_eq!(crate_of(&files).circles(), ["a.rs: imports in a circle: a.rs → b.rs → c.rs → a.rs"]);
    }

    #[test]
    fn a_module_that_is_nowhere_is_an_error() {
        let error = of_crate("main.rs", |path| (path == "main.rs").then(|| "mod a;".to_owned())).unwrap_err();
        assert_eq!(error.to_string(), "main.rs declares a.rs, which is nowhere");
    }
}
