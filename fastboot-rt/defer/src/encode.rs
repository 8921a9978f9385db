//! Values to block contents: a serde serializer that writes what postcard writes, and makes blocks of deferred parts.

use crate::chunk::{Chunks, MapParts};
use crate::collect::{Chunk, Collector, Reference};
use crate::error::{Error, Result};
use crate::forms::{compound, compounds_are, numbers};
use crate::handoff::{self, LIST, MAP, MAP_OF_DEFERRED_KEYS, PART, WRITTEN, Written};
use crate::open::Origin;
use postcard::ser_flavors::Flavor;
use serde::ser::{self, Serialize};

impl ser::Error for Error {
    fn custom<T: std::fmt::Display>(msg: T) -> Self {
        let what = msg.to_string();
        // Our own errors, of a part that cannot be read for example, come this way too and say what to do.
        let remedy = if what.contains("; ") { "" } else { "; so says its own Serialize: change the value or the type" };
        Error::save(what + remedy)
    }
}

/// postcard's output, appended to a block.
struct Append<'a>(&'a mut Vec<u8>);

impl Flavor for Append<'_> {
    type Output = ();

    fn try_extend(&mut self, data: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(data);
        Ok(())
    }

    fn try_push(&mut self, data: u8) -> postcard::Result<()> {
        self.0.push(data);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

/// Serializes one value into the block that the collector is filling.
pub(crate) struct Encoder<'a> {
    to: &'a mut Collector,
    /// How deep values may still nest in this block.
    depth: u32,
    mode: Mode,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Plain,
    /// A sequence that comes becomes chunks.
    List,
    /// A map that comes becomes chunks of values.
    Map {
        deferred_keys: bool,
    },
}

impl<'a> Encoder<'a> {
    pub(crate) fn new(to: &'a mut Collector) -> Self {
        let depth = to.shape.depth;
        Encoder { to, depth, mode: Mode::Plain }
    }

    /// For an element of a chunk, which is as deep as one of a `Vec`: one level below the top of its block.
    pub(crate) fn element(to: &'a mut Collector) -> Result<Self> {
        Encoder::new(to).deeper()
    }

    fn leaf<T: Serialize>(self, value: T) -> Result<()> {
        let mut postcard = postcard::Serializer { output: Append(self.to.out()) };
        value.serialize(&mut postcard).map_err(|e| Error::save(e.to_string()))
    }

    /// One level down, or an error.
    fn deeper(self) -> Result<Self> {
        match self.depth.checked_sub(1) {
            Some(depth) => Ok(Encoder { depth, ..self }),
            None => Err(Error::save(format!(
                "values nest more than {} deep in one block; defer some of them, or raise SaveOptions::depth and LoadOptions::depth",
                self.to.shape.depth
            ))),
        }
    }

    fn count(self, len: Option<usize>, what: &str) -> Result<Self> {
        let Some(len) = len else {
            return Err(Error::save(format!(
                "a {what} does not tell its length beforehand, as those of serde's `flatten` do; collect it into a Vec or \
                 a map first, or make what is flattened a field"
            )));
        };
        self.to.write_varint(len as u64);
        self.deeper()
    }

    fn compound(self, variant: Option<u32>) -> Result<Compound<'a>> {
        if let Some(variant) = variant {
            self.to.write_varint(u64::from(variant));
        }
        let Encoder { to, depth, .. } = self.deeper()?;
        Ok(Compound { to, depth, of: "", kind: Kind::Plain })
    }

    /// Refers to what a Writer has written before.
    fn written<T: Serialize + ?Sized>(self, value: &T) -> Result<()> {
        if !self.to.at_root() {
            return Err(Error::save("a part that a Writer has written can only be referred to by the root"));
        }
        handoff::ask_for_written();
        let answered = value.serialize(Encoder { mode: Mode::Plain, depth: self.depth, to: &mut *self.to });
        let Some(written) = handoff::take_written() else {
            return answered.and(Err(Error::save("a finished part gave no answer")));
        };
        let writer = self.to.writer;
        let reference = |origin: &Origin, start: u64, extent: u64| {
            if writer.is_some() && origin.writer() == writer {
                Ok(Reference { start, extent })
            } else {
                Err(Error::save("a part belongs to another Writer than the one that finishes this root"))
            }
        };
        match written {
            Written::Part(p) => {
                let to = reference(&p.origin, p.start, p.extent)?;
                self.to.write_reference(to);
            }
            Written::List(list) => {
                let mut chunks: Vec<Chunk> = Vec::new();
                let mut before = 0;
                for chunk in list {
                    let p = &chunk.place;
                    chunks.push((chunk.end - before, reference(&p.origin, p.start, p.extent)?));
                    before = chunk.end;
                }
                self.to.write_chunks(&chunks);
            }
        }
        Ok(())
    }
}

macro_rules! leaves {
    ($($name:ident($ty:ty);)*) => {
        $(fn $name(self, value: $ty) -> Result<()> {
            self.leaf(value)
        })*
    };
}

impl<'a> ser::Serializer for Encoder<'a> {
    type Ok = ();
    type Error = Error;

