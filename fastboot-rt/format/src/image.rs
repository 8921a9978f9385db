//! The image format: one definition, used by the tool that writes images and by the runtime that maps them.
//!
//! This module does no I/O, allocates nothing, panics on nothing and has no `unsafe`. Decoding is total: any bytes
//! give either a value or a [`FormatError`]. `docs/image-format.md` is its prose, and a test keeps the two in step. Only
//! [`write`](mod@write), which lays images out, allocates.
//!
//! ```text
//! home address                                                                          home + length
//! │                                                                                                 │
//! ├─ header ─┬─ directory ─┬─ tables that fit ─┬──────── image data ────────┬─ the other tables ──────┤
//! 0         128                               4096                     data end (page-aligned)
//! ```
//!
//! All integers are little-endian. All offsets count bytes from the start of the header.

mod answers;
mod bound;
mod bytes;
mod entries;
mod error;
mod footer;
mod header;
mod layout;
mod page;
mod relocations;
mod table;
pub mod write;

pub use answers::{Answer, answers};
pub use bound::{Bound, bound};
pub use bytes::{chunks, digest};
pub use entries::{Carried, Root, Rule, Static, carried, statics, string_at};
pub use error::FormatError;
pub use footer::{FOOTER_MAGIC, Footer};
pub use header::{FLAGS_OFFSET, Header, IDENTITY_OFFSET};
pub use layout::{
    ANSWER_LEN, BOUND_LEN, CARRIED_LEN, DEFAULT_HOME, FLAG_COLD, FLAG_EXE_ALIGNED, FLAG_FOOTER, FLAG_PIE,
    FLAG_READ_ONLY, FLAG_RELOCATABLE, FLAG_VERBATIM, FLAG_VERITY, FLAGS, FOOTER_LEN, HEADER_COPY, HEADER_COPY_LEN,
    HEADER_LEN, HOME_ALIGN, HOME_STEP, HOME_WINDOW, MACHINE, MAGIC, PAGE, ROOT_LEN, STATIC_LEN, TABLE_LEN, VALID,
    VERSION,
};
pub use page::{HeaderPage, find};
pub use relocations::{Relocations, encode_relocations, relocations};
pub use table::{MAX_TABLES, Table, TableKind};

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
