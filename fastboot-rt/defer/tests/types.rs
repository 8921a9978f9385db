//! Which types and serde attributes work: the table in `docs/deferred-loading.md`, computed.
//!
//! Every row is tried, strict and deferred, with the values given here. The document must show just what came out, and
//! nothing may be saved that does not come back.

use fastboot_defer::{self as defer, Defer, DeferMap, DeferVec, Error, SaveOptions, Writer};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, LinkedList, VecDeque};
use std::ffi::OsString;
use std::fmt::{Debug, Write};
use std::marker::PhantomData;
use std::net::{IpAddr, SocketAddr};
use std::num::{NonZeroU32, Wrapping};
use std::ops::Bound;
use std::path::PathBuf;
use std::rc::{self, Rc};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, SystemTime};

/// What became of a value.
#[derive(Clone, Debug, PartialEq)]
enum Outcome {
    Works,
    /// It came back without what serde was told to skip.
    AsAsked,
    RefusedAtSave(String),
    RefusedAtLoad(String),
    AnotherValue,
    DoesNotCompile,
}

impl Outcome {
    fn name(&self) -> &'static str {
        match self {
            Outcome::Works => "works",
            Outcome::AsAsked => "skipped",
            Outcome::RefusedAtSave(_) => "refused at save",
            Outcome::RefusedAtLoad(_) => "refused at load",
            Outcome::AnotherValue => "another value",
            Outcome::DoesNotCompile => "does not compile",
        }
    }
}

/// Saves, loads, and looks at what came. `look` says whether it is the value (`Some(true)`), or what serde was told to
/// leave of it (`Some(false)`).
fn outcome<T>(saved: Result<Vec<u8>, Error>, look: impl Fn(T) -> Result<Option<bool>, Error>) -> Outcome
where
    T: DeserializeOwned,
{
    let bytes = match saved {
        Ok(bytes) => bytes,
        Err(e) => return Outcome::RefusedAtSave(e.to_string()),
    };
    match defer::from_vec(bytes).and_then(look) {
        Ok(Some(true)) => Outcome::Works,
        Ok(Some(false)) => Outcome::AsAsked,
        Ok(None) => Outcome::AnotherValue,
        Err(e) => Outcome::RefusedAtLoad(e.to_string()),
    }
}