    compounds_are!(Compound<'a>);
    numbers!(leaves);
    leaves! {
        serialize_f32(f32);
        serialize_f64(f64);
        serialize_char(char);
        serialize_str(&str);
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<()> {
        self.to.write_varint(value.len() as u64);
        self.to.out().extend_from_slice(value);
        Ok(())
    }

    fn serialize_none(self) -> Result<()> {
        self.to.out().push(0);
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<()> {
        self.to.out().push(1);
        value.serialize(self.deeper()?)
    }

    fn serialize_unit(self) -> Result<()> {
        Ok(())
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<()> {
        Ok(())
    }

    fn serialize_unit_variant(self, _name: &'static str, index: u32, _variant: &'static str) -> Result<()> {
        self.to.write_varint(u64::from(index));
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, name: &'static str, value: &T) -> Result<()> {
        match name {
            PART => {
                self.to.begin_part()?;
                value.serialize(Encoder::new(self.to))?;
                let reference = self.to.end_part()?;
                self.to.write_reference(reference);
                Ok(())
            }
            LIST => value.serialize(Encoder { mode: Mode::List, ..self }),
            MAP => value.serialize(Encoder { mode: Mode::Map { deferred_keys: false }, ..self }),
            MAP_OF_DEFERRED_KEYS => value.serialize(Encoder { mode: Mode::Map { deferred_keys: true }, ..self }),
            WRITTEN => self.written(value),
            _ => value.serialize(self.deeper()?),
        }
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        index: u32,
        _variant: &'static str,
        value: &T,
    ) -> Result<()> {
        self.to.write_varint(u64::from(index));
        value.serialize(self.deeper()?)
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Compound<'a>> {
        if self.mode == Mode::List {
            let Encoder { to, depth, .. } = self.deeper()?;
            return Ok(Compound { to, depth, of: "", kind: Kind::List(Chunks::default()) });
        }
        let Encoder { to, depth, .. } = self.count(len, "sequence")?;
        Ok(Compound { to, depth, of: "", kind: Kind::Counted { left: len.unwrap_or(0), entry: 0 } })
    }

    fn serialize_tuple(self, _len: usize) -> Result<Compound<'a>> {
        self.compound(None)
    }

    fn serialize_tuple_struct(self, _name: &'static str, _len: usize) -> Result<Compound<'a>> {
        self.compound(None)
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        index: u32,
        _variant: &'static str,
        _len: usize,
    ) -> Result<Compound<'a>> {
        self.compound(Some(index))
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Compound<'a>> {
        if let Mode::Map { deferred_keys } = self.mode {
            let Encoder { to, depth, .. } = self.deeper()?;
            return Ok(Compound { to, depth, of: "", kind: Kind::Map(MapParts::new(deferred_keys)) });
        }
        let Encoder { to, depth, .. } = self.count(len, "map")?;
        Ok(Compound { to, depth, of: "", kind: Kind::Counted { left: len.unwrap_or(0), entry: 0 } })
    }

    fn serialize_struct(self, of: &'static str, _len: usize) -> Result<Compound<'a>> {
        Ok(Compound { of, ..self.compound(None)? })
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        index: u32,
        of: &'static str,
        _len: usize,
    ) -> Result<Compound<'a>> {
        Ok(Compound { of, ..self.compound(Some(index))? })
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

/// A sequence, tuple, map or struct being written.
pub(crate) struct Compound<'a> {
    to: &'a mut Collector,
    depth: u32,
    /// The name of a struct, or of a variant with named fields.
    of: &'static str,
    kind: Kind,
}

enum Kind {
    Plain,
    /// A plain sequence or map: its length is written, so many elements must come.
    Counted {
        left: usize,
        entry: usize,
    },
    List(Chunks),
    Map(MapParts),
}

impl Compound<'_> {
    fn value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        value.serialize(Encoder { to: self.to, depth: self.depth, mode: Mode::Plain })
    }

    fn unnamed<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        self.value(value)
    }

    fn named<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<()> {
        self.value(value).map_err(|e| e.within(self.of, name))
    }

    /// The names of fields are not in the file: nobody could know which one is missing.
    fn left_out(&mut self, name: &'static str) -> Result<()> {
        let what = "serde leaves it out here (`skip_serializing_if`), and a deferred file does not say which fields it has; \
                    remove the attribute, or leave the field out always (`skip`)";
        Err(Error::save(what).within(self.of, name))
    }

    /// An element of something with a length.
    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        if let Kind::List(chunks) = &mut self.kind {
            return chunks.push(self.to, |to| value.serialize(Encoder::element(to)?));
        }
        self.begin_entry();
        self.value(value)?;
        self.end_entry()
    }

    fn begin_entry(&mut self) {
        if let Kind::Counted { entry, .. } = &mut self.kind {
            *entry = self.to.out().len();
        }
    }

    fn end_entry(&mut self) -> Result<()> {
        let mut took = 1;
        if let Kind::Counted { left, entry } = &mut self.kind {
            took = self.to.out().len() - *entry;
            *left = left.checked_sub(1).ok_or_else(|| Error::save("a sequence is longer than it said"))?;
        }
        self.to.element(took)
    }

    fn finish(self) -> Result<()> {
        match self.kind {
            Kind::Plain | Kind::Counted { left: 0, .. } => Ok(()),
            Kind::Counted { .. } => Err(Error::save("a sequence is shorter than it said")),
            Kind::List(mut chunks) => {
                chunks.close(self.to)?;
                self.to.write_chunks(&chunks.done);
                Ok(())
            }
            Kind::Map(parts) => parts.finish(self.to),
        }
    }
}

impl ser::SerializeSeq for Compound<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        self.element(value)
    }

    fn end(self) -> Result<()> {
        self.finish()
    }
}

impl ser::SerializeMap for Compound<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<()> {
        if let Kind::Map(parts) = &mut self.kind {
            let depth = self.depth;
            return parts.key(self.to, |to| key.serialize(Encoder { to, depth, mode: Mode::Plain }));
        }
        self.begin_entry();
        self.value(key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        if let Kind::Map(parts) = &mut self.kind {
            return parts.values.push(self.to, |to| value.serialize(Encoder::element(to)?));
        }
        self.value(value)?;
        self.end_entry()
    }

    fn end(self) -> Result<()> {
        self.finish()
    }
}

compound!(Compound, ());
