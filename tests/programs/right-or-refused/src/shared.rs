//! Objects that a root and a static both lead to, where it matters that they are one.

use crossbeam_skiplist::SkipMap;
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

static OWNER: LazyLock<Arc<String>> = LazyLock::new(|| Arc::new("owner".to_owned()));
/// Its objects lie behind those of a map.
static TABLE: LazyLock<BTreeMap<u32, Arc<String>>> =
    LazyLock::new(|| (0..40).map(|n| (n, Arc::new(n.to_string()))).collect());
static LEAKED: LazyLock<&'static String> = LazyLock::new(|| Box::leak(Box::new("leaked".to_owned())));

/// Values that know whose they are.
#[derive(Default)]
struct Values {
    owner: Option<Arc<String>>,
    entry: Option<Arc<String>>,
    leaked: Option<&'static String>,
    list: Option<SkipMap<u32, u32>>,
}

fastboot_rt::frozen! {
    /// Those of some cases.
    static VALUES: Values = values(&crate::case());
}

fn values(case: &str) -> Values {
    match case {
        "shared-arc" => Values { owner: Some(Arc::clone(&OWNER)), ..Values::default() },
        "shared-entry" => Values { entry: TABLE.get(&7).cloned(), ..Values::default() },
        "shared-leaked" => Values { leaked: Some(*LEAKED), ..Values::default() },
        "shared-collector" => Values { list: Some((0..100).map(|n| (n, n * n)).collect()), ..Values::default() },
        _ => Values::default(),
    }
}

pub(crate) fn answer(case: &str) {
    let is_one = match case {
        "shared-arc" => VALUES.owner.as_ref().is_some_and(|owner| Arc::ptr_eq(owner, &OWNER)),
        "shared-entry" => VALUES.entry.as_ref().is_some_and(|entry| Arc::ptr_eq(entry, &TABLE[&7])),
        "shared-leaked" => VALUES.leaked.is_some_and(|leaked| std::ptr::eq(leaked, *LEAKED)),
        // It panics if a guard of another collector is used.
        "shared-collector" => VALUES.list.as_ref().is_some_and(|list| {
            list.insert(1000, 7);
            list.remove(&3);
            list.len() == 100 && list.get(&9).is_some_and(|entry| *entry.value() == 81)
        }),
        _ => return,
    };
    println!("one object: {is_one}");
}
