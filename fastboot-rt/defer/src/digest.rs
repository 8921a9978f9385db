//! What a value says of itself, in 64 bits: a serde serializer that writes nothing.
//!
//! Two values with the same digest are the same to everything that serde can see (up to a collision). Elements of
//! sequences and maps are added up, so that a `HashMap` that was read back, in another order, has the digest it had.
//! What a deferred part holds counts as if it were strict.
//!
//! ```text
//! State::Open ──serialize──▶ variant "Open" ──▶ digest 1
//! State::Closed ───────────▶ variant "Closed" ▶ digest 2: these two are not the same
//! ```

use crate::error::{Error, Result};
use crate::forms::{compound, compounds_are, numbers};
use crate::handoff::WRITTEN;
use crate::shapes::Shapes;
use serde::ser::{self, Serialize};
use std::fmt;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The digest of a value.
pub(crate) fn of<T: Serialize + ?Sized>(value: &T) -> Result<u64> {
    Ok(value.serialize(Digester { shapes: None })?.digest)
}

/// The digests of a value and of everything in it; what types it has goes to `shapes`.
pub(crate) fn outline<T: Serialize + ?Sized>(value: &T, shapes: &Shapes) -> Result<Node> {
    value.serialize(Digester { shapes: Some(shapes) })
}

/// Adds the digest of one more element to that of a list.
pub(crate) fn add(list: u64, element: u64) -> u64 {
    list.wrapping_add(mix(element))
}

/// The digest of a list whose elements were added up with [`add`].
pub(crate) fn list(sum: u64, count: u64) -> u64 {
    mix(sum ^ mix(count ^ Tag::List as u64))
}

/// A value, and what it consists of if that was asked for.
pub(crate) struct Node {
    pub(crate) digest: u64,
    outline: Option<Box<Outline>>,
}

#[derive(Default)]
struct Outline {
    /// What a person sees of the value.
    shown: String,
    inside: Vec<(Label, Node)>,
}

impl Node {
    /// What a person sees of it.
    pub(crate) fn shown(&self) -> &str {
        self.outline.as_ref().map_or("", |outline| &outline.shown)
    }

    /// What it consists of.
    pub(crate) fn inside(&self) -> &[(Label, Node)] {
        self.outline.as_ref().map_or(&[], |outline| &outline.inside)
    }
}

/// Where a value is in the one around it.
#[derive(Clone, Copy)]
pub(crate) enum Label {
    Field(&'static str),
    Element(usize),
    /// The order means nothing.
    Any,
}

/// What kinds of values are told apart.
#[derive(Clone, Copy)]
enum Tag {
    Number = 1,
    Text,
    Bytes,
    Nothing,
    Some,
    Variant,
    Fields,
    List,
    Map,
    Written,
}

/// Sebastiano Vigna's finalizer of SplitMix64: every bit of the input changes half of the output.
fn mix(n: u64) -> u64 {
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

fn pair(a: u64, b: u64) -> u64 {
    mix(mix(a).rotate_left(17) ^ b)
}

#[derive(Clone, Copy)]
struct Digester<'a> {
    /// Given if an outline is asked for.
    shapes: Option<&'a Shapes>,
}

/// The beginning of a text, for people.
struct Shown<'a>(&'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.char_indices().nth(40) {
            Some((end, _)) => write!(f, "{:?}..", &self.0[..end]),
            None => write!(f, "{:?}", self.0),
        }
    }
}

impl<'a> Digester<'a> {
    fn leaf(self, tag: Tag, digest: u64, shown: impl fmt::Display) -> Result<Node> {
        let outline = self.shapes.map(|_| Box::new(Outline { shown: shown.to_string(), inside: Vec::new() }));
        Ok(Node { digest: pair(tag as u64, digest), outline })
    }

    fn number(self, n: i128, shown: impl fmt::Display) -> Result<Node> {
        self.leaf(Tag::Number, pair(n as u64, (n >> 64) as u64), shown)
    }

    /// A value with a word before it.
    fn before(self, tag: Tag, word: u64, shown: impl fmt::Display, value: Node) -> Result<Node> {
        let mut node = self.leaf(tag, pair(word, value.digest), shown)?;
        if let Some(outline) = &mut node.outline {
            outline.inside.push((Label::Any, value));
        }
        Ok(node)
    }

