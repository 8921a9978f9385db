//! Forms: what serde's interface asks of every serializer under many names, said once.
//!
//! serde has ten kinds of whole numbers and five of values with a fixed number of parts, such as tuples and structs.
//! To `Encoder` (encode.rs) and `Digester` (digest.rs) each of the two is one kind.

/// Calls a macro with each whole number's method and type: `serialize_u8(u8); ..`, and the same for `bool`.
macro_rules! numbers {
    ($each:ident) => {
        $each! {
            serialize_bool(bool);
            serialize_i8(i8);
            serialize_i16(i16);
            serialize_i32(i32);
            serialize_i64(i64);
            serialize_i128(i128);
            serialize_u8(u8);
            serialize_u16(u16);
            serialize_u32(u32);
            serialize_u64(u64);
            serialize_u128(u128);
        }
    };
}

/// In a `Serializer`: whatever has parts is a `$compound`.
macro_rules! compounds_are {
    ($compound:ty) => {
        type SerializeSeq = $compound;
        type SerializeTuple = $compound;
        type SerializeTupleStruct = $compound;
        type SerializeTupleVariant = $compound;
        type SerializeMap = $compound;
        type SerializeStruct = $compound;
        type SerializeStructVariant = $compound;
    };
}

/// What has a fixed number of parts, by these methods of its own: `unnamed(value)`, `named(name, value)`, `left_out(name)` and
/// `finish()`, which gives a `$whole`.
macro_rules! compound {
    ($compound:ident, $whole:ty) => {
        compound! { unnamed $compound, $whole: SerializeTuple serialize_element }
        compound! { unnamed $compound, $whole: SerializeTupleStruct serialize_field }
        compound! { unnamed $compound, $whole: SerializeTupleVariant serialize_field }
        compound! { named $compound, $whole: SerializeStruct }
        compound! { named $compound, $whole: SerializeStructVariant }
    };
    (unnamed $compound:ident, $whole:ty: $kind:ident $method:ident) => {
        impl serde::ser::$kind for $compound<'_> {
            type Ok = $whole;
            type Error = crate::error::Error;

            fn $method<T: serde::Serialize + ?Sized>(&mut self, value: &T) -> crate::error::Result<()> {
                self.unnamed(value)
            }

            fn end(self) -> crate::error::Result<$whole> {
                self.finish()
            }
        }
    };
    (named $compound:ident, $whole:ty: $kind:ident) => {
        impl serde::ser::$kind for $compound<'_> {
            type Ok = $whole;
            type Error = crate::error::Error;

            fn serialize_field<T: serde::Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> crate::error::Result<()> {
                self.named(name, value)
            }

            fn skip_field(&mut self, name: &'static str) -> crate::error::Result<()> {
                self.left_out(name)
            }

            fn end(self) -> crate::error::Result<$whole> {
                self.finish()
            }
        }
    };
}

pub(crate) use {compound, compounds_are, numbers};
