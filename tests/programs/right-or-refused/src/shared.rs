//! Objects that a root and a static both lead to, where it matters that they are one.

use crossbeam_skiplist::SkipMap;
use dashmap::DashMap;
use internment::Intern;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock, Mutex, Weak};

static OWNER: LazyLock<Arc<String>> = LazyLock::new(|| Arc::new("owner".to_owned()));
/// Its objects lie behind those of a map.
static TABLE: LazyLock<BTreeMap<u32, Arc<String>>> =
    LazyLock::new(|| (0..40).map(|n| (n, Arc::new(n.to_string()))).collect());
static LEAKED: LazyLock<&'static String> = LazyLock::new(|| Box::leak(Box::new("leaked".to_owned())));
static ALL: Mutex<Vec<Arc<String>>> = Mutex::new(Vec::new());
static WEAK: Mutex<Vec<Weak<String>>> = Mutex::new(Vec::new());
static CELL: once_cell::sync::Lazy<Arc<String>> = once_cell::sync::Lazy::new(|| Arc::new("cell".to_owned()));
static CACHE: LazyLock<DashMap<u32, Arc<String>>> = LazyLock::new(DashMap::new);
static MAP: LazyLock<Mutex<HashMap<u32, Arc<String>>>> = LazyLock::new(Mutex::default);
static WORDS: LazyLock<lasso::ThreadedRodeo> = LazyLock::new(lasso::ThreadedRodeo::new);

/// Values that know whose they are.
#[derive(Default)]
struct Values {
    entry: Option<Arc<String>>,
    leaked: Option<&'static String>,
    list: Option<SkipMap<u32, u32>>,
    collector: Option<crossbeam_epoch::Collector>,
    slab: Option<(sharded_slab::Slab<String>, usize)>,
    interned: Vec<Intern<String>>,
    ustr: Option<ustr::Ustr>,
    interner: Option<string_interner::DefaultStringInterner>,
    key: Option<lasso::Spur>,
}

fastboot_rt::frozen! {
    /// Those of some cases.
    static VALUES: Values = values(&crate::case());
}

/// An entry of a list, pushed there.
fn pushed() -> Arc<String> {
    let entry = Arc::new("pushed".to_owned());
    ALL.lock().unwrap().push(Arc::clone(&entry));
    entry
}

/// An entry that a list refers to weakly.
fn listed() -> Arc<String> {
    let entry = Arc::new("listed".to_owned());
    WEAK.lock().unwrap().push(Arc::downgrade(&entry));
    entry
}

fn slab() -> (sharded_slab::Slab<String>, usize) {
    let slab = sharded_slab::Slab::new();
    let key = slab.insert("in the slab".to_owned()).unwrap();
    (slab, key)
}

fn values(case: &str) -> Values {
    let entry = |entry| Values { entry: Some(entry), ..Values::default() };
    match case {
        "shared-arc" => entry(Arc::clone(&OWNER)),
        "shared-entry" => entry(Arc::clone(&TABLE[&7])),
        "shared-list" => entry(pushed()),
        "shared-weak" => entry(listed()),
        "shared-cell" => entry(Arc::clone(&CELL)),
        "shared-dashmap" => entry(Arc::clone(&CACHE.entry(1).or_default())),
        "shared-map" => entry(Arc::clone(MAP.lock().unwrap().entry(1).or_default())),
        "shared-leaked" => Values { leaked: Some(*LEAKED), ..Values::default() },
        "shared-collector" => Values { list: Some((0..100).map(|n| (n, n * n)).collect()), ..Values::default() },
        "shared-epoch" => Values { collector: Some(crossbeam_epoch::default_collector().clone()), ..Values::default() },
        "shared-slab" => Values { slab: Some(slab()), ..Values::default() },
        "shared-interned" => {
            Values { interned: (0..50).map(|n| Intern::new(format!("word {n}"))).collect(), ..Values::default() }
        }
        "shared-ustr" => Values { ustr: Some(ustr::ustr("a word")), ..Values::default() },
        "shared-interner" => Values { interner: Some(["one", "two"].into_iter().collect()), ..Values::default() },
        "shared-key" => Values { key: Some(WORDS.get_or_intern("a word")), ..Values::default() },
        _ => Values::default(),
    }
}

pub(crate) fn answer(case: &str) {
    let is_entry = |other: &Arc<String>| VALUES.entry.as_ref().is_some_and(|entry| Arc::ptr_eq(entry, other));
    // All are used first, because what was never used is found anew.
    let is_one = match case {
        "shared-arc" => is_entry(&OWNER),
        "shared-entry" => is_entry(&TABLE[&7]),
        "shared-list" => VALUES.entry.is_some() && ALL.lock().unwrap().iter().any(is_entry),
        "shared-weak" => {
            VALUES.entry.is_some() && WEAK.lock().unwrap().iter().filter_map(Weak::upgrade).any(|one| is_entry(&one))
        }
        "shared-cell" => is_entry(&CELL),
        "shared-dashmap" => VALUES.entry.is_some() && is_entry(&CACHE.entry(1).or_default()),
        "shared-map" => VALUES.entry.is_some() && is_entry(MAP.lock().unwrap().entry(1).or_default()),
        "shared-leaked" => VALUES.leaked.is_some_and(|leaked| std::ptr::eq(leaked, *LEAKED)),
        // It panics if a guard of another collector is used.
        "shared-collector" => VALUES.list.as_ref().is_some_and(|list| {
            list.insert(1000, 7);
            list.remove(&3);
            list.len() == 100 && list.get(&9).is_some_and(|entry| *entry.value() == 81)
        }),
        "shared-epoch" => VALUES.collector.as_ref().is_some_and(|collector| {
            drop(collector.register().pin());
            *collector == *crossbeam_epoch::default_collector()
        }),
        "shared-slab" => VALUES.slab.as_ref().is_some_and(|(slab, key)| {
            let more = slab.insert("more".to_owned()).unwrap();
            // Other threads have numbers of their own.
            let other = std::thread::scope(|scope| scope.spawn(|| slab.insert("other".to_owned())).join()).unwrap();
            let said = [*key, more, other.unwrap()].map(|key| slab.get(key).map(|entry| entry.clone()));
            said.map(Option::unwrap_or_default) == ["in the slab", "more", "other"]
        }),
        "shared-interned" => {
            VALUES.interned.len() == 50
                && (0..50).all(|n| VALUES.interned[n] == Intern::new(format!("word {n}")))
                && Intern::new("new".to_owned()) == Intern::new("new".to_owned())
        }
        "shared-ustr" => VALUES.ustr == Some(ustr::ustr("a word")),
        "shared-interner" => {
            let find = |interner: &string_interner::DefaultStringInterner| {
                interner.get("two").and_then(|two| interner.resolve(two).map(str::to_owned))
            };
            VALUES.interner.as_ref().and_then(find).as_deref() == Some("two")
        }
        "shared-key" => VALUES.key.is_some_and(|key| {
            WORDS.get_or_intern("another") != key
                && WORDS.get_or_intern("a word") == key
                && WORDS.resolve(&key) == "a word"
        }),
        _ => return,
    };
    println!("one object: {is_one}");
}
