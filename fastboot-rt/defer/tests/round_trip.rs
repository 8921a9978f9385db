//! Any serde value comes back the same from a deferred file, from postcard and from JSON.

use fastboot_defer::{self as defer, Defer, DeferMap, DeferVec, LoadOptions, SaveOptions};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Unit;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct New(Box<Value>);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Pair(Box<Value>, Defer<Unit>, u8);

/// Every kind of thing in serde's data model, and parts in all of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Value {
    Nothing,
    Unit(Unit),
    Void(()),
    Bool(bool),
    Small(i8, i16, i32, u8, u16, u32),
    Large(i64, u64, i128, u128),
    Float(f32, f64),
    Char(char),
    Text(String),
    Set(BTreeSet<u16>),
    Empty(Vec<()>),
    Array([u8; 3]),
    Maybe(Option<Box<Value>>),
    Twice(Option<Option<u8>>),
    New(New),
    Pair(Pair),
    List(Vec<Value>),
    Map(BTreeMap<String, Value>),
    Part(Defer<Box<Value>>),
    PartOfPart(Defer<Defer<Option<String>>>),
    Chunks(DeferVec<Value>),
    Numbers(DeferVec<u64>),
    Table(DeferMap<String, Value>),
    Mixed { first: Defer<String>, strict: Box<Value>, list: DeferVec<Defer<Value>>, last: Option<Defer<Box<Value>>> },
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Nothing),
        Just(Value::Unit(Unit)),
        Just(Value::Void(())),
        any::<bool>().prop_map(Value::Bool),
        any::<(i8, i16, i32, u8, u16, u32)>().prop_map(|(a, b, c, d, e, f)| Value::Small(a, b, c, d, e, f)),
        any::<(i64, u64, i128, u128)>().prop_map(|(a, b, c, d)| Value::Large(a, b, c, d)),
        // Short ones: serde_json by default reads long ones back only nearly.
        any::<(i16, i16)>().prop_map(|(a, b)| Value::Float(f32::from(a) / 4.0, f64::from(b) / 8.0)),
        any::<char>().prop_map(Value::Char),
        ".{0,40}".prop_map(Value::Text),
        any::<BTreeSet<u16>>().prop_map(Value::Set),
        (0..70_usize).prop_map(|n| Value::Empty(vec![(); n])),
        any::<[u8; 3]>().prop_map(Value::Array),
        any::<Option<u8>>().prop_map(|o| Value::Twice(o.map(Some))),
        any::<Option<String>>().prop_map(|s| Value::PartOfPart(Defer::new(Defer::new(s)))),
        proptest::collection::vec(any::<u64>(), 0..300).prop_map(|v| Value::Numbers(v.into())),
    ];
    leaf.prop_recursive(5, 80, 8, |inner| {
        let list = proptest::collection::vec(inner.clone(), 0..8);
        let map = proptest::collection::btree_map(".{0,6}", inner.clone(), 0..8);
        prop_oneof![
            inner.clone().prop_map(|v| Value::Maybe(Some(Box::new(v)))),
            inner.clone().prop_map(|v| Value::New(New(Box::new(v)))),
            inner.clone().prop_map(|v| Value::Pair(Pair(Box::new(v), Defer::new(Unit), 3))),
            list.clone().prop_map(Value::List),
            map.clone().prop_map(Value::Map),
            inner.clone().prop_map(|v| Value::Part(Defer::new(Box::new(v)))),
            list.clone().prop_map(|v| Value::Chunks(v.into())),
            (map, any::<bool>()).prop_map(|(m, keys)| Value::Table(DeferMap::from(m).defer_keys(keys))),
            (any::<String>(), inner.clone(), list, proptest::option::of(inner)).prop_map(|(first, v, list, last)| {
                Value::Mixed {
                    first: first.into(),
                    strict: Box::new(v),
                    list: list.into_iter().map(Defer::new).collect(),
                    last: last.map(|v| Defer::new(Box::new(v))),
                }
            }),
        ]
    })
}

