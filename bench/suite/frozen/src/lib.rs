//! What the binaries have in common.

/// Declares what an expression reads: a file of the data, and the variable that says where it is.
pub fn reads(file: &str) {
    fastboot_rt::input_env("BENCH_DATA");
    fastboot_rt::input(workloads::data(file));
}
