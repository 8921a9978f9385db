//! Walk: through the graph, from what runs while roots are evaluated, breadth first.
//!
//! A node gets its number when it is met for the first time. What is hashed of a node are its bytes as the object has them,
//! before any field is filled in, and of each relocation where it is, its type, the *number* of its target and where in it it leads. So two
//! executables have equal hashes only if what is reached is the same graph, node by node: nothing is said of names and
//! addresses, and two equal statics are two. A hash of each node's contents and of its targets' hashes would not do: it cannot
//! tell a node with two edges to one counter from one with an edge to each of two equal counters.

use super::check::outside_of;
use super::graph::{Graph, Id, Node, RelocatedBytes, SectionNode};
use super::location::{self, is_location};
use crate::elf::names::Name;
use anyhow::{Result, bail};
use fastboot_format::protocol::{RECORD_CHECK, RECORD_LEN, RECORD_NAME, REGISTRY};
use object::elf;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeSet, HashMap};

/// Sections with addresses of functions that run before `main`.
const CONSTRUCTORS: [&str; 4] = [".preinit_array", ".init_array", ".ctors", ".init"];
/// Names of other files' code that would bring in what the link says nothing of.
const LOADERS: [&str; 2] = ["dlopen", "dlmopen"];

/// What was reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Closure {
    /// The hash of all of it.
    pub(crate) fingerprint: [u8; 32],
    /// Nodes by number.
    pub(crate) nodes: Vec<Reached>,
}

/// A node that was reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reached {
    /// For people.
    pub(crate) name: String,
    /// Where it lies; 0 for what does not lie in the executable.
    pub(crate) address: u64,
    /// Its length in bytes.
    pub(crate) size: u64,
    /// The first bytes of what was hashed of it.
    pub(crate) hash: u64,
    /// Whether it is a piece that the linker merges with equal ones.
    pub(crate) merged: bool,
    /// Whether it is machine code.
    pub(crate) code: bool,
    /// Whether it is a location in a source file, whose line and column do not count.
    pub(crate) location: bool,
}

/// Walks through the graph. `also`: what else counts, such as the names of shared libraries.
pub(crate) fn walk(graph: &mut Graph<'_>, also: &[String]) -> Result<Closure> {
    let mut numbers = Numbers::default();
    let mut whole = Sha256::new();
    for (title, first) in beginnings(graph) {
        text(&mut whole, title);
        whole.update((first.len() as u64).to_le_bytes());
        for id in first {
            whole.update(numbers.of(id).to_le_bytes());
        }
    }
    for line in also {
        text(&mut whole, line);
    }
    let mut nodes = Vec::new();
    while let Some(id) = numbers.order.get(nodes.len()).copied() {
        let mut hash = Sha256::new();
        let (name, size) = describe(graph, id, &mut numbers, &mut hash)?;
        let mut location = false;
        for mut piece in graph.pieces(id)? {
            if let Node::Section(section) = &graph.nodes[id] {
                if section.name == REGISTRY {
                    forget_names(&mut piece);
                } else if is_location(graph, section, &piece) {
                    piece.masked.push(location::NUMBERS);
                    location = true;
                }
            }
            hash_piece(&piece, &mut numbers, &mut hash);
        }
        let hash: [u8; 32] = hash.finalize().into();
        whole.update(hash);
        let merged = matches!(&graph.nodes[id], Node::Merged { .. });
        let code = matches!(&graph.nodes[id], Node::Section(section) if section.flags & elf::SHF_EXECINSTR.0 != 0);
        let hash = u64::from_le_bytes(*hash.first_chunk().unwrap_or(&[0; 8]));
        nodes.push(Reached { name, address: graph.address_of(id).unwrap_or(0), size, hash, merged, code, location });
    }
    Ok(Closure { fingerprint: whole.finalize().into(), nodes })
}

/// Numbers of nodes, in the order in which they were met.
#[derive(Default)]
struct Numbers {
    order: Vec<Id>,
    numbers: HashMap<Id, u64>,
}

impl Numbers {
    fn of(&mut self, id: Id) -> u64 {
        let next = self.order.len() as u64;
        *self.numbers.entry(id).or_insert_with(|| {
            self.order.push(id);
            next
        })
    }
}

