//! How `Defer` and its relatives talk to our own serializer and deserializer through serde's interface.
//!
//! Each of them presents itself as a newtype struct with one of the names below. Every other format treats a newtype
//! struct as its contents, so under JSON or postcard these types are simply strict. Our serializer knows the names and
//! makes blocks of the contents. A name travels with the call itself: it stays right when a `Serialize` implementation
//! runs another format in the middle of a save, which a thread-local "now saving" flag would not.
//!
//! On the way back a visitor only learns "here is a newtype struct", so the deserializer hands the reference over in a
//! thread-local that is filled just before that one call and emptied by it; no user code runs in between, and a visitor
//! that finds it empty was called by another format.

use crate::open::Origin;
use std::cell::Cell;
use std::sync::Arc;

/// The contents become the body of a part.
pub(crate) const PART: &str = "fastboot::Defer";
/// The contents are a sequence whose elements become chunks.
pub(crate) const LIST: &str = "fastboot::DeferVec";
/// The contents are a map with strict keys and values in chunks.
pub(crate) const MAP: &str = "fastboot::DeferMap";
/// The contents are a map with keys and values in chunks.
pub(crate) const MAP_OF_DEFERRED_KEYS: &str = "fastboot::DeferMap(keys)";
/// The contents lie already in the file that a `Writer` is writing.
pub(crate) const WRITTEN: &str = "fastboot::Written";

/// Where a part lies: the subtree of its block.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) origin: Arc<Origin>,
    /// Offset in the file, bytes.
    pub(crate) start: u64,
    /// Length of the block and everything below it, bytes.
    pub(crate) extent: u64,
}

/// One chunk of a list: where its elements end, counted from the start of the list, and where it lies.
#[derive(Clone, Debug)]
pub(crate) struct ChunkPlace {
    pub(crate) end: u64,
    pub(crate) place: Place,
}

/// From our deserializer to a visitor.
pub(crate) enum Arrival {
    Part(Place),
    List(Vec<ChunkPlace>),
    Map { values: Vec<ChunkPlace>, keys: Option<Vec<ChunkPlace>> },
}

/// From something already written to our serializer: one part, or the chunks of a list with the ends of their elements.
pub(crate) enum Written {
    Part(Place),
    List(Vec<ChunkPlace>),
}

thread_local! {
    static ARRIVAL: Cell<Option<Arrival>> = const { Cell::new(None) };
    static ASKED: Cell<bool> = const { Cell::new(false) };
    static WRITTEN_THINGS: Cell<Option<Written>> = const { Cell::new(None) };
}

pub(crate) fn hand_over(arrival: Arrival) {
    ARRIVAL.set(Some(arrival));
}

pub(crate) fn take_arrival() -> Option<Arrival> {
    ARRIVAL.take()
}

/// Our serializer is about to ask for something already written.
pub(crate) fn ask_for_written() {
    ASKED.set(true);
}

/// Answers that question; false if nobody asked, that is, if another format is serializing.
pub(crate) fn answer(written: Written) -> bool {
    let asked = ASKED.replace(false);
    if asked {
        WRITTEN_THINGS.set(Some(written));
    }
    asked
}

pub(crate) fn take_written() -> Option<Written> {
    ASKED.set(false);
    WRITTEN_THINGS.take()
}
