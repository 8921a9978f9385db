//! Values that more than one owner holds: between roots, and in circles.

use crate::answer;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use witness::evaluated;

fastboot_rt::frozen! {
    /// Counted text, also held by `SECOND`.
    static FIRST: Arc<Counted> = evaluated("FIRST", || Arc::new(Counted {
        text: "held by two roots".to_owned(),
        visits: Mutex::new(Vec::new()),
    }));

    /// The same one: a root that uses another root.
    static SECOND: Arc<Counted> = evaluated("SECOND", || Arc::clone(&FIRST));

    /// The towns, joined by streets.
    static GRAPH: BTreeMap<&'static str, Arc<Town>> = evaluated("GRAPH", graph);

    /// The answers that `GRAPH` gives, worked out from it.
    static DISTANCES: BTreeMap<(&'static str, &'static str), Option<usize>> = evaluated("DISTANCES", || {
        let towns = GRAPH.keys();
        towns.clone().flat_map(|from| towns.clone().map(move |to| ((*from, *to), distance(from, to)))).collect()
    });
}

struct Counted {
    text: String,
    visits: Mutex<Vec<String>>,
}

/// Streets own the towns they lead to, so that every circle of streets is a circle of owners.
struct Town {
    name: String,
    streets: Mutex<Vec<Arc<Town>>>,
    back: Mutex<Vec<Weak<Town>>>,
}

fn graph() -> BTreeMap<&'static str, Arc<Town>> {
    let town = |name: &'static str| {
        (name, Arc::new(Town { name: name.to_owned(), streets: Mutex::default(), back: Mutex::default() }))
    };
    let towns: BTreeMap<_, _> = ["Aa", "Bern", "Chur", "Davos", "Elm"].map(town).into();
    for (from, to) in [("Aa", "Bern"), ("Bern", "Chur"), ("Chur", "Aa"), ("Chur", "Davos"), ("Davos", "Davos")] {
        join(&towns[from], &towns[to]);
    }
    towns
}

fn join(from: &Arc<Town>, to: &Arc<Town>) {
    locked(&from.streets).push(Arc::clone(to));
    locked(&to.back).push(Arc::downgrade(from));
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many streets the shortest way has.
fn distance(from: &str, to: &str) -> Option<usize> {
    let mut here = vec![Arc::clone(&GRAPH[from])];
    for streets in 0..=GRAPH.len() {
        if here.iter().any(|town| town.name == to) {
            return Some(streets);
        }
        here = here.iter().flat_map(|town| locked(&town.streets).clone()).collect();
    }
    None
}

pub(crate) fn run() {
    // Whichever of the two is asked first, both are there afterwards.
    answer("SECOND", format_args!("{:?} {}", SECOND.text, Arc::ptr_eq(&FIRST, &SECOND)));
    answer("FIRST", Arc::strong_count(&FIRST));
    let third = Arc::clone(&FIRST);
    locked(&third.visits).push("the third was here".to_owned());
    answer("FIRST, cloned", format_args!("{} {:?}", Arc::strong_count(&SECOND), locked(&SECOND.visits)));
    drop(third);
    locked(&FIRST.visits).clear();
    answer("FIRST, clone dropped", Arc::strong_count(&FIRST));

    answer("DISTANCES", format_args!("{:?}", *DISTANCES));
    let right = DISTANCES.iter().all(|((from, to), expected)| distance(from, to) == *expected);
    answer("GRAPH", format_args!("{right} {:?}", backwards(&GRAPH["Davos"])));
    join(&GRAPH["Davos"], &GRAPH["Elm"]);
    answer("GRAPH, joined", format_args!("{:?} {:?}", distance("Aa", "Elm"), backwards(&GRAPH["Elm"])));
    // Emptying the streets takes the circles apart; the map still owns each town once.
    for town in GRAPH.values() {
        let streets = std::mem::take(&mut *locked(&town.streets));
        drop(streets);
    }
    let owners: Vec<_> = GRAPH.values().map(|town| (Arc::strong_count(town), Arc::weak_count(town))).collect();
    answer("GRAPH, taken apart", format_args!("{owners:?}"));

    witness::sources!(FIRST, SECOND, GRAPH, DISTANCES);
}

fn backwards(town: &Town) -> Vec<String> {
    locked(&town.back).iter().filter_map(Weak::upgrade).map(|town| town.name.clone()).collect()
}
