//! Block contents to values: a serde deserializer that reads what postcard writes, and turns references into parts.
//!
//! Decoding is total. Recursion is limited by depth; the elements that all sequences of a block claim to have are paid
//! for from one budget, which the length of the block sets; memory set aside beforehand likewise.

use crate::error::{Error, ErrorKind, Result};
use crate::handoff::{self, Arrival, ChunkPlace, LIST, MAP, PART, Place, WRITTEN};
use crate::layout::{BLOCK_HEADER, EMPTY_ELEMENTS};
use crate::open::{Block, Origin};
use crate::shapes::Shapes;
use postcard::de_flavors::Flavor;
use serde::de::{self, Deserialize, DeserializeOwned, DeserializeSeed, Deserializer, IntoDeserializer, Visitor};
use std::cell::Cell;
use std::fmt;
use std::sync::Arc;

/// Decodes the contents of a block, all of them.
pub(crate) fn block<T: DeserializeOwned>(origin: &Arc<Origin>, block: &Block<'_>) -> Result<T> {
    let contents = &*block.contents;
    let state = State {
        contents,
        at: Cell::new(0),
        origin,
        base: block.base,
        limit: block.limit,
        referred: Cell::new(block.base),
        room: Cell::new(block.limit.saturating_sub(block.base)),
        elements: Cell::new(contents.len() as u64 + EMPTY_ELEMENTS),
        expected: Cell::new(contents.len()),
        shapes: origin.shapes.get(),
    };
    let located = |what: String| {
        Error::new(ErrorKind::Decode(what))
            .at(state.at.get() as u64)
            .in_block(block.offset)
            .numbered(block.number)
            .in_file(origin.name())
    };
    let value = T::deserialize(Decoder { state: &state, depth: origin.depth });
    handoff::take_arrival();
    match value {
        Ok(value) if state.rest().is_empty() => Ok(value),
        Ok(_) => Err(located(format!("{} bytes are left over after the value", state.rest().len()))),
        Err(fault) => Err(located(fault.to_string())),
    }
}

/// Why decoding stopped; `block` adds where.
#[derive(Debug)]
pub(crate) struct Fault(Box<FaultParts>);

#[derive(Debug)]
struct FaultParts {
    what: String,
    /// The innermost struct or enum that was being decoded.
    of: Option<&'static str>,
}

impl Fault {
    #[cold]
    fn new(what: impl Into<String>) -> Self {
        Fault(Box::new(FaultParts { what: what.into(), of: None }))
    }

    #[cold]
    fn within(mut self, of: &'static str) -> Self {
        self.0.of.get_or_insert(of);
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.of {
            Some(of) => write!(f, "in `{of}`: {}", self.0.what),
            None => f.write_str(&self.0.what),
        }
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    #[cold]
    fn custom<T: fmt::Display>(msg: T) -> Self {
        Fault::new(msg.to_string())
    }
}

impl From<postcard::Error> for Fault {
    #[cold]
    fn from(e: postcard::Error) -> Self {
        use postcard::Error as P;
        Fault::new(match e {
            P::DeserializeUnexpectedEnd => "the contents end in the middle of a value",
            P::DeserializeBadVarint => "a number has too many bytes",
            P::DeserializeBadBool => "a bool is neither 0 nor 1",
            P::DeserializeBadChar => "a char is not one",
            P::DeserializeBadUtf8 => "a string is not UTF-8",
            P::DeserializeBadOption => "an Option is neither 0 nor 1",
            P::DeserializeBadEnum => "an enum's variant is out of range",
            _ => return Fault::new(e.to_string()),
        })
    }
}

type Outcome<T> = std::result::Result<T, Fault>;

struct State<'de> {
    contents: &'de [u8],
    /// Everything before is decoded; never more than the length of `contents`.
    at: Cell<usize>,
    origin: &'de Arc<Origin>,
    base: u64,
    limit: u64,
    /// Where the reference before ended.
    referred: Cell<u64>,
    /// What the extents of further references may add up to.
    room: Cell<u64>,
    /// How many elements sequences and maps may still claim.
    elements: Cell<u64>,
    /// How many elements may still be prepared for before they have been seen.
    expected: Cell<usize>,
    /// Where to note what types want, if somebody asks.
    shapes: Option<&'de Shapes>,
}

/// postcard's input: what is not decoded yet.
///
/// postcard wants it to outlive what is read from it, so the state is borrowed for as long as the contents are.
struct Input<'de>(&'de State<'de>);

impl<'de> Flavor<'de> for Input<'de> {
    type Remainder = ();
    type Source = ();

    #[inline]
    fn pop(&mut self) -> postcard::Result<u8> {
        let at = self.0.at.get();
        let &byte = self.0.contents.get(at).ok_or(postcard::Error::DeserializeUnexpectedEnd)?;
        self.0.at.set(at + 1);
        Ok(byte)
    }

    #[inline]
    fn try_take_n(&mut self, n: usize) -> postcard::Result<&'de [u8]> {
        let taken = self.0.rest().get(..n).ok_or(postcard::Error::DeserializeUnexpectedEnd)?;
        self.0.at.set(self.0.at.get() + n);
        Ok(taken)
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        Some(self.0.rest().len())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

