//! Random values of types whose two sides may disagree: what is saved comes back equal, or it is refused with an error
//! that names the type and a remedy.

use fastboot_defer::{self as defer, Defer, DeferMap, DeferVec, SaveOptions};
use proptest::collection::{btree_map, hash_map, vec};
use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;

/// Whether the value was saved, and then came back; or else was refused as it should be.
fn saved<T>(value: &T, name: &str, options: &SaveOptions) -> Result<bool, TestCaseError>
where
    T: Serialize + DeserializeOwned + PartialEq + Debug,
{
    match options.to_vec(value) {
        Ok(bytes) => {
            let back = defer::from_vec::<T>(bytes);
            prop_assert!(back.is_ok(), "{value:?} was saved, and {back:?}");
            prop_assert_eq!(&back.unwrap(), value);
            Ok(true)
        }
        Err(e) => {
            let text = e.to_string();
            prop_assert!(text.contains(name), "{text} does not name {name}");
            prop_assert!(text.contains("; "), "{text} has no remedy");
            Ok(false)
        }
    }
}

/// The same, alone and in parts of every kind: it is saved in all of them or in none.
fn everywhere<T>(values: &[T], name: &str, block: usize) -> Result<bool, TestCaseError>
where
    T: Serialize + DeserializeOwned + PartialEq + Debug + Clone,
{
    let options = SaveOptions::new().block_size(block);
    let all = saved(&values.to_vec(), name, &options)?;
    let each = values.iter().map(|value| saved(value, name, &options)).collect::<Result<Vec<bool>, _>>()?;
    prop_assert_eq!(all, each.iter().all(|saved| *saved));
    let part = (1_u8, Defer::new(values.to_vec()));
    prop_assert_eq!(saved(&part, name, &options)?, all);
    prop_assert_eq!(saved(&DeferVec::from(values.to_vec()), name, &options)?, all);
    let table: DeferMap<usize, T> = values.iter().cloned().enumerate().collect();
    prop_assert_eq!(saved(&table, name, &options)?, all);
    Ok(all)
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Optional {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<u32>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    text: String,
    id: u8,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Pair(#[serde(skip_serializing_if = "Vec::is_empty")] Vec<u8>, Vec<u8>);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum State {
    Open(u8),
    #[serde(skip_deserializing)]
    Unknown(u8),
    Closed(u8),
    Named {
        n: u8,
    },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct OneSided {
    #[serde(skip_serializing, default)]
    lost: u8,
    kept: u8,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Either {
    Number(u32),
    Text(String),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Fine {
    maybe: Option<Option<u8>>,
    by_pair: BTreeMap<(u8, bool), Vec<i64>>,
    by_text: HashMap<String, char>,
    result: Result<u16, String>,
    bits: (u32, i128),
}

fn optional() -> impl Strategy<Value = Optional> {
    (any::<Option<u32>>(), ".{0,2}", any::<u8>()).prop_map(|(note, text, id)| Optional { note, text, id })
}

fn state() -> impl Strategy<Value = State> {
    (0..4_u8, any::<u8>()).prop_map(|(which, n)| match which {
        0 => State::Open(n),
        1 => State::Unknown(n),
        2 => State::Closed(n),
        _ => State::Named { n },
    })
}

fn fine() -> impl Strategy<Value = Fine> {
    let maps =
        (btree_map(any::<(u8, bool)>(), vec(any::<i64>(), 0..4), 0..6), hash_map(".{0,4}", any::<char>(), 0..20));
    (any::<Option<Option<u8>>>(), maps, any::<Result<u16, String>>(), any::<(u32, i128)>())
        .prop_map(|(maybe, (by_pair, by_text), result, bits)| Fine { maybe, by_pair, by_text, result, bits })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn what_is_well_made_is_saved(values in vec(fine(), 1..8), block in 1..300_usize) {
        prop_assert!(everywhere(&values, "Fine", block)?);
    }

    #[test]
    fn fields_left_out(values in vec(optional(), 1..6), block in 1..300_usize) {
        let whole = values.iter().all(|value| value.note.is_some() && !value.text.is_empty());
        prop_assert_eq!(everywhere(&values, "Optional", block)?, whole);
    }

    #[test]
    fn elements_left_out(values in vec((vec(0..3_u8, 0..3), vec(0..3_u8, 0..3)), 1..6), block in 1..300_usize) {
        let values: Vec<Pair> = values.into_iter().map(|(a, b)| Pair(a, b)).collect();
        let whole = values.iter().all(|value| !value.0.is_empty());
        prop_assert_eq!(everywhere(&values, "Pair", block)?, whole);
    }

    #[test]
    fn variants_left_out(values in vec(state(), 1..6), block in 1..300_usize) {
        let whole = values.iter().all(|value| matches!(value, State::Open(_)));
        prop_assert_eq!(everywhere(&values, "State", block)?, whole);
    }

    #[test]
    fn one_sided_and_untagged(values in vec(any::<(u8, u8)>(), 1..6), texts in vec(".{0,3}", 1..3), block in 1..300_usize) {
        let one_sided: Vec<OneSided> = values.iter().map(|&(lost, kept)| OneSided { lost, kept }).collect();
        prop_assert!(!everywhere(&one_sided, "OneSided", block)?);
        let numbers = values.iter().map(|value| Either::Number(value.0.into()));
        let either: Vec<Either> = numbers.chain(texts.into_iter().map(Either::Text)).collect();
        prop_assert!(!everywhere(&either, "Either", block)?);
    }
}
