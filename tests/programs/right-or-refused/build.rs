//! Builds the C library that some cases use.

fn main() {
    cc::Build::new().file("engine.c").compile("engine");
    println!("cargo::rerun-if-changed=engine.c");
}
