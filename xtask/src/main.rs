//! The verbs CI runs.
fn main() {}