/// The bytes of a file that a `Writer` writes.
fn written<T, R>(make: &dyn Fn() -> T, how: impl FnOnce(&mut Writer, T) -> Result<R, Error>) -> Result<Vec<u8>, Error>
where
    R: Serialize + DeserializeOwned,
{
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let name = format!("fastboot-types-{}-{}.defer", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let path = std::env::temp_dir().join(name);
    let mut writer = Writer::create(&path)?;
    let root = how(&mut writer, make())?;
    writer.finish(&root)?;
    let bytes = std::fs::read(&path)?;
    std::fs::remove_file(&path)?;
    Ok(bytes)
}

/// Strict, and in every kind of part.
fn both<T: Serialize + DeserializeOwned>(make: &dyn Fn() -> T, look: &dyn Fn(&T) -> Option<bool>) -> [Outcome; 2] {
    let strict = outcome(defer::to_vec(&make()), |value: T| Ok(look(&value)));
    let all = |list: DeferVec<T>| {
        let looked: Vec<_> = list.iter().map(|element| element.map(look)).collect::<Result<_, Error>>()?;
        Ok(if looked.iter().all(|found| *found == looked[0]) { looked[0] } else { None })
    };
    let small = SaveOptions::new().block_size(1);
    let deferred = [
        outcome(defer::to_vec(&Defer::new(make())), |part: Defer<T>| part.get().map(look)),
        outcome(small.to_vec(&DeferVec::from(vec![make(), make(), make()])), all),
        outcome(defer::to_vec(&DeferVec::from(vec![make(), make(), make()])), all),
        outcome(
            small.to_vec(&DeferMap::from(BTreeMap::from([(1_u8, make()), (2, make())]))),
            |map: DeferMap<u8, T>| map.get(&2).map(|value| value.and_then(look)),
        ),
        outcome(written(make, |writer, value| writer.defer(&value)), |part: Defer<T>| part.get().map(look)),
        outcome(
            written(make, |writer, value| {
                let mut list = writer.list();
                writer.push(&mut list, &value)?;
                writer.push(&mut list, &make())?;
                writer.close(list)
            }),
            all,
        ),
    ];
    let names: BTreeSet<&str> = deferred.iter().map(Outcome::name).collect();
    let [first, ..] = deferred.clone();
    // If kinds of parts differ, that is what is shown, and no document shows it.
    [strict, if names.len() == 1 { first } else { Outcome::RefusedAtLoad(format!("{deferred:?}")) }]
}

struct Row {
    what: &'static str,
    outcomes: [Outcome; 2],
    remark: &'static str,
}

#[derive(Default)]
struct Table {
    rows: Vec<Row>,
    problems: Vec<String>,
}

impl Table {
    /// A type whose values can be compared.
    fn value<T>(&mut self, what: &'static str, remark: &'static str, make: impl Fn() -> T)
    where
        T: Serialize + DeserializeOwned + PartialEq,
    {
        self.like(what, remark, &make, |value| *value == make());
    }

    /// A type whose values are looked at by `same`.
    fn like<T>(&mut self, what: &'static str, remark: &'static str, make: impl Fn() -> T, same: impl Fn(&T) -> bool)
    where
        T: Serialize + DeserializeOwned,
    {
        let outcomes = both(&make, &|value| same(value).then_some(true));
        self.rows.push(Row { what, outcomes, remark });
    }

    /// A type of which serde was told to leave `left`.
    fn skipping<T>(&mut self, what: &'static str, remark: &'static str, make: impl Fn() -> T, left: impl Fn() -> T)
    where
        T: Serialize + DeserializeOwned + PartialEq,
    {
        assert!(make() != left(), "{what} skips nothing");
        let outcomes = both(&make, &|value| (*value == left()).then_some(false));
        self.rows.push(Row { what, outcomes, remark });
    }

    /// A type that is refused, with an error that has this text in it.
    fn refused<T>(&mut self, what: &'static str, error: &str, remark: &'static str, make: impl Fn() -> T)
    where
        T: Serialize + DeserializeOwned + PartialEq,
    {
        self.value(what, remark, make);
        for outcome in &self.rows[self.rows.len() - 1].outcomes {
            let good = matches!(outcome, Outcome::RefusedAtSave(text) if text.contains(error) && text.contains("; "));
            if !good {
                self.problems.push(format!("{what}: {outcome:?}, no {error:?} or no remedy"));
            }
        }
    }

    /// A type that is not `DeserializeOwned`. That this does not compile, the documentation of `Loadable` tests.
    fn not_owned(&mut self, what: &'static str, remark: &'static str) {
        self.rows.push(Row { what, outcomes: [Outcome::DoesNotCompile, Outcome::DoesNotCompile], remark });
    }

    fn print(&self) -> String {
        let mut text = String::from("| | strict | deferred | |\n|---|---|---|---|\n");
        for Row { what, outcomes: [strict, deferred], remark } in &self.rows {
            writeln!(text, "| {what} | {} | {} | {remark} |", strict.name(), deferred.name()).unwrap();
        }
        text
    }
}

/// Names and code for the attributes that take some.
mod helpers {
    use super::*;

    pub(super) fn seven() -> u32 {
        7
    }

    pub(super) mod doubled {
        use super::*;

        pub(in super::super) fn serialize<S: Serializer>(n: &u32, s: S) -> Result<S::Ok, S::Error> {
            s.serialize_u64(u64::from(*n) * 2)
        }

        pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<u32, D::Error> {
            u64::deserialize(d).map(|n| (n / 2) as u32)
        }
    }

    pub(super) mod bytes {
        use super::*;

        pub(in super::super) fn serialize<S: Serializer>(bytes: &[u8], s: S) -> Result<S::Ok, S::Error> {
            s.serialize_bytes(bytes)
        }

        pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<u8>, D::Error> {
            struct Bytes;
            impl serde::de::Visitor<'_> for Bytes {
                type Value = Vec<u8>;

                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("bytes")
                }

                fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
                    Ok(bytes.to_vec())
                }
            }
            d.deserialize_byte_buf(Bytes)
        }
    }

    /// A type of another crate, without serde, whose field can only be got.
    #[derive(Clone, PartialEq)]
    pub(super) struct Foreign {
        n: u32,
    }

    impl Foreign {
        pub(super) fn new(n: u32) -> Self {
            Foreign { n }
        }

        pub(super) fn n(&self) -> u32 {
            self.n
        }
    }

    #[derive(Serialize, Deserialize)]
    #[serde(remote = "Foreign")]
    pub(super) struct Remote {
        #[serde(getter = "Foreign::n")]
        n: u32,
    }

    impl From<Remote> for Foreign {
        fn from(remote: Remote) -> Self {
            Foreign::new(remote.n)
        }
    }
}
use helpers::{Foreign, Remote, bytes, doubled, seven};

