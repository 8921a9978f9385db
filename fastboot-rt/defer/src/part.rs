//! The primitives: how any type can have parts of its own. `Defer`, `DeferVec` and `DeferMap` are made of them.

use crate::error::Result;
use crate::handoff::{self, Arrival, PART, Place};
use serde::de::{self, Deserialize, DeserializeOwned, Deserializer, IntoDeserializer, Visitor};
use serde::{Serialize, Serializer};
use std::fmt;
use std::marker::PhantomData;

/// Where the body of a part lies in an open file, which it keeps open.
#[derive(Clone, Debug)]
pub struct Reference(pub(crate) Place);

impl Reference {
    /// Reads, checks and decodes the body, each time anew.
    ///
    /// # Errors
    /// If the block cannot be read, is damaged, or is no `T`.
    pub fn load<T: DeserializeOwned>(&self) -> Result<T> {
        self.0.load()
    }

    /// The offset of the body's block in the file, bytes.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.0.start
    }

    /// The length of the body's block and of everything below it, bytes.
    #[must_use]
    pub fn extent(&self) -> u64 {
        self.0.extent
    }
}

/// What [`deserialize_part`] found.
#[derive(Debug)]
pub enum Arrived<T> {
    /// The value itself: another format is being read, which knows no parts.
    Here(T),
    /// The body lies in a deferred file and has not been read.
    There(Reference),
}

/// Serializes `value` as a part: in a deferred file it becomes a block of its own, and only a reference is written
/// here; in any other format it is written as it is.
///
/// # Errors
/// If the value cannot be serialized.
pub fn serialize_part<T: Serialize + ?Sized, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_newtype_struct(PART, value)
}

/// The counterpart of [`serialize_part`].
///
/// # Errors
/// If what comes next is no part and no `T` either.
pub fn deserialize_part<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Arrived<T>, D::Error> {
    match receive::<T, (), D>(PART, deserializer)? {
        Received::Foreign(value) => Ok(Arrived::Here(value)),
        Received::Ours(Arrival::Part(place), ()) => Ok(Arrived::There(Reference(place))),
        Received::Ours(..) => Err(mixed_up()),
    }
}

/// The error for a list where a part was asked for, and the like.
pub(crate) fn mixed_up<E: de::Error>() -> E {
    E::custom("a part of another kind came")
}

/// What came for one of our names.
pub(crate) enum Received<Foreign, Strict> {
    /// Another format's contents.
    Foreign(Foreign),
    /// References, and the strict data behind them.
    Ours(Arrival, Strict),
}

pub(crate) fn receive<'de, Foreign, Strict, D>(
    name: &'static str,
    deserializer: D,
) -> Result<Received<Foreign, Strict>, D::Error>
where
    Foreign: Deserialize<'de>,
    Strict: Deserialize<'de>,
    D: Deserializer<'de>,
{
    deserializer.deserialize_newtype_struct(name, Receive(PhantomData))
}

struct Receive<Foreign, Strict>(PhantomData<(Foreign, Strict)>);

/// Formats that see through newtype structs too eagerly call the visitor with the contents.
macro_rules! see_through {
    ($($name:ident $ty:ty;)*) => {
        $(fn $name<E: de::Error>(self, value: $ty) -> Result<Self::Value, E> {
            Foreign::deserialize(value.into_deserializer()).map(Received::Foreign)
        })*
    };
}

impl<'de, Foreign: Deserialize<'de>, Strict: Deserialize<'de>> Visitor<'de> for Receive<Foreign, Strict> {
    type Value = Received<Foreign, Strict>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a deferred part or its contents")
    }

    #[inline]
    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        match handoff::take_arrival() {
            Some(arrival) => Ok(Received::Ours(arrival, Strict::deserialize(deserializer)?)),
            None => Foreign::deserialize(deserializer).map(Received::Foreign),
        }
    }

    see_through! {
        visit_bool bool;
        visit_i8 i8;
        visit_i16 i16;
        visit_i32 i32;
        visit_i64 i64;
        visit_i128 i128;
        visit_u8 u8;
        visit_u16 u16;
        visit_u32 u32;
        visit_u64 u64;
        visit_u128 u128;
        visit_f32 f32;
        visit_f64 f64;
        visit_char char;
        visit_str &str;
        visit_string String;
        visit_bytes &[u8];
    }

    fn visit_borrowed_str<E: de::Error>(self, value: &'de str) -> Result<Self::Value, E> {
        Foreign::deserialize(de::value::BorrowedStrDeserializer::new(value)).map(Received::Foreign)
    }

    fn visit_borrowed_bytes<E: de::Error>(self, value: &'de [u8]) -> Result<Self::Value, E> {
        Foreign::deserialize(de::value::BorrowedBytesDeserializer::new(value)).map(Received::Foreign)
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        Foreign::deserialize(().into_deserializer()).map(Received::Foreign)
    }

    fn visit_none<E: de::Error>(self) -> Result<Self::Value, E> {
        self.visit_unit()
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        Foreign::deserialize(de::value::SeqAccessDeserializer::new(seq)).map(Received::Foreign)
    }

    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        Foreign::deserialize(de::value::MapAccessDeserializer::new(map)).map(Received::Foreign)
    }
}
