//! The linker script that gives the `fastboot` section a segment of its own, and the one that puts together what starts run.

/// Text of `start.ld` and `fastboot.ld`, to be written to a file and passed to the linker with `-T`.
pub const SCRIPT: &str = concat!(include_str!("../start.ld"), include_str!("../fastboot.ld"));

/// Text of `start.ld`, for executables without that segment. Nothing depends on it: a linker that does not take scripts links
/// without it.
pub const START_SCRIPT: &str = include_str!("../start.ld");

/// Options for the linker, besides the script: the functions that `fastboot-rt` stands in for while it freezes. Those that
/// give random bytes, the one that starts threads, those that open files, the one that reads the environment, those
/// that tell the time, those that map memory, the one that tells the working directory, and those that tell user and group.
pub const WRAP: [&str; 22] = [
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
    "--wrap=clock_gettime",
    "--wrap=gettimeofday",
    "--wrap=mmap",
    "--wrap=mmap64",
    "--wrap=munmap",
    "--wrap=getcwd",
    "--wrap=getuid",
    "--wrap=geteuid",
    "--wrap=getgid",
    "--wrap=getegid",
];

/// What the script's `EXTERN` says, as options: for linking without the script, with linkers that know no scripts.
pub const UNDEFINED: [&str; 14] = [
    "--undefined=pthread_create",
    "--undefined=dlsym",
    "--undefined=getrandom",
    "--undefined=open",
    "--undefined=open64",
    "--undefined=openat",
    "--undefined=openat64",
    "--undefined=fopen",
    "--undefined=fopen64",
    "--undefined=opendir",
    "--undefined=getenv",
    "--undefined=clock_gettime",
    "--undefined=getcwd",
    "--undefined=__x86_get_cpuid_feature_leaf",
];
