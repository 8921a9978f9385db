//! Link: what an executable is made of, so that it can be said whether a change of the program changes its image.
//!
//! ```text
//! wrapper  cargo-fastboot as the linker: calls the real one, and asks it for a link map
//! linker   the real one, called
//! base     where the executable is to be
//! own      functions of shared libraries that have an address there
//! twin     the same program, linked for other addresses
//! map      where the input sections came to lie
//! inputs   the objects, taken apart
//! linked   the executable
//! check    compares the two
//! graph    input sections and their relocations
//! resolve  where a relocation leads
//! location where in a source file something is
//! lines    other ones, where that must make no difference
//! merged   pieces of sections that are merged
//! walk     what the roots use of it, and its fingerprint
//! wide     the same program, with gaps between its parts
//! ```

mod base;
mod check;
mod graph;
mod inputs;
mod lines;
mod linked;
mod linker;
mod location;
mod map;
mod merged;
mod own;
mod resolve;
mod twin;
mod walk;
mod wide;
pub(crate) mod wrapper;

use anyhow::{Context, Result};
use std::collections::BTreeSet;
pub(crate) use walk::{Closure, Reached};

/// What the roots of an executable use, from its bytes, its link map, and the names that were wrapped in its link. The
/// linker's inputs have to be where the map says.
pub(crate) fn closure(executable: &[u8], map: &str, wrapped: BTreeSet<&str>) -> Result<Closure> {
    let map = map::parse(map)?;
    let names: BTreeSet<&str> = map.iter().map(|place| place.file).collect();
    let files = inputs::Files::read(names.iter().copied())?;
    let objects = files.objects(&names)?;
    let linked = linked::Linked::parse(executable)?;
    let mut graph = graph::Graph::new(&objects, &map, &linked, wrapped)?;
    let also = linked.needed()?;
    walk::walk(&mut graph, &also).context("cannot tell what the roots use")
}