fn container_attributes(table: &mut Table) {
    #[derive(Serialize, Deserialize, PartialEq)]
    #[serde(rename = "Renamed", rename_all = "camelCase")]
    struct Page {
        page_title: String,
        #[serde(rename = "n")]
        number: u8,
    }
    table.value("`rename`, `rename_all`, `rename_all_fields`", "names are not in the file", || Page {
        page_title: "One".into(),
        number: 1,
    });

    #[derive(Serialize, Deserialize, PartialEq)]
    struct TwoNames {
        #[serde(rename(serialize = "out", deserialize = "in"))]
        n: u8,
    }
    table.value("`rename(serialize = .., deserialize = ..)`", "unlike in JSON, where the names do not meet", || {
        TwoNames { n: 1 }
    });

    #[derive(Serialize, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields, expecting = "a closed thing")]
    struct Closed {
        n: u8,
    }
    table.value("`deny_unknown_fields`, `expecting`, `crate`", "there are no unknown fields", || Closed { n: 1 });

    #[derive(Serialize, Deserialize, PartialEq, Default)]
    #[serde(default)]
    struct Defaults {
        a: u8,
        b: String,
    }
    table.value("`default` of a container", "every field is in the file, so it is never needed", || Defaults {
        a: 1,
        b: "b".into(),
    });

    #[derive(Serialize, Deserialize, PartialEq)]
    #[serde(transparent)]
    struct Transparent {
        only: Vec<u8>,
    }
    table.value("`transparent`", "", || Transparent { only: vec![1, 2] });

    #[derive(Clone, Serialize, Deserialize, PartialEq)]
    #[serde(from = "u32", into = "u32")]
    struct Converted(String);
    impl From<u32> for Converted {
        fn from(n: u32) -> Self {
            Converted(n.to_string())
        }
    }
    impl From<Converted> for u32 {
        fn from(c: Converted) -> u32 {
            c.0.parse().unwrap_or(0)
        }
    }
    table.value("`from` and `into`", "the remedy for many types below", || Converted("17".into()));

    #[derive(Clone, Serialize, Deserialize, PartialEq)]
    #[serde(try_from = "u8", into = "u8")]
    struct Even(u8);
    impl TryFrom<u8> for Even {
        type Error = String;

        fn try_from(n: u8) -> Result<Self, String> {
            if n % 2 == 0 { Ok(Even(n)) } else { Err(format!("{n} is odd")) }
        }
    }
    impl From<Even> for u8 {
        fn from(even: Even) -> u8 {
            even.0
        }
    }
    table.value("`try_from`, of a value that it takes", "", || Even(4));
    table.refused("`try_from`, of a value that it refuses", "3 is odd", "", || Even(3));

    #[derive(Serialize, Deserialize, PartialEq)]
    #[serde(bound(serialize = "T: Serialize + Copy", deserialize = "T: Deserialize<'de> + Copy"))]
    struct Bounded<T>(T);
    table.value("`bound`", "`Defer<T>` in a generic type needs it", || Bounded(1_u8));

    #[derive(Serialize, Deserialize, PartialEq)]
    struct HasForeign {
        #[serde(with = "Remote")]
        foreign: Foreign,
    }
    table.value("`remote`, `getter`", "", || HasForeign { foreign: Foreign::new(3) });

    #[derive(Serialize, Deserialize, PartialEq)]
    #[serde(tag = "kind", content = "value")]
    enum Adjacent {
        Unit,
        New(u8),
        Pair(u8, u8),
        Named { n: u8 },
    }
    table.refused("`tag` and `content`", "Adjacent", "leave them out", || vec![Adjacent::Unit, Adjacent::New(1)]);
    table.refused("the same, variants with fields", "Adjacent", "leave them out", || {
        vec![Adjacent::Pair(2, 3), Adjacent::Named { n: 4 }]
    });

    #[derive(Serialize, Deserialize, PartialEq)]
    #[serde(tag = "kind")]
    enum Internal {
        Named { n: u8 },
    }
    table.refused("`tag` alone", "Internal", "leave the tag out", || Internal::Named { n: 1 });

    #[derive(Serialize, Deserialize, PartialEq)]
    #[serde(untagged)]
    enum Untagged {
        Number(u8),
        Text(String),
    }
    table.refused(
        "`untagged`",
        "wants to be told what comes next",
        "leave it out, or convert (`from`, `into`)",
        || vec![Untagged::Number(1), Untagged::Text("one".into())],
    );
}

