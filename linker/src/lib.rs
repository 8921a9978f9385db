//! The linker script that gives the `fastboot` section a segment of its own.

/// Text of `fastboot.ld`, to be written to a file and passed to the linker with `-T`.
pub const SCRIPT: &str = include_str!("../fastboot.ld");

/// Options for the linker, besides the script: the functions that `fastboot-rt` stands in for while it freezes.
pub const WRAP: [&str; 4] = ["--wrap=getrandom", "--wrap=syscall", "--wrap=dlsym", "--wrap=pthread_create"];

/// What the script's `EXTERN` says, as options: for linking without the script, with linkers that know no scripts.
pub const UNDEFINED: [&str; 3] = ["--undefined=pthread_create", "--undefined=dlsym", "--undefined=getrandom"];
