//! `cargo fastboot`.
fn main() {}