    fn several(self, tag: Tag, of: &'static str, name: &'static str) -> Several<'a> {
        Several {
            digester: self,
            tag,
            of,
            name,
            start: 0,
            digest: 0,
            count: 0,
            key: 0,
            outline: self.shapes.map(|_| Box::default()),
        }
    }

    fn variant(self, of: &'static str, index: u32, name: &'static str) -> u64 {
        if let Some(shapes) = self.shapes {
            shapes.variant(of, index, name);
        }
        xxh3_64_with_seed(name.as_bytes(), Tag::Variant as u64)
    }
}

macro_rules! number {
    ($($name:ident($ty:ty);)*) => {
        $(fn $name(self, value: $ty) -> Result<Node> {
            self.number(value as i128, value)
        })*
    };
}

impl<'a> ser::Serializer for Digester<'a> {
    type Ok = Node;
    type Error = Error;

    compounds_are!(Several<'a>);
    numbers!(number);

    fn serialize_f32(self, value: f32) -> Result<Node> {
        self.number(i128::from(value.to_bits()), value)
    }

    fn serialize_f64(self, value: f64) -> Result<Node> {
        self.number(i128::from(value.to_bits()), value)
    }

    fn serialize_char(self, value: char) -> Result<Node> {
        self.number(i128::from(u32::from(value)), format_args!("{value:?}"))
    }

    fn serialize_str(self, value: &str) -> Result<Node> {
        self.leaf(Tag::Text, xxh3_64_with_seed(value.as_bytes(), 0), Shown(value))
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<Node> {
        self.leaf(Tag::Bytes, xxh3_64_with_seed(value, 0), format_args!("{} bytes", value.len()))
    }

    fn serialize_none(self) -> Result<Node> {
        self.leaf(Tag::Nothing, 0, "None")
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Node> {
        let value = value.serialize(self)?;
        self.before(Tag::Some, 0, "Some", value)
    }

    fn serialize_unit(self) -> Result<Node> {
        self.leaf(Tag::Nothing, 1, "()")
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<Node> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, of: &'static str, index: u32, name: &'static str) -> Result<Node> {
        let word = self.variant(of, index, name);
        self.leaf(Tag::Variant, word, format_args!("variant `{of}::{name}`"))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, name: &'static str, value: &T) -> Result<Node> {
        if name == WRITTEN {
            // Compared when it was written.
            return self.leaf(Tag::Written, 0, "what a Writer has written");
        }
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        of: &'static str,
        index: u32,
        name: &'static str,
        value: &T,
    ) -> Result<Node> {
        let word = self.variant(of, index, name);
        let value = value.serialize(self)?;
        self.before(Tag::Variant, word, format_args!("variant `{of}::{name}`"), value)
    }

    fn serialize_seq(self, _len: Option<usize>) -> Result<Several<'a>> {
        Ok(self.several(Tag::List, "", ""))
    }

    fn serialize_tuple(self, _len: usize) -> Result<Several<'a>> {
        Ok(self.several(Tag::Fields, "", ""))
    }

    fn serialize_tuple_struct(self, of: &'static str, _len: usize) -> Result<Several<'a>> {
        Ok(self.several(Tag::Fields, of, ""))
    }

    fn serialize_tuple_variant(
        self,
        of: &'static str,
        index: u32,
        name: &'static str,
        _len: usize,
    ) -> Result<Several<'a>> {
        let start = self.variant(of, index, name);
        Ok(Several { start, ..self.several(Tag::Variant, of, name) })
    }

    fn serialize_map(self, _len: Option<usize>) -> Result<Several<'a>> {
        Ok(self.several(Tag::Map, "", ""))
    }

    fn serialize_struct(self, of: &'static str, len: usize) -> Result<Several<'a>> {
        self.serialize_tuple_struct(of, len)
    }

    fn serialize_struct_variant(
        self,
        of: &'static str,
        index: u32,
        name: &'static str,
        len: usize,
    ) -> Result<Several<'a>> {
        self.serialize_tuple_variant(of, index, name, len)
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

/// A sequence, tuple, map or struct.
struct Several<'a> {
    digester: Digester<'a>,
    tag: Tag,
    /// The name of the type, and of the variant.
    of: &'static str,
    name: &'static str,
    start: u64,
    digest: u64,
    count: u64,
    /// The digest of a map's key until its value comes.
    key: u64,
    outline: Option<Box<Outline>>,
}

impl Several<'_> {
    fn value<T: Serialize + ?Sized>(&mut self, label: Label, value: &T) -> Result<()> {
        let node = value.serialize(self.digester)?;
        self.digest = match label {
            Label::Any => add(self.digest, pair(self.key, node.digest)),
            Label::Field(_) => pair(self.digest, node.digest),
            Label::Element(_) if matches!(self.tag, Tag::List) => add(self.digest, node.digest),
            Label::Element(_) => pair(self.digest, node.digest),
        };
        self.count += 1;
        if let Some(outline) = &mut self.outline {
            outline.inside.push((label, node));
        }
        Ok(())
    }

