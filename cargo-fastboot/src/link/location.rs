//! Location: which nodes are the `core::panic::Location`s that the compiler makes: a file's name, a line and a column.
//!
//! Line and column are left out of the fingerprint, so that a change above a function is none of the function. Run 3 has
//! others in their place, so a value that follows from one is seen; and a program of which that is so is never taken over.
//! Whatever has not exactly the form of a location is none, and counts with all its bytes.

use super::graph::{Graph, Node, RelocatedBytes, SectionNode};
use object::elf;
use std::ops::Range;

/// A pointer to the file's name, the name's length, line, and column.
pub(super) const LEN: usize = 24;
/// Where line and column are in it.
pub(super) const NUMBERS: Range<usize> = 16..LEN;
/// How the compiler's names of anonymous constants begin, behind the section's own.
const ANONYMOUS: &str = "..L";

/// Whether a section with this content is a location.
pub(super) fn is_location(graph: &Graph<'_>, section: &SectionNode<'_>, piece: &RelocatedBytes<'_>) -> bool {
    let is_constant = [".rodata", ".data.rel.ro"]
        .iter()
        .any(|base| section.name.strip_prefix(base).is_some_and(|rest| rest.starts_with(ANONYMOUS)));
    if !is_constant || section.kind != elf::SHT_PROGBITS.0 || section.align != 8 || piece.data.len() != LEN {
        return false;
    }
    let [edge] = piece.edges.as_slice() else { return false };
    if (edge.offset, edge.kind, edge.within) != (0, elf::R_X86_64_64.0, 0) {
        return false;
    }
    let name = match graph.nodes.get(edge.target) {
        Some(Node::Merged { content, .. }) => content,
        Some(Node::Section(target)) if target.flags & elf::SHF_WRITE.0 == 0 => target.data,
        _ => return false,
    };
    has_form(piece.data, name)
}

/// Whether these bytes are a location in a file of this name. Of all texts in a program only names of files in locations have
/// a zero behind them that does not count.
fn has_form(bytes: &[u8], name: &[u8]) -> bool {
    let Some(name) = name.strip_suffix(b"\0") else { return false };
    let number =
        |at: usize| bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |word| u32::from_le_bytes(*word));
    let length = bytes.get(8..).and_then(|rest| rest.first_chunk()).map_or(0, |word| u64::from_le_bytes(*word));
    let is_path = name.ends_with(b".rs") && !name.contains(&0) && std::str::from_utf8(name).is_ok();
    is_path && length == name.len() as u64 && number(16) != 0 && number(20) != 0
}

#[cfg(test)]
mod tests {
    use super::has_form;

    fn bytes(length: u64, line: u32, column: u32) -> Vec<u8> {
        [&[0; 8][..], &length.to_le_bytes(), &line.to_le_bytes(), &column.to_le_bytes()].concat()
    }

    #[test]
    fn the_form_of_a_location() {
        assert!(has_form(&bytes(8, 7, 5), b"src/a.rs\0"));
        assert!(!has_form(&bytes(8, 7, 5), b"src/a.rs"), "a text");
        assert!(!has_form(&bytes(9, 7, 5), b"src/a.rs\0"), "a text with a zero");
        assert!(!has_form(&bytes(8, 7, 5), b"src/a.rt\0"));
        assert!(!has_form(&bytes(8, 0, 5), b"src/a.rs\0"));
        assert!(!has_form(&bytes(8, 7, 0), b"src/a.rs\0"));
        assert!(!has_form(&bytes(7, 7, 5), b"src/a.rs\0"));
        assert!(!has_form(&bytes(0, 7, 5), b""));
    }
}