fn variant_attributes(table: &mut Table) {
    #[derive(Clone, Serialize, Deserialize, PartialEq)]
    #[serde(rename_all = "lowercase")]
    enum Named {
        #[serde(alias = "uno", alias = "eins")]
        One,
        #[serde(rename = "deux")]
        Two(#[serde(with = "doubled")] u32),
        #[serde(with = "doubled")]
        Three(u32),
    }
    table.value("`rename`, `alias`, `with` of a variant", "", || vec![Named::One, Named::Two(2), Named::Three(3)]);

    #[derive(Serialize, Deserialize, PartialEq)]
    enum WithOther {
        Known,
        #[serde(other)]
        Other,
    }
    table.value("`other`", "", || vec![WithOther::Known, WithOther::Other]);

    #[derive(Serialize, Deserialize, PartialEq)]
    enum SkipLast {
        Open,
        Closed,
        #[serde(skip)]
        #[expect(dead_code, reason = "serde skips it")]
        Internal,
    }
    table.value("`skip` of the last variants, values of others", "", || vec![SkipLast::Open, SkipLast::Closed]);

    #[derive(Serialize, Deserialize, PartialEq)]
    enum SkipFirst {
        #[serde(skip)]
        #[expect(dead_code, reason = "serde skips it")]
        Internal,
        Open,
        Closed,
    }
    table.refused("`skip` of a variant, values of later ones", "`SkipFirst::Open`", "move it to the end", || {
        SkipFirst::Open
    });
    table.refused("the same, the last of all", "`SkipFirst::Closed`", "move it to the end", || SkipFirst::Closed);

    #[derive(Serialize, Deserialize, PartialEq)]
    enum SkipWriting {
        Open,
        #[serde(skip_serializing)]
        Closed,
    }
    table.refused("`skip_serializing` of a variant, its values", "SkipWriting::Closed", "", || SkipWriting::Closed);

    #[derive(Serialize, Deserialize, PartialEq)]
    enum SkipReading {
        #[serde(skip_deserializing)]
        Unknown,
        Open,
        Closed,
    }
    table.refused("`skip_deserializing` of a variant, its values", "`SkipReading::Unknown`", "", || {
        SkipReading::Unknown
    });
    table.refused("the same, values of later ones", "`SkipReading::Open`", "move it to the end", || SkipReading::Open);

    #[derive(Serialize, Deserialize, PartialEq)]
    enum UntaggedLast {
        Known(u8),
        #[serde(untagged)]
        Other(String),
    }
    table.refused("`untagged` of a variant", "UntaggedLast", "leave it out", || {
        vec![UntaggedLast::Known(1), UntaggedLast::Other("x".into())]
    });
}

fn field_attributes(table: &mut Table) {
    #[derive(Serialize, Deserialize, PartialEq)]
    struct Aliases {
        #[serde(alias = "a", alias = "z")]
        first: u8,
        #[serde(alias = "name")]
        second: String,
    }
    table.value("`alias`", "", || Aliases { first: 1, second: "two".into() });

    #[derive(Serialize, Deserialize, PartialEq)]
    struct Default {
        #[serde(default)]
        a: u8,
        #[serde(default = "seven")]
        b: u32,
    }
    table.value("`default` of a field", "every field is in the file", || Default { a: 1, b: 2 });

    #[derive(Serialize, Deserialize, PartialEq)]
    struct With {
        #[serde(with = "doubled")]
        a: u32,
        #[serde(serialize_with = "doubled::serialize", deserialize_with = "doubled::deserialize")]
        b: u32,
        #[serde(with = "bytes")]
        c: Vec<u8>,
    }
    table.value("`with`, `serialize_with` and `deserialize_with`", "", || With { a: 1, b: 2, c: vec![3] });

    #[derive(Serialize, Deserialize, PartialEq)]
    struct HalfWith {
        #[serde(serialize_with = "doubled::serialize")]
        n: u32,
    }
    table.refused(
        "`serialize_with` alone, if reading does not undo it",
        "n is saved as 10 and comes back as 20",
        "",
        || HalfWith { n: 5 },
    );

    #[derive(Serialize, Deserialize, PartialEq)]
    struct Skip {
        kept: u8,
        #[serde(skip)]
        a: u8,
        #[serde(skip, default = "seven")]
        b: u32,
        last: String,
    }
    let of = |a, b| move || Skip { kept: 1, a, b, last: "z".into() };
    table.skipping("`skip` of a field", "comes back as its default", of(5, 5), of(0, 7));

    #[derive(Serialize, Deserialize, PartialEq)]
    struct SkipWriting {
        #[serde(skip_serializing, default)]
        a: u8,
        b: u8,
    }
    table.refused(
        "`skip_serializing` of a field",
        "`SkipWriting` is saved with the fields [\"b\"]",
        "use `skip`",
        || SkipWriting { a: 0, b: 2 },
    );

    #[derive(Serialize, Deserialize, PartialEq)]
    struct SkipReading {
        #[serde(skip_deserializing)]
        a: u8,
        b: u8,
    }
    table.refused("`skip_deserializing` of a field", "`SkipReading` is saved with the fields", "use `skip`", || {
        SkipReading { a: 0, b: 2 }
    });

    #[derive(Serialize, Deserialize, PartialEq)]
    struct SkipBoth {
        #[serde(skip_serializing, default)]
        a: u8,
        #[serde(skip_deserializing)]
        b: u8,
    }
    table.refused("one field with the one, another with the other", "`SkipBoth` is saved with", "use `skip`", || {
        SkipBoth { a: 3, b: 4 }
    });

    #[derive(Serialize, Deserialize, PartialEq)]
    struct SkipIf {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<u32>,
        id: u32,
    }
    table.value("`skip_serializing_if`, nothing left out", "", || SkipIf { note: Some(1), id: 2 });
    table.refused("`skip_serializing_if`, a field left out", "field `note` of `SkipIf`", "remove it", || SkipIf {
        note: None,
        id: 2,
    });

    #[derive(Serialize, Deserialize, PartialEq)]
    struct TupleSkipIf(#[serde(skip_serializing_if = "Option::is_none")] Option<u8>, u8);
    table.refused("the same in a tuple struct", "`TupleSkipIf`", "remove it", || TupleSkipIf(None, 2));

    #[derive(Serialize, Deserialize, PartialEq)]
    enum VariantSkipIf {
        Named {
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            list: Vec<u8>,
            n: u8,
        },
    }
    table.refused("the same in a variant", "field `list` of `Named`", "remove it", || VariantSkipIf::Named {
        list: vec![],
        n: 1,
    });

    #[derive(Serialize, Deserialize, PartialEq)]
    struct Flat {
        id: u8,
        #[serde(flatten)]
        rest: BTreeMap<String, u8>,
    }
    table.refused("`flatten`", "`flatten`", "make it a field", || Flat { id: 1, rest: [("a".to_string(), 1)].into() });

    table.not_owned("`borrow`", "load a type that owns: `save_as::<Owned>`");
    table.value("a `Cow` without `borrow`", "is loaded as `Owned`", || Cow::<'static, str>::Borrowed("text"));
}

fn simple_types(table: &mut Table) {
    table.value("`bool`, integers of 8 to 64 bits, `usize`, `isize`", "", || {
        (true, i8::MIN, u16::MAX, i32::MIN, u64::MAX, (usize::MAX, isize::MIN))
    });
    table.value("`i128`, `u128`", "", || (i128::MIN, u128::MAX));
    table.like(
        "`f32`, `f64`, with NaN, infinity and -0.0",
        "every bit",
        || (f32::NAN, -0.0_f64, f64::INFINITY),
        |v| v.0.to_bits() == f32::NAN.to_bits() && v.1.to_bits() == (-0.0_f64).to_bits() && v.2 == f64::INFINITY,
    );
    table.value("`char`", "", || ['a', 'ß', '\u{10ffff}', '\0']);
    table.value("`String`, `Box<str>`", "", || (String::from("text"), Box::<str>::from("")));
    table.not_owned("`&str`, `&[u8]`, `&Path`", "load a type that owns: `save_as::<String>`");
    table.value("bytes (`serialize_bytes`, `serde_bytes`)", "", || {
        #[derive(Serialize, Deserialize, PartialEq)]
        struct Bytes(#[serde(with = "bytes")] Vec<u8>);
        Bytes(vec![0, 255])
    });
    table.value("`Option`", "", || (Some(1_u8), None::<String>));
    table.value("`Option<Option<T>>`", "unlike in JSON", || [None, Some(None), Some(Some(1_u8))]);
    table.value("`()` and unit structs", "", || {
        #[derive(Serialize, Deserialize, PartialEq)]
        struct Unit;
        ((), Unit)
    });
    table.value("newtype and tuple structs", "", || {
        #[derive(Serialize, Deserialize, PartialEq)]
        struct New(u8);
        #[derive(Serialize, Deserialize, PartialEq)]
        struct Pair(u8, String);
        #[derive(Serialize, Deserialize, PartialEq)]
        struct Empty {}
        (New(1), Pair(2, "two".into()), Empty {})
    });
    table.value("enums with variants of every kind", "", || {
        #[derive(Serialize, Deserialize, PartialEq)]
        enum Kinds {
            Unit,
            New(u8),
            Tuple(u8, u8),
            Struct { n: u8 },
            Empty(),
        }
        [Kinds::Unit, Kinds::New(1), Kinds::Tuple(1, 2), Kinds::Struct { n: 3 }, Kinds::Empty()]
    });
    table.value("enums with discriminants", "the order of variants counts", || {
        #[derive(Serialize, Deserialize, PartialEq)]
        enum Level {
            High = 90,
            Low = 10,
        }
        [Level::Low, Level::High]
    });
}

fn collections(table: &mut Table) {
    table.value("`Vec`, `VecDeque`, `LinkedList`, `Box<[T]>`", "", || {
        (vec![1_u8], VecDeque::from([2_u8]), LinkedList::from([3_u8]), Box::<[u8]>::from([4]))
    });
    table.value("arrays up to 32 elements", "longer ones serde does not know", || ([0_u8; 0], [1_u16; 32]));
    table.value("tuples up to 16 elements", "", || {
        (1_u8, 2_u8, 3_u8, 4_u8, 5_u8, 6_u8, 7_u8, 8_u8, 9_u8, 10_u8, 11_u8, 12_u8)
    });
    table.value("`BTreeMap`, `HashMap`, with any keys", "unlike in JSON", || {
        let by_pair: BTreeMap<(u8, char), String> = [((1, 'a'), "x".to_string())].into();
        let by_option: HashMap<Option<Vec<u8>>, u8> = (0..50_u8).map(|n| (Some(vec![n]), n)).collect();
        (by_pair, by_option)
    });
    table.value("`BTreeSet`, `HashSet`", "", || {
        (BTreeSet::from(["b".to_string()]), (0..50_u64).collect::<HashSet<_>>())
    });
    table.like(
        "`BinaryHeap`",
        "",
        || BinaryHeap::from([3_u8, 1, 2]),
        |heap| heap.clone().into_sorted_vec() == [1, 2, 3],
    );
    #[derive(Deserialize, PartialEq)]
    struct Doubled(BTreeMap<u8, u8>);
    impl Serialize for Doubled {
        fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
            s.collect_map(self.0.iter().chain(self.0.keys().map(|k| (k, &9))))
        }
    }
    table.refused("a map that is saved with a key twice", "Doubled", "", || Doubled([(1, 2)].into()));
    table.refused("a sequence or map of unknown length", "does not tell its length", "collect it first", || {
        #[derive(Deserialize, PartialEq)]
        struct Streamed(Vec<u8>);
        impl Serialize for Streamed {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_seq(self.0.iter().filter(|n| **n > 0))
            }
        }
        Streamed(vec![1, 2])
    });
}

fn pointers(table: &mut Table) {
    table.value("`Box`", "", || Box::new(Box::new(1_u8)));
    table.value("`Rc`, `Arc` (serde's feature `rc`)", "shared ones come back as several", || {
        (Rc::new(1_u8), Arc::new(2_u8))
    });
    table.like("`rc::Weak`, `sync::Weak`, empty", "", rc::Weak::<u8>::new, |weak| weak.upgrade().is_none());
    #[derive(Serialize, Deserialize)]
    struct Alive(Rc<u8>, rc::Weak<u8>);
    impl PartialEq for Alive {
        fn eq(&self, other: &Self) -> bool {
            (&self.0, self.1.upgrade()) == (&other.0, other.1.upgrade())
        }
    }
    table.refused("the same, leading somewhere", "", "serde loads them empty", || {
        let to = Rc::new(1_u8);
        Alive(Rc::clone(&to), Rc::downgrade(&to))
    });
    table.value("`Cell`, `RefCell`", "", || (Cell::new(1_u8), RefCell::new(String::from("x"))));
    table.like(
        "`Mutex`, `RwLock`",
        "",
        || (Mutex::new(1_u8), RwLock::new(2_u8)),
        |both| *both.0.lock().unwrap() == 1 && *both.1.read().unwrap() == 2,
    );
    table.like("atomics", "", || AtomicU64::new(u64::MAX), |n| n.load(Ordering::Relaxed) == u64::MAX);
    table.value("types that contain themselves", "128 deep in one block", || {
        #[derive(Serialize, Deserialize, PartialEq)]
        struct Tree {
            name: String,
            children: Vec<Tree>,
        }
        let leaf = |name: &str| Tree { name: name.into(), children: vec![] };
        Tree { name: "root".into(), children: vec![leaf("left"), leaf("right")] }
    });
    table.value("parts in parts", "", || {
        (Defer::new(DeferVec::from(vec![1_u8])), DeferVec::from(vec![Defer::new(2_u8)]))
    });
}

fn library_types(table: &mut Table) {
    table.value("`Duration`, `SystemTime`", "", || {
        (Duration::new(1, 2), SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 33))
    });
    table.value("`IpAddr`, `SocketAddr`", "as bytes, not text: the format is not human-readable", || {
        (IpAddr::from([127, 0, 0, 1]), SocketAddr::from(([1; 8], 80)))
    });
    table.value("`PathBuf` in UTF-8, `CString`", "", || (PathBuf::from("/a/b"), c"text".to_owned()));
    #[cfg(unix)]
    table.refused("`PathBuf`, not in UTF-8", "UTF-8", "use `OsString`", || {
        PathBuf::from(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(&[0xff]).to_os_string())
    });
    table.value("`OsString`", "only on the kind of system that saved it", || OsString::from("text"));
    table.value("`Range` and its relatives, `Bound`", "", || (1..2_u8, 3..=4_u8, 5_u8.., Bound::Excluded(6_u8)));
    table.value("`Result`", "", || [Ok::<u8, String>(1), Err("no".into())]);
    table.value("`NonZero..`, `Wrapping`, `Reverse`", "", || (NonZeroU32::MIN, Wrapping(2_u8), Reverse(3_u8)));
    table.value("`PhantomData`", "", || PhantomData::<String>);
}

fn self_describing(table: &mut Table) {
    table.refused(
        "`serde_json::Value` and its like",
        "wants to be told",
        "keep it as text",
        || serde_json::json!({"any": ["thing", 1]}),
    );

    /// As many types of dates and numbers do: what comes decides.
    #[derive(Serialize, PartialEq)]
    struct Any(u64);
    impl<'de> Deserialize<'de> for Any {
        fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
            struct Number;
            impl serde::de::Visitor<'_> for Number {
                type Value = Any;

                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("a number")
                }

                fn visit_u64<E>(self, n: u64) -> Result<Any, E> {
                    Ok(Any(n))
                }
            }
            d.deserialize_any(Number)
        }
    }
    table.refused("types that call `deserialize_any`", "wants to be told", "give them `with`, `from`, `into`", || {
        Any(1)
    });

    #[derive(PartialEq)]
    struct Ignored;
    impl Serialize for Ignored {
        fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
            s.serialize_u8(1)
        }
    }
    impl<'de> Deserialize<'de> for Ignored {
        fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
            serde::de::IgnoredAny::deserialize(d).map(|_| Ignored)
        }
    }
    table.refused("types that call `deserialize_ignored_any`", "wants to be told", "", || Ignored);

    /// Text for people, a number for machines; the number is read as text for machines as well.
    #[derive(PartialEq)]
    struct HalfReadable(u32);
    impl Serialize for HalfReadable {
        fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
            if s.is_human_readable() { s.collect_str(&self.0) } else { s.serialize_u32(self.0) }
        }
    }
    impl<'de> Deserialize<'de> for HalfReadable {
        fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
            let text = String::deserialize(d)?;
            text.parse().map(HalfReadable).map_err(serde::de::Error::custom)
        }
    }
    table.refused("types that forget `is_human_readable` on one side", "HalfReadable", "", || HalfReadable(300));

    /// Written as one kind of thing and read as another that looks alike.
    #[derive(Serialize, PartialEq)]
    struct Unlike(u8, u8);
    impl<'de> Deserialize<'de> for Unlike {
        fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
            <(u8, u8)>::deserialize(d).map(|(a, b)| Unlike(b, a))
        }
    }
    table.refused("types whose two sides disagree", "[0] is saved as 1 and comes back as 2", "", || Unlike(1, 2));
}