impl<'de> State<'de> {
    /// What is not decoded yet.
    #[inline]
    fn rest(&self) -> &'de [u8] {
        self.contents.get(self.at.get()..).unwrap_or_default()
    }

    /// One value that postcard alone can read.
    #[inline]
    fn leaf<T: Deserialize<'de>>(&'de self) -> Outcome<T> {
        Ok(T::deserialize(&mut postcard::Deserializer::from_flavor(Input(self)))?)
    }

    /// A length, paid for from the budget of elements.
    #[inline]
    fn length(&'de self) -> Outcome<usize> {
        let claimed: u64 = self.leaf()?;
        let left = self.elements.get();
        let short = || Fault::new(format!("a length of {claimed} is more than this block can hold"));
        self.elements.set(left.checked_sub(claimed).ok_or_else(short)?);
        usize::try_from(claimed).map_err(|_| short())
    }

    /// How many of `len` elements may be prepared for.
    #[inline]
    fn prepare(&self, len: usize) -> usize {
        let n = len.min(self.rest().len()).min(self.expected.get());
        self.expected.set(self.expected.get() - n);
        n
    }

    /// A reference, checked against the rules in `layout`.
    #[inline]
    fn reference(&'de self) -> Outcome<Place> {
        let distance: u64 = self.leaf()?;
        let distance = (distance >> 1) as i64 ^ -((distance & 1) as i64);
        let extent: u64 = self.leaf()?;
        let start = self.referred.get().checked_add_signed(distance);
        let end = start.and_then(|start| start.checked_add(extent));
        let (Some(start), Some(end)) = (start, end) else {
            return Err(Fault::new("a part lies outside the file"));
        };
        if start < self.base || end > self.limit || extent < BLOCK_HEADER as u64 {
            return Err(Fault::new(format!(
                "a part lies at {start}..{end}, where this block has no parts ({}..{})",
                self.base, self.limit
            )));
        }
        let Some(room) = self.room.get().checked_sub(extent) else {
            return Err(Fault::new("parts overlap"));
        };
        self.room.set(room);
        self.referred.set(end);
        Ok(Place { origin: Arc::clone(self.origin), start, extent })
    }

    fn chunks(&'de self) -> Outcome<Vec<ChunkPlace>> {
        let count: u64 = self.leaf()?;
        // A chunk takes three bytes at least.
        if count > self.rest().len() as u64 / 3 {
            return Err(Fault::new(format!("{count} chunks are more than this block can hold")));
        }
        let mut chunks = Vec::with_capacity(count as usize);
        let mut end = 0_u64;
        for _ in 0..count {
            let len: u64 = self.leaf()?;
            end = match end.checked_add(len) {
                Some(end) if len > 0 => end,
                _ => return Err(Fault::new("a chunk has an impossible number of elements")),
            };
            chunks.push(ChunkPlace { end, place: self.reference()? });
        }
        Ok(chunks)
    }
}

#[derive(Clone, Copy)]
struct Decoder<'de> {
    state: &'de State<'de>,
    depth: u32,
}

impl Decoder<'_> {
    #[inline]
    fn deeper(self) -> Outcome<Self> {
        match self.depth.checked_sub(1) {
            Some(depth) => Ok(Decoder { depth, ..self }),
            None => Err(Fault::new(format!(
                "values nest more than {} deep, the limit of LoadOptions::depth",
                self.state.origin.depth
            ))),
        }
    }

    #[inline]
    fn elements(self, left: usize, counted: bool) -> Outcome<Elements<Self>> {
        let expected = if counted { self.state.prepare(left) } else { left };
        Ok(Elements { decoder: self.deeper()?, left, expected })
    }
}

macro_rules! leaves {
    ($($name:ident $visit:ident $ty:ty;)*) => {
        $(#[inline]
        fn $name<V: Visitor<'de>>(self, visitor: V) -> Outcome<V::Value> {
            visitor.$visit(self.state.leaf::<$ty>()?)
        })*
    };
}

macro_rules! not_self_describing {
    ($($name:ident)*) => {
        $(fn $name<V: Visitor<'de>>(self, _: V) -> Outcome<V::Value> {
            Err(Fault::new(
                "the type wants to be told what comes next (as serde's flatten, untagged and tagged do), and deferred files, like postcard, do not say",
            ))
        })*
    };
}

