//! Builds the C library that some cases use, and for another program a shared one of the same.

use std::path::Path;

fn main() {
    cc::Build::new().file("engine.c").compile("engine");
    println!("cargo::rerun-if-changed=engine.c");
    let folder = std::env::var("OUT_DIR").unwrap_or_default();
    let library = Path::new(&folder).join("libengine-of-its-own.so");
    let mut command = cc::Build::new().get_compiler().to_command();
    command.args(["-shared", "-fPIC", "-Wl,-soname,libengine-of-its-own.so", "-o"]).arg(&library).arg("engine.c");
    // Both programs have the static one.
    let names = ["set_up", "set_up_heap", "square", "cube", "scale", "scaled", "keep", "kept", "first"];
    command.args(names.map(|name| format!("-Dengine_{name}=library_{name}")));
    assert!(command.status().is_ok_and(|status| status.success()), "{command:?}");
    for argument in [library.display().to_string(), format!("-Wl,-rpath,{folder}")] {
        println!("cargo::rustc-link-arg-bin=with-library={argument}");
    }
}