fn whole() -> (Vec<&'static str>, Vec<Table>) {
    type Fill = fn(&mut Table);
    let parts: [(&str, Fill); 8] = [
        ("Attributes of containers", container_attributes),
        ("Attributes of variants", variant_attributes),
        ("Attributes of fields", field_attributes),
        ("Simple types", simple_types),
        ("Collections", collections),
        ("Pointers and cells", pointers),
        ("Types of the standard library", library_types),
        ("Types that want to be told what comes", self_describing),
    ];
    parts
        .into_iter()
        .map(|(title, fill)| {
            let mut table = Table::default();
            fill(&mut table);
            (title, table)
        })
        .unzip()
}

#[test]
fn nothing_is_saved_that_does_not_come_back() {
    let (_, tables) = whole();
    let problems: Vec<&String> = tables.iter().flat_map(|table| &table.problems).collect();
    assert!(problems.is_empty(), "{problems:#?}");
    for Row { what, outcomes, .. } in tables.iter().flat_map(|table| &table.rows) {
        for outcome in outcomes {
            let bad = matches!(outcome, Outcome::RefusedAtLoad(_) | Outcome::AnotherValue);
            assert!(!bad, "{what}: {outcome:?}");
        }
        assert_eq!(outcomes[0].name(), outcomes[1].name(), "{what}");
    }
}

#[test]
fn the_chapter_shows_what_came_out() {
    let chapter = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/deferred-loading.md");
    // The chapter is no part of the published package.
    let Ok(chapter) = std::fs::read_to_string(&chapter) else {
        return;
    };
    let (titles, tables) = whole();
    let found: Vec<String> =
        titles.iter().zip(&tables).map(|(title, table)| format!("### {title}\n\n{}", table.print())).collect();
    let shows = |part: &String| chapter.contains(part);
    assert!(found.iter().all(shows), "docs/deferred-loading.md does not show this:\n{}", found.join("\n"));
    let rows: usize = tables.iter().map(|table| table.rows.len()).sum();
    let shown = chapter.lines().filter(|line| {
        ["works", "skipped", "refused at", "does not compile"].iter().any(|o| line.contains(&format!("| {o}")))
    });
    assert_eq!(shown.count(), rows, "docs/deferred-loading.md shows rows that are not tried");
}
