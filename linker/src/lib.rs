//! The linker script that gives the `fastboot` section a segment of its own.

/// Text of `fastboot.ld`, to be written to a file and passed to the linker with `-T`.
pub const SCRIPT: &str = include_str!("../fastboot.ld");

/// Options for the linker, besides the script: the functions that `fastboot-rt` stands in for while it freezes. Those that
/// give random bytes, the one that starts threads, those that open files, and the one that reads the environment.
pub const WRAP: [&str; 12] = [
    "--wrap=getrandom",
    "--wrap=syscall",
    "--wrap=dlsym",
    "--wrap=pthread_create",
    "--wrap=open",
    "--wrap=open64",
    "--wrap=openat",
    "--wrap=openat64",
    "--wrap=fopen",
    "--wrap=fopen64",
    "--wrap=opendir",
    "--wrap=getenv",
];

/// What the script's `EXTERN` says, as options: for linking without the script, with linkers that know no scripts.
pub const UNDEFINED: [&str; 3] = ["--undefined=pthread_create", "--undefined=dlsym", "--undefined=getrandom"];

/// Options for static linking: what the runtime refers to weakly, and a linker takes out of glibc's archive for a strong
/// reference only. It tells the processor's features 4 µs faster than the processor, in a virtual machine. An archive that
/// does not have it is none the worse for it.
pub const UNDEFINED_STATIC: [&str; 1] = ["--undefined=__x86_get_cpuid_feature_leaf"];
