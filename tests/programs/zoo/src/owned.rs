//! Values that the program takes out of their root, changes as their owner, and drops: frozen memory handed to `dealloc`
//! and `realloc`.

use crate::answer;
use aho_corasick::AhoCorasick;
use regex::Regex;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use witness::evaluated;

fastboot_rt::frozen! {
    static STRINGS: Owned<Vec<String>> = evaluated("STRINGS", || owned((0..1000).map(|n| n.to_string()).collect()));
    static COUNTS: Owned<HashMap<String, Vec<u32>>> =
        evaluated("COUNTS", || owned((0..1000).map(|n| (n.to_string(), vec![n; 3])).collect()));
    static NAMES: Owned<BTreeMap<u32, Box<str>>> =
        evaluated("NAMES", || owned((0..1000).map(|n| (n, n.to_string().into())).collect()));
    static FUNCTION: Owned<Greeter> = evaluated("FUNCTION", greeter);
    static SHARED: Owned<Arc<Mutex<Vec<u8>>>> = evaluated("SHARED", || owned(Arc::new(Mutex::new(vec![1, 2, 3]))));
    static REGEX: Owned<Regex> = evaluated("REGEX", || owned(Regex::new("b(a+)r").expect("the pattern is valid")));
    static AUTOMATON: Owned<AhoCorasick> =
        evaluated("AUTOMATON", || owned(AhoCorasick::new(["foo", "bar", "baz"]).expect("few words")));
    static JSON: Owned<Value> = evaluated("JSON", || owned(serde_json::json!({"a": [1, 2, {"b": "c"}], "d": null})));
    static PADDED: Owned<Box<Padded>> = evaluated("PADDED", || owned(Box::new(Padded([9; 10]))));
}

type Greeter = Box<dyn Fn(&str) -> String + Send>;

/// A value that can be taken, once.
type Owned<T> = Mutex<Option<T>>;

#[repr(align(4096))]
struct Padded([u8; 10]);

fn owned<T>(value: T) -> Owned<T> {
    Mutex::new(Some(value))
}

fn greeter() -> Owned<Greeter> {
    let greeting = "hello, ".to_owned();
    owned(Box::new(move |name| greeting.clone() + name))
}

/// The value, from now on the program's own.
fn take<T>(root: &Owned<T>) -> T {
    root.lock().unwrap_or_else(PoisonError::into_inner).take().expect("nobody took it before")
}

pub(crate) fn run() {
    let mut strings = take(&STRINGS);
    for string in &mut strings {
        string.push_str(" and more");
    }
    strings.truncate(900);
    strings.shrink_to_fit();
    strings.extend((0..10_000).map(|number| number.to_string()));
    strings.sort();
    answer("STRINGS, owned", format_args!("{} {:?}", strings.len(), strings[5000]));
    drop(strings);

    let mut counts = take(&COUNTS);
    counts.values_mut().for_each(|count| count.push(1));
    counts.extend((1000..9000).map(|number| (number.to_string(), Vec::new())));
    let sum: u32 = counts.remove("77").into_iter().flatten().sum();
    answer("COUNTS, owned", format_args!("{} {sum} {:?}", counts.len(), counts.get("999")));
    drop(counts);

    let mut names = take(&NAMES);
    while names.len() > 10 {
        names.pop_first();
    }
    answer("NAMES, owned", format_args!("{names:?}"));
    drop(names);

    let function = take(&FUNCTION);
    answer("FUNCTION, owned", function("world"));
    drop(function);

    let shared = take(&SHARED);
    let bytes = Arc::try_unwrap(shared).map(|bytes| bytes.into_inner().unwrap_or_default());
    answer("SHARED, owned", format_args!("{bytes:?}"));

    let regex = take(&REGEX);
    answer("REGEX, owned", format_args!("{:?}", regex.captures("a baaar").map(|captures| captures[1].to_owned())));
    drop(regex);

    let automaton = take(&AUTOMATON);
    answer("AUTOMATON, owned", format_args!("{:?}", automaton.replace_all("a foo, a bar", &["1", "2", "3"])));
    drop(automaton);

    let mut json = take(&JSON);
    let part = json["a"].take();
    answer("JSON, owned", format_args!("{json} {part}"));
    drop(json);
    drop(part);

    let mut padded = take(&PADDED);
    padded.0[0] = 1;
    answer("PADDED, owned", format_args!("{:?} {}", padded.0, std::ptr::from_ref(&*padded).addr() % 4096));
    drop(padded);

    witness::sources!(STRINGS, COUNTS, NAMES, FUNCTION, SHARED, REGEX, AUTOMATON, JSON, PADDED);
}