impl<'de> Deserializer<'de> for Decoder<'de> {
    type Error = Fault;

    leaves! {
        deserialize_bool visit_bool bool;
        deserialize_i8 visit_i8 i8;
        deserialize_i16 visit_i16 i16;
        deserialize_i32 visit_i32 i32;
        deserialize_i64 visit_i64 i64;
        deserialize_i128 visit_i128 i128;
        deserialize_u8 visit_u8 u8;
        deserialize_u16 visit_u16 u16;
        deserialize_u32 visit_u32 u32;
        deserialize_u64 visit_u64 u64;
        deserialize_u128 visit_u128 u128;
        deserialize_f32 visit_f32 f32;
        deserialize_f64 visit_f64 f64;
        deserialize_char visit_char char;
        deserialize_str visit_borrowed_str &'de str;
        deserialize_string visit_borrowed_str &'de str;
        deserialize_bytes visit_borrowed_bytes &'de [u8];
        deserialize_byte_buf visit_borrowed_bytes &'de [u8];
    }

    not_self_describing! { deserialize_any deserialize_identifier deserialize_ignored_any }

    #[inline]
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Outcome<V::Value> {
        match self.state.leaf::<u8>()? {
            0 => visitor.visit_none(),
            1 => visitor.visit_some(self.deeper()?),
            _ => Err(postcard::Error::DeserializeBadOption.into()),
        }
    }

    #[inline]
    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Outcome<V::Value> {
        visitor.visit_unit()
    }

    #[inline]
    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Outcome<V::Value> {
        visitor.visit_unit()
    }

    #[inline]
    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Outcome<V::Value> {
        let arrival = match name {
            PART => Arrival::Part(self.state.reference()?),
            LIST => Arrival::List(self.state.chunks()?),
            MAP => {
                let values = self.state.chunks()?;
                let keys = match self.state.leaf::<bool>()? {
                    true => Some(self.state.chunks()?),
                    false => None,
                };
                Arrival::Map { values, keys }
            }
            WRITTEN => return Err(Fault::new("a finished part of a Writer cannot be loaded")),
            _ => return visitor.visit_newtype_struct(self.deeper()?),
        };
        handoff::hand_over(arrival);
        visitor.visit_newtype_struct(self)
    }

    #[inline]
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Outcome<V::Value> {
        let len = self.state.length()?;
        visitor.visit_seq(self.elements(len, true)?)
    }

    #[inline]
    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Outcome<V::Value> {
        visitor.visit_seq(self.elements(len, false)?)
    }

    #[inline]
    fn deserialize_tuple_struct<V: Visitor<'de>>(self, of: &'static str, len: usize, visitor: V) -> Outcome<V::Value> {
        self.deserialize_tuple(len, visitor).map_err(|fault| fault.within(of))
    }

    #[inline]
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Outcome<V::Value> {
        let len = self.state.length()?;
        visitor.visit_map(self.elements(len, true)?)
    }

    #[inline]
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        of: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Outcome<V::Value> {
        if let Some(shapes) = self.state.shapes {
            shapes.wanted(of, fields);
        }
        self.deserialize_tuple(fields.len(), visitor).map_err(|fault| fault.within(of))
    }

    #[inline]
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        of: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Outcome<V::Value> {
        if let Some(shapes) = self.state.shapes {
            shapes.wanted_variants(of, variants);
        }
        visitor.visit_enum(self).map_err(|fault| fault.within(of))
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

/// The elements of a sequence, tuple, map or struct.
struct Elements<D> {
    decoder: D,
    left: usize,
    /// No more than so many may be prepared for.
    expected: usize,
}

impl<'de> de::SeqAccess<'de> for Elements<Decoder<'de>> {
    type Error = Fault;

    #[inline]
    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Outcome<Option<S::Value>> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        seed.deserialize(self.decoder).map(Some)
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        Some(self.left.min(self.expected))
    }
}

impl<'de> de::MapAccess<'de> for Elements<Decoder<'de>> {
    type Error = Fault;

    #[inline]
    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Outcome<Option<S::Value>> {
        de::SeqAccess::next_element_seed(self, seed)
    }

    #[inline]
    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Outcome<S::Value> {
        seed.deserialize(self.decoder)
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        Some(self.left.min(self.expected))
    }
}

impl<'de> de::EnumAccess<'de> for Decoder<'de> {
    type Error = Fault;
    type Variant = Self;

    #[inline]
    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Outcome<(S::Value, Self)> {
        let index: u32 = self.state.leaf()?;
        let index: de::value::U32Deserializer<Fault> = index.into_deserializer();
        Ok((seed.deserialize(index)?, self))
    }
}

impl<'de> de::VariantAccess<'de> for Decoder<'de> {
    type Error = Fault;

    #[inline]
    fn unit_variant(self) -> Outcome<()> {
        Ok(())
    }

    #[inline]
    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Outcome<S::Value> {
        seed.deserialize(self.deeper()?)
    }

    #[inline]
    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Outcome<V::Value> {
        self.deserialize_tuple(len, visitor)
    }

    #[inline]
    fn struct_variant<V: Visitor<'de>>(self, fields: &'static [&'static str], visitor: V) -> Outcome<V::Value> {
        self.deserialize_tuple(fields.len(), visitor)
    }
}
