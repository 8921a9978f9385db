//! Nothing is built here. Cargo asks for a script of every package that says what it `links`, and this one does, so that no
//! program has two versions of it: two would take each other's roots, sections and calls of the C library.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
}