fn options() -> impl Strategy<Value = SaveOptions> {
    (any::<u64>(), 1..400_usize, any::<bool>(), 0..3).prop_map(|(version, block, sums, level)| {
        let options = SaveOptions::new().version(version).block_size(block).checksums(sums);
        let _ = level;
        #[cfg(feature = "zstd")]
        if level > 0 {
            return options.zstd(level);
        }
        options
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn round_trip(value in value(), options in options(), version in any::<u64>()) {
        let options = options.version(version);
        let bytes = options.to_vec(&value).unwrap();
        let load = || LoadOptions::new().version(version).from_vec::<Value>(bytes.clone()).unwrap();
        prop_assert_eq!(&load(), &value);

        // What was loaded and not touched saves to the same bytes again.
        prop_assert_eq!(&options.to_vec(&load()).unwrap(), &bytes);

        // The same types are strict under other formats, from memory and from a file not yet touched.
        let card = postcard::to_allocvec(&value).unwrap();
        prop_assert_eq!(&postcard::from_bytes::<Value>(&card).unwrap(), &value);
        prop_assert_eq!(&postcard::to_allocvec(&load()).unwrap(), &card);
        let json = serde_json::to_string(&value).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Value>(&json).unwrap(), &value);
        prop_assert_eq!(&serde_json::to_string(&load()).unwrap(), &json);
        // serde_json::Value: a deserializer that hands its contents to visitors in its own ways.
        let tree = serde_json::to_value(&value);
        if let Ok(tree) = tree {
            prop_assert_eq!(&serde_json::from_value::<Value>(tree).unwrap(), &value);
        }
    }

    #[test]
    fn map_agrees_with_btreemap(
        map in proptest::collection::btree_map(any::<u16>(), any::<u32>(), 0..300),
        block in 1..100_usize, deferred in any::<bool>(), probes in proptest::collection::vec(any::<u16>(), 20),
    ) {
        let table = DeferMap::from(map.clone()).defer_keys(deferred);
        let bytes = SaveOptions::new().block_size(block).to_vec(&table).unwrap();
        let table: DeferMap<u16, u32> = defer::from_vec(bytes).unwrap();
        prop_assert_eq!(table.len(), map.len() as u64);
        for &probe in probes.iter().chain(map.keys()) {
            prop_assert_eq!(table.get(&probe).unwrap(), map.get(&probe));
            prop_assert_eq!(table.contains_key(&probe).unwrap(), map.contains_key(&probe));
        }
        let (a, b) = (probes[0].min(probes[1]), probes[0].max(probes[1]));
        let pairs = |it: Vec<(&u16, &u32)>| it.into_iter().map(|(k, v)| (*k, *v)).collect::<Vec<_>>();
        prop_assert_eq!(
            pairs(table.range(a..b).unwrap().collect::<Result<_, _>>().unwrap()),
            pairs(map.range(a..b).collect())
        );
        prop_assert_eq!(
            pairs(table.range(..=b).unwrap().collect::<Result<_, _>>().unwrap()),
            pairs(map.range(..=b).collect())
        );
        prop_assert_eq!(pairs(table.iter().collect::<Result<_, _>>().unwrap()), pairs(map.iter().collect()));
    }

    #[test]
    fn list_agrees_with_vec(list in proptest::collection::vec(".{0,20}", 0..200), block in 1..200_usize, a in 0..220_u64, n in 0..50_u64) {
        let bytes = SaveOptions::new().block_size(block).to_vec(&DeferVec::from(list.clone())).unwrap();
        let lazy: DeferVec<String> = defer::from_vec(bytes).unwrap();
        prop_assert_eq!(lazy.len(), list.len() as u64);
        prop_assert_eq!(lazy.get(a).ok(), list.get(a as usize));
        let found: Vec<&String> = lazy.range(a..a + n).map_while(Result::ok).collect();
        let wanted: Vec<&String> = list.iter().skip(a as usize).take(n as usize).collect();
        prop_assert_eq!(found, wanted);
        prop_assert_eq!(lazy.range(a..a + n).any(|e| e.is_err()), n > 0 && a + n > list.len() as u64);
        prop_assert_eq!(lazy.clone().into_vec().unwrap(), list);
    }
}

#[test]
fn strict_data_is_what_postcard_writes() {
    #[derive(Serialize, Deserialize)]
    struct Strict {
        a: u64,
        b: Vec<(i16, String)>,
        c: Option<f64>,
    }
    let value = Strict { a: 1 << 40, b: vec![(-3, "three".into()), (7, String::new())], c: Some(0.5) };
    let bytes = defer::to_vec(&value).unwrap();
    assert_eq!(bytes[64 + 32..], postcard::to_allocvec(&value).unwrap());
}

#[test]
fn strict_data_lies_at_the_front_and_bodies_in_order() {
    type Tree = (Defer<(String, Defer<String>)>, String, Defer<String>);
    let tree: Tree = (
        Defer::new(("first body".into(), Defer::new("inside the first".into()))),
        "strict".into(),
        Defer::new("second body".into()),
    );
    let bytes = defer::to_vec(&tree).unwrap();
    let at = |what: &str| bytes.windows(what.len()).position(|w| w == what.as_bytes()).unwrap();
    let order = [at("strict"), at("first body"), at("inside the first"), at("second body")];
    assert!(order.is_sorted(), "{order:?}");
}

#[test]
fn another_format_inside_a_save_stays_strict() {
    /// Stores itself as the JSON of a value that has parts.
    struct AsJson(Defer<String>);
    impl Serialize for AsJson {
        fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
            s.serialize_str(&serde_json::to_string(&self.0).unwrap())
        }
    }
    let bytes = SaveOptions::new()
        .to_vec_as::<(String, Defer<u8>)>(&(AsJson(Defer::new("x".into())), Defer::new(5_u8)))
        .unwrap();
    let (json, part): (String, Defer<u8>) = defer::from_vec(bytes).unwrap();
    assert_eq!((json.as_str(), part.get().unwrap()), ("\"x\"", &5));
}