/// What runs while roots are evaluated: what the registry names, constructors, and what shared libraries may call.
fn beginnings(graph: &Graph<'_>) -> [(&'static str, Vec<Id>); 3] {
    let of = |name: &str, base: &str| name == base || name.strip_prefix(base).is_some_and(|rest| rest.starts_with('.'));
    let records = graph.all(|section| section.name == REGISTRY);
    let constructors = graph.all(|section| CONSTRUCTORS.iter().any(|base| of(section.name, base)));
    [("records", records), ("constructors", constructors), ("exported", graph.exported())]
}

/// Hashes what a node is, apart from its bytes and edges; its name for people, and its size.
fn describe(graph: &Graph<'_>, id: Id, numbers: &mut Numbers, hash: &mut Sha256) -> Result<(String, u64)> {
    let mut plain = |kind: &str, name: &str| {
        text(hash, kind);
        text(hash, name);
        (name.to_owned(), 0)
    };
    Ok(match &graph.nodes[id] {
        Node::Section(section) => {
            let fields = [u64::from(section.kind), section.flags, section.align, section.size];
            text(hash, "section");
            hash.update(fields.map(u64::to_le_bytes).as_flattened());
            (describe_section(graph, section, hash)?, section.size)
        }
        Node::Merged { content, .. } => {
            text(hash, "merged");
            hash.update((content.len() as u64).to_le_bytes());
            hash.update(content);
            ("a merged constant".to_owned(), content.len() as u64)
        }
        Node::All { name } => {
            let found = plain("all", name);
            // The registry is where the walk began; from the runtime it leads to every root.
            let all = if *name == REGISTRY { Vec::new() } else { graph.all(|section| section.name == *name) };
            hash.update((all.len() as u64).to_le_bytes());
            for id in all {
                hash.update(numbers.of(id).to_le_bytes());
            }
            found
        }
        Node::Outside(name) if LOADERS.contains(name) => {
            bail!("what the roots use may load code while it runs (`{name}`)")
        }
        Node::Outside(name) => plain("outside", name),
        Node::Unresolved(name) => plain("unresolved", name),
        Node::Linker(name) => plain("linker", name),
        Node::Absolute(number) => plain("number", &format!("{number:#x}")),
        Node::Unknown(what) => bail!("what the roots use leads to {what}"),
    })
}

/// The name of a section for people. Of a writable one, names count as well: by them it is decided what is carried.
fn describe_section(graph: &Graph<'_>, section: &SectionNode<'_>, hash: &mut Sha256) -> Result<String> {
    let writable = section.flags & elf::SHF_WRITE.0 != 0 && section.flags & 0x400 == 0;
    let names = graph.names_in(section)?;
    if writable {
        for (offset, name) in &names {
            hash.update(offset.to_le_bytes());
            text(hash, &Name::of(name).text);
        }
    }
    Ok(match names.first() {
        Some((_, name)) => Name::of(name).text,
        None => section.name.to_owned(),
    })
}

/// Leaves out of a piece of the registry what changes nothing of any value: how roots are checked, and what is warmed is
/// called, by its line. That has no slot.
fn forget_names(records: &mut RelocatedBytes<'_>) {
    let roots: BTreeSet<u64> =
        records.edges.iter().filter(|edge| edge.offset % RECORD_LEN == 0).map(|edge| edge.offset).collect();
    let is_root = |offset: u64| roots.contains(&(offset - offset % RECORD_LEN));
    records.edges.retain(|edge| match edge.offset % RECORD_LEN {
        RECORD_CHECK => false,
        RECORD_NAME => is_root(edge.offset),
        _ => true,
    });
    let all = (0..records.data.len()).step_by(RECORD_LEN as usize).filter(|start| !is_root(*start as u64));
    // Behind the name's address, its length.
    records.masked.extend(all.map(|start| start + RECORD_NAME as usize + 8..start + RECORD_NAME as usize + 16));
}

fn hash_piece(piece: &RelocatedBytes<'_>, numbers: &mut Numbers, hash: &mut Sha256) {
    hash.update((piece.data.len() as u64).to_le_bytes());
    for range in outside_of(&piece.masked, piece.data.len()) {
        hash.update(&piece.data[range]);
    }
    hash.update((piece.edges.len() as u64).to_le_bytes());
    for edge in &piece.edges {
        let fields = [edge.offset, u64::from(edge.kind), numbers.of(edge.target), edge.within as u64];
        hash.update(fields.map(u64::to_le_bytes).as_flattened());
    }
}

fn text(hash: &mut Sha256, text: &str) {
    hash.update((text.len() as u64).to_le_bytes());
    hash.update(text);
}
