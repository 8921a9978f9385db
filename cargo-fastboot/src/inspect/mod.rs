//! What is in a cold binary, an embedded one, a snapshot, or a deferred file.
//!
//! `found` looks at the file, `text` and `html` show what was found; what `--json` prints is `found` as it stands.

pub(crate) mod defer;
pub(crate) mod found;
pub(crate) mod html;
mod map;
pub(crate) mod text;
mod treemap;