    fn unnamed<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        self.value(Label::Element(self.count as usize), value)
    }

    fn named<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<()> {
        self.value(Label::Field(name), value)
    }

    /// What is not there has no digest: saving it is refused, see encode.rs.
    fn left_out(&mut self, _name: &'static str) -> Result<()> {
        Ok(())
    }

    fn finish(self) -> Result<Node> {
        let Several { digester, tag, of, name, start, digest, count, mut outline, .. } = self;
        let digest = match tag {
            Tag::List => list(digest, count),
            _ => pair(tag as u64 ^ start, pair(digest, count)),
        };
        if let (Some(outline), Some(shapes)) = (&mut outline, digester.shapes) {
            let field = |part: &(Label, Node)| if let Label::Field(name) = part.0 { Some(name) } else { None };
            let fields: Vec<&str> = outline.inside.iter().filter_map(field).collect();
            if !fields.is_empty() {
                shapes.fields(of, name, fields);
            }
            outline.shown = match (of, name) {
                ("", _) => format!("{count} elements"),
                (of, "") => format!("a `{of}`"),
                (of, name) => format!("variant `{of}::{name}`"),
            };
        }
        Ok(Node { digest, outline })
    }
}

impl ser::SerializeSeq for Several<'_> {
    type Ok = Node;
    type Error = Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        self.unnamed(value)
    }

    fn end(self) -> Result<Node> {
        self.finish()
    }
}

impl ser::SerializeMap for Several<'_> {
    type Ok = Node;
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<()> {
        self.key = key.serialize(self.digester)?.digest;
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        self.value(Label::Any, value)
    }

    fn end(self) -> Result<Node> {
        self.finish()
    }
}

compound!(Several, Node);

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, HashMap, HashSet};

    #[test]
    fn order_counts_only_where_it_means_something() -> Result<()> {
        let words = ["one", "two", "three", "four", "five", "six"];
        let mut there: HashSet<&str> = words.into_iter().collect();
        there.reserve(1000);
        assert_eq!(of(&there)?, of(&words.into_iter().rev().collect::<HashSet<_>>())?);
        let map: HashMap<&str, u8> = words.into_iter().zip(0..).collect();
        let sorted: BTreeMap<&str, u8> = words.into_iter().zip(0..).collect();
        assert_eq!(of(&map)?, of(&sorted)?);
        assert_ne!(of(&map)?, of(&words.into_iter().zip(1..).collect::<HashMap<_, u8>>())?);
        assert_ne!(of(&(1_u8, 2_u8))?, of(&(2_u8, 1_u8))?);
        Ok(())
    }

    #[test]
    fn near_values_differ() -> Result<()> {
        let digests = [
            of(&Some(0_u8))?,
            of(&None::<u8>)?,
            of(&Some(None::<u8>))?,
            of(&0_u8)?,
            of(&-0.0_f64)?,
            of(&0.0_f64)?,
            of(&f64::NAN)?,
            of("")?,
            of("0")?,
            of(&[0_u8; 0][..])?,
            of(&[0_u8; 1][..])?,
            of(&[0_u8; 2][..])?,
            of(&(0_u8, 0_u8))?,
            of(&vec![vec![1_u8], vec![]])?,
            of(&vec![vec![], vec![], vec![1_u8]])?,
            of(&Ok::<u8, u8>(0))?,
            of(&Err::<u8, u8>(0))?,
            of(&(i128::MAX))?,
            of(&(i128::MAX - (1 << 64)))?,
            of(&BTreeMap::from([(1_u8, 2_u8), (3, 4)]))?,
            of(&BTreeMap::from([(1_u8, 4_u8), (3, 2)]))?,
        ];
        let different: HashSet<u64> = digests.into_iter().collect();
        // The two zeros of u8 and f64 are the same number; nothing else is.
        assert_eq!(different.len(), digests.len() - 1);
        Ok(())
    }

    #[test]
    fn a_list_can_be_added_up_in_pieces() -> Result<()> {
        let words = ["one", "two", "three"];
        let sum = words.iter().try_fold(0, |sum, word| of(word).map(|digest| add(sum, digest)))?;
        assert_eq!(list(sum, 3), of(&words[..])?);
        Ok(())
    }
}
